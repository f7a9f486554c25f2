"""How numbers, names and tables are put before a reader, in a sentence and on a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.table import Table


class Measured(Protocol):
    """A value with the ends of its interval, if it has one."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def has_interval(self) -> bool: ...


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names as a person lists them.

    >>> listed(["adam", "adamw", "sgd"])
    'adam, adamw and sgd'
    """
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def counted(number: int, what: str) -> str:
    """A number with what it counts.

    >>> counted(1, "seed"), counted(1200, "step")
    ('1 seed', '1,200 steps')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def shortened(text: str, length: int) -> str:
    """A text in at most so many characters.

    >>> shortened("momentum", 8), shortened("momentum", 5)
    ('momentum', 'mome…')
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"


def duration(seconds: float | Measured) -> str:
    """A measured time in three digits and the unit that suits it, with its interval if it has one.

    >>> duration(1.234e-4), duration(0.0123), duration(2)
    ('123 µs', '12.3 ms', '2 s')
    """
    if isinstance(seconds, (int, float)):
        scale, unit = _unit(seconds)
        return f"{seconds / scale:.3g} {unit}"
    scale, _ = _unit(seconds.value)
    ends = f" ({seconds.low / scale:.3g} to {seconds.high / scale:.3g})" if seconds.has_interval else ""
    return f"{duration(seconds.value)}{ends}"


def duration_range(time: Measured) -> str:
    """The interval of a measured time alone, where a table has no room for more; the time where there is none."""
    scale, unit = _unit(time.value)
    return f"{time.low / scale:.3g} to {time.high / scale:.3g} {unit}" if time.has_interval else duration(time)


def _unit(seconds: float) -> tuple[float, str]:
    return next(((s, u) for s, u in ((1.0, "s"), (1e-3, "ms")) if seconds >= s), (1e-6, "µs"))


def rough_duration(seconds: float) -> str:
    """An estimated time, no finer than it is known.

    >>> rough_duration(0.3), rough_duration(38.2), rough_duration(250), rough_duration(20_000)
    ('less than a second', 'about 38 seconds', 'about 4 minutes', 'about 6 hours')
    """
    if seconds < 1:
        return "less than a second"
    scale, unit = next(((s, u) for s, u in ((3600, "hour"), (60, "minute")) if seconds >= 1.5 * s), (1, "second"))
    return f"about {counted(round(seconds / scale), unit)}"


def rough_range(low: float, high: float) -> str:
    """Between which two times an estimate lies, no finer than it is known.

    >>> rough_range(7.2, 14), rough_range(3, 3.2), rough_range(20, 250), rough_range(0.2, 0.5)
    ('7 to 14 seconds', 'about 3 seconds', 'up to 4 minutes', 'less than a second')
    """
    *_, number, unit = rough_duration(high).split()
    scale = {"hour": 3600, "minute": 60, "second": 1}.get(unit.removesuffix("s"), 1)
    first = str(round(low / scale))
    if high < 1 or first == number:
        return rough_duration(high)
    return f"up to {number} {unit}" if first == "0" else f"{first} to {number} {unit}"


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey.

    >>> printable("digits \\x1b[31m")
    'digits ?[31m'
    """
    return "".join(one if one.isprintable() else "?" for one in text)


def bullet(text: str, width: int) -> str:
    """A sentence as an item of a list.

    >>> bullet("too few seeds", width=10)
    '- too few\\n  seeds'
    """
    return textwrap.fill(f"- {text}", width, subsequent_indent="  ")


def table(columns: Mapping[str, Sequence[str]], title: str = "", *, left: Collection[str] = ("arm",)) -> Table:
    """A table of rich's from the cells of each column by its heading; columns not in `left` are set to the right.

    Names are anyone's own text, so nothing is read as markup, and nothing is cut.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=Text(title) if title else None, title_justify="left", header_style="bold",
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip
    for heading in columns:
        made.add_column(Text(heading), justify="left" if heading in left else "right", overflow="fold")
    for row in zip(*columns.values(), strict=True):
        made.add_row(*map(Text, row))
    return made


def as_page(
    tables: Iterable[Table], paragraphs: Iterable[str], bullets: Iterable[str] = (), *, before: Iterable[str] = ()
) -> str:
    """Lines, tables, wrapped paragraphs and a list, without colour, in 80 to 120 columns as the terminal allows."""
    from rich.console import Console

    width = min(120, max(80, shutil.get_terminal_size(fallback=(120, 24)).columns))
    console = Console(width=width, no_color=True, highlight=False, legacy_windows=False)
    with console.capture() as capture:
        for one in tables:
            console.print(one)
            console.print()
    lines = [part for line in before for part in textwrap.wrap(line, width)]
    lines += [""] if lines else []
    lines += [line.rstrip() for line in capture.get().rstrip().splitlines()]
    for paragraph in paragraphs:
        lines += ["", *textwrap.wrap(paragraph, width)]
    return "\n".join([*lines, *(bullet(one, width) for one in bullets)])


def dtype_name(dtype: Any) -> str:
    """Return what torch's type of number is called in a sentence, such as float32."""
    return str(dtype).removeprefix("torch.")
