"""Races that are killed at random moments: do they end with what an undisturbed race gives, and is anything done twice?

`fallline race` runs in a process of its own. At a random moment while it trains, SIGKILL ends either all of it, and
the same command goes on, or a single worker, and it has to go on by itself; so until it comes through, and then the
next race begins. Its JSON must be that of a race that nothing disturbed, byte for byte, but for what a clock or a
place had a say in. The storage is read after every kill: a run that was there must be there still, and never be kept
again, as one is that was trained once more. No process of a race that was killed may be left behind.

    python -m benchmarks.kills --workers 2 4
    python -m benchmarks.kills --workers 2 4 --postgres  # a throw-away server
    python -m benchmarks.kills --url postgresql://me:secret@host/mine  # it makes and drops databases of its own there
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
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

from fallline.racing.output.data import lasting_part
from fallline.racing.storage import open_database, past_races, tables
from tests.racing.postgres import postgres

_SECONDS_BETWEEN_LOOKS, _SECONDS_TO_GO = 0.05, 30
_PROBLEM = """
from fallline.problems import find
problem = find("{problem}").make(epochs={epochs})
"""


@dataclass
class Race:
    """One race: its command line, its storage, the file that its result goes to, and what it has gone through."""

    command: list[str]
    storage: str
    written: Path
    kills: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    #: When each run was kept, by its key, as the storage said last.
    kept: dict[str, float] = field(default_factory=dict)
    #: From when the storage knew of it to its end.
    seconds: float = 0.0

    def look(self) -> int:
        """How many runs are kept by now; what has become of those that were before is noted, if it is a fault."""
        with closing(open_database(self.storage)) as database, database.transaction() as connection:
            runs = tables().runs.c
            now = {row.key: row.kept_at for row in connection.execute(select(runs.key, runs.kept_at))}
        lost = len(self.kept.keys() - now.keys())
        twice = sum(now[key] != at for key, at in self.kept.items() if key in now)
        self.faults += [f"{count} {what}" for count, what in ((lost, "lost"), (twice, "trained twice")) if count]
        self.kept = now
        return len(now)


def race(options: argparse.Namespace, folder: str, name: str, storage: str, workers: int) -> Race:
    """A race on the problem's file in a folder."""
    file, written = Path(folder, "problem.py"), Path(folder, f"{name}.json")
    file.write_text(_PROBLEM.format(problem=options.problem, epochs=options.epochs))
    given = {"arms": options.arms, "effort": options.effort, "training": options.training, "workers": workers}
    asked = {**given, "storage": storage, "json": written}
    named = [f"--{option}={value}" for option, value in asked.items()]
    return Race([sys.executable, "-m", "fallline", "race", str(file), "--no-report", *named], storage, written)


@contextmanager
def storage_of(url: str | None, folder: str, name: str) -> Iterator[str]:
    """A new file, or a new database of a server, which is dropped in the end."""
    if url is None:
        yield str(Path(folder, f"{name}.db"))
        return
    database = f"fallline_kills_{os.getpid()}_{name}"
    server = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database}"))
        try:
            yield make_url(url).set(database=database).render_as_string(hide_password=False)
        finally:
            connection.execute(text(f"DROP DATABASE {database} WITH (FORCE)"))
    server.dispose()


def lives(race: Race, moments: Iterator[float], kinds: Iterator[str]) -> bool:
    """Run a race, and kill at these moments, in seconds from when it is there; whether it came through.

    Raises RuntimeError where it fails.
    """
    process = subprocess.Popen(race.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    others: set[int] = set()
    try:
        while process.poll() is None and not is_there(race.storage):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        begun = time.perf_counter()
        for seconds, kind in zip(moments, kinds, strict=False):
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            others |= descendants(process.pid)
            if process.poll() is not None:
                break
            if kind == "all":
                process.kill()
                process.communicate()
                race.kills.append(f"all {seconds:.1f}")
                gone(race, others)
                return False
            # Its children are what workers are forked from; these are the workers.
            if workers := sorted(descendants(process.pid) - children(process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(random.Random(seconds).choice(workers), signal.SIGKILL)
                    race.kills.append(f"one {seconds:.1f}")
            race.look()
        _, errors = process.communicate()
        race.seconds = time.perf_counter() - begun
    finally:
        process.kill()
    if process.returncode:
        raise RuntimeError(f"the race failed: {errors}")
    gone(race, others)
    return True


def is_there(storage: str) -> bool:
    """Whether a race has begun to keep its runs."""
    with suppress(OSError):  # a database that is just being made
        return bool(past_races(storage))
    return False


def descendants(process: int) -> set[int]:
    """The processes that a process has begun, and those that these have."""
    own = children(process)
    return own.union(*map(descendants, own))


def children(process: int) -> set[int]:
    """The processes that a process has begun; none where it is gone."""
    with suppress(OSError):
        return {int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()}
    return set()


def gone(race: Race, processes: set[int]) -> None:
    """Wait for the processes of a race that has ended to end as well, and read its storage."""
    until = time.monotonic() + _SECONDS_TO_GO
    while (left := {one for one in processes if Path(f"/proc/{one}").exists()}) and time.monotonic() < until:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    race.faults += [f"{len(left)} processes left behind"] if left else []
    race.look()


def outcome(written: Path) -> dict[str, str]:
    """What must be the same: every value's text, by the path to it."""
    result = lasting_part(json.loads(written.read_text()))
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


def checked(race: Race, expected: dict[str, str], before: int) -> None:
    """Note what is wrong with a race that came through, whose last life found so many runs."""
    found = differences(outcome(race.written), expected)
    race.faults += [f"{len(found):,} values differ, first {found[0]}"] if found else []
    told = json.loads(race.written.read_text())["occasion"]["runs"]
    if told != {"trained": len(race.kept) - before, "kept_before": before}:
        race.faults.append(f"{len(race.kept) - before} runs were missing, but it says {told}")


def disturbed(options: argparse.Namespace, url: str | None, expected: dict[str, str], whole: float) -> list[Race]:
    """Races that were killed so often in all, each of which came through in the end."""
    drawn = random.Random(options.seed)
    races: list[Race] = []
    left = options.kills
    with tempfile.TemporaryDirectory() as folder:
        while left > 0:
            name = str(len(races))
            workers = options.workers[len(races) % len(options.workers)]
            with storage_of(url, folder, name) as storage:
                one = race(options, folder, name, storage, workers)
                races.append(one)
                through, before = False, 0
                while not through:
                    more = left - len(one.kills)
                    moments = iter([drawn.uniform(0, whole) for _ in range(more)])
                    kinds = iter(drawn.choices(("all", "one"), k=more))
                    before = len(one.kept)
                    through = lives(one, moments, kinds)
                checked(one, expected, before)
            left -= len(one.kills)
    return races


def main() -> int:
    """Race once in peace, then race and kill; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", default="digits", help="a bundled problem")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--arms", default="sgd,momentum,adam")
    parser.add_argument("--effort", default="quick")
    parser.add_argument("--training", default="batched", help="as `fallline race` has it")
    parser.add_argument("--workers", type=int, nargs="+", default=[2], help="processes; the races take turns")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument(
        "--seed", type=int, default=0, help="settles whom the kills meet, and when, in shares of a race"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="a PostgreSQL server, in place of SQLite files")
    where.add_argument("--postgres", action="store_true", help="a PostgreSQL server that is begun for this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        peaceful = race(options, folder, "peaceful", str(Path(folder, "peaceful.db")), options.workers[0])
        lives(peaceful, iter(()), iter(()))
        whole, expected = peaceful.seconds, outcome(peaceful.written)
        if options.postgres:
            with postgres() as server:
                races = disturbed(options, server.url, expected, whole)
        else:
            races = disturbed(options, options.url, expected, whole)
    table = Table("race", "workers", "killed after, s", "runs kept in all lives", "result")
    for number, one in enumerate(races):
        workers = next(part for part in one.command if part.startswith("--workers=")).partition("=")[2]
        kept = f"{len(one.kept)} of {len(peaceful.kept)}"
        table.add_row(str(number), workers, ", ".join(one.kills) or "never", kept, "; ".join(one.faults) or "same")
    Console().print(table)
    met = Counter(kill.split()[0] for one in races for kill in one.kills)
    faulty = sum(bool(one.faults) or len(one.kept) != len(peaceful.kept) for one in races)
    kind = "PostgreSQL" if options.postgres or options.url else "SQLite"
    print(
        f"{options.problem}, {options.arms}, {options.effort}, {kind}: {met['all']} kills of a race, {met['one']} of a "
        f"single worker; races of {whole:.1f} s: {len(races)}; with anything wrong: {faulty}"
    )
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
