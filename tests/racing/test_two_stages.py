"""One range is searched in two stages: evenly over all of it, then about the best, beyond an end where it is open."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline import Problem, rules
from fallline.racing.arms import Arm, Choice, Range
from fallline.racing.effort import Effort
from fallline.racing.evidence import as_entrants
from fallline.racing.judging import Entry, Final, Trial
from fallline.racing.judging.cautions import best_at_edge
from fallline.racing.runs import Outcome, Run
from fallline.racing.search import about, even_places, near_places, wide_places
from fallline.racing.tuning import Tuned, best_trials, planned_runs, tune

SGD = Arm("sgd", rules.gradient_descent)
CLOSED = Arm("closed", rules.gradient_descent, {"lr": (1e-5, 100.0)})
FLAT = Arm("flat", rules.gradient_descent, {"lr": (1e-5, 100.0), "weight_decay": (1e-6, 0.1)})
OPTIONS = Arm("options", rules.gradient_descent, {"batch": Choice((16, 32))}, {"lr": 0.1})
PROBLEM = Problem(
    model=lambda: nn.Linear(3, 1), loss=nn.functional.mse_loss, batch=16, epochs=10,
    **{split: (torch.ones(32, 3), torch.ones(32, 1)) for split in ("train", "valid", "test")},  # type: ignore[arg-type]
)  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 24])
@pytest.mark.parametrize("offset", [0, 1, 123_456_789, 2**31, 2**32 - 1])
def test_even_places_are_as_far_apart_as_can_be_and_hold_those_of_fewer(count: int, offset: int) -> None:
    places = even_places(count, offset)
    assert all(0 <= place < 1 for place in places)
    assert [later - earlier for earlier, later in pairwise(places)] == pytest.approx([1 / count] * (count - 1))
    for times in (2, 3, 5):
        assert set(places) < set(even_places(times * count, offset))  # to the bit, so that runs are found again


def test_places_are_an_arms_own_and_anywhere() -> None:
    assert wide_places(SGD, 8, 0) == wide_places(SGD, 8, 0)
    assert len({wide_places(arm, 8, seed)[0] for arm in (SGD, CLOSED) for seed in range(5)}) == 10
    first = np.array([wide_places(SGD, 8, seed)[0] for seed in range(400)])
    assert np.quantile(8 * first, (0.25, 0.5, 0.75)) == pytest.approx((0.25, 0.5, 0.75), abs=0.08)


@pytest.mark.parametrize(
    ("best", "is_open", "ends"),
    [
        (0, True, (-0.4, 0.35)),  # two spacings beyond an end
        (1, True, (0.1, 0.6)),
        (3, True, (0.6, 1.35)),
        (0, False, (0.0, 0.35)),
        (1, False, (0.1, 0.6)),
        (3, False, (0.6, 1.0)),
    ],
)
def test_the_neighbourhood_of_the_best(best: int, is_open: bool, ends: tuple[float, float]) -> None:
    wide = [0.1, 0.35, 0.6, 0.85]
    assert about(wide, best, is_open=is_open) == pytest.approx(ends)
    arm = SGD if is_open else CLOSED
    near = near_places(arm, wide, best, 5, seed=0)
    apart = (ends[1] - ends[0]) / 5
    assert ends[0] <= near[0] < ends[0] + apart
    assert [later - earlier for earlier, later in pairwise(near)] == pytest.approx([apart] * 4)


def stages_of(loss: Callable[[dict[str, Any]], float]) -> Any:
    """What trains runs, whose losses a function of the configuration gives; infinite ones diverge."""

    def train(title: str, runs: Sequence[Run]) -> list[Outcome]:
        titles.append((title, len(runs)))
        return [outcome(loss(dict(run.configuration))) for run in runs]

    titles: list[tuple[str, int]] = []
    return SimpleNamespace(problem=PROBLEM, train=train, titles=titles)


def outcome(loss: float) -> Outcome:
    one = np.ones(1, dtype=np.int64)
    return Outcome(one, one, np.ones(1), np.array([loss]), np.array([loss]), -1 if math.isfinite(loss) else 1)


def bowl(best: float, diverges: float = math.inf) -> Callable[[dict[str, Any]], float]:
    return lambda point: math.inf if point["lr"] > diverges else abs(math.log(point["lr"] / best))


def searched(arm: Arm, loss: Callable[[dict[str, Any]], float], trials: int = 16, seed: int = 0, **more: Any) -> Tuned:
    effort = Effort(trials, **more)
    return tune(stages_of(loss), [arm], effort, seed, tuning_seed=0)[arm.name]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("best", "diverges"),
    [(0.01, math.inf), (3e-5, math.inf), (60.0, math.inf), (0.3, 0.31), (1.5e-6, math.inf), (600.0, math.inf)],
)
def test_the_best_is_found_within_a_factor(best: float, diverges: float, seed: int) -> None:
    """Also where it lies most of a decade beyond the ends that are searched first, or at the edge of what diverges."""
    found = searched(SGD, bowl(best, diverges), seed=seed)
    usable = [float(point["lr"]) for point, one in zip(found.points, found.outcomes, strict=True) if not one.diverged]
    assert min(max(rate / best, best / rate) for rate in usable) < 1.7


def test_a_users_own_range_is_never_left() -> None:
    for best in (1e-9, 1e-5, 1.0, 100.0, 1e9):
        assert all(1e-5 <= float(point["lr"]) <= 100.0 for point in searched(CLOSED, bowl(best)).points)


def test_where_all_diverged_the_search_goes_on_below() -> None:
    found = searched(SGD, bowl(1e-9, diverges=0.0))
    assert all(place < 0.25 for place in found.places[8:])
    assert min(found.places) < 0


@pytest.mark.parametrize(
    ("arm", "trials", "more", "stages"),
    [
        (SGD, 16, {}, [8, 8]),
        (SGD, 15, {}, [8, 7]),
        (SGD, 8, {}, [4, 4]),
        (SGD, 7, {}, [7]),  # too few for two
        (SGD, 1, {}, [1]),
        (SGD, 16, {"rounds": 1}, [16]),
        (SGD, 16, {"rounds": 3}, [6, 5, 5]),
        (SGD, 16, {"halving": 2}, [8, 8]),
        (FLAT, 16, {}, [16]),
        (OPTIONS, 16, {}, [16]),
    ],
)
def test_stages(arm: Arm, trials: int, more: dict[str, int], stages: list[int]) -> None:
    found = searched(arm, lambda point: float(point.get("lr", 0.1)), trials, **more)
    assert list(Counter(found.stages).values()) == stages
    one_range = arm is SGD
    assert len(found.places) == (trials if one_range else 0)
    assert found.even is (more in ({}, {"rounds": 1}))
    if one_range:
        assert [arm.space["lr"].at(place) for place in found.places] == pytest.approx([p["lr"] for p in found.points])


def test_all_arms_get_as_many_trials_in_the_same_stages() -> None:
    stages = stages_of(lambda point: float(point.get("lr", 0.1)))
    arms = [SGD, FLAT, OPTIONS]
    found = tune(stages, arms, Effort(16), seed=3, tuning_seed=0)
    assert stages.titles == [("tuning, round 1", 24), ("tuning, round 2", 24)]
    assert {name: len(one.points) for name, one in found.items()} == {"sgd": 16, "flat": 16, "options": 16}
    assert found["flat"].points == tune(stages, [FLAT], Effort(16), 3, 0)["flat"].points  # of one draw all the same


def test_runs_are_counted_before_and_the_first_stage_is_known() -> None:
    effort = Effort(16, halving=2)
    planned = planned_runs(SGD, PROBLEM, effort, 0, 5, final_seeds=[6, 7])
    wide = [SGD.space["lr"].at(place) for place in wide_places(SGD, 8, 0)]
    assert [run.configuration["lr"] for run in planned[:8]] == wide
    assert Counter(run.steps for run in planned) == {4: 16, 10: 8, 20: 5}
    assert {run.seed for run in planned} == {5}


def test_the_decision_is_told_places_and_stages() -> None:
    found = {arm.name: searched(arm, bowl(0.01)) for arm in (SGD, FLAT)}
    chosen = best_trials(found, PROBLEM, Effort(16))
    runs = {name: tuple((outcome(1.0), outcome(2.0)) for _ in places) for name, places in chosen.items()}
    one, flat = as_entrants([SGD, FLAT], found, chosen, runs)
    assert one.places is not None
    assert one.stages is not None
    assert (one.places.tolist(), one.stages.tolist()) == (found["sgd"].places, [0] * 8 + [1] * 8)
    assert (flat.places, flat.stages) == (None, None)


@pytest.mark.parametrize(
    ("space", "beyond", "warned"),
    [
        (Range(1e-6, 0.1), (), True),
        (Range(1e-6, 0.1, open=True), (), True),  # of one stage, so nobody looked further
        (Range(1e-6, 0.1, open=True), (0.5,), False),
    ],
)
def test_the_edge_is_told_where_the_search_did_not_follow(
    space: Range, beyond: tuple[float, ...], warned: bool
) -> None:
    rates = (*np.geomspace(2e-6, 0.098, 8), *beyond)
    trials = tuple(Trial({"lr": rate}, abs(math.log(rate / 0.098)), diverged=False) for rate in rates)
    finals = (Final(7, np.array([0.0, 0.001]), np.zeros(2, dtype=bool)),)
    entry = Entry("sgd", trials, finals, {"lr": space}, 12.0, 1e-5)
    assert bool(best_at_edge([entry], higher_is_better=False)) is warned


@pytest.fixture
def raced(tmp_path: Path) -> Callable[..., fl.RaceResult]:
    def race(**effort: int) -> fl.RaceResult:
        given = fl.Effort(finalists=2, seeds=2, **effort)
        return fl.race(PROBLEM, ["sgd", "adam"], given, storage=tmp_path / "runs.db", workers=1, training="in turn")

    return race


def test_the_same_race_trains_nothing_and_twice_the_trials_take_the_first_stage(
    raced: Callable[..., fl.RaceResult],
) -> None:
    assert raced(trials=8).occasion["runs"] == {"trained": 2 * (8 + 4), "kept_before": 0}
    assert raced(trials=8).occasion["runs"] == {"trained": 0, "kept_before": 2 * (8 + 4)}
    twice = raced(trials=16).occasion["runs"]
    assert twice["kept_before"] >= 2 * 4
    assert twice["trained"] + twice["kept_before"] == 2 * (16 + 4)
