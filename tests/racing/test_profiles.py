"""Performance profiles over several problems, from curves written by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from fallline.racing import RaceResult
from fallline.racing.performance_profiles import Profiles, common_goal, profiles
from fallline.racing.runs import Outcome

Curve = Sequence[float]
NAN = float("nan")


def run(curve: Curve) -> Outcome:
    """Validation losses at steps 0, 10, 20, ...; the metric is the loss. With a NaN in it, it diverged."""
    values = np.array(curve, dtype=np.float64)
    steps = 10 * np.arange(len(values))
    return Outcome(steps, steps, values, values, values, 10 if np.isnan(values).any() else -1)


def race(
    problem: str,
    arms: Mapping[str, Sequence[Curve]],
    *,
    target: float | None = None,
    ties: tuple[tuple[str, ...], ...] = (),
    step_seconds: Mapping[str, Sequence[float]] | None = None,
) -> RaceResult:
    """A race of arms with one curve a seed, ranked as they are given; the untrained loss is 1."""

    def arm(name: str, curves: Sequence[Curve]) -> Any:
        runs = tuple(map(run, curves))
        diverged = all(one.diverged for one in runs)
        entry = SimpleNamespace(diverged=diverged, step_rounds=(step_seconds or {}).get(name, [0.001]))
        score = None if diverged else SimpleNamespace(value=float(np.nanmean([one.valid_loss[-1] for one in runs])))
        return SimpleNamespace(name=name, entry=entry, score=score, finals=(runs,))

    protocol = {
        "problem": problem, "metric": "loss", "higher_is_better": False, "target": target, "untrained_loss": 1.0,
    }  # fmt: skip
    verdict = SimpleNamespace(ranking=tuple(arms), ties=ties)
    made = SimpleNamespace(arms=[arm(*one) for one in arms.items()], verdict=verdict, protocol=protocol)
    return cast(RaceResult, made)


def steps(found: Profiles) -> dict[str, list[int | None]]:
    return {name: [None if one is None else one.reached.steps for one in row] for name, row in found.standings.items()}


DEEP, SHALLOW = [1.0, 0.5, 0.1, 0.0], [1.0, 0.6, 0.5, 0.4]


@pytest.mark.parametrize(
    ("arms", "target", "goal"),
    [
        ({"a": [DEEP], "b": [SHALLOW]}, None, 0.1),  # 0 + 0.1 (1 - 0)
        ({"b": [SHALLOW]}, None, 0.46),  # 0.4 + 0.1 (1 - 0.4)
        ({"a": [[1.0, 0.2, 0.7]]}, None, 0.28),  # the lowest, not the last
        ({"a": [DEEP, SHALLOW, SHALLOW]}, None, 0.46),  # of the median seed, not the luckiest
        ({"a": [DEEP, SHALLOW]}, None, 0.46),  # the worse of the middle two
        ({"a": [SHALLOW], "gone": [[1.0, 0.0, NAN]]}, None, 0.46),  # a diverged run is no example
        ({"gone": [[1.0, NAN, NAN]]}, None, 1.0),
        ({"a": [[1.0, 3.0, 2.0]]}, None, 1.9),  # nothing learned: 2 + 0.1 (1 - 2)
        ({"a": [DEEP]}, 0.5, 0.5),  # the problem's own
    ],
)
def test_the_goal(arms: dict[str, Sequence[Curve]], target: float | None, goal: float) -> None:
    found = common_goal(race("p", arms, target=target))
    assert found.value == pytest.approx(goal)
    assert found.given == (target is not None)


@pytest.mark.parametrize(
    ("curves", "target", "expected"),
    [
        ([DEEP], 0.1, 20),
        ([DEEP], 0.5, 10),
        ([SHALLOW], 0.1, None),
        ([DEEP, DEEP, SHALLOW], 0.1, 20),
        ([DEEP, SHALLOW], 0.1, None),  # half the seeds missed it
        ([[1.0, 0.5, 0.4, 0.1], DEEP, DEEP], 0.1, 20),
        ([[1.0, 0.9, 0.8]], 1.5, 10),  # met untrained: not before the first evaluation
        ([[1.0, 0.0, NAN]], 0.1, None),  # met, then diverged
        ([[1.0, 3.0, 2.0]], None, None),  # no better than untrained
    ],
)
def test_steps_to_the_goal(curves: Sequence[Curve], target: float | None, expected: int | None) -> None:
    assert steps(profiles([race("p", {"a": curves}, target=target)])) == {"a": [expected]}


#: Steps to a loss of 0.1: fast 10, 10 and missed; slow 20, 40 and 10; absent not in the third race.
FAST, TWENTY, FORTY = [1.0, 0.0], [1.0, 0.5, 0.0], [1.0, 0.5, 0.5, 0.5, 0.0]
RACES = [
    race("first", {"fast": [FAST], "slow": [TWENTY], "absent": [[1.0, NAN]]}, ties=(("fast", "slow"),)),
    race("second", {"fast": [FAST], "slow": [FORTY], "absent": [TWENTY]}, step_seconds={"fast": [0.009]}),
    race("third", {"slow": [FAST], "fast": [[1.0, 0.9]]}),
]


def test_areas_by_seconds_have_an_interval_over_the_rounds_of_timing() -> None:
    """Both arms take ten steps; in each of seven rounds of timing another one is faster, by a ratio of 1 to 4."""
    ratios = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    found = profiles([race("p", {"a": [FAST], "b": [FAST]}, step_seconds={"a": [1.0] * 7, "b": ratios})])
    spans = found.areas_by_seconds()
    assert (spans["a"].value, spans["a"].low, spans["a"].high) == (1.0, 1.0, 1.0)
    assert (spans["b"].value, spans["b"].low, spans["b"].high) == pytest.approx(((4 - 2.5) / 3, 0.0, 1.0))
    assert "0.50 (0.00 to 1.00)" in str(found)
    plain = found.to_json()["occasion"]
    assert plain["profiles_by_seconds"]["b"]["area_interval"] == pytest.approx([0.0, 1.0])
    assert plain["step_seconds"] == {"a": [1.0], "b": [2.5]}
    assert "95 % interval" not in str(profiles(RACES))  # each step was timed once


def test_profiles_by_hand() -> None:
    found = profiles(RACES)
    assert steps(found) == {"fast": [10, 10, None], "slow": [20, 40, 10], "absent": [None, 20, None]}
    assert found.shares() == {
        "fast": pytest.approx([2 / 3] * 3),
        "slow": pytest.approx([1 / 3, 2 / 3, 1.0]),
        "absent": pytest.approx([0, 1 / 3, 1 / 3]),
    }
    # Ratios 1 and 1; 2, 4 and 1; 2: each adds (4 - ratio) / 3 over three problems.
    assert found.areas() == pytest.approx({"fast": 2 / 3, "slow": 5 / 9, "absent": 2 / 9})
    assert found.arms == ("fast", "slow", "absent")
    assert found.unsolved == ()


def test_by_seconds_a_dear_step_counts() -> None:
    found = profiles(RACES)
    # In the second race 90 ms for fast, 40 for slow, 20 for absent.
    assert found.shares("seconds")["fast"] == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert found.shares("seconds")["absent"] == pytest.approx([1 / 3] * 3)


def test_a_problem_that_nobody_solved_counts_against_all() -> None:
    found = profiles([*RACES, race("hard", {"fast": [SHALLOW], "slow": [SHALLOW]}, target=0.0)])
    assert found.unsolved == ("hard",)
    assert found.shares()["slow"][-1] == pytest.approx(3 / 4)
    assert "No arm reached the goal of hard" in " ".join(str(found).split())


@pytest.mark.parametrize(
    ("races", "sentence"),
    [
        (RACES, "Of 3 problems, fast and slow reached the goal of 2 within twice the steps"),
        (RACES[:1], "Of 1 problem, fast and slow reached the goal of 1 within twice the steps"),
        (RACES[1:2], "Of 1 problem, fast and absent reached the goal of 1 within twice the steps"),
        ([race("hard", {"a": [SHALLOW]}, target=0.0)], "Of 1 problem, no arm reached the goal of any."),
    ],
)
def test_the_sentence_says_how_many_problems_and_names_no_winner(races: list[RaceResult], sentence: str) -> None:
    said = profiles(races).sentence
    assert said.startswith(sentence)
    assert "wins" not in said


def test_the_tables() -> None:
    lines = str(profiles(RACES)).splitlines()
    rows = [line.split() for line in lines if line.split()[:1] == ["absent"]]
    assert rows == [
        ["absent", "diverged", "0.00", "not", "raced"],
        ["absent", "missed", "20", "not", "raced"],
        ["absent", "0.00", "0.33", "0.33", "0.22", "0.33"],
    ]
    fast = next(line.split() for line in lines if line.split()[:1] == ["fast"])
    assert fast == ["fast", "0.00*", "0.00*", "0.900"]  # tied, alone, behind
    assert max(map(len, lines)) <= 120


def test_names_are_no_markup() -> None:
    assert "[bold]x" in str(profiles([race("[bold]x", {"a": [DEEP]})]))


def test_json_is_plain() -> None:
    read = json.loads(json.dumps(profiles(RACES).to_json(), allow_nan=False))
    assert [goal["problem"] for goal in read["goals"]] == ["first", "second", "third"]
    assert [arm["name"] for arm in read["arms"]] == ["fast", "slow", "absent"]
    assert read["arms"][0]["share_solved_within_ratio"] == {"1": 2 / 3, "2": 2 / 3, "4": 2 / 3}
    assert read["arms"][0]["problems"]["second"]["reached"]["steps"] == 10
    assert read["arms"][2]["problems"]["third"] is None
    assert read["occasion"]["step_seconds"]["fast"] == [0.001, 0.009, 0.001]


@pytest.mark.parametrize(
    ("races", "sentence"),
    [([], "results is empty"), ([RACES[0], RACES[0]], "two races of the problem 'first'")],
)
def test_bad_input_is_refused_in_a_sentence(races: list[RaceResult], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        profiles(races)
