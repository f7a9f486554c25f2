"""Random bits from a key and a counter: their frequencies, and that nothing about them hangs together."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fallline.training.counter_random import Calls, kept, run_keys, step_keys

SHAPE = (400, 500)


def bits(p: float, *, seed: int = 1, step: int = 1, call: int = 0) -> Tensor:
    return kept(step_keys(run_keys(torch.tensor(seed)), step), call, SHAPE, p).flatten()


def deviations(count: float, n: int, p: float) -> float:
    """How many standard deviations a count of n trials of probability p is off."""
    return abs(count - n * p) / math.sqrt(n * p * (1 - p))


def assert_independent(some: Tensor, others: Tensor, p: float) -> None:
    """Pearson's statistic of the four joint counts, of three degrees of freedom: above 16.3 in one of 1000 tables."""
    joint = torch.bincount(2 * some.long() + others.long(), minlength=4).double()
    expected = torch.tensor([p * p, p * (1 - p), p * (1 - p), (1 - p) ** 2]).double() * len(some)
    assert float(((joint - expected).square() / expected).sum()) < 16.3


@pytest.mark.parametrize("p", [1e-3, 0.1, 0.25, 0.5, 0.9, 0.999])
def test_the_share_that_is_dropped(p: float) -> None:
    mask = bits(p)
    assert deviations(int((~mask).sum()), len(mask), p) < 3.3


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("apart", [1, 2, 3, 8, 64, 500])
def test_elements_are_independent(p: float, apart: int) -> None:
    mask = bits(p)
    assert_independent(mask[apart:], mask[:-apart], p)


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("by", [1, 2, 64, 1000])
@pytest.mark.parametrize("name", ["seed", "step", "call"])
def test_seeds_steps_and_calls_are_independent(p: float, by: int, name: str) -> None:
    first = {"seed": 3, "step": 3, "call": 3}
    assert_independent(bits(p, **first), bits(p, **{**first, name: 3 + by}), p)


@pytest.mark.parametrize(("one", "other"), [("seed", "step"), ("step", "call"), ("seed", "call")])
def test_a_later_seed_is_no_later_step(one: str, other: str) -> None:
    assert_independent(bits(0.5, **{one: 2}), bits(0.5, **{other: 2}), 0.5)


def test_one_element_over_many_runs_and_steps() -> None:
    runs = run_keys(torch.arange(1000))
    keys = torch.cat([step_keys(runs, step) for step in range(1, 101)])
    assert len(set(keys.tolist())) == 100_000
    masks = torch.func.vmap(lambda key: kept(key, 0, (8,), 0.5))(keys)
    counts = torch.bincount((masks.long() * 2 ** torch.arange(8)).sum(1), minlength=256).double()
    statistic = float(((counts - counts.mean()).square() / counts.mean()).sum())
    assert 185 < statistic < 331  # 0.1 and 99.9 % of a chi-square distribution of 255 degrees of freedom


def test_mapped_as_alone() -> None:
    keys = run_keys(torch.tensor([0, 5, 2**63 - 1]))
    together = torch.func.vmap(lambda key: kept(key, 70_000, (3, 5), 0.3))(keys)
    assert torch.equal(together, torch.stack([kept(key, 70_000, (3, 5), 0.3) for key in keys]))


def test_calls_are_counted_unless_the_generator_was_put_back() -> None:
    calls = Calls()
    numbers = []
    with torch.random.fork_rng(devices=[]):
        for _ in range(2):
            state = torch.get_rng_state()
            numbers += [next(calls), next(calls)]
        torch.set_rng_state(state)
        numbers += [next(calls), next(calls), next(calls)]
    assert numbers == [0, 1, 2, 3, 2, 3, 4]
