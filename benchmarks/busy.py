"""What other work on the machine costs a race: the default one alone, and beside busy loops on the same two cores.

Every round runs it alone and beside each number of loops, in turn, from a fresh storage; medians of the ratios to the
run alone are printed. With two loops on two cores a fair share is half of them, so 2 times is the least that is fair.

    python benchmarks/busy.py
    python benchmarks/busy.py --effort quick --rounds 5
    python benchmarks/busy.py --source ../older/src
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

LOOPS = (0, 2, 6)
LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that do nothing but count."""
    running = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def seconds(command: Sequence[str], source: Path, loops: int) -> float:
    with tempfile.TemporaryDirectory() as folder, busy(loops):
        start = time.perf_counter()
        subprocess.run(
            command, cwd=folder, check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(source.resolve())},
        )  # fmt: skip
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", default="standard", help="of the race (standard)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--source", type=Path, default=Path(__file__).parents[1] / "src", help="of the package raced")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    command = [sys.executable, "-m", "fallline", "race", "--effort", given.effort]
    seconds(command, given.source, 0)  # kernels are compiled, files are read
    found: dict[int, list[float]] = {loops: [] for loops in LOOPS}
    for turn in range(given.rounds):
        for loops in LOOPS:
            found[loops].append(seconds(command, given.source, loops))
        print(
            f"round {turn + 1}: " + ", ".join(f"{loops} loops {found[loops][-1]:.1f} s" for loops in LOOPS), flush=True
        )
    for loops in LOOPS:
        ratio = statistics.median(beside / alone for beside, alone in zip(found[loops], found[0], strict=True))
        print(f"beside {loops} loops: {statistics.median(found[loops]):6.1f} s, {ratio:.1f} times as long as alone")


if __name__ == "__main__":
    main()
