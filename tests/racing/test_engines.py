"""Engines: jobs in processes of this machine come out as they do here, whatever happens to the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fallline.cli.problems import read_problem
from fallline.racing.engines import processes
from fallline.racing.engines.engine import LocalEngine, choose_engine
from fallline.racing.engines.processes import ProcessEngine
from fallline.training import ProblemError
from tests.racing import engine_cases as cases


@pytest.fixture(scope="module")
def engine() -> Iterator[ProcessEngine]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # one for each of two workers
    made = ProcessEngine(2)
    yield made
    made.close()
    torch.set_num_threads(threads)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", cases.PROBLEMS)
def test_same_outcomes_as_here(engine: ProcessEngine, one_thread: None, name: str) -> None:
    make, batched = cases.PROBLEMS[name]
    problem = make()
    cases.assert_trains_as_here(engine, problem, cases.jobs(problem, batched=batched, number=3))


def test_no_jobs_start_nothing() -> None:
    engine = ProcessEngine(2)
    assert list(engine.train(cases.regression(), {}, lambda steps: pytest.fail("told"))) == []
    engine.close()


def test_the_workers_stay(engine: ProcessEngine, tmp_path: Path) -> None:
    problem = cases.in_workers(lambda: (tmp_path / str(os.getpid())).touch())
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


def test_a_killed_worker_is_survived(engine: ProcessEngine, tmp_path: Path) -> None:
    problem = cases.killed_once(tmp_path)
    cases.assert_trains_as_here(engine, problem, cases.jobs(problem))
    assert (tmp_path / "died").exists()


def test_a_job_that_kills_every_worker_is_given_up(engine: ProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "RERUNS", 2)
    problem = cases.killed_by(seed=8)
    some = cases.jobs(problem)
    some = {0: replace(some[0], runs=some[0].runs[:1]), 1: replace(some[1], runs=some[1].runs[4:])}
    with pytest.raises(ChildProcessError, match=r"a worker died 3 times .* runs of Adagrad; if memory ran out"):
        list(engine.train(problem, some, lambda steps: None))


def test_a_caller_may_stop_early(engine: ProcessEngine) -> None:
    problem = cases.regression()
    some = cases.jobs(problem, number=4)
    outcomes = engine.train(problem, some, lambda steps: None)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    cases.assert_trains_as_here(engine, problem, some)


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
    problem = read_problem(path)
    path.unlink()  # as on another machine
    assert set(cases.trained(engine, problem)) == {0, 1}
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
    [(lambda group: os.killpg(group, signal.SIGINT), "KeyboardInterrupt"), (lambda group: os.kill(group, 9), "leaked")],
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
    ("workers", "kind", "slots"), [(None, LocalEngine, 1), (1, LocalEngine, 1), (3, ProcessEngine, 3)]
)
def test_the_engine_for_so_many_workers(workers: int | None, kind: type, slots: int) -> None:
    engine = choose_engine(workers)
    assert (type(engine), engine.slots) == (kind, slots)
    engine.close()
