"""README's code as its reader runs it: each program a script of its own, in a fresh process and an empty folder."""

from __future__ import annotations

import ast
import builtins
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fallline.cli.main import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [
    line.partition("#")[0].strip()
    for language, text in BLOCKS
    if not language
    for line in text.splitlines()
    if line.partition("#")[0].strip()
]
#: What a reader has already whose own program a block is to go into.
OWN = {"model": "import torch\nmodel = torch.nn.Linear(3, 1)\n"}
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


def program(number: int) -> str:
    """A block after what it builds upon: the reader's own model, and the last block before it that has its names."""
    block = PYTHON[number]
    own = "".join(OWN[name] for name in sorted(undefined(block) & OWN.keys()))
    missing = undefined(block) - OWN.keys()
    if not missing:
        return own + block
    before = next((i for i in reversed(range(number)) if file_of(PYTHON[i]) is None and not undefined(PYTHON[i])), None)
    assert before is not None, f"nothing before it defines {missing}:\n{block}"
    return own + program(before) + block


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty but for the files that README says to make."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for block in PYTHON:
        name = file_of(block)
        if name is not None:
            Path(name).write_text(block.replace(*SHORTER))
    return tmp_path


def programs() -> list[int]:
    """The blocks to run: not those that are files, nor those that a later one runs before itself."""
    whole = {i: program(i) for i in range(len(PYTHON)) if file_of(PYTHON[i]) is None}
    return [
        i for i, text in whole.items() if not any(text != other and other.startswith(text) for other in whole.values())
    ]


def test_readme_has_blocks_of_each_kind() -> None:
    assert len(programs()) >= 5
    assert len(COMMANDS) >= 10
    assert any(file_of(block) == "problem.py" for block in PYTHON)


@pytest.mark.parametrize("number", programs(), ids=lambda i: PYTHON[i].splitlines()[0])
def test_each_program_runs(folder: Path, number: int) -> None:
    Path("program.py").write_text(program(number), "utf-8")
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


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
    """The race first, whose storage the others read."""
    asked = [command for command in COMMANDS if command.startswith(tuple(RUN))]
    for command in sorted(asked, key=lambda one: not one.startswith("fallline race ")):
        more = next(more for begins, more in RUN.items() if command.startswith(begins))
        done = CliRunner().invoke(app, [*shlex.split(command)[1:], *more])
        assert done.exit_code == 0, f"{command}: {done.output}"
    assert Path("race.json").exists()
    assert Path("race.html").exists()
    sys.modules.pop("problem", None)
