from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from fallline.racing.decision import decide, level_of_look, resolution
from fallline.racing.decision.advice import good_range, recommended
from fallline.racing.decision.choice import choose
from fallline.racing.decision.records import Entrant
from tests.racing.decision.cases import given

NAN = math.nan


def test_seeds_alone_give_students_gap() -> None:
    found = resolution(arms=2, seeds=10, examples=None, seed_spread=0.02)
    assert found.gap == pytest.approx((t.ppf(0.975, 9) + t.ppf(0.8, 9)) * 0.02 / math.sqrt(10))
    assert found.endless == 0.0
    assert found.limited_by == "seeds"


def test_a_gap_of_that_size_is_named_in_four_races_of_five() -> None:
    gap = resolution(arms=2, seeds=10, examples=None, seed_spread=math.sqrt(2)).gap
    named = 0
    for number in range(400):
        losses = np.random.default_rng(number).standard_normal((2, 10))
        made = decide([given("a", losses[0]), given("b", losses[1] + gap)], higher_is_better=False)
        named += made.winner == "a"
    assert 0.74 < named / 400 < 0.86


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({}, "seeds"),
        ({"example_spread": 0.5}, "examples"),
        ({"trial_spread": 0.1}, "trials"),
        ({"example_spread": 0.5, "examples": 100_000}, "seeds"),
    ],
)
def test_what_limits_is_the_largest_part(change: dict[str, Any], limit: str) -> None:
    given: dict[str, Any] = {"arms": 2, "seeds": 10, "examples": 360, "seed_spread": 0.01, **change}
    found = resolution(**given)
    assert found.limited_by == limit
    assert 0 <= found.endless <= found.gap
    more = resolution(**{**given, "seeds": 100_000})
    assert more.gap == pytest.approx(found.endless, abs=2e-4)
    assert resolution(**{**given, "arms": 12}).gap > found.gap


@pytest.mark.parametrize(("arms", "seeds"), [(1, 10), (2, 1)])
def test_a_gap_takes_two_arms_and_two_seeds(arms: int, seeds: int) -> None:
    with pytest.raises(ValueError, match=f"not {arms} over {seeds}"):
        resolution(arms=arms, seeds=seeds, examples=None, seed_spread=1.0)


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_looks_spend_the_level_and_no_more(level: float) -> None:
    spent = [level_of_look(look, level) for look in range(1, 20_000)]
    assert sum(spent) == pytest.approx(level, rel=1e-4)
    assert sum(spent) < level
    assert spent == sorted(spent, reverse=True)


@pytest.mark.parametrize("look", [0, -1])
def test_looks_count_from_one(look: int) -> None:
    with pytest.raises(ValueError, match=f"look must be 1 for the first.*not {look}"):
        level_of_look(look)


def test_a_later_look_says_less_and_says_so() -> None:
    losses = np.random.default_rng(0).standard_normal((2, 10))
    arms = [given("a", losses[0]), given("b", losses[1])]
    first, third = (decide(arms, higher_is_better=False, look=look) for look in (1, 3))
    assert first.level == pytest.approx(0.04)
    assert third.at_most_below_best > first.at_most_below_best > decide(arms, higher_is_better=False).at_most_below_best  # type: ignore[operator]
    assert "This was look 3 at this race; the looks share the level." in third.lines


def test_so_many_seeds_would_settle_it() -> None:
    rng = np.random.default_rng(1)
    losses = rng.standard_normal((2, 10))
    losses -= losses.mean(axis=1, keepdims=True)
    losses[1] += 0.5
    made = decide([given("a", losses[0]), given("b", losses[1])], higher_is_better=False)
    assert made.settling is not None
    assert made.settling.arms == ("a", "b")
    assert made.settling.limited_by == "seeds"
    seeds = made.settling.seeds
    assert seeds is not None
    spread = (losses[1] - losses[0]).std(ddof=1)

    def power_gap(count: int) -> float:
        return float((t.ppf(0.975, count - 1) + t.ppf(0.8, count - 1)) * spread / math.sqrt(count))

    assert power_gap(seeds) <= 0.5 < power_gap(seeds - 1)


@pytest.mark.parametrize(
    ("losses", "examples", "limit", "line"),
    [
        (
            "equal",
            False,
            "difference",
            "What a and b seem to differ by is too small for any affordable number of seeds.",
        ),
        (
            "close",
            False,
            "difference",
            "What a and b seem to differ by is too small for any affordable number of seeds.",
        ),
        ("close", True, "examples", "More seeds would not tell a and b apart: the 30 test examples limit it."),
    ],
)
def test_no_number_of_seeds_settles_what_is_too_close(losses: str, examples: bool, limit: str, line: str) -> None:
    rng = np.random.default_rng(0)
    runs = rng.standard_normal((2, 10))
    runs -= runs.mean(axis=1, keepdims=True)
    runs[1] += 1e-3 if losses == "close" else 0.0
    arms = []
    for name, one in zip("ab", runs, strict=True):
        shares = rng.standard_normal((1, 30)) if examples else None
        if shares is not None:
            shares = one[:, None] + shares - shares.mean()
        arms.append(given(name, one, examples=shares))
    made = decide(arms, higher_is_better=False)
    assert made.settling is not None
    assert (made.settling.seeds, made.settling.limited_by) == (None, limit)
    assert line.replace("a and b", " and ".join(made.settling.arms)) in made.lines


@pytest.mark.parametrize(
    ("furthest", "candidates", "rest", "taken"),
    [
        ([0.3, 0.2, 0.1], [0, 1, 2], {}, (2, "distance")),
        ([0.3, 0.2, 0.1], [0, 1], {}, (1, "distance")),
        ([0.3, 0.2, 0.1], [0], {}, (0, "alone")),
        ([0.1, 0.1, 0.1], [0, 1, 2], {"steps": [3.0, 1.0, 2.0]}, (1, "speed")),
        ([0.1, 0.104, 0.106], [0, 1, 2], {"steps": [3.0, 2.0, 1.0]}, (1, "speed")),  # a twentieth
        ([0.1, 0.104, 0.106], [0, 1, 2], {"steps": [3.0, 2.0, 1.0], "margin": 0.2}, (2, "speed")),
        ([0.1, 0.1, 0.1], [0, 1, 2], {"steps": [3.0, None, 1.0], "widths": [1.0, 2.0, 1.5]}, (1, "range")),
        ([0.1, 0.1, 0.1], [0, 1, 2], {"steps": [1.0, 1.0, 2.0], "widths": [1.0, 2.0, 3.0]}, (1, "range")),
        ([0.1, 0.1, 0.1], [0, 1, 2], {"bytes": [20.0, 12.0, 16.0]}, (1, "bytes")),
        ([0.1, 0.1, 0.1], [0, 1, 2], {"losses": [0.3, 0.2, 0.1]}, (2, "score")),
        ([math.inf, math.inf], [0, 1], {"losses": [0.3, 0.2]}, (1, "score")),
        ([0.0, 0.0], [0, 1], {}, (0, "name")),
    ],
)
def test_what_is_recommended_and_why(
    furthest: list[float], candidates: list[int], rest: dict[str, Any], taken: tuple[int, str]
) -> None:
    nothing: list[float | None] = [None] * len(furthest)
    asked = {"margin": 0.0, "steps": nothing, "widths": nothing, "bytes": nothing, "losses": [0.5] * len(furthest)}
    assert recommended(np.array(furthest), candidates, **{**asked, **rest}) == taken


RATES = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


@pytest.mark.parametrize(
    ("scores", "final", "sign", "untrained", "ends"),
    [
        ([2.0, 0.25, 0.1, 0.25, 2.0], 2, 1.0, 2.1, (1e-3, 1e-1)),
        ([2.0, 0.31, 0.1, 0.25, 2.0], 2, 1.0, 2.1, (1e-2, 1e-1)),  # a tenth of the gain is 0.2
        ([0.1, 2.0, 0.1, 2.0, 0.1], 2, 1.0, 2.1, (1e-2, 1e-2)),  # next to each other
        ([0.1, 0.1, 0.1, 0.1, 0.1], 2, 1.0, 2.1, (1e-4, 1.0)),
        ([0.1, 0.1, NAN, 0.1, 0.1], 1, 1.0, 2.1, (1e-4, 1e-3)),
        ([0.1, 0.85, 0.9, 0.85, 0.1], 2, -1.0, 0.1, (1e-3, 1e-1)),
        ([0.1, 0.85, 0.9, 0.85, 0.1], 2, -1.0, None, None),
        ([2.2, 2.2, 2.2, 2.2, 2.2], 2, 1.0, 2.1, None),  # there is no gain
    ],
)
def test_the_range_of_good_rates(
    scores: list[float], final: int, sign: float, untrained: float | None, ends: tuple[float, float] | None
) -> None:
    runs = np.full((1, 3), scores[final])
    arm = Entrant("a", np.array(scores), np.array([final]), runs, runs, places=np.log(RATES),
                  configurations=[{"lr": rate, "momentum": 0.9} for rate in RATES])  # fmt: skip
    chosen = choose(arm, sign, 9.0, np.random.default_rng(0))
    assert chosen is not None
    found = good_range(chosen, sign, untrained)
    assert (None if found is None else (found.setting, found.low, found.high)) == (ends and ("lr", *ends))
    if found is not None:
        assert found.width == pytest.approx(math.log(found.high / found.low))


@pytest.mark.parametrize(
    "configurations",
    [
        None,
        [{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 2.0}],
        [{"a": "x"}, {"a": "y"}],
        [{"a": True}, {"a": False}],
        [{}, {}],
    ],
)
def test_other_searches_have_no_range(configurations: list[dict[str, Any]] | None) -> None:
    arm = Entrant("a", np.ones(2), np.array([0]), np.ones((1, 2)), np.ones((1, 2)), places=np.arange(2.0),
                  configurations=configurations)  # fmt: skip
    chosen = choose(arm, 1.0, 9.0, np.random.default_rng(0))
    assert chosen is not None
    assert good_range(chosen, 1.0, 2.0) is None
