"""Every law at its first step, its boundaries and after its end, and against torch's scheduler of the same meaning."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from fallline.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    inverse_square_root,
    inverse_time,
    large_minibatch,
    linear,
    linear_scaling,
    milestones,
    one_cycle,
    polynomial,
    staircase,
    table,
    warmup,
    warmup_stable_decay,
)


@pytest.mark.parametrize(
    ("schedule", "known"),
    [
        (constant(), {0: 1.0, 10**9: 1.0}),
        (constant(0.3), {0: 0.3, 7: 0.3}),
        (inverse_time(1.0), {0: 1.0, 1: 1 / 2, 2: 1 / 3, 3: 1 / 4}),
        (inverse_time(0.0), {0: 1.0, 5: 1.0}),
        (exponential(0.95), {0: 1.0, 1: 0.95, 2: 0.9025, 100: 0.95**100}),
        (inverse_square_root(), {0: 1.0, 1: 1 / math.sqrt(2), 3: 0.5, 99: 0.1}),
        (inverse_square_root(k=20.0, first=400), {0: 1.0, 1200: 0.5}),
        (staircase(3), {0: 1.0, 2: 1.0, 3: 0.1, 5: 0.1, 6: 0.01}),
        (milestones([2, 3], 0.5), {0: 1.0, 1: 1.0, 2: 0.5, 3: 0.25, 99: 0.25}),
        (table({0: 1.0, 2: 0.3, 7: 2.0}), {0: 1.0, 1: 1.0, 2: 0.3, 6: 0.3, 7: 2.0, 99: 2.0}),
        (polynomial(4, power=2), {0: 1.0, 2: 0.25, 3: 0.0625, 4: 0.0, 99: 0.0}),
        (polynomial(2, power=2, end=0.2), {0: 1.0, 1: 0.4, 2: 0.2, 99: 0.2}),
        (linear(4, end=0.5), {0: 1.0, 1: 0.875, 4: 0.5, 99: 0.5}),
        (cosine(6), {0: 1.0, 2: 0.75, 3: 0.5, 4: 0.25, 6: 0.0, 99: 0.0}),
        (cosine(2, floor=0.2), {0: 1.0, 1: 0.6, 2: 0.2, 99: 0.2}),
        (warmup(4), {0: 0.0, 1: 0.25, 3: 0.75, 4: 1.0, 99: 1.0}),
        (warmup(4, start=0.2), {0: 0.2, 2: 0.6, 4: 1.0}),
        (one_cycle(10, rise=0.4, start=0.1, end=0.01), {0: 0.1, 3: 1.0, 6: 0.505, 9: 0.01, 99: 0.01}),
        (warmup_stable_decay(2, 3, 4, end=0.2), {0: 0.0, 1: 0.5, 2: 1.0, 5: 1.0, 7: 0.6, 9: 0.2, 99: 0.2}),
        (warmup_stable_decay(1, 0, 1), {0: 0.0, 1: 1.0, 2: 0.0}),
    ],
    ids=str,
)
def test_known_factors(schedule: Schedule, known: dict[int, float]) -> None:
    assert {step: schedule(step) for step in known} == pytest.approx(known, rel=1e-14, abs=1e-16)


Torch = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]


@pytest.mark.parametrize(
    ("schedule", "torchs", "steps"),
    [
        (constant(0.3), lambda o: lr_scheduler.ConstantLR(o, 0.3, total_iters=99), 10),
        (exponential(0.9), lambda o: lr_scheduler.ExponentialLR(o, 0.9), 30),
        (staircase(4, 0.5), lambda o: lr_scheduler.StepLR(o, 4, 0.5), 30),
        (milestones([3, 4, 11], 0.2), lambda o: lr_scheduler.MultiStepLR(o, [3, 4, 11], 0.2), 30),
        (cosine(20), lambda o: lr_scheduler.CosineAnnealingLR(o, 20), 21),
        (cosine(20, floor=0.25), lambda o: lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.1), 21),
        (linear(20, end=0.1), lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, total_iters=20), 30),
        (warmup(20, start=0.1), lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, total_iters=20), 30),
        (polynomial(20, 3.0), lambda o: lr_scheduler.PolynomialLR(o, 20, 3.0), 30),
        (one_cycle(20), lambda o: lr_scheduler.OneCycleLR(o, 0.4, 20, cycle_momentum=False), 20),
        (one_cycle(17, 0.5), lambda o: lr_scheduler.OneCycleLR(o, 0.4, 17, pct_start=0.5, cycle_momentum=False), 17),
        (
            warmup(5, start=0.1).then(cosine(15)),
            lambda o: lr_scheduler.SequentialLR(
                o, [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.CosineAnnealingLR(o, 15)], [5]
            ),
            20,
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, Schedule) else "",
)
def test_the_same_as_torchs(schedule: Schedule, torchs: Torch, steps: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    scheduler, rates = torchs(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < steps:
            scheduler.step()
    assert schedule.curve(steps, lr=0.4).tolist() == pytest.approx(rates, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("batch_size", "known"),
    [
        (8192, {0: 0.1, 25: 0.1 + 3.1 / 2, 49: 3.2 - 3.1 / 50, 50: 3.2, 299: 3.2, 300: 0.32, 600: 0.032, 800: 0.0032}),
        (256, {0: 0.1, 50: 0.1, 299: 0.1, 300: 0.01, 899: 0.0001}),
        (64, {0: 0.025, 50: 0.025, 300: 0.0025}),
    ],
)
def test_reference_recipe_of_large_batches(batch_size: int, known: dict[int, float]) -> None:
    recipe = large_minibatch(batch_size, steps_per_epoch=10)
    assert {step: 0.1 * recipe(step) for step in known} == pytest.approx(known)


def test_warm_up_joins_the_inverse_square_root_without_a_jump() -> None:
    transformer = warmup(100).then(inverse_square_root(k=10.0, first=100))
    assert [transformer(step) for step in (50, 100, 400)] == pytest.approx([0.5, 1.0, 0.5])


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: inverse_time(-1.0), ValueError, "rate must be a finite number, at least 0; got -1.0"),
        (lambda: inverse_time(math.nan), ValueError, "rate must be a finite number, at least 0; got nan"),
        (lambda: inverse_time("1"), TypeError, "rate must be a finite number, at least 0; got '1'"),  # type: ignore[arg-type]
        (lambda: exponential(0.0), ValueError, "factor must be .* greater than 0 and at most 1; got 0.0"),
        (lambda: exponential(1.1), ValueError, "factor must be .* greater than 0 and at most 1; got 1.1"),
        (lambda: inverse_square_root(k=0.0), ValueError, "k must be a finite number, greater than 0; got 0.0"),
        (lambda: inverse_square_root(first=0), ValueError, "first must be a whole number from 1; got 0"),
        (lambda: staircase(0), ValueError, "every must be a whole number from 1; got 0"),
        (lambda: milestones([]), ValueError, "at must be one or more steps, each later than the one before"),
        (lambda: milestones([3, 3]), ValueError, r"each later than the one before; got \[3, 3\]"),
        (lambda: milestones(30), TypeError, "at must be a list of steps; got 30"),  # type: ignore[arg-type]
        (lambda: milestones([0]), ValueError, "each of at must be a whole number from 1; got 0"),
        (lambda: table({1: 1.0}), ValueError, "must say what holds from step 0; its first step is 1"),
        (lambda: table({0: -1.0}), ValueError, "the factor of step 0 must be a finite number, at least 0"),
        (lambda: table([1.0]), TypeError, "factors must map steps to factors"),  # type: ignore[arg-type]
        (lambda: polynomial(4, power=0), ValueError, "power must be a finite number, greater than 0; got 0"),
        (lambda: linear(2.5), TypeError, "steps must be a whole number from 1; got 2.5"),  # type: ignore[arg-type]
        (lambda: linear(True), TypeError, "steps must be a whole number from 1; got True"),
        (lambda: cosine(0), ValueError, "steps must be a whole number from 1; got 0"),
        (lambda: cosine(5, floor=1.5), ValueError, "floor must be .* at most 1; got 1.5"),
        (lambda: warmup(5, start=-0.1), ValueError, "start must be .* at least 0 and at most 1; got -0.1"),
        (lambda: one_cycle(1), ValueError, "steps must be a whole number from 2; got 1"),
        (lambda: one_cycle(10, rise=0.1), ValueError, "rise must be between 1/steps = 0.1 and 1, both excluded"),
        (lambda: one_cycle(10, rise=1.0), ValueError, "rise must be between"),
        (lambda: warmup_stable_decay(1, -1, 1), ValueError, "stable_steps must be a whole number from 0; got -1"),
        (lambda: linear_scaling(0), ValueError, "batch_size must be a whole number from 1; got 0"),
        (lambda: large_minibatch(256, 0), ValueError, "steps_per_epoch must be a whole number from 1; got 0"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call()
