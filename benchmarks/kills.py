"""Races that are killed at random moments and started again: do they end with what an uninterrupted race gives?

A race runs in a process of its own that SIGKILL ends, again and again until one comes through. Its JSON must be that
of a race that nothing disturbed, byte for byte, but for what a clock or a place had a say in. The way of training is
given, since `fallline race` would settle on it by a measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

_OCCASION = "occasion"
_RACE = """
import sys
from fallline.problems import find
from fallline.racing import race
problem, epochs, arms, effort, training, storage, written = sys.argv[1:]
problem = find(problem).make(epochs=int(epochs))
race(problem, arms.split(","), effort, training=training, storage=storage).write_json(written)
"""


def command(options: argparse.Namespace, storage: Path, written: Path) -> list[str]:
    """The command line of one race."""
    asked = (options.problem, options.epochs, options.arms, options.effort, options.training, storage, written)
    return [sys.executable, "-c", _RACE, *map(str, asked)]


def lives(race: list[str], seconds: float | None) -> bool:
    """Run a race, for at most so many seconds; whether it came through. Raises RuntimeError where it fails."""
    process = subprocess.Popen(
        race, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
            process.communicate()
    if process.returncode:
        raise RuntimeError(f"the race failed: {errors}")
    return True


def outcome(written: Path) -> dict[str, str]:
    """What must be the same: every value's text, by the path to it."""
    result = json.loads(written.read_text())
    del result[_OCCASION]
    found: dict[str, str] = {}

    def visit(place: str, value: object) -> None:
        if isinstance(value, dict | list) and value:
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                visit(f"{place}/{key}", item)
        else:
            found[place] = json.dumps(value)

    visit("", result)
    return found


def differences(here: dict[str, str], there: dict[str, str]) -> list[str]:
    """The paths whose values differ, in order."""
    if list(here) != list(there):
        return sorted(here.keys() ^ there.keys()) or ["the order"]
    return [place for place in here if here[place] != there[place]]


def main() -> int:
    """Race once in peace, then race and kill; 1 where any result differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="digits", help="a bundled problem")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--arms", default="sgd,momentum,adam")
    parser.add_argument("--effort", default="quick")
    parser.add_argument("--training", default="batched")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="settles when the kills come, as shares of a race's time")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    table = Table("race", "killed after, s", "result")
    kills = differing = number = 0
    with tempfile.TemporaryDirectory() as folder:
        peaceful = Path(folder, "peaceful.json")
        begun = time.perf_counter()
        lives(command(options, Path(folder, "peaceful.db"), peaceful), None)
        whole = time.perf_counter() - begun
        while kills < options.kills:
            number += 1
            written = Path(folder, f"{number}.json")
            race = command(options, Path(folder, f"{number}.db"), written)
            spent: list[float] = []
            while kills < options.kills:
                seconds = moments.uniform(0, whole)
                if lives(race, seconds):
                    break
                kills += 1
                spent.append(seconds)
            if not written.exists():
                lives(race, None)
            found = differences(outcome(written), outcome(peaceful))
            differing += bool(found)
            told = f"{len(found):,} values differ, first {found[0]}" if found else "same"
            table.add_row(str(number), " ".join(f"{one:.1f}" for one in spent) or "never", told)
    Console().print(table)
    print(
        f"{options.problem}, {options.arms}, {options.effort}: {kills} kills in {number} races of {whole:.1f} s each; "
        + (f"{differing} of them gave another result" if differing else "every race gave the same result, to the byte")
    )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
