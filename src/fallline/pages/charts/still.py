"""Pictures drawn by Matplotlib: for papers, for print, and for a page whose scripts are off."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fallline.pages.charts.live import axis_title
from fallline.pages.charts.picture import Axis, Mark, Picture, shortened
from fallline.pages.palette import colour, dash, symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL = (5.0, 3.4)  # inches
_KEY_ROW = 0.22
_LONGEST_NAME = 48  # characters
_RESOLUTION = 200  # dots an inch
#: The same picture gives the same bytes.
_SETTINGS: Any = {"svg.hashsalt": "fallline", "font.size": 9.0}


def drawn(pictures: Sequence[Picture], kind: str, *, x: str | None = None, bare: bool = False) -> bytes:
    """Draw pictures side by side, over one key, as a file of the kind "png", "svg" or "pdf".

    `x` chooses the axis among those of the pictures; a `bare` drawing has neither titles nor key.
    """
    from matplotlib import rc_context

    with rc_context(_SETTINGS), _without_missing_glyphs():
        file = io.BytesIO()
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        _figure(pictures, x, bare).savefig(file, format=kind, dpi=_RESOLUTION, metadata=dates.get(kind))
    return file.getvalue()


@contextmanager
def _without_missing_glyphs() -> Iterator[None]:
    """A name in a script that the font lacks is drawn as boxes, which needs no warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def _figure(pictures: Sequence[Picture], x: str | None, bare: bool) -> Figure:
    from matplotlib.figure import Figure

    key = {} if bare else pictures[0].key
    columns = 2 if len(pictures) == 1 else 2 * len(pictures)
    room = _KEY_ROW * -(-len(key) // columns)
    rows = max((len(picture.y.ticks) for picture in pictures), default=0)
    height = max(_PANEL[1], 0.8 + 0.25 * rows) + room
    figure = Figure(figsize=(_PANEL[0] * len(pictures), height), layout="constrained")
    for axes, picture in zip(figure.subplots(1, len(pictures), squeeze=False)[0], pictures, strict=True):
        _draw(axes, picture, next(iter(picture.x)) if x is None else x)
        if not bare:
            axes.set_title(picture.title, fontsize=10, loc="left", parse_math=False)
    if key:
        _add_key(figure, key, columns)
    return figure


def _draw(axes: Axes, picture: Picture, x: str) -> None:
    _set_axis(axes, "x", picture.x[x])
    _set_axis(axes, "y", picture.y)
    for mark in picture.marks:
        _add(axes, mark, x)
    if picture.ceiling is not None:
        axes.axhline(picture.ceiling, color="0.6", linewidth=0.6, linestyle=":", zorder=0)
        right = axes.get_yaxis_transform()
        axes.text(
            1.0, picture.ceiling, "diverged or off the scale", fontsize=7, ha="right", va="bottom", transform=right
        )
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _set_axis(axes: Axes, which: str, axis: Axis) -> None:
    settings: dict[str, Any] = {f"{which}label": axis_title(axis)}
    if axis.logarithmic:
        settings[f"{which}scale"] = "log"
    if axis.ticks:
        settings |= {
            f"{which}ticks": range(len(axis.ticks)),
            f"{which}ticklabels": axis.ticks,
        }
    if axis.view is not None:
        settings[f"{which}lim"] = axis.view
    axes.set(**settings)
    own = axes.xaxis if which == "x" else axes.yaxis
    # What is called with dollar signs is not meant as a formula.
    for text in (own.label, *(own.get_ticklabels() if axis.ticks else ())):
        text.set_parse_math(False)


def _add(axes: Axes, mark: Mark, x: str) -> None:
    across, ink, shape = mark.x[x], colour(mark.arm)[0], symbol(mark.arm)[1]
    if mark.kind == "band":
        axes.fill_between(across, mark.y, mark.top, color=ink, alpha=0.15, linewidth=0)  # type: ignore[arg-type]
    elif mark.kind == "faint":
        axes.plot(across, mark.y, color=ink, alpha=0.2, linewidth=0.4)
    elif mark.kind in ("line", "interval"):
        style = _dashes(mark.arm) if mark.kind == "line" else "solid"
        axes.plot(across, mark.y, color=ink, linewidth=1.4, linestyle=style)
    elif mark.kind == "crosses":
        axes.plot(across, mark.y, color=ink, linestyle="none", marker="x", markersize=5, zorder=4)
    else:
        face = "none" if mark.kind == "hollow" else ink
        axes.plot(across, mark.y, color=ink, linestyle="none", marker=shape, markersize=4, markerfacecolor=face)


def _dashes(arm: int) -> Any:
    lengths = dash(arm)
    return (0, lengths) if lengths else "solid"


def _add_key(figure: Figure, key: Mapping[int, str], columns: int) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour(arm)[0], linestyle=_dashes(arm), linewidth=1.4,
               marker=symbol(arm)[1], markersize=4)
        for arm in key
    ]  # fmt: skip
    names = [shortened(name, _LONGEST_NAME) for name in key.values()]
    legend = figure.legend(handles, names, loc="outside lower left", ncols=columns, fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
