"""Puts the documentation's pages together for Zensical: `python -m tools.documentation`, then `zensical build`.

Pages of docs/ are templates: a figure in them is read from a lesson's stored result or from the table of benchmarks,
and an equation is drawn as MathML, so that no page needs a script or a network for it. Pages of rules and of commands
are written from what they tell of. Everything goes into build/pages.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from jinja2 import Environment, StrictUndefined
from latex2mathml.converter import convert

from fallline.cli.main import app
from fallline.pages.player import script, stylesheet
from tools import lesson_pages, rule_pages

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: A block of code, which is left alone, or an equation of its own or in a line.
_PARTS = re.compile(
    r"^```.*?^```$|`[^`\n]+`|^\$\$\n(?P<block>.*?)\n\$\$$|\\\((?P<inline>.+?)\\\)", re.DOTALL | re.MULTILINE
)


def build(folder: Path) -> None:
    """Write all pages and what they load into a folder, which is emptied first.

    Args:
        folder: Where to.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "assets").mkdir(parents=True)
    texts = {str(page.relative_to(DOCS)): page.read_text("utf-8") for page in sorted(DOCS.rglob("*.md"))}
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, comment_start_string="{##")
    written = {
        name: environment.from_string(text).render(measured=measured, lessons=lesson_pages)
        for name, text in texts.items()
    }
    written["commands.md"] = "\n".join(_commands())
    written["rules.md"] = rule_pages.index()
    written |= {f"rules/{name}.md": rule_pages.page(name, lesson_pages.claims()) for name in rule_pages.NAMES}
    for name, text in written.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(with_equations(text), "utf-8")
    for picture in DOCS.glob("*.png"):
        shutil.copy(picture, folder / "assets")
    shutil.copy(DOCS / "fallline.css", folder / "assets")
    (folder / lesson_pages.PICTURES).write_text(lesson_pages.with_pictures(), "utf-8")
    (folder / "assets/player.css").write_text(stylesheet(), "utf-8")
    (folder / "assets/player.js").write_text(script(), "utf-8")


def with_equations(text: str) -> str:
    r"""A page with its equations as MathML.

    Args:
        text: Markdown; an equation stands between lines of two dollars, or within a line in \( and \).
    """

    def drawn(found: re.Match[str]) -> str:
        if (block := found["block"]) is not None:
            # The converter knows the environment by its older name, whose star is for no numbers.
            return f'<div class="fl-math">{convert(block.replace("{aligned}", "{align*}"), display="block")}</div>'
        # Within a span, for what begins a line would be taken for a block.
        return found[0] if (inline := found["inline"]) is None else f"<span>{convert(inline)}</span>"

    return _PARTS.sub(drawn, text)


def measured(command: str) -> str:
    """What a command of the benchmarks' table measured, as it stands there.

    Args:
        command: How it begins.

    Raises:
        LookupError: None begins so, or several do.
    """
    rows = re.findall(r"^\| (.+?) \| `(.+?)` \| (.+?) \|$", (DOCS / "benchmarks.md").read_text("utf-8"), re.MULTILINE)
    found = [value for _, ran, value in rows if ran.startswith(command)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows of docs/benchmarks.md are by '{command}'")
    return str(found[0])


def _commands() -> Iterator[str]:
    """The command line's own help as a page."""
    group: Any = typer.main.get_command(app)
    yield "# Commands\n"
    yield "Written from the commands' own help: `fallline COMMAND --help` says the same in a terminal.\n"
    for name, command in group.commands.items():
        yield f"## fallline {name}\n"
        yield f"{_with_code(command.help)}\n"
        yield "| argument or option | what it says |"
        yield "|---|---|"
        for one in command.params:
            if getattr(one, "hidden", False) or one.name == "help":
                continue
            names = (
                " ".join(f"`{option}`" for option in one.opts)
                if one.param_type_name == "option"
                else f"`{one.name.upper()}`"
            )
            default = "" if one.default in (None, False) or callable(one.default) else f" Default: `{one.default}`."
            yield f"| {names} | {' '.join((getattr(one, 'help', '') or '').split())}{default} |"
        yield ""


def _with_code(text: str) -> str:
    """A command's help, in which click marks by a backspace what is to stay as it is."""
    return re.sub(r"^\x08\n(.*?)(?=\n\n|\Z)", r"```text\n\1\n```", text, flags=re.DOTALL | re.MULTILINE)


if __name__ == "__main__":
    build(ROOT / "build/pages")
