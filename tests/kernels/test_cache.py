"""The kernel cache: readable sources, machine code that other processes load, and what may happen to its files."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import event

import fallline as fl
from fallline.kernels import Kernel
from fallline.kernels import compile as cache_module
from fallline.kernels.compile import cache_folder
from fallline.rules import adam, adamw, rmsprop
from fallline.symbolic import Rule
from tests.kernels.runner import drawn, numbers, step, table_of

GOLDEN = Path(__file__).parent / "golden" / "adam_float32.py.txt"


@fl.rule
def shrinking(p: Any, g: Any, *, lr: float = 0.5) -> Any:
    return lr * p


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that holds nothing yet."""
    monkeypatch.setenv("FALLLINE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def works(rule: Rule = shrinking) -> bool:
    """Whether a kernel made anew, not one that this process still holds, moves a parameter as it should."""
    tensors = [drawn(rule, (5,), "float32")]
    before = tensors[0]["p"].copy()
    step(table_of(Kernel(rule, {}, "float32"), tensors), [numbers(rule)])
    if rule is shrinking:
        np.testing.assert_array_equal(tensors[0]["p"], before / 2)
    return bool((tensors[0]["p"] != before).all())


def compiled(run: Callable[[], object]) -> bool:
    """Whether Numba compiles anything while it runs."""
    with event.install_recorder("numba:compile") as recorder:
        run()
    return len(recorder.buffer) > 0


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def machine_code(folder: Path) -> Path:
    """The one file that holds no source."""
    (path,) = (path for path in files(folder) if path.suffix != ".py")
    return path


# ---------------------------------------------------------------------------------------------------------------------
# What lies there
# ---------------------------------------------------------------------------------------------------------------------


def test_the_first_use_compiles_and_the_second_does_not(folder: Path) -> None:
    assert compiled(works)
    assert not compiled(works)


@pytest.mark.parametrize("rule", [shrinking, rmsprop, adamw], ids=str)
def test_the_source_is_a_readable_file(folder: Path, rule: Rule) -> None:
    kernel = Kernel(rule, {}, "float32")
    assert kernel.passes
    (source,) = folder.rglob("*.py")
    assert source.read_text(encoding="utf-8") == kernel.source
    assert source.name.startswith("".join(c if c.isalnum() else "_" for c in rule.name).strip("_"))
    for line in rule.latex().splitlines():
        assert line in kernel.source
    compile(kernel.source, source.name, "exec")


def test_the_source_of_adam() -> None:
    """If the change to the generated source is meant, write the new source into the golden file."""
    assert Kernel(adam, {}, "float32").source == GOLDEN.read_text(encoding="utf-8")


def test_rules_of_one_name_do_not_meet(folder: Path) -> None:
    def made(factor: float) -> Rule:
        @fl.rule
        def scaled(p: Any, g: Any, *, lr: float = 1.0) -> Any:
            return lr * factor * g

        return scaled

    moved = []
    for factor in (1.0, 2.0):
        tensors = [{"p": np.zeros(3, np.float32), "g": np.ones(3, np.float32)}]
        step(table_of(Kernel(made(factor), {}, "float32"), tensors), [{"lr": 1.0}])
        moved.append(tensors[0]["p"][0])
    assert moved == [-1.0, -2.0]


def test_names_that_are_no_file_names(folder: Path) -> None:
    rule = fl.rule(lambda p, g, *, lr=0.5: lr * p)
    rule.name = "../wild/" + "long" * 100 + "|ñ\n"
    assert works(rule)
    assert {path.parent for path in files(folder)} == {cache_folder()}


# ---------------------------------------------------------------------------------------------------------------------
# Damage
# ---------------------------------------------------------------------------------------------------------------------

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "cut by a byte": lambda content: content[:-1],
    "one byte longer": lambda content: content + b"\0",
    "one bit turned": lambda content: content[:-200] + bytes([content[-200] ^ 1]) + content[-199:],
    "garbage": lambda content: os.urandom(len(content)),
    "text": lambda content: b"not machine code\n",
    "no digest": lambda content: content.partition(b"\n")[2],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_machine_code_is_made_anew(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    assert works()
    path = machine_code(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert compiled(works)
    assert not compiled(works)


def test_machine_code_of_another_kernel_is_not_taken_for_it(folder: Path) -> None:
    """A whole file under another's name; it is loaded only, since to run it could end the process."""
    assert works(adam)
    other = machine_code(folder)
    content = other.read_bytes()
    other.unlink()
    assert works()
    machine_code(folder).write_bytes(content)
    assert compiled(lambda: Kernel(shrinking, {}, "float32").passes)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_source_does_no_harm(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    assert works()
    (source,) = folder.rglob("*.py")
    source.write_bytes(damage(source.read_bytes()))
    assert works()
    machine_code(folder).unlink()
    assert compiled(works)
    assert source.read_text(encoding="utf-8") == Kernel(shrinking, {}, "float32").source


def test_a_folder_in_the_place_of_a_file(folder: Path) -> None:
    assert works()
    for path in files(folder):
        path.unlink()
        path.mkdir()
    assert compiled(works)
    assert works()


def test_the_cache_may_be_deleted_at_any_time(folder: Path) -> None:
    assert works()
    for path in files(folder):
        path.unlink()
    assert compiled(works)


# ---------------------------------------------------------------------------------------------------------------------
# Folders that can't be written
# ---------------------------------------------------------------------------------------------------------------------


def refuse(*arguments: Any, **more: Any) -> Any:
    raise PermissionError(13, "Permission denied")


def full(*arguments: Any, **more: Any) -> Any:
    raise OSError(28, "No space left on device")


UNWRITABLE: dict[str, list[tuple[Any, str, Any]]] = {
    "mkdir": [(Path, "mkdir", refuse)],
    "mkstemp": [(tempfile, "mkstemp", refuse)],
    "full": [(os, "fdopen", full)],
    "replace": [(os, "replace", refuse)],
    "replace and unlink": [(os, "replace", refuse), (os, "unlink", refuse)],
    "read": [(Path, "read_bytes", refuse)],
}


@pytest.mark.parametrize("broken", UNWRITABLE.values(), ids=UNWRITABLE)
def test_an_unwritable_folder_costs_compilations_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, broken: list[tuple[Any, str, Any]]
) -> None:
    with monkeypatch.context() as patch:
        for place, name, function in broken:
            patch.setattr(place, name, function)
        assert compiled(works)
        assert compiled(works)


def test_an_unwritable_folder_is_left_clean(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        assert works()
    assert files(folder) == []


def test_a_cache_below_a_regular_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FALLLINE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert compiled(works)
    assert compiled(works)
    assert (tmp_path / "file").read_text() == "in the way"


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers that run under a user number of their own."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("FALLLINE_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert works()


# ---------------------------------------------------------------------------------------------------------------------
# Files that another may have put there
# ---------------------------------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Only POSIX systems say who may write.")


@posix
def test_the_folder_is_for_its_owner_alone(folder: Path) -> None:
    assert works()
    assert cache_folder().stat().st_mode & 0o777 == 0o700
    assert machine_code(folder).stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.parametrize("mode", [0o020, 0o002])
@pytest.mark.parametrize("place", [machine_code, lambda folder: cache_folder()], ids=["file", "folder"])
def test_what_others_may_write_is_not_run(folder: Path, place: Callable[[Path], Path], mode: int) -> None:
    assert works()
    path = place(folder)
    path.chmod(path.stat().st_mode | mode)
    assert compiled(works)


@posix
def test_a_folder_that_others_may_write_is_given_nothing(folder: Path) -> None:
    cache_folder().mkdir(parents=True)
    cache_folder().chmod(0o777)
    assert works()
    assert files(folder) == []


@posix
def test_what_another_user_owns_is_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert works()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert compiled(works)
    assert compiled(works)


# ---------------------------------------------------------------------------------------------------------------------
# Which folder
# ---------------------------------------------------------------------------------------------------------------------

PLATFORMS: dict[str, tuple[str, dict[str, str], str]] = {
    "own variable": ("linux", {"FALLLINE_CACHE_DIR": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
    "xdg": ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/fallline"),
    "linux": ("linux", {}, "/home/me/.cache/fallline"),
    "empty variables": ("linux", {"FALLLINE_CACHE_DIR": "", "XDG_CACHE_HOME": ""}, "/home/me/.cache/fallline"),
    "mac": ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "/home/me/Library/Caches/fallline"),
    "windows": ("win32", {"LOCALAPPDATA": "/local"}, "/local/fallline/cache"),
}


@pytest.mark.parametrize(("platform", "variables", "expected"), PLATFORMS.values(), ids=PLATFORMS)
def test_the_folder(monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str) -> None:
    for name in ("FALLLINE_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert cache_folder().parent == Path(expected) / "kernels"


@pytest.mark.parametrize("what", ["fallline", "numba", "llvmlite"])
def test_another_version_has_another_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    assert works()
    first = cache_folder()
    if what == "fallline":
        monkeypatch.setattr(cache_module, "__version__", "99.9")
    else:
        version = importlib.metadata.version
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.9" if name == what else version(name))
    assert cache_folder() != first
    assert "99.9" in cache_folder().name
    assert compiled(works)


def test_another_processor_has_other_machine_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fallline.kernels import compile as compile_module

    assert works()
    monkeypatch.setattr(compile_module, "processor", lambda: "another")
    assert compiled(works)
    assert len([path for path in files(folder) if path.suffix != ".py"]) == 2


# ---------------------------------------------------------------------------------------------------------------------
# Several processes
# ---------------------------------------------------------------------------------------------------------------------

USER = """
import pathlib, sys, time
from fallline.rules import adam, rmsprop
from tests.kernels.runner import drawn, kernel_step, numbers
if len(sys.argv) > 1:
    pathlib.Path(sys.argv[1]).touch()
    while len(list(pathlib.Path(sys.argv[1]).parent.glob("ready*"))) < 2:
        time.sleep(0.001)
for rule in (adam, rmsprop):
    tensors = [drawn(rule, (size,), "float32") for size in (100, 7)]
    kernel_step(rule, "float32", tensors, [numbers(rule, lr=0.1)] * 2)
    print(*(arrays["p"].sum() for arrays in tensors))
print("compiled" if "numba" in sys.modules else "loaded")
"""


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that uses two kernels."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", USER, *arguments]
        root = Path(__file__).parents[2]
        process = subprocess.Popen(command, cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.wait()


def answer(process: subprocess.Popen[str]) -> list[str]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert errors == ""
    return output.split()


def test_processes_share_what_one_of_them_compiled(
    folder: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Two at once, neither finding anything; then one that finds both kernels, and does not even import Numba."""
    together = [start(str(tmp_path / f"ready{i}")) for i in range(2)]
    first, second = map(answer, together)
    assert first == second
    assert first[-1] == "compiled"
    assert len(files(folder)) == 4
    assert answer(start()) == [*first[:-1], "loaded"]


@pytest.fixture(scope="module")
def sums() -> list[str]:
    """What the two kernels come to in a process whose environment says nothing about Numba."""
    with tempfile.TemporaryDirectory() as path, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FALLLINE_CACHE_DIR", path)
        command = [sys.executable, "-c", USER]
        return subprocess.check_output(command, cwd=Path(__file__).parents[2], text=True).split()[:-1]


@pytest.mark.parametrize("variable", ["BOUNDSCHECK=1", "DISABLE_JIT=1", "OPT=0", "DEBUGINFO=1"])
def test_what_the_environment_tells_numba_changes_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[..., subprocess.Popen[str]],
    sums: list[str],
    variable: str,
) -> None:
    """The process compiles the right kernels, and leaves them to one that has no such variable."""
    name, value = variable.split("=")
    monkeypatch.setenv(f"NUMBA_{name}", value)
    assert answer(start()) == [*sums, "compiled"]
    monkeypatch.delenv(f"NUMBA_{name}")
    assert answer(start()) == [*sums, "loaded"]


def test_a_process_killed_while_it_writes_leaves_nothing_half_done(folder: Path) -> None:
    assert works()
    path = machine_code(folder)
    (path.parent / f".{path.name}.abcdef.tmp").write_bytes(path.read_bytes()[:100])
    assert not compiled(works)
    path.unlink()
    assert compiled(works)
