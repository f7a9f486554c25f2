"""What all schedules can do: be joined, multiplied, compared, stored, plotted, and drive an optimizer."""

from __future__ import annotations

import copy
import io
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fallline as fl
from fallline.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    inverse_time,
    linear,
    milestones,
    one_cycle,
    staircase,
    table,
    warmup,
)

EXAMPLES = [
    constant(0.5),
    inverse_time(0.1),
    staircase(3),
    milestones([3, 5]),
    table({0: 1.0, 4: 0.5}),
    one_cycle(10),
    0.1 * warmup(5).then(cosine(95)),
    (warmup(2) * exponential(0.9)).per_epoch(4).then(linear(3), after=11),
]


def sgd(lr: float | torch.Tensor = 0.4) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def advance(optimizer: torch.optim.Optimizer, scheduler: Any, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


@given(switch=st.integers(0, 20), step=st.integers(0, 40))
def test_then_goes_on_at_the_followers_own_step_0(switch: int, step: int) -> None:
    first, following = exponential(0.9), inverse_time(0.3)
    joined = first.then(following, after=switch)
    assert joined(step) == (first(step) if step < switch else following(step - switch))


@given(steps=st.integers(1, 20), step=st.integers(0, 200))
def test_per_epoch_is_floor(steps: int, step: int) -> None:
    assert exponential(0.9).per_epoch(steps)(step) == exponential(0.9)(step // steps)


@pytest.mark.parametrize(
    ("schedule", "length"),
    [
        (warmup(5), 5),
        (warmup(5).then(cosine(95)), 100),
        (cosine(95).then(warmup(5), after=3), 8),
        (warmup(5).then(constant()), None),
        (cosine(9).per_epoch(10), 90),
        (0.1 * cosine(9), 9),
        (warmup(5) * cosine(9), 9),
        (warmup(5) * exponential(0.9), None),
        (one_cycle(10), 10),
        (milestones([3]), None),
    ],
    ids=str,
)
def test_length(schedule: Schedule, length: int | None) -> None:
    assert schedule.length == length


def test_join_is_associative() -> None:
    a, b, c = warmup(3), linear(4, end=0.5), cosine(5)
    assert a.then(b).then(c).curve(20).tolist() == a.then(b.then(c)).curve(20).tolist()


def test_product_is_taken_step_by_step() -> None:
    product = warmup(4) * exponential(0.5)
    assert [product(step) for step in (0, 1, 4)] == [0.0, 0.125, 0.0625]
    assert (2 * warmup(4)).curve(9).tolist() == (warmup(4) * 2.0).curve(9).tolist() == (2 * warmup(4).curve(9)).tolist()


@pytest.mark.parametrize("schedule", EXAMPLES, ids=str)
def test_stored_and_read_again_it_is_equal(schedule: Schedule) -> None:
    again = pickle.loads(pickle.dumps(schedule))
    assert again == schedule == copy.deepcopy(schedule)
    assert hash(again) == hash(schedule)
    assert again.curve(20).tolist() == schedule.curve(20).tolist()


def test_other_arguments_make_another_schedule() -> None:
    assert len({*EXAMPLES, warmup(5), warmup(6), warmup(5, start=0.1), cosine(5)}) == len(EXAMPLES) + 4


def test_it_can_not_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        cosine(5).length = 6  # type: ignore[misc]


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (cosine(95), "cosine(95, 0.0)"),
        (warmup(5).then(cosine(95)), "warmup(5, 0.0).then(cosine(95, 0.0), 5)"),
        (0.1 * exponential(0.5).per_epoch(3), "(exponential(0.5).per_epoch(3) * constant(0.1))"),
    ],
)
def test_it_prints_as_it_is_written(schedule: Schedule, text: str) -> None:
    assert repr(schedule) == text


def test_curve() -> None:
    curve = linear(4).curve(6, lr=0.4)
    assert curve.dtype == np.float64
    assert curve.tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0, 0.0])


@pytest.mark.parametrize("schedule", EXAMPLES, ids=str)
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_drives_a_torch_optimizer(schedule: Schedule, kind: Any) -> None:
    optimizer = sgd(kind(0.4))
    scheduler = schedule.drive(optimizer)
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    assert advance(optimizer, scheduler, 20) == pytest.approx(schedule.curve(20, lr=0.4).tolist(), rel=1e-6)


def test_drives_our_optimizers_and_every_group_from_its_own_base() -> None:
    head, body = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    groups: list[dict[str, Any]] = [{"params": [head], "lr": 1.0}, {"params": [body]}]
    optimizer = fl.optim.SGD(groups, lr=0.5)
    scheduler = table({0: 0.5, 1: 0.1}).drive(optimizer)
    for _ in range(2):
        head.grad, body.grad = torch.ones(1), torch.ones(1)
        optimizer.step()
        scheduler.step()
    assert (head.item(), body.item()) == pytest.approx((1 - 0.5 - 0.1, 1 - 0.25 - 0.05))


def test_goes_on_from_a_checkpoint() -> None:
    schedule = warmup(5).then(cosine(15))
    optimizer = sgd()
    scheduler = schedule.drive(optimizer)
    advance(optimizer, scheduler, 8)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)

    other = sgd(lr=0.1)
    resumed = schedule.drive(other)
    other.load_state_dict(state["optimizer"])
    resumed.load_state_dict(state["scheduler"])
    assert advance(other, resumed, 12) == pytest.approx(schedule.curve(20, lr=0.4)[8:].tolist())


def test_loading_a_checkpoint_changes_no_schedule() -> None:
    short, long = cosine(5), cosine(50)
    scheduler = long.drive(sgd())
    scheduler.load_state_dict(short.drive(sgd()).state_dict())
    assert (short, long) == (cosine(5), cosine(50))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: cosine(5)(-1), ValueError, "step must be a whole number from 0; got -1"),
        (lambda: cosine(5)(1.5), TypeError, "step must be a whole number from 0; got 1.5"),  # type: ignore[arg-type]
        (lambda: constant().then(cosine(5)), ValueError, r"constant\(1.0\) never ends: .* then\(..., after=steps\)"),
        (lambda: warmup(5).then(0.1), TypeError, "following must be a schedule; got 0.1"),  # type: ignore[arg-type]
        (lambda: warmup(5).then(cosine(5), after=-1), ValueError, "after must be a whole number from 0; got -1"),
        (lambda: warmup(5) * -1.0, ValueError, "factor must be a finite number, at least 0; got -1.0"),
        (lambda: warmup(5) * "2", TypeError, "can't multiply"),  # type: ignore[operator]
        (lambda: warmup(5).per_epoch(0), ValueError, "steps_per_epoch must be a whole number from 1; got 0"),
        (lambda: warmup(5).curve(0), ValueError, "steps must be a whole number from 1; got 0"),
        (lambda: warmup(5).curve(5, lr=-1.0), ValueError, "lr must be a finite number, at least 0; got -1.0"),
        (lambda: warmup(5).drive(0.1), TypeError, "must be a torch.optim.Optimizer; got 0.1"),  # type: ignore[arg-type]
        (lambda: Schedule(0.1), TypeError, "law must be a function of the step; got 0.1"),  # type: ignore[arg-type]
    ],
)
def test_misuse_is_refused_in_a_sentence(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call()
