"""What all schedules can do: be joined, multiplied, compared, stored, plotted, and drive an optimizer."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
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


# ---------------------------------------------------------------------------------------------------------------------
# Taken up again
# ---------------------------------------------------------------------------------------------------------------------

Made = Callable[[float], torch.optim.Optimizer]


def in_groups(lr: float) -> torch.optim.Optimizer:
    first, second = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    groups: list[dict[str, Any]] = [{"params": [first]}, {"params": [second], "lr": 9.0}]
    return torch.optim.SGD(groups, lr=lr)


OPTIMIZERS: dict[str, Made] = {
    "torch's SGD": sgd,
    "torch's Adam": lambda lr: torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=lr),
    "SGD": lambda lr: fl.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr),
    "Adam": lambda lr: fl.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=lr),
    "rule": lambda lr: fl.Optimizer([torch.nn.Parameter(torch.zeros(1))], fl.rules.adam, lr=lr),
    "rate in a tensor": lambda lr: sgd(torch.tensor(lr, dtype=torch.float64)),
    "groups": in_groups,
}
#: What is done, in which order, with an optimizer O and a scheduler S that were saved; "drive" makes S.
ORDERS = [
    "drive, O, S",
    "drive, S, O",
    "O, drive, S",
    "O, drive",
    "drive, O",
    "drive, S",
    "drive, S, O, S",
    "O, drive, S, O",
]
LAWS = [
    cosine(20),
    0.1 * warmup(5).then(cosine(15)),
    warmup(10),
    exponential(0.8),
    staircase(3),
    milestones([2, 7]),
    table({0: 1.0, 4: 0.5}),
    one_cycle(20),
    constant(0.5),
    inverse_time(0.5).per_epoch(2),
    Schedule(lambda step, period: 1 - step % period / period, (4,)),
]


def train(optimizer: torch.optim.Optimizer, scheduler: Any, steps: int) -> list[list[float]]:
    """The rates of all groups at each step."""
    rates = []
    for _ in range(steps):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.ones_like(p)
        rates.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def resumed(made: Made, schedule: Schedule, order: str, saved: dict[str, Any]) -> tuple[Any, Any]:
    optimizer, scheduler = made(0.4), None
    for act in order.split(", "):
        if act == "drive":
            scheduler = schedule.drive(optimizer)
        elif act == "O":
            optimizer.load_state_dict(through_a_file(saved["O"]))
        elif act == "S":
            assert scheduler is not None
            scheduler.load_state_dict(through_a_file(saved["S"]))
    return optimizer, scheduler


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("schedule", LAWS, ids=str)
@pytest.mark.parametrize("made", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_in_whatever_order_a_run_is_taken_up_again(made: Made, schedule: Schedule, order: str) -> None:
    whole = made(0.4)
    known = train(whole, schedule.drive(whole), 14)
    optimizer = made(0.4)
    scheduler = schedule.drive(optimizer)
    rates = []
    for part in (1, 6, 0, 4, 3):  # stopped several times, once before it went on at all
        rates += train(optimizer, scheduler, part)
        saved = {"O": optimizer.state_dict(), "S": scheduler.state_dict()}
        optimizer, scheduler = resumed(made, schedule, order, saved)
        last, now = scheduler.get_last_lr(), [group["lr"] for group in optimizer.param_groups]
        assert list(map(float, last)) == list(map(float, now))
    assert np.array(rates) == pytest.approx(np.array(known), rel=1e-12)


def test_the_base_rate_is_the_one_that_was_saved() -> None:
    schedule = cosine(20)
    optimizer = sgd(0.4)
    scheduler = schedule.drive(optimizer)
    train(optimizer, scheduler, 5)
    saved = {"O": optimizer.state_dict(), "S": scheduler.state_dict()}
    for order in ORDERS:
        other, again = resumed(lambda _: sgd(0.1), schedule, order, saved)
        rates = [rate for (rate,) in train(other, again, 3)]
        assert rates == pytest.approx([0.4 * schedule(step) for step in (5, 6, 7)])


def test_an_optimizer_saved_without_a_schedule_begins_it() -> None:
    plain, other = sgd(0.4), sgd(0.1)
    scheduler = warmup(4, start=0.5).drive(other)
    train(other, scheduler, 2)
    other.load_state_dict(plain.state_dict())
    assert train(other, scheduler, 2) == [[pytest.approx(0.4 * 0.75)], [pytest.approx(0.4 * 0.875)]]


def test_another_schedule_begins_at_its_own_step_0() -> None:
    optimizer = sgd(0.4)
    train(optimizer, cosine(5).drive(optimizer), 3)
    other = sgd(0.4)
    other.load_state_dict(optimizer.state_dict())
    train(optimizer, warmup(5, start=0.5).drive(optimizer), 1)  # on the one that goes on, and the one that was loaded
    assert train(other, warmup(5, start=0.5).drive(other), 2) == [[0.2], [pytest.approx(0.4 * 0.6)]]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.4 * 0.6)


@pytest.mark.parametrize("step", [0, 3])
def test_the_step_to_begin_at_may_be_said(step: int) -> None:
    optimizer, other = sgd(0.4), sgd(0.4)
    train(optimizer, cosine(5).drive(optimizer), 5)
    other.load_state_dict(optimizer.state_dict())
    assert train(other, cosine(5).drive(other, step=step), 1) == [[pytest.approx(0.4 * cosine(5)(step))]]


@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
@pytest.mark.parametrize("made", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("given", [{}, {"lr": 0.2}])
def test_groups_that_join_later(made: Made, given: dict[str, float], way: str) -> None:
    schedule, base = cosine(10), given.get("lr", 0.4)
    optimizer = made(0.4)
    scheduler: Any = schedule.drive(optimizer)
    train(optimizer, scheduler, 3)
    if way == "pickle":
        optimizer, scheduler = pickle.loads(pickle.dumps((optimizer, scheduler)))
    elif way == "deepcopy":
        scheduler = copy.deepcopy(scheduler)
        optimizer = scheduler.optimizer
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], **given})
    rates = train(optimizer, scheduler, 3)
    assert [rate[-1] for rate in rates] == pytest.approx([base * schedule(step) for step in (3, 4, 5)])
    assert [rate[0] for rate in rates] == pytest.approx([0.4 * schedule(step) for step in (3, 4, 5)])
    assert len(scheduler.get_last_lr()) == len(optimizer.param_groups)
    again = made(0.4)
    again.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], **given})
    again.load_state_dict(optimizer.state_dict())
    assert train(again, schedule.drive(again), 1)[0][-1] == pytest.approx(base * schedule(6))


def test_two_schedulers_share_nothing_after_loading() -> None:
    first, second = sgd(torch.tensor(0.4)), sgd(torch.tensor(0.4))
    one, other = cosine(10).drive(first), cosine(10).drive(second)
    state = one.state_dict()
    other.load_state_dict(state)
    second.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
    for rate in (*other.base_lrs, *other.get_last_lr()):
        assert isinstance(rate, torch.Tensor)
        rate.zero_()
    assert one.base_lrs == state["base_lrs"] == one.get_last_lr() == [torch.tensor(0.4)]


def test_loading_that_fails_leaves_the_rates() -> None:
    optimizer = fl.Optimizer([torch.nn.Parameter(torch.zeros(1))], fl.rules.adam, lr=0.4)
    scheduler = cosine(10).drive(optimizer)
    train(optimizer, scheduler, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    train(optimizer, scheduler, 2)
    del saved["state"][0]["m"]
    with pytest.raises(ValueError, match="has no m"):
        optimizer.load_state_dict(saved)
    assert train(optimizer, scheduler, 2) == [[pytest.approx(0.4 * cosine(10)(step))] for step in (4, 5)]


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("at", [2, 6])
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_in_turns_with_torchs_own_means(at: int, both: bool) -> None:
    """torch's SequentialLR lets one scheduler after the other drive."""

    def made() -> tuple[torch.optim.Optimizer, Any]:
        optimizer = sgd(0.4)
        parts: list[Any] = [warmup(4, start=0.5).drive(optimizer), cosine(6).drive(optimizer)]
        return optimizer, torch.optim.lr_scheduler.SequentialLR(optimizer, parts, milestones=[4])

    schedule = warmup(4, start=0.5).then(cosine(6))
    optimizer, scheduler = made()
    train(optimizer, scheduler, at)
    other, again = made()
    if both:
        other.load_state_dict(optimizer.state_dict())
    again.load_state_dict(scheduler.state_dict())
    rates = train(optimizer, scheduler, 3)
    assert rates == train(other, again, 3)
    assert rates == [[pytest.approx(0.4 * schedule(step))] for step in range(at, at + 3)]


def loading(state: Any) -> None:
    cosine(5).drive(sgd()).load_state_dict(state)


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
        (lambda: warmup(5).drive(sgd(), step=-1), ValueError, "step must be a whole number from 0; got -1"),
        (lambda: loading({}), ValueError, "state_dict must be what .* got nothing"),
        (lambda: loading(sgd().state_dict()), ValueError, "state_dict must be what .* got 'state', 'param_groups'"),
        (
            lambda: loading(cosine(5).drive(in_groups(0.1)).state_dict()),
            ValueError,
            "saved with 2 param groups, and the optimizer has 1",
        ),
        (lambda: Schedule(0.1), TypeError, "law must be a function of the step; got 0.1"),  # type: ignore[arg-type]
    ],
)
def test_misuse_is_refused_in_a_sentence(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call()
