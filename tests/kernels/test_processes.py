"""Kernels in children, forked before and after the parent used its threads, in spawned ones, and in many threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fallline as fl
from fallline.kernels import Kernel
from fallline.kernels.threads import WORTH_SHARING
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
