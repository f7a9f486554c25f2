"""How points are drawn, proposed, and let go."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fallline import rules
from fallline.racing.arms import Arm
from fallline.racing.arms.dimensions import Choice, Range
from fallline.racing.effort import Effort, as_effort
from fallline.racing.runs import Outcome
from fallline.racing.search import propose, rungs, sobol_points
from fallline.racing.tuning import Tuned

ADAM = Arm("adam", rules.adam)
MIXED = Arm(
    "mixed",
    rules.momentum,
    {"lr": (1e-4, 1.0), "momentum": Range(0.5, 0.999, "complement"), "schedule": Choice(("constant", "cosine")),
     "warm_up": Range(0.0, 0.2, "linear"), "batch": Choice((16, 32, 64))},
)  # fmt: skip


def test_sobol_points_are_even_and_an_arms_own() -> None:
    twin = Arm("twin", rules.adam)
    points = [point["lr"] for point in sobol_points(ADAM, 16, seed=1)]
    places = sorted((math.log10(float(x)) + 7) / 7 for x in points)
    assert all(i / 16 <= place <= (i + 1) / 16 for i, place in enumerate(places))  # one point in each sixteenth
    assert points == [point["lr"] for point in sobol_points(ADAM, 16, seed=1)]
    assert points != [point["lr"] for point in sobol_points(ADAM, 16, seed=2)]
    assert points != [point["lr"] for point in sobol_points(twin, 16, seed=1)]


@pytest.mark.parametrize("count", [1, 2, 3, 12, 48])
def test_fewer_points_are_the_first_of_more(count: int) -> None:
    points = sobol_points(MIXED, count, seed=0)
    assert points == sobol_points(MIXED, 64, seed=0)[:count]


@pytest.mark.parametrize(("name", "options"), [("schedule", ("constant", "cosine")), ("batch", (16, 32, 64))])
def test_sobol_points_take_each_option_equally_often(name: str, options: tuple[Any, ...]) -> None:
    taken = [point[name] for point in sobol_points(MIXED, 64, seed=0)]
    assert set(taken) == set(options)
    assert all(abs(taken.count(option) - 64 / len(options)) < 2 for option in options)


def _bowl(point: Any) -> float | None:
    """Best at a learning rate of 0.01, a missing momentum of 0.03 and with a cosine; large rates diverge."""
    if point["lr"] > 0.3:
        return None
    off: float = math.log10(point["lr"] / 0.01) ** 2 + math.log10((1 - point["momentum"]) / 0.03) ** 2
    return off + (0.5 if point["schedule"] == "constant" else 0.0)


def test_proposals_close_in_on_the_best() -> None:
    first = sobol_points(MIXED, 48, seed=0)
    proposed = propose(MIXED, first, [_bowl(point) for point in first], 16, seed=0)

    def mean(points: Any) -> float:
        return sum(5.0 if (loss := _bowl(point)) is None else loss for point in points) / len(points)

    assert mean(proposed) < 0.5 * mean(first)
    assert sum(point["schedule"] == "cosine" for point in proposed) > 8


def test_proposals_follow_from_name_seed_and_what_was_tried() -> None:
    first = sobol_points(MIXED, 8, seed=0)
    losses = [_bowl(point) for point in first]
    proposed = propose(MIXED, first, losses, 3, seed=0)
    twin = Arm("twin", MIXED.method, MIXED.space)
    assert proposed == propose(MIXED, first, losses, 3, seed=0)
    others = (
        propose(MIXED, first, losses, 3, seed=1),
        propose(twin, first, losses, 3, seed=0),
        propose(MIXED, first[:7], losses[:7], 3, seed=0),
    )
    assert proposed not in others


@pytest.mark.parametrize("losses", [[], [None] * 4, [1.0, 1.0, 1.0, 1.0], [math.inf, math.nan, 1e99, -1e99]])
def test_proposals_lie_in_the_space_whatever_was_tried(losses: list[float | None]) -> None:
    proposed = propose(MIXED, sobol_points(MIXED, 4, seed=0)[: len(losses)], losses, 6, seed=0)
    assert len(proposed) == 6
    for point in proposed:
        assert list(point) == list(MIXED.space)
        assert 1e-4 <= float(point["lr"]) <= 1.0
        assert 0.5 <= float(point["momentum"]) <= 0.999
        assert point["batch"] in (16, 32, 64)


@pytest.mark.parametrize(
    ("trials", "factor", "finalists", "ladder"),
    [
        (48, 3, 6, [(48, 9), (16, 3), (6, 1)]),
        (48, 3, 5, [(48, 9), (16, 3), (6, 1)]),
        (48, 3, 8, [(48, 9), (16, 3), (8, 1)]),
        (16, 3, 5, [(16, 3), (6, 1)]),
        (8, 2, 1, [(8, 8), (4, 4), (2, 2), (1, 1)]),
        (243, 3, 1, [(243, 243), (81, 81), (27, 27), (9, 9), (3, 3), (1, 1)]),
        (10, 10, 1, [(10, 10), (1, 1)]),
        (5, 3, 5, [(5, 1)]),
        (1, 2, 1, [(1, 1)]),
        (16, 1, 5, [(16, 1)]),
    ],
)
def test_rungs(trials: int, factor: int, finalists: int, ladder: list[Any]) -> None:
    assert rungs(trials, factor, finalists) == ladder


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_rungs_never_lose_one(factor: int) -> None:
    for power in range(1, 12):  # where a floating-point logarithm rounds down at some exact powers
        assert len(rungs(factor**power, factor, 1)) == power + 1


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: sobol_points(ADAM, 0, 0), "count must be at least 1"),
        (lambda: propose(ADAM, [{"lr": 0.1}], [], 1, 0), "there are 1 points and 0 losses"),
        (lambda: as_effort("quick", halving=0), "halving of an effort must be a whole number from 1"),
        (lambda: as_effort(Effort(8, 9)), "finalists must be at most the 8 trials of the effort; got 9"),
        (lambda: as_effort(Effort(8), rounds=9), "rounds must be at most the 8 trials of the effort; got 9"),
        (lambda: as_effort(Effort(8, rounds=0)), "rounds of an effort must be a whole number from 1"),
    ],
)
def test_what_can_not_be_searched(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def outcome(metric: float, loss: float, diverged_at: int = -1) -> Outcome:
    """A run that ended with this validation metric and loss."""
    one = np.ones(1, dtype=np.int64)
    return Outcome(one, one, np.ones(1), np.array([loss]), np.array([metric]), diverged_at)


@pytest.mark.parametrize(
    ("sign", "outcomes", "rungs", "order"),
    [
        (1.0, [(0.3, 0.3)] * 4, [0] * 4, [0, 1, 2, 3]),  # of equal trials the first
        (1.0, [(0.3, 0.3), (0.2, 0.2), (0.2, 0.2)], [0] * 3, [1, 2, 0]),
        (-1.0, [(0.9, 0.3), (0.9, 0.1), (0.9, 0.3)], [0] * 3, [1, 0, 2]),  # equal scores by loss, then the first
        (-1.0, [(0.8, 0.1), (0.9, 0.4)], [0] * 2, [1, 0]),
        (1.0, [(math.nan, math.nan, 3), (0.3, 0.3), (0.1, 0.1, 5)], [0] * 3, [1, 0, 2]),  # diverged ones last
        (1.0, [(0.1, 0.1), (0.3, 0.3), (0.3, 0.3)], [0, 1, 1], [1, 2, 0]),  # whoever came further, before all
    ],
)
def test_trials_are_ranked_and_of_equal_ones_the_first_wins(
    sign: float, outcomes: list[tuple[float, ...]], rungs: list[int], order: list[int]
) -> None:
    points = [{"lr": 0.1 * (place + 1)} for place in range(len(outcomes))]
    tuned = Tuned(points, [outcome(*one) for one in outcomes], rungs)  # type: ignore[arg-type]
    assert tuned.ranked(sign) == order
