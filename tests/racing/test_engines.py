"""Engines: runs in processes of this machine come out as they do here, whatever happens to the processes."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fallline.cli.problems import read_problem
from fallline.racing.engines import processes, workers
from fallline.racing.engines.engine import Engine, LocalEngine, choose_engine
from fallline.racing.engines.processes import ProcessEngine
from fallline.racing.runs import Progress
from fallline.training import ProblemError, cores
from tests.racing import engine_cases as cases


@pytest.fixture(scope="module")
def engine() -> Iterator[ProcessEngine]:
    made = ProcessEngine(2)
    yield made
    made.close()


@pytest.mark.parametrize("name", cases.PROBLEMS)
def test_same_outcomes_as_here(engine: ProcessEngine, name: str) -> None:
    make, batched = cases.PROBLEMS[name]
    problem = make()
    cases.assert_trains_as_here(engine, problem, cases.work_of(problem, batched=batched, number=3))


@pytest.mark.parametrize(("workers", "width", "seconds"), [(1, 5, 1e-9), (3, 1, 1e-9), (4, 12, 1e-9), (4, 12, 10.0)])
def test_same_outcomes_however_the_runs_are_dealt_out(workers: int, width: int, seconds: float) -> None:
    problem = cases.regression()
    with closing(ProcessEngine(workers)) as engine:
        cases.assert_trains_as_here(engine, problem, cases.work_of(problem, width=width, seconds=seconds))


def test_no_runs_start_nothing(engine: ProcessEngine) -> None:
    work = replace(cases.work_of(cases.regression()), runs={})
    assert list(engine.train(cases.regression(), work, lambda progress: pytest.fail("told"))) == []


@pytest.mark.parametrize("make", [LocalEngine, lambda: ProcessEngine(2)], ids=["here", "processes"])
def test_what_is_not_wanted_is_not_trained(make: Callable[[], Engine]) -> None:
    problem = cases.regression()
    asked: list[int] = []
    told: list[Progress] = []

    def wanted(numbers: list[int]) -> list[int]:
        asked.extend(numbers)
        return [number for number in numbers if number % 4 == 1]

    work = cases.work_of(problem, width=2, wanted=wanted)
    with closing(make()) as engine:
        found = cases.outcomes_of(engine.train(problem, work, told.append))
    assert sorted(found) == [1, 5, 9]
    assert sorted(asked) == sorted(work.runs)
    assert told[-1].steps == sum(run.steps for run in work.runs.values())


def test_the_workers_stay(tmp_path: Path) -> None:
    problem = cases.in_workers(lambda: (tmp_path / str(os.getpid())).touch())
    with closing(ProcessEngine(2)) as engine:
        for _ in range(2):
            cases.trained(engine, problem)
    assert 1 <= len(list(tmp_path.iterdir())) <= 2


@pytest.mark.parametrize("name", cases.RAISED)
def test_errors_come_back(engine: ProcessEngine, name: str) -> None:
    make, kind, message = cases.RAISED[name]
    with pytest.raises(kind) as raised:
        cases.trained(engine, cases.raising(make), number=1)
    assert (type(raised.value), str(raised.value)) == (kind, message)


def test_warnings_come_back_once(engine: ProcessEngine) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        cases.trained(engine, cases.warning())
    assert [str(one.message) for one in caught] == ["the weights are odd"]


# Processes that die.


def noting(dealt: list[list[int]]) -> Callable[[list[int]], list[int]]:
    """Wants all runs, and notes which it was asked for together."""

    def wanted(numbers: list[int]) -> list[int]:
        dealt.append(numbers)
        return numbers

    return wanted


def test_a_killed_worker_loses_its_own_job_alone(engine: ProcessEngine, tmp_path: Path) -> None:
    problem = cases.killed_once(tmp_path)
    dealt: list[list[int]] = []
    work = cases.work_of(problem, wanted=noting(dealt))
    cases.assert_trains_as_here(engine, problem, work)
    assert (tmp_path / "died").exists()
    assert sum(map(len, dealt[:-1])) == 12 + 6  # the last is of this process


def test_a_run_that_kills_every_worker_is_given_up_after_all_others(engine: ProcessEngine) -> None:
    problem, found, dealt = cases.killed_by(seed=8), list[int](), list[list[int]]()
    work = cases.work_of(problem, wanted=noting(dealt))
    with pytest.raises(ChildProcessError, match=r"a worker died 4 times .* runs of adam; if memory ran out"):  # noqa: PT012
        for numbers, _ in engine.train(problem, work, lambda progress: None):
            found += numbers
    assert sorted(found) == [0, 1, 2, 3, 4, 5]
    assert dealt[-7:] == [[number] for number in (*range(6, 12), 6)]
    assert sorted(itertools.chain(*dealt[:-7])) == sorted([*range(12), *range(6, 12)])


def test_the_server_is_started_again(tmp_path: Path) -> None:
    problem = cases.killed_once(tmp_path)
    with closing(ProcessEngine(2)) as engine:
        _kill_server()
        cases.trained(engine, cases.regression())
        _kill_server()
        cases.assert_trains_as_here(engine, problem, cases.work_of(problem))


def _kill_server() -> None:
    server = workers._server._process
    if server is not None:
        os.kill(server.pid, signal.SIGKILL)


@pytest.mark.parametrize("count", [2, 4])
def test_workers_killed_at_random_moments(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("RERUNS", "_SUSPECT"):
        monkeypatch.setattr(processes, limit, 10**6)
    problem = cases.regression(epochs=40)
    random = np.random.default_rng(count)
    with closing(ProcessEngine(count)) as engine:
        over = threading.Event()

        def kill() -> None:
            for _ in range(6):
                if over.wait(random.uniform(0.1, 1.0)):
                    return
                living = [hand.worker.pid for hand in [*engine._hands.values()] if hand.worker.pid is not None]
                if living:
                    with suppress(ProcessLookupError):
                        os.kill(random.choice(living), signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            cases.assert_trains_as_here(engine, problem, cases.work_of(problem, number=4, width=2))
        finally:
            over.set()
            killer.join()


def test_the_runs_of_a_worker_that_hangs_are_taken_over(tmp_path: Path) -> None:
    problem = cases.hanging_once(tmp_path)
    with closing(ProcessEngine(2)) as engine:
        cases.assert_trains_as_here(engine, problem, cases.work_of(problem))
        assert (tmp_path / "hung").exists()


def test_a_caller_may_stop_early(engine: ProcessEngine) -> None:
    problem = cases.regression()
    work = cases.work_of(problem, number=4)
    outcomes = engine.train(problem, work, lambda progress: None)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    cases.assert_trains_as_here(engine, problem, work)


# What is sent.


def test_a_problem_that_cannot_be_sent_is_refused(engine: ProcessEngine) -> None:
    with pytest.raises(ProblemError, match=r"can't be sent .*'_thread.lock'.*; keep open files, locks"):
        cases.trained(engine, cases.unpackable())


def test_a_module_that_workers_lack_is_named(engine: ProcessEngine, tmp_path: Path) -> None:
    module = cases.vanished(tmp_path, "from torch import nn\ndef model(): return nn.Linear(4, 1)")
    with pytest.raises(ProblemError, match=r"a worker can't load .*No module named 'vanished'.*; install"):
        cases.trained(engine, cases.regression(module.model), number=1)


def test_a_problem_file_travels_as_it_is(
    engine: ProcessEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my_problem.py"
    path.write_text(
        "import torch, fallline\n"
        "from torch import nn\n"
        "class Net(nn.Linear): pass\n"
        "def model(): return Net(4, 1)\n"
        "X = torch.randn(8, 4)\n"
        "data = {'train': (X, X[:, :1]), 'valid': (X, X[:, :1])}\n"
        "problem = fallline.Problem(model=model, loss=nn.functional.mse_loss, **data)\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    problem, _ = read_problem(path)
    path.unlink()  # as on another machine
    assert len(cases.trained(engine, problem)) == 12
    del sys.modules["my_problem"]


#: Seconds after which something that ends within one on an idle machine has failed.
_PATIENCE = 300

#: A script needs no guard for its workers' sake. They tell their numbers and would train for minutes.
SCRIPT = """
import os
from fallline.racing.engines.processes import ProcessEngine
from tests.racing import engine_cases as cases

cases.trained(ProcessEngine(2), cases.in_workers(lambda: print(os.getpid(), flush=True), epochs=50_000))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither of these signals")
@pytest.mark.parametrize(
    ("send", "said"),
    [(lambda group: os.killpg(group, signal.SIGINT), "KeyboardInterrupt"), (lambda group: os.kill(group, 9), "")],
    ids=["Ctrl-C in a terminal", "killed"],
)
def test_workers_end_with_the_race(tmp_path: Path, send: Callable[[int], None], said: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = str(Path(__file__).parents[2])
    race = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path]), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert race.stdout is not None
    workers: set[str] = set()
    while len(workers) < 2:
        workers.add(race.stdout.readline())
        assert "" not in workers, race.communicate()
    send(race.pid)
    _, errors = race.communicate(timeout=_PATIENCE)  # until all processes that could write are gone
    waited_for(lambda: not any(map(alive, workers)))
    waited_for(lambda: not list(tmp_path.glob("fallline-*")))
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt\n"), errors
    assert said in errors


def waited_for(happened: Callable[[], bool]) -> None:
    """Wait until something has happened, however busy the machine is."""
    begun = time.monotonic()
    while not happened():
        assert time.monotonic() - begun < _PATIENCE
        time.sleep(0.05)


def alive(process: str) -> bool:
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", process.strip()], capture_output=True, text=True, check=False
    ).stdout
    return bool(state) and not state.startswith("Z")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 2, "ray": "auto"}, "^workers and ray are both given, .*; leave one of them out$"),
        ({"workers": 0}, "^workers must be a whole number from 1; got 0$"),
        ({"workers": True}, "got True$"),
        ({"workers": 1.5}, "got 1.5$"),
    ],
)
def test_no_engine_is_both_or_none(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_engine(**arguments)


@pytest.mark.parametrize(
    ("workers", "kind", "slots"), [(None, ProcessEngine, cores()), (1, LocalEngine, 1), (3, ProcessEngine, 3)]
)
def test_the_engine_for_so_many_workers(workers: int | None, kind: type, slots: int) -> None:
    engine = choose_engine(workers)
    assert (type(engine), engine.slots) == (kind, slots)
    engine.close()
