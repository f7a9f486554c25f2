"""What must not be said of races with one of a thing, with nothing to tell apart, or with nothing left."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline.racing import Arm, Effort, RaceResult
from fallline.racing.arms.dimensions import Range
from fallline.racing.judging.records import Entry, Final, Trial, Verdict
from fallline.racing.judging.verdict import decide

NAN = float("nan")


def arm(
    name: str, level: float = 0.3, *, trials: int = 8, finals: int = 3, seeds: int = 10, spread: float = 0.01,
    examples: bool = True, diverged: bool = False, searched: bool = True,
) -> Entry:  # fmt: skip
    """An arm whose trials and finals lie around one level, over a learning rate that does not matter."""
    rng = np.random.default_rng([*name.encode(), seeds])
    space = {"lr": Range(1e-4, 1.0)} if searched else {}
    points = Range(1e-4, 1.0)
    validation = level + spread * rng.standard_normal(trials)
    order = np.argsort(validation)
    runs = []
    for place in range(finals):
        shares = level + spread * rng.standard_normal((seeds, 1)) + spread * rng.standard_normal((1, 20))
        runs.append(
            Final(int(order[place]), shares.mean(axis=1), np.full(seeds, diverged), shares if examples else None)
        )
    tried = [
        Trial({"lr": points.at((place + 0.5) / trials)} if searched else {}, float(score), diverged)
        for place, score in enumerate(validation)
    ]
    return Entry(name, tuple(tried), tuple(runs), space, 12.0, 1e-5)


def verdict(*entries: Entry, **changes: Any) -> Verdict:
    return decide(entries, **{"higher_is_better": False, "untrained": 2.3, **changes})


ORDER = r"\bwins\b|\bbehind\b|\bahead\b|\bcheap|Who leads|sensitiv"

#: Entries of a race, what decides, and what must not be said in its sentence or warnings.
RACES: dict[str, tuple[Sequence[Entry], dict[str, Any], str]] = {
    "one arm": ([arm("a")], {}, rf"{ORDER}|p-value|finalist|share the lead|dimensions"),
    "one arm, one seed, one trial": (
        [arm("a", trials=1, finals=1, seeds=1)], {}, rf"{ORDER}|p-value|finalist|share the lead|interval|1 of 1"),
    "two arms, one trial each": ([arm(name, trials=1, finals=1) for name in "ab"], {}, rf"{ORDER}|1 of 1"),
    "two arms, one seed": ([arm(name, seeds=1) for name in "ab"], {}, ORDER.replace("|sensitiv", "")),
    "two arms, one seed, far apart": (
        [arm("a", seeds=1), arm("b", 1.5, seeds=1)], {}, r"\bwins\b|\bbehind\b|\bahead\b"),
    "far apart with one finalist": ([arm("a", finals=1), arm("b", 1.5, finals=1)], {}, r"\bwins\b|\bbehind\b"),
    "far apart in five seeds": ([arm("a", seeds=5), arm("b", 1.5, seeds=5)], {}, r"\bwins\b|\bbehind\b|\bahead\b"),
    "the same arm twice": ([arm("a"), dataclasses.replace(arm("a"), name="b")], {}, ORDER),
    "all perfect": ([arm(name, level=0.0, spread=0.0) for name in "abc"], {}, rf"{ORDER}|upper end|lower end|outside"),
    "all perfect, a gain": (
        [arm(name, level=1.0, spread=0.0) for name in "abc"], {"higher_is_better": True, "untrained": 0.1},
        rf"{ORDER}|upper end|lower end|outside"),
    "no better than untrained": ([arm(name, level=2.3, spread=0.0) for name in "ab"], {}, ORDER),
    "all diverged": ([arm(name, diverged=True) for name in "ab"], {}, rf"{ORDER}|p-value|finalist|split|Runs diverged"),
    "the only one diverged": ([arm("a", diverged=True)], {}, rf"{ORDER}|p-value|finalist|split"),
    "one left": ([arm("a"), arm("b", diverged=True)], {}, rf"{ORDER}|p-value|finalist"),
    "no score before training": ([arm(name) for name in "ab"], {"untrained": None}, ORDER),
    "a ranking": ([arm("a"), arm("b", 1.5)], {"effort_names_winner": False}, rf"{ORDER}|\btie\b|p-value|finalist"),
    "equal but for rounding": (
        [arm("a", spread=0.0), arm("b", 0.3 * (1 + 1e-15), spread=0.0)], {"smallest_difference": 0.0}, ORDER),
}  # fmt: skip


@pytest.mark.parametrize(("entries", "changes", "unsaid"), RACES.values(), ids=RACES)
def test_what_is_not_known_is_not_said(entries: Sequence[Entry], changes: dict[str, Any], unsaid: str) -> None:
    found = verdict(*entries, **changes)
    text = " ".join([found.sentence, *found.warnings])
    assert re.search(unsaid, text) is None, text
    assert not re.search(r"\bnan\b|\binf\b|  | ,| \.|\(\)|since [,;.]|, so no winner is named: *$", text), text
    assert found.winner is None


@pytest.mark.parametrize(("searched", "finals", "winner"), [(True, 1, None), (True, 2, "a"), (False, 1, "a")])
def test_with_one_finalist_other_trials_are_not_judged(searched: bool, finals: int, winner: str | None) -> None:
    found = verdict(*(arm(name, level, finals=finals, searched=searched) for name, level in (("a", 0.3), ("b", 1.5))))
    (comparison,) = found.comparisons
    assert found.winner == winner
    assert (comparison.study is None) == (finals == 1)
    assert ("study" in comparison.failed) == (winner is None)
    assert any("one finalist" in warning for warning in found.warnings) == (winner is None)
    assert ("other trials" in found.sentence) == (searched or finals > 1)


@pytest.mark.parametrize("untrained", [2.3, 0.2, None])
def test_a_diverged_seed_counts_alike_in_every_place(untrained: float | None) -> None:
    fragile, steady = arm("fragile", 0.3, spread=0.02), arm("steady", 0.4, spread=0.02)
    fallen = np.arange(10) == 4
    finals = tuple(
        dataclasses.replace(
            final, diverged=fallen, scores=np.where(fallen, NAN, final.scores),
            examples=None if final.examples is None else np.where(fallen[:, None], NAN, final.examples),
        )
        for final in fragile.finals
    )  # fmt: skip
    fragile = dataclasses.replace(fragile, finals=finals)
    found = verdict(fragile, steady, untrained=untrained)
    sound = [final.scores[final.usable] for entry in (fragile, steady) for final in entry.finals]
    worst = max(np.concatenate(sound))
    counted = max(worst, -1.0 if untrained is None else untrained)
    mean = (sound[0].sum() + counted) / 10
    assert found.scores["fragile"].value == pytest.approx(mean)
    (comparison,) = found.comparisons
    assert {comparison.best: comparison.best_score, comparison.other: comparison.other_score} == {
        name: score.value for name, score in found.scores.items()
    }
    assert f"{mean:.4g}" in found.sentence
    # The lead over other test examples is about that score, not one in which the seed's examples count for nothing.
    assert comparison.split is not None
    low, high = comparison.split
    assert low <= comparison.difference <= high


X = torch.linspace(-1, 1, 64)[:, None]


def raced(effort: Effort, arms: Sequence[Any] = ("sgd", "adam"), **changes: Any) -> RaceResult:
    given: dict[str, Any] = {
        "model": lambda: nn.Linear(1, 1), "loss": nn.functional.mse_loss, "train": (X, 2 * X), "valid": (X, 2 * X),
        "test": (X[::2], 2 * X[::2]), "batch": 16, "epochs": 1, "name": "line",
    }  # fmt: skip
    return fl.race(fl.Problem(**{**given, **changes}), list(arms), effort, storage=None, training="batched")


def test_a_table_of_one_run_an_arm_has_no_intervals() -> None:
    result = raced(Effort(trials=1, finalists=1, seeds=1))
    text = str(result)
    assert "over the seeds" not in text
    assert "other trials\n" not in text
    assert "95 % interval" not in text[: text.index("The lead of")]
    assert all(f"{arm.score.value:#.4g} (" not in text for arm in result.arms if arm.score is not None)
    assert all(arm["statistics"]["score"]["low"] is None for arm in result.to_json()["arms"])
    assert "<html" in _page(result)


def test_the_table_has_the_score_of_the_verdict_and_counts_what_diverged() -> None:
    wild = Arm("wild", fl.rules.gradient_descent, space={"lr": (1e-3, 1e3)})
    result = raced(Effort(trials=8, finalists=4, seeds=3), (wild, "adam"))
    for arm in result.arms:
        assert arm.score == result.verdict.scores.get(arm.name)
    text = str(result)
    assert "which count in its score as the untrained model" in " ".join(text.split())
    assert any(line.split()[-3:] == [f"{result['wild'].diverged_trials}", "+", f"{result['wild'].diverged_seeds}"]
               for line in text.splitlines() if line.startswith("wild"))  # fmt: skip


def test_a_goal_that_few_reached_is_not_said_to_be_reached_by_half() -> None:
    slow = [Arm(f"to {high}", fl.rules.gradient_descent, space={"lr": (1e-6, high)}) for high in (2e-6, 3e-6)]
    text = " ".join(str(raced(Effort(trials=2, finalists=2, seeds=2), slow)).split())
    assert "at least half of the arms reached" not in text
    assert "which less than half of the arms reached" in text


def _page(result: RaceResult) -> str:
    from fallline.pages.report import report_page

    return report_page(result.to_json())
