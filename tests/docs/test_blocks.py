"""The code of README and of the documentation as its reader runs it: each program a script of its own, in a fresh
process and an empty folder.
"""

from __future__ import annotations

import ast
import builtins
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from fallline.cli.main import app
from tools import rule_pages

ROOT = Path(__file__).parents[2]
#: Less of the same: commands and programs take minutes as they stand.
SHORTER = ("epochs=20", "epochs=2")
#: Commands that are run, with what makes them short; of the others the options are read.
RUN = {
    "fallline problems": (),
    "fallline race problem.py": ("--effort", "quick"),
    "fallline races": (),
    "fallline report": (),
    "fallline show": (),
}


@dataclass(frozen=True)
class Page:
    """A page's name, and its blocks by language."""

    name: str
    blocks: tuple[tuple[str, str], ...]

    @property
    def python(self) -> list[str]:
        return [text for language, text in self.blocks if language == "python"]

    @property
    def commands(self) -> list[str]:
        lines = [
            line.partition("#")[0].strip()
            for language, text in self.blocks
            if not language
            for line in text.splitlines()
        ]
        return [line for line in lines if line]


def page_of(path: Path) -> Page:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return Page(str(path.relative_to(ROOT)), tuple(blocks))


PAGES = [page_of(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]


def file_of(block: str) -> str | None:
    """The file that a block is to be kept in, as its first line says."""
    named = re.match(r"# (\w+\.py)\n", block)
    return named[1] if named else None


def undefined(block: str) -> set[str]:
    """The names that a block reads and nothing in it defines."""
    tree = ast.parse(block)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    defined = {name.id for name in names if isinstance(name.ctx, ast.Store)} | set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            defined |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
    return {name.id for name in names if isinstance(name.ctx, ast.Load)} - defined


def programs(page: Page) -> list[str]:
    """What is run of a page: all but the blocks that are files."""
    return [block for block in page.python if file_of(block) is None]


#: A program that stands on several pages is run once.
PROGRAMS = {text: page for page in reversed(PAGES) for text in programs(page)}
COMMANDS = sorted({command for page in PAGES for command in page.commands})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_block_stands_alone(page: Page) -> None:
    """It is pasted into a script of its own."""
    assert [block for block in page.python if undefined(block)] == []


def write_files(page: Page) -> None:
    """The files that a page says to make."""
    for block in page.python:
        name = file_of(block)
        if name is not None:
            Path(name).write_text(block.replace(*SHORTER), "utf-8")


def test_there_are_blocks_of_each_kind() -> None:
    readme, *_ = PAGES
    assert any(file_of(block) == "problem.py" for block in readme.python)
    assert len(programs(readme)) >= 3
    assert len(PROGRAMS) >= 25
    assert len(COMMANDS) >= 25


@pytest.mark.parametrize("text", PROGRAMS, ids=[f"{page.name}-{i}" for i, page in enumerate(PROGRAMS.values())])
def test_each_program_runs(folder: Path, text: str) -> None:
    write_files(PROGRAMS[text])
    Path("program.py").write_text(text.replace(*SHORTER), "utf-8")
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", rule_pages.NAMES)
def test_the_program_of_a_rules_page_runs(name: str) -> None:
    """Where it says that two optimizers are the same, they take the same steps."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", rule_pages.page(name, {}), re.MULTILINE | re.DOTALL)
    ends = []
    for which in ("optimizer", "same"):
        torch.manual_seed(0)
        names: dict[str, Any] = {}
        exec(compile(block, f"{name}.md", "exec"), names)
        if which not in names:
            continue
        for _ in range(3):
            names[which].zero_grad()
            names["model"](torch.linspace(-1, 2, 60).reshape(2, 30)).square().sum().backward()
            names[which].step()
        ends.append([one.detach() for one in names["model"].parameters()])
    if len(ends) == 2:
        torch.testing.assert_close(*ends)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_one(command: str) -> None:
    name, *arguments = shlex.split(command)
    if name == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        return
    assert name == "fallline"
    group = typer.main.get_command(app)
    with group.make_context("fallline", list(arguments)) as context:
        _, one, rest = group.resolve_command(context, list(arguments))  # type: ignore[attr-defined]
        one.make_context(arguments[0], rest)


def test_the_quick_commands_run(folder: Path) -> None:
    """README's: the race first, whose storage the others read."""
    readme, *_ = PAGES
    write_files(readme)
    asked = [command for command in readme.commands if command.startswith(tuple(RUN))]
    for command in sorted(asked, key=lambda one: not one.startswith("fallline race ")):
        more = next(more for begins, more in RUN.items() if command.startswith(begins))
        done = CliRunner().invoke(app, [*shlex.split(command)[1:], *more])
        assert done.exit_code == 0, f"{command}: {done.output}"
    assert Path("race.json").exists()
    assert Path("race.html").exists()
    sys.modules.pop("problem", None)
