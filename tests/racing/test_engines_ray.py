"""The Ray engine on a real cluster of two machines' worth of processes, which lose workers and a machine."""

from __future__ import annotations

import importlib
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fallline.racing.engines import ray_cluster
from fallline.racing.engines.engine import choose_engine
from fallline.racing.engines.ray_cluster import RayEngine, connect
from fallline.racing.runs import Progress
from fallline.training import ProblemError
from tests.racing import engine_cases as cases

ray: Any = pytest.importorskip("ray", reason="Ray is not installed: pip install 'fallline[ray]'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one processor each; the driver is on the first."""
    cluster_utils = importlib.import_module("ray.cluster_utils")
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # short, since sockets lie in it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TMPDIR", folder)
        made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.add_node(num_cpus=1)
        yield made
        ray.shutdown()
        made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def engine(cluster: Any) -> Iterator[RayEngine]:
    made = RayEngine(cluster.address)
    yield made
    made.close()
    assert not ray.is_initialized()


def test_a_task_for_each_processor(engine: RayEngine) -> None:
    assert engine.slots == 2


@pytest.mark.parametrize("name", cases.PROBLEMS)
def test_same_outcomes_as_here(engine: RayEngine, name: str) -> None:
    make, batched = cases.PROBLEMS[name]
    problem = make()
    cases.assert_trains_as_here(engine, problem, cases.work_of(problem, batched=batched, number=3))


def test_no_runs(engine: RayEngine) -> None:
    work = replace(cases.work_of(cases.regression()), runs={})
    assert list(engine.train(cases.regression(), work, lambda progress: pytest.fail("told"))) == []


def test_what_is_not_wanted_is_not_trained(engine: RayEngine) -> None:
    problem = cases.regression()
    work = cases.work_of(problem, width=2, wanted=lambda numbers: [number for number in numbers if number % 4 == 1])
    told: list[Progress] = []
    assert sorted(cases.outcomes_of(engine.train(problem, work, told.append))) == [1, 5, 9]
    assert told[-1].steps == sum(run.steps for run in work.runs.values())


@pytest.mark.parametrize("name", cases.RAISED)
def test_errors_come_back(engine: RayEngine, name: str) -> None:
    make, kind, message = cases.RAISED[name]
    with pytest.raises(kind) as raised:
        cases.trained(engine, cases.raising(make))
    assert (type(raised.value), str(raised.value)) == (kind, message)


def test_a_killed_worker_is_survived(engine: RayEngine, tmp_path: Path) -> None:
    problem = cases.killed_once(tmp_path)
    cases.assert_trains_as_here(engine, problem, cases.work_of(problem))
    assert (tmp_path / "died").exists()


def test_a_job_that_kills_every_worker_is_given_up(engine: RayEngine) -> None:
    with pytest.raises(ChildProcessError, match=r"a worker died 4 times .* the same runs of .*;"):
        cases.trained(engine, cases.killed_by(seed=7), number=1)


def test_a_problem_that_cannot_be_sent_is_refused(engine: RayEngine) -> None:
    with pytest.raises(ProblemError, match="can't be sent to another process"):
        cases.trained(engine, cases.unpackable())


def test_workers_without_fallline_are_named(engine: RayEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = cases.vanished(tmp_path, "def train(stored, job): pass")
    monkeypatch.setattr(engine, "_task", ray.remote(max_retries=0)(module.train))
    with pytest.raises(ProblemError, match="the cluster's workers can't run Fallline; install the same version"):
        cases.trained(engine, cases.regression())


def test_a_removed_machine_is_survived(engine: RayEngine, cluster: Any, tmp_path: Path) -> None:
    doomed = cluster.add_node(num_cpus=1)
    number, begun = doomed.node_id, tmp_path / "begun"

    def hang_there() -> None:
        if ray.get_runtime_context().get_node_id() == number:
            begun.touch()
            time.sleep(600)
        while not begun.exists():  # so that no other machine does all the work before
            time.sleep(0.05)

    def remove() -> None:
        while not begun.exists():
            time.sleep(0.05)
        cluster.remove_node(doomed, allow_graceful=False)

    problem = cases.in_workers(hang_there)
    removal = threading.Thread(target=remove)
    removal.start()
    cases.assert_trains_as_here(engine, problem, cases.work_of(problem, number=4))
    removal.join()
    assert engine.slots == 2


def test_a_session_that_there_is_stays(engine: RayEngine) -> None:
    choose_engine(ray="auto").close()
    assert ray.is_initialized()
    assert len(cases.trained(engine, cases.regression())) == 12


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("127.0.0.1:1", ConnectionError, r"^no Ray cluster can be used at '127.0.0.1:1' \(.*refused\); start one with"),
        ("ray://127.0.0.1:1", ConnectionError, r"'ray://127.0.0.1:1' \(.*refused\); start one with"),
        (
            "my cluster",
            ValueError,
            r"^ray must be 'auto', 'local', 'host:port' or 'ray://host:port'; got 'my cluster'$",
        ),
    ],
)
def test_no_cluster_there(monkeypatch: pytest.MonkeyPatch, address: str, error: type[Exception], message: str) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(error, match=message):
        connect(address)


def test_something_else_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_cluster, "_SECONDS_TO_ANSWER", 2)
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(ConnectionError, match=r"\(no answer as Ray gives it within 2 s\)"):
        connect(f"127.0.0.1:{silent.getsockname()[1]}")


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"^a race on a Ray cluster needs Ray: pip install 'fallline\[ray\]'$"):
        connect("auto")
