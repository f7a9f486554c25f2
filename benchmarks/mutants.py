"""How many faults put into the code on purpose do its own folder's tests find?

A fault is one small change of one expression or statement: a comparison or an operator swapped, a condition turned
round, a number one more or nothing, `None` returned, a statement left out, the least taken for the greatest. Left out
is what changes no result: annotations, the words of errors, decorators, `__repr__`. A seeded sample of each folder's
faults is tried in a copy of the project, one at a time: a child of a process that has imported torch and Numba runs the
folder's tests, first those that are known to run the changed line, quickest first, until one fails. A first pass
without a fault learns which test runs which line, and which fail by themselves; `--map` keeps it in a folder. A fault
is found if a test fails, if the process dies, or if it takes five times as long as it should, and a minute.

    python benchmarks/mutants.py --folders rules,kernels --sample 100 --seed 0
    python benchmarks/mutants.py --folders optim --at layout.py:38  # every fault of a line
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import itertools
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
import numba  # noqa: F401  # here, and not in every child
import pytest
import torch  # noqa: F401
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

#: Where the tests of a folder are, beside the examples in its own docstrings.
TESTS = {
    "rules": ["tests/rules", "tests/optim/test_many_tensors.py"],
    "kernels": ["tests/kernels"],
    "optim": ["tests/optim", "tests/newton"],
    "training": ["tests/training"],
    "racing/decision": ["tests/racing/decision"],
}
_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_PAIRS = [("min", "max"), ("minimum", "maximum"), ("any", "all"), ("zeros_like", "ones_like"), ("zeros", "ones")]
_NAMES = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_NOT_READ = ("annotation", "returns", "decorator_list")


@dataclass(frozen=True)
class Fault:
    """What stands in a file from one byte to another, and what to put there."""

    file: str
    lines: range
    span: slice
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}:{self.lines[0]}: {' '.join(self.old.split())}  ->  {' '.join(self.new.split())}"


def faults(file: str, source: bytes) -> Iterator[Fault]:
    """Every fault of a file."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, parent in _read(ast.parse(source), None):
        for new in _changed(node, parent):
            span = slice(starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset)
            lines = range(node.lineno, node.end_lineno + 1)
            yield Fault(file, lines, span, source[span].decode(), new if isinstance(node, ast.stmt) else f"({new})")


def _read(node: Any, parent: Any) -> Iterator[tuple[Any, Any]]:
    """The nodes whose change can change a result, each with its parent."""
    yield node, parent
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            words = isinstance(child, ast.Call) and "warn" in ast.unparse(child.func)
            for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            shown = isinstance(child, ast.FunctionDef) and child.name in ("__repr__", "__str__")
            without = words or for_types or shown or name in _NOT_READ or isinstance(node, ast.Raise | ast.JoinedStr)
            if isinstance(child, ast.AST) and not without:
                yield from _read(child, node)


def _changed(node: Any, parent: Any) -> Iterator[str]:
    """What may stand in a node's place."""

    def but(**changed: Any) -> str:
        return ast.unparse(type(node)(**{name: getattr(node, name) for name in node._fields} | changed))

    match node:
        case ast.Compare(ops=ops):
            for i, operator in enumerate(ops):
                yield but(ops=[*ops[:i], _SWAPPED[type(operator)](), *ops[i + 1 :]])
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in _SWAPPED:
            if not any(isinstance(inner, ast.JoinedStr | ast.List | ast.Tuple) for inner in ast.walk(node)):
                yield but(op=_SWAPPED[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield ast.unparse(operand)
        case ast.Constant(value=bool(value)):
            yield repr(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield from (repr(other) for other in (value + 1, type(value)(0)) if other != value)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield "return None"
        case ast.Break() | ast.Continue():
            yield "continue" if isinstance(node, ast.Break) else "break"
        case ast.Name(id=name, ctx=ast.Load()) if name in _NAMES:
            yield _NAMES[name]
        case ast.Attribute(attr=name) if name in _NAMES:
            yield but(attr=_NAMES[name])
    stored = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if stored or called or isinstance(node, ast.Raise | ast.Delete | ast.AugAssign):
        yield "pass"
    conditions = parent.ifs if isinstance(parent, ast.comprehension) else [getattr(parent, "test", None)]
    if node in conditions and not isinstance(node, ast.Compare | ast.UnaryOp):
        yield f"not ({ast.unparse(node)})"


class Watcher:
    """A plugin of pytest that puts tests in an order and notes which fail, how long each takes and what it runs."""

    def __init__(self, place: Callable[[str], float | None], tracer: coverage.Coverage | None = None) -> None:
        self.place, self.tracer = place, tracer
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        places = {item: place for item in items if (place := self.place(item.nodeid)) is not None}
        items[:] = sorted(places, key=places.__getitem__)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self.tracer is not None:
            self.tracer.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        self.failed += [report.nodeid] if report.failed else []


class Copy:
    """A copy of the project, with its own cache of kernels, in which children run the tests of a folder."""

    def __init__(self, root: Path, folder: str, kept: Path) -> None:
        self.root, self.folder = root, folder
        here = Path(__file__).resolve().parent.parent
        for name in ("src", "tests"):
            shutil.copytree(here / name, root / name)
        shutil.copy2(here / "pyproject.toml", root)
        (root / "cache").mkdir()
        if not kept.exists():
            self.run(lambda test: 0.0, 7200.0, kept)
        self.learnt = json.loads(kept.read_text())

    def faults(self) -> list[Fault]:
        """All faults of the folder."""
        files = sorted((self.root / "src/fallline" / self.folder).rglob("*.py"))
        return [one for file in files for one in faults(str(file.relative_to(self.root)), file.read_bytes())]

    def finds(self, fault: Fault, budget: float) -> bool:
        """Whether a test of the folder finds a fault, of those that take so many seconds together."""
        path, seconds = self.root / fault.file, self.learnt["seconds"]
        status, source = path.stat(), path.read_bytes()
        known = self.learnt["files"].get(fault.file, {})
        same = known.get("digest") == hashlib.sha256(source).hexdigest()  # else its lines are others now
        touching = {test for line in fault.lines for test in known["tests"].get(str(line), ())} if same else set()
        ranked = sorted(seconds.keys() - self.learnt["failed"], key=lambda test: (test not in touching, seconds[test]))
        ends = dict(zip(ranked, itertools.accumulate(map(seconds.__getitem__, ranked)), strict=True))
        expected = max((end for end in ends.values() if end <= budget), default=0.0)

        def place(test: str) -> float | None:
            end = ends.get(test, 0.0 if test not in seconds else math.inf)  # those that are new come first
            return end if end <= expected else None

        path.write_bytes(source[: fault.span.start] + fault.new.encode() + source[fault.span.stop :])
        try:
            return not self.run(place, 60 + 5 * expected)
        finally:
            path.write_bytes(source)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def run(self, place: Callable[[str], float | None], seconds: float, kept: Path | None = None) -> bool:
        """Whether the tests that have a place pass, in a child, in so many seconds; what is learnt of them is kept."""
        child = os.fork()
        if not child:
            os.setsid()
            with suppress(BaseException):
                os._exit(self._tested(place, kept))
            os._exit(1)
        until, ended, status = time.monotonic() + seconds, 0, 1
        while not ended and time.monotonic() < until:
            time.sleep(0.05)
            ended, status = os.waitpid(child, os.WNOHANG)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # and what it started
        if not ended:
            os.waitpid(child, 0)
        return bool(ended) and status == 0

    def _tested(self, place: Callable[[str], float | None], kept: Path | None) -> int:
        kernels = self.root / "cache"
        if kept is None:  # a fault may spoil what it writes
            shutil.rmtree(self.root / "spoilt", ignore_errors=True)
            kernels = shutil.copytree(kernels, self.root / "spoilt", copy_function=os.link)
            sys.dont_write_bytecode = True
        os.chdir(self.root)
        sys.path[:0] = [str(self.root / "src"), str(self.root)]
        os.environ.update(FALLLINE_CACHE_DIR=str(kernels), PYTHONPATH=os.pathsep.join(sys.path[:2]))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        tests = [*TESTS[self.folder], f"src/fallline/{self.folder}"]
        options = ["-q", "-n", "0", "-p", "no:cacheprovider"]
        if kept is None:
            return int(pytest.main([*options, "-x", *tests], [Watcher(place)]))
        tracer = coverage.Coverage(data_file=None, source=[str(self.root / "src")])
        watcher = Watcher(place, tracer)
        with tracer.collect():
            pytest.main([*options, *tests], [watcher])
        files = {}
        for path in sorted((self.root / "src/fallline" / self.folder).rglob("*.py")):
            tests_of = tracer.get_data().contexts_by_lineno(str(path))
            files[str(path.relative_to(self.root))] = {
                "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
                "tests": {line: sorted(set(those) - {""}) for line, those in tests_of.items()},
            }
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"seconds": watcher.seconds, "failed": watcher.failed, "files": files}))
        return 0


def main() -> int:
    """Try the faults; 1 where any is not found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", default=",".join(TESTS), help="of src/fallline, with commas between them")
    parser.add_argument("--sample", type=int, default=100, help="faults a folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at", help="all faults of these places instead, such as layout.py:38,watch.py:40")
    parser.add_argument("--map", type=Path, help="a folder in which the first pass is kept, and found again")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of tests a fault, not counting the overhead")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    table = Table("folder", "faults", "tried", "found", "share, 95 %")
    missed = 0
    for folder in options.folders.split(","):
        with tempfile.TemporaryDirectory() as temporary:
            copy = Copy(Path(temporary), folder, (options.map or Path(temporary)) / f"{folder}.json")
            every = copy.faults()
            tried = random.Random(options.seed).sample(every, min(options.sample, len(every)))
            if options.at:
                tried = [one for one in every if any(f"/{place}:" in str(one) for place in options.at.split(","))]
            print(f"{folder}: {len(copy.learnt['seconds'])} tests, of which fail: {copy.learnt['failed']}", flush=True)
            found = 0
            for number, fault in enumerate(tried, 1):
                begun, is_found = time.monotonic(), copy.finds(fault, options.seconds)
                told = "found    " if is_found else "NOT FOUND"
                print(f"{number:4} {told} {time.monotonic() - begun:5.0f} s  {fault}", flush=True)
                found += is_found
            low, high = binomtest(found, max(1, len(tried))).proportion_ci(method="wilson")
            share = f"{found / max(1, len(tried)):.1%} ({low:.1%} to {high:.1%})"
            table.add_row(folder, str(len(every)), str(len(tried)), str(found), share)
            missed += len(tried) - found
    Console().print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
