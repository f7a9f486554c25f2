"""Races on several problems come to one decision, and races at several lengths to one of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline.problems import quadratic
from fallline.racing import Effort, Lengths, RaceResult, over_problems, race, race_lengths
from fallline.racing.decision import Entrant
from fallline.racing.decision.choice import choose
from fallline.racing.lengths import at_lengths

SHORT = Effort(trials=4, finalists=2, seeds=8)
ARMS = ["sgd", "momentum"]


def named(name: str, condition: float, steps: int = 40) -> fl.Problem:
    problem = quadratic(condition=condition, dimensions=3, steps=steps)
    problem.name = name
    return problem


@pytest.fixture(scope="module")
def results() -> list[RaceResult]:
    problems = named("round", 2.0), named("narrow", 50.0)
    return [race(problem, ARMS, SHORT, storage=None, workers=1) for problem in problems]


def loss_of(entrant: Entrant, untrained: float, seed: int) -> float:
    """An arm's mean loss without the luck of its choice."""
    chosen = choose(entrant, 1.0, untrained, np.random.default_rng([seed, *entrant.name.encode()]))
    assert chosen is not None
    return chosen.loss


def test_races_come_to_one_decision(results: list[RaceResult]) -> None:
    found = over_problems(results)
    assert found.problems == ("round", "narrow")
    assert set(found.distances) == set(ARMS)
    assert found.take in ARMS
    assert found.configurations == {
        one.protocol["problem"]: one[found.take].configuration for one in results
    }  # fmt: skip
    for one in results:
        name = one.protocol["problem"]
        untrained = one.protocol["untrained_score"]
        losses = {arm.name: loss_of(arm.entrant, untrained, one.protocol["seed"]) for arm in one.arms}
        gap = abs(losses["sgd"] - losses["momentum"]) / (untrained - min(losses.values()))
        assert abs(found.shares["sgd"][name] - found.shares["momentum"][name]) == pytest.approx(gap)
    assert found.level == results[0].decision.level
    told = [one.decision.speeds is not None for one in results]
    assert found.speed_problems == tuple(name for name, known in zip(found.problems, told, strict=True) if known)
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("places", "sentence"), [([], "results is empty"), ([0, 1, 0], "two races of the problem 'round'")]
)
def test_no_races_or_one_problem_twice(results: list[RaceResult], places: Sequence[int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        over_problems([results[place] for place in places])


def test_each_length_is_a_race_of_its_own_and_kept(tmp_path: Path) -> None:
    problem = named("bowl", 10.0, steps=8)
    asked: dict[str, Any] = {"storage": tmp_path / "runs.db", "workers": 1, "seed": 3}
    found = race_lengths(problem, ARMS, SHORT, lengths=(1, 0.25), **asked)
    assert found.lengths == ("2 epochs", "8 epochs")
    assert [one.protocol["problem"] for one in found.results] == ["bowl (2 of 8 epochs)", "bowl"]
    assert [one.protocol["steps"] for one in found.results] == [2, 8]
    assert all(one.occasion["runs"]["kept_before"] == 0 for one in found.results)
    again = race_lengths(problem, ARMS, SHORT, lengths=(0.25, 1), **asked)
    assert [one.occasion["runs"]["trained"] for one in again.results] == [0, 0]
    assert again.to_json() == found.to_json()
    assert race(problem, ARMS, SHORT, **asked).occasion["runs"]["trained"] == 0  # the whole length is the race itself
    page = str(found)
    assert page.startswith("2 epochs: Take ")
    assert "bowl: test height (above the best) by length of a run" in " ".join(page.split())


def test_a_share_of_a_single_epoch_is_of_its_steps(tmp_path: Path) -> None:
    """So short that some evaluations fall on one step; and no length is another look at the same race."""
    torch.manual_seed(0)
    data = torch.randn(60, 3), torch.randn(60, 1)
    problem = fl.Problem(
        model=lambda: nn.Linear(3, 1), loss=nn.functional.mse_loss, batch=10, epochs=1,
        train=(data[0][:40], data[1][:40]), valid=(data[0][40:50], data[1][40:50]), test=(data[0][50:], data[1][50:]),
    )  # fmt: skip
    found = race_lengths(problem, ARMS, SHORT, lengths=(0.5, 1), storage=tmp_path / "runs.db", workers=1)
    assert found.lengths == ("2 steps", "4 steps")
    assert len({one.decision.level for one in found.results}) == 1
    for one in found.results:
        assert one.decision.speeds is None or one.decision.speeds.steps <= one.protocol["steps"]


@pytest.mark.parametrize(
    ("lengths", "sentence"),
    [
        ([], "lengths is empty"),
        ([0.5, 0.5], "lengths: two of them come to 20 steps"),
        ([0.5, 0.501], "two of them come to 20 steps"),
        ([0.01, 1], "share: 0.01 of 40 epochs is less than one; give at least 0.025"),
        ([0.0, 1], "share: must be a finite number, greater than 0 and at most 1; got 0.0"),
        ([-1], "greater than 0"),
        ([1.5], "at most 1"),
        ([float("nan")], "share: must be a finite number"),
        (["x"], "got 'x'"),
    ],
)
def test_bad_lengths_are_a_sentence(lengths: Sequence[Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        at_lengths(named("bowl", 10.0), lengths)


def at(epochs: int, behind: str, arms: str = "abc", scores: Mapping[str, float] | None = None) -> RaceResult:
    """A race of arms, of which some are behind for certain."""
    decision = SimpleNamespace(
        distances=dict.fromkeys(arms, (0.0, 0.1)), behind=dict.fromkeys(behind, 0.1), ranking=tuple(arms),
        lines=(f"Take {arms[0]}.", "With 95 % confidence it is the best.", "More."), higher_is_better=True,
        scores=dict.fromkeys(arms, 0.5) if scores is None else scores, to_json=dict,
    )  # fmt: skip
    protocol = {"problem": f"p{epochs}", "epochs": epochs, "steps": 10 * epochs, "metric": "accuracy",
                "higher_is_better": True}  # fmt: skip
    found = SimpleNamespace(decision=decision, protocol=protocol, arms=[SimpleNamespace(name=name) for name in arms])
    return cast(RaceResult, found)


@pytest.mark.parametrize(
    ("behind", "changes"),
    [
        (["bc", "bc"], []),
        (["bc", "ac"], [(0, 1)]),
        (["bc", "c"], []),  # a may still be the best
        (["bc", ""], []),
        (["c", "ab"], [(0, 1)]),
        (["bc", "c", "ac"], [(0, 2)]),  # somewhere between
        (["bc", "ac", "bc"], [(0, 1), (1, 2)]),
        (["bc", "ac", "ac"], [(0, 1)]),
        (["bc", "ac", "ab"], [(0, 1), (1, 2)]),
        (["bc"], []),
    ],
)
def test_where_the_best_arm_changes_for_certain(behind: Sequence[str], changes: list[tuple[int, int]]) -> None:
    found = Lengths("p", tuple(at(1 + place, one) for place, one in enumerate(behind)))
    assert list(found.changes) == changes
    said = [line for line in found.lines if line.startswith("Between")]
    assert len(said) == len(changes)
    assert ("That the best arm changes with the length is not certain." in found.lines) == (
        len(behind) > 1 and not changes
    )


def test_the_lines_and_the_table_of_lengths() -> None:
    found = Lengths("[b]p", (at(1, "bc"), at(5, "a"), at(20, "a", scores={"a": 0.5, "b": 0.75})))
    assert found.lines == (
        "1 epoch: Take a. With 95 % confidence it is the best.",
        "5 epochs: Take a. With 95 % confidence it is the best.",
        "20 epochs: Take a. With 95 % confidence it is the best.",
        "Between 1 epoch and 5 epochs the best arm changes for certain: first it is a, then b or c.",
        "What is said of a length holds with 95 % confidence for all of its arms, at that length alone.",
    )
    page = str(found)
    assert "[b]p: test accuracy (below the best) by length of a run" in page
    row = next(line.split() for line in page.splitlines() if line.startswith("c "))
    assert row == ["c", "0.5000", "(0", "to", "0.1)", "0.5000", "(0", "to", "0.1)", "diverged"]
    assert found.to_json()["changes"] == [["1 epoch", "5 epochs"]]
    assert repr(found) == "Lengths('[b]p', 1 epoch, 5 epochs and 20 epochs; print it for the decisions and the table)"


def test_a_single_epoch_is_told_in_steps() -> None:
    def one(steps: int) -> RaceResult:
        made = at(1, "")
        made.protocol["steps"] = steps  # type: ignore[index]
        return made

    assert Lengths("p", (one(5), one(1000))).lengths == ("5 steps", "1,000 steps")
