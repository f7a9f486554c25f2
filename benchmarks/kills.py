"""Races that are killed at random moments and started again: do they end with what an uninterrupted race gives?

`fallline race` runs in a process of its own that SIGKILL ends, at a random moment while the race is being run, and the
same command takes it up, again and again until one comes through. Its JSON must be that of a race that nothing
disturbed, byte for byte, but for what a clock or a place had a say in. With `--training auto` each race settles on its
way of training by a measurement, and another way rounds differently: only races that settled on the same way as the
undisturbed one are compared, and the others are counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fallline.racing.storage.races import past_races

_OCCASION, _SECONDS_BETWEEN_LOOKS = "occasion", 0.05
#: Where a result says how its runs were trained.
_WAY = "/protocol/training"
_PROBLEM = """
from fallline.problems import find
problem = find("{problem}").make(epochs={epochs})
"""


@dataclass(frozen=True)
class Race:
    """One race: its command line, its storage, and the file that its result goes to."""

    command: list[str]
    storage: Path
    written: Path


def race(options: argparse.Namespace, folder: str, name: str) -> Race:
    """A race on the problem's file in a folder."""
    file, storage, written = Path(folder, "problem.py"), Path(folder, f"{name}.db"), Path(folder, f"{name}.json")
    file.write_text(_PROBLEM.format(problem=options.problem, epochs=options.epochs))
    given = {"arms": options.arms, "effort": options.effort, "training": options.training}
    asked = {**given, "storage": storage, "json": written}
    named = [f"--{option}={value}" for option, value in asked.items()]
    return Race([sys.executable, "-m", "fallline", "race", str(file), "--no-report", *named], storage, written)


def is_running(storage: Path) -> bool:
    """Whether a race of the storage is being run."""
    with contextlib.suppress(OSError):  # a database that is just being made
        return any(race.running for race in past_races(storage))
    return False


def lives(race: Race, seconds: float | None) -> float | None:
    """Run a race, for at most so many seconds from when it is there; how many it took, or None where it was killed.

    Raises RuntimeError where it fails.
    """
    process = subprocess.Popen(
        race.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        while process.poll() is None and not is_running(race.storage):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        begun = time.perf_counter()
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
            process.communicate()
    if process.returncode:
        raise RuntimeError(f"the race failed: {errors}")
    return time.perf_counter() - begun


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


def compared(here: dict[str, str], there: dict[str, str]) -> str:
    """What a comparison came to, in words."""
    if here[_WAY] != there[_WAY]:
        return f"not compared: it trained {json.loads(here[_WAY])}"
    found = differences(here, there)
    return f"{len(found):,} values differ, first {found[0]}" if found else "same"


def main() -> int:
    """Race once in peace, then race and kill; 1 where any result differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="digits", help="a bundled problem")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--arms", default="sgd,momentum,adam")
    parser.add_argument("--effort", default="quick")
    parser.add_argument("--training", default="batched", help="as `fallline race` has it; auto: see above")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="settles when the kills come, as shares of a race's time")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    table = Table("race", "killed after, s", "result")
    kills = differing = otherwise = number = 0
    with tempfile.TemporaryDirectory() as folder:
        peaceful = race(options, folder, "peaceful")
        whole = lives(peaceful, None)
        assert whole is not None
        expected = outcome(peaceful.written)
        while kills < options.kills:
            number += 1
            disturbed = race(options, folder, str(number))
            spent: list[float] = []
            while kills < options.kills:
                seconds = moments.uniform(0, whole)
                if lives(disturbed, seconds) is not None:
                    break
                kills += 1
                spent.append(seconds)
            if not disturbed.written.exists():
                lives(disturbed, None)
            found = outcome(disturbed.written)
            told = compared(found, expected)
            otherwise += found[_WAY] != expected[_WAY]
            differing += told != "same" and found[_WAY] == expected[_WAY]
            table.add_row(str(number), " ".join(f"{one:.1f}" for one in spent) or "never", told)
    Console().print(table)
    print(
        f"{options.problem}, {options.arms}, {options.effort}: {kills} kills; races of {whole:.1f} s each: {number}; "
        f"trained {json.loads(expected[_WAY])} as the undisturbed one, and so compared byte for byte: "
        f"{number - otherwise}; with another result: {differing}"
    )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
