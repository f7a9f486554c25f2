"""Kernels in children, forked before and after the parent used its threads, in spawned ones, and in many threads."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fallline as fl
from fallline.kernels import Kernel
from fallline.kernels import threads as threads_module
from fallline.kernels.compile import Function, Pass, assemble, load_function, pass_of
from fallline.kernels.threads import WORTH_SHARING, run_shared, team
from fallline.math import exp, sqrt, sum
from fallline.rules import adam
from fallline.symbolic import Rule
from tests.kernels.runner import drawn, kernel_step, numbers, reference_step, relative

#: Every process says what it found: how far its kernels are from the reference, with and without threads.
PROCESSES = """
import json, multiprocessing, sys, threading
import torch
from fallline.kernels.threads import WORTH_SHARING
from fallline.rules import adam, rmsprop
from tests.kernels.runner import drawn, kernel_step, numbers, reference_step, relative

def worst(rule):
    tensors = [drawn(rule, shape, "float32") for shape in [(2 * WORTH_SHARING,), (3, 5)]]
    given = [numbers(rule, lr=0.1)] * 2
    expected = [reference_step(rule, arrays, given[0]) for arrays in tensors]
    kernel_step(rule, "float32", tensors, given)
    return max(relative(a[name], e[name]) for a, e in zip(tensors, expected) for name in a)

def report(pipe, rule, deeper):
    torch.set_num_threads(2)
    found = worst(rule)
    pipe.send(child("fork", rule) if deeper else found)

def child(method, rule=adam, deeper=False):
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=report, args=(sender, rule, deeper))
    process.start()
    sender.close()  # so that the death of the child is seen
    try:
        found = receiver.recv() if receiver.poll(60) else "no answer"
    except EOFError:
        process.join()
        found = f"no answer, exit code {process.exitcode}"
    process.kill()
    process.join()
    return found

if __name__ == "__main__":
    torch.set_num_threads(2)
    found = {"forked before any step": child("fork")}
    found["parent"] = worst(adam)
    found["forked after a step"] = child("fork")
    found["forked, with a kernel the parent has not"] = child("fork", rmsprop)
    found["a fork of a fork"] = child("fork", deeper=True)
    found["spawned"] = child("spawn")
    found["parent after its children"] = worst(adam)
    found["parent, with a kernel of its children"] = worst(rmsprop)
    thread = threading.Thread(target=lambda: found.update({"thread": worst(adam)}))
    thread.start()
    thread.join()
    found["forked after a thread's step"] = child("fork")
    print(json.dumps(found))
"""


def test_every_process_gets_the_right_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "processes.py"
    script.write_text(PROCESSES)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, float | str] = json.loads(done.stdout)
    assert len(answers) == 10
    assert {place: found for place, found in answers.items() if isinstance(found, str) or found > 3e-6} == {}


def in_threads(count: int, work: list[tuple[Rule, tuple[int, ...]]]) -> list[float]:
    """How far kernels are from the reference, each step on a thread of its own, all started at once."""
    barrier = threading.Barrier(len(work) * count, timeout=60)
    apart: list[float] = []

    def take(rule: Rule, shape: tuple[int, ...], seed: int) -> None:
        tensors = [drawn(rule, shape, "float64", seed)]
        expected = reference_step(rule, tensors[0], numbers(rule, lr=0.1))
        barrier.wait()
        kernel_step(rule, "float64", tensors, [numbers(rule, lr=0.1)])
        apart.append(max(relative(tensors[0][name], expected[name]) for name in expected))

    threads = [threading.Thread(target=take, args=(*each, seed)) for seed in range(count) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert len(apart) == len(threads)
    return apart


def test_many_threads_step_at_once() -> None:
    """Small tensors on the callers' threads, large ones that share the helpers."""
    assert max(in_threads(4, [(adam, (1000,)), (adam, (WORTH_SHARING + 5,))])) <= 1e-12


def test_threads_that_meet_at_a_kernel_nobody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALLLINE_CACHE_DIR", str(tmp_path))

    @fl.rule
    def first(p: Any, g: Any, v: Any, *, lr: float = 0.1) -> Any:
        v = v + exp(-g * g)
        return lr * g / sqrt(v), v

    @fl.rule
    def second(p: Any, g: Any, *, lr: float = 0.1) -> Any:
        return lr * g / sqrt(sum(g * g))

    assert max(in_threads(3, [(first, (50,)), (second, (40, 3))])) <= 1e-12


def test_a_kernel_survives_the_others() -> None:
    """Machine code stays where it is while other kernels are loaded, used and forgotten."""
    kernels = [Kernel(adam, {}, dtype) for dtype in ("float32", "float64") for _ in range(20)]
    assert all(kernel.passes for kernel in kernels)
    del kernels
    tensors = [drawn(adam, (100,), "float32")]
    expected = reference_step(adam, tensors[0], numbers(adam))
    kernel_step(adam, "float32", tensors, [numbers(adam)])
    assert max(relative(tensors[0][name], expected[name]) for name in expected) <= 3e-6
    assert np.isfinite(tensors[0]["p"]).all()


def test_machine_code_goes_with_its_kernel() -> None:
    kernel = Kernel(adam, {}, "float32")
    owner = weakref.ref(kernel.passes[0].function.owner)
    call = kernel.passes[0].call
    del kernel
    gc.collect()
    assert owner() is not None
    del call
    gc.collect()
    assert owner() is None


# ---------------------------------------------------------------------------------------------------------------------
# Kernels that fail
# ---------------------------------------------------------------------------------------------------------------------

#: Fails at the piece that begins with the sixth chunk.
FAILING = """
define i32 @failing(ptr %unused, ptr %unused.too, i64 %header, i64 %first, i64 %last) {
  %fails = icmp eq i64 %first, 5
  %status = select i1 %fails, i32 7, i32 0
  ret i32 %status
}
"""


@pytest.fixture
def own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that nobody has used, as where torch has no OpenMP team."""
    monkeypatch.setattr(threads_module, "team", lambda: None)
    monkeypatch.setattr(threads_module, "_pool", None)
    monkeypatch.setattr(threads_module, "_pool_size", 0)


def test_a_failure_is_told_by_a_call() -> None:
    failing = pass_of(load_function(FAILING, "failing"))
    failing.call(0, 0, 5)
    with pytest.raises(RuntimeError, match="status 7"):
        failing.call(0, 5, 6)


@pytest.mark.parametrize("name", ["PyErr_Clear", "NRT_incref", "numba_gil_ensure", "__svml_exp4", "getpid"])
def test_what_only_this_process_may_have_is_not_called(name: str) -> None:
    text = f"declare void @{name}()\ndefine void @calling() {{\n call void @{name}()\n ret void\n}}"
    with pytest.raises(RuntimeError, match=f"calls {name}, "):
        assemble([(text, "calling")])


@pytest.mark.parametrize("place", ["team", "pool"])
def test_a_failure_is_told_by_threads(place: str, request: pytest.FixtureRequest) -> None:
    if place == "pool":
        request.getfixturevalue("own_pool")
    elif team() is None:
        pytest.skip("Torch has no OpenMP team here.")
    failing = pass_of(load_function(FAILING, "failing"))
    run_shared(failing, 0, 5, 2)
    with pytest.raises(RuntimeError, match="status 7"):
        run_shared(failing, 0, 8, 2)


@pytest.mark.usefixtures("own_pool")
def test_nobody_writes_after_an_interrupt() -> None:
    """The caller's first piece is interrupted while the helpers work on theirs."""
    caller = threading.current_thread()
    running: set[int] = set()
    begun = threading.Event()
    pieces: list[int] = []

    def interrupted(header: int, first: int, last: int) -> None:
        if threading.current_thread() is caller:
            assert begun.wait(timeout=60)
            raise KeyboardInterrupt
        running.add(first)
        begun.set()
        time.sleep(0.05)
        pieces.append(first)
        running.remove(first)

    with pytest.raises(KeyboardInterrupt):
        run_shared(Pass(interrupted, Function(0, None)), 0, 100, 3)
    assert not running
    assert len(pieces) < 11  # of the twelve pieces the others are left alone


@pytest.mark.usefixtures("own_pool")
def test_a_larger_pool_takes_the_place_of_a_smaller_one() -> None:
    """And the threads of the smaller one end."""
    done: list[int] = []
    idle = Pass(lambda header, first, last: done.append(last - first), Function(0, None))
    run_shared(idle, 0, 100, 2)
    smaller = threads_module._pool
    run_shared(idle, 0, 100, 5)
    run_shared(idle, 0, 100, 3)
    assert np.sum(done) == 300
    assert smaller is not None
    with pytest.raises(RuntimeError, match="shutdown"):
        smaller.submit(int)
