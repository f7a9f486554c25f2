import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fallline._text import listed
from fallline.racing.arms.dimensions import Choice, Dimension, Range
from fallline.racing.judging.cautions import (
    best_at_edge,
    cautions,
    many_dimensions,
    missed_target,
)
from fallline.racing.judging.records import Entry, Final, Trial

DIVERGED = math.nan


def entry(
    name: str = "adam",
    validation: Sequence[float] = (0.3, 0.2, 0.4),
    *,
    lrs: Sequence[float] = (1e-3, 1e-2, 1e-1),
    finals: int = 1,
    seeds: int = 10,
    fallen_runs: int = 0,
    space: Mapping[str, Dimension] | None = None,
) -> Entry:
    """An arm with these trials; the best ones have finals, of whose runs the last ones diverged."""
    trials = tuple(
        Trial({"lr": lr, "momentum": 0.1 * i}, score, not math.isfinite(score))
        for i, (lr, score) in enumerate(zip(lrs, validation, strict=True))
    )
    order = sorted(range(len(trials)), key=lambda i: (trials[i].diverged, trials[i].score))
    diverged = np.arange(finals * seeds).reshape(finals, seeds) >= finals * seeds - fallen_runs
    runs = tuple(Final(order[i], np.full(seeds, 0.3), diverged[i]) for i in range(finals))
    return Entry(name, trials, runs, space or {"lr": Range(1e-4, 0.5)}, 28.0, 1e-5)


#: Eight points of five decades up to 0.1, as a Sobol sequence may have drawn them: the last is at the end of its space.
EIGHT = (2e-6, 9e-6, 3e-5, 1.3e-4, 6e-4, 2.5e-3, 1.1e-2, 0.08)
RISING = (2.3, 2.1, 1.8, 1.4, 1.0, 0.7, 0.5, 0.3)
UP_TO_A_TENTH = {"lr": Range(1e-6, 0.1)}
HIGHEST = (
    "The best lr of adam, 0.08, lies at the upper end of its space, towards which the trials still improve: the best "
    "may lie outside, so raise its upper end above 0.1 and race again."
)


def of_eight(validation: Sequence[float] = RISING, *, last: float = 0.08, spread: float = 0.01, **more: Any) -> Entry:
    """An arm with eight trials, whose finals' seeds have this spread."""
    made = entry(validation=validation, lrs=(*EIGHT[:-1], last), **{"space": UP_TO_A_TENTH, **more})
    noise = spread * np.linspace(-1.0, 1.0, len(made.finals[0].scores))
    finals = tuple(replace(final, scores=made.trials[final.trial].score + noise) for final in made.finals)
    return replace(made, finals=finals)


def edges(*entries: Entry, higher: bool = False) -> tuple[str, ...]:
    return best_at_edge(entries, higher_is_better=higher)


def mirrored(one: Entry) -> Entry:
    """The same arm with gains for losses."""
    trials = tuple(replace(trial, score=-trial.score) for trial in one.trials)
    return replace(one, trials=trials, finals=tuple(replace(final, scores=-final.scores) for final in one.finals))


@pytest.mark.parametrize(
    ("arm", "told"),
    [
        (of_eight(), (HIGHEST,)),
        (of_eight(last=0.036), ()),  # the highest of eight, but not within half a spacing of the end
        (of_eight((*RISING[:-1], 0.45)), (HIGHEST,)),
        (of_eight((*RISING[:-1], 0.45), spread=0.022), (HIGHEST,)),  # 0.05 ahead, more than 2.26 * sqrt(2) * 0.014
        (of_eight((*RISING[:-1], 0.45), spread=0.026), ()),  # less than 2.26 * sqrt(2) * 0.0166
        (of_eight((*RISING[:-1], 0.45), spread=0.1), ()),  # no better than the one before, but for the seeds
        (of_eight((0.0,) * 8), ()),  # all perfect
        (of_eight((0.3,) * 8, spread=0.0), ()),  # a dimension that does not matter
        (of_eight((0.31, 0.3, 0.32, 0.31, 0.3, 0.32, 0.31, 0.295), spread=0.02), ()),  # nor does this one
        (of_eight((*RISING[:-2], DIVERGED, 0.3)), (HIGHEST,)),  # what diverged further in brackets nothing
        (of_eight((DIVERGED,) * 8), ()),
        (of_eight(fallen_runs=10), ()),
        (of_eight(seeds=1), ()),  # one seed tells nothing of the noise
        (of_eight(fallen_runs=9), ()),
        (mirrored(of_eight()), ()),  # as losses, the best ones
        (of_eight(space={"lr": Choice((*EIGHT[:-1], 0.08))}), ()),  # options have no order
        (of_eight(space={"lr": Range(0.0, 0.1, "linear")}), ()),  # 0.08 is not at the end of that scale
        (of_eight(RISING[::-1], space={"lr": Range(1.9e-6, 0.1)}),
         (HIGHEST.replace("0.08", "2e-06").replace("upper", "lower").replace("raise", "lower").replace("above 0.1",
          "below 1.9e-06"),)),
        (of_eight(RISING[::-1], space={"lr": Range(0.0, 0.1, "linear")}), ()),  # nothing lies below 0
    ],
)  # fmt: skip
def test_best_at_edge(arm: Entry, told: tuple[str, ...]) -> None:
    assert edges(arm) == told


def test_best_at_edge_of_a_gain() -> None:
    assert edges(mirrored(of_eight()), higher=True) == (HIGHEST,)


def test_what_diverged_further_out_brackets_the_best() -> None:
    lrs = (*EIGHT[:-2], 0.085, 0.09)
    arm = replace(
        of_eight(), trials=entry(validation=(*RISING[:-2], 0.3, DIVERGED), lrs=lrs, space=UP_TO_A_TENTH).trials
    )
    assert edges(replace(arm, finals=(replace(arm.finals[0], trial=6),))) == ()
    outer = tuple(replace(trial, score=0.5, diverged=False) if trial.diverged else trial for trial in arm.trials)
    assert len(edges(replace(arm, trials=outer, finals=(replace(arm.finals[0], trial=6),)))) == 1


@pytest.mark.parametrize(("inner", "told"), [(0.29, 0), (0.3, 0), (0.31, 1)])
def test_a_finalist_further_in_that_does_as_well_brackets_the_best(inner: float, told: int) -> None:
    arm = of_eight(finals=2)
    other = replace(arm.finals[1], scores=arm.finals[0].scores + inner - 0.3)
    assert len(edges(replace(arm, finals=(arm.finals[0], other)))) == told


@pytest.mark.parametrize(
    ("momenta", "told"),
    [
        ([0.05, 0.95, 0.2, 0.7, 0.4, 0.9, 0.3, 0.6], ["lr"]),  # the learning rate explains it all
        ([0.5, 0.1, 0.2, 0.3, 0.7, 0.8, 0.85, 0.99], ["lr", "momentum"]),  # either may
        ([0.1, 0.9, 0.2, 0.6, 0.4, 0.8, 0.7, 0.99], ["lr"]),  # at the end of its range by chance
    ],
)
def test_with_more_dimensions_the_one_at_its_end_must_tell(momenta: Sequence[float], told: list[str]) -> None:
    both = {**UP_TO_A_TENTH, "momentum": Range(0.0, 1.0, "linear")}
    arm = of_eight(space=both)
    trials = tuple(
        replace(trial, configuration={**trial.configuration, "momentum": momentum})
        for trial, momentum in zip(arm.trials, momenta, strict=True)
    )
    found = edges(replace(arm, trials=trials))
    assert [sentence.split()[2] for sentence in found] == told


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        ({"adam": 10, "sgd": 0}, None),  # just half
        ({"adam": 9, "sgd": 0}, "Only 9 of 20 final runs"),
        ({"adam": 0, "sgd": 0}, "None of 20 final runs"),
    ],
)
def test_missed_target(reached: Mapping[str, int], told: str | None) -> None:
    found = missed_target(reached, runs=10)
    assert found == () if told is None else found[0].startswith(told)


def test_missed_target_refuses_impossible_counts() -> None:
    with pytest.raises(ValueError, match="from 0 to 10"):
        missed_target({"adam": 11}, runs=10)


def test_many_dimensions() -> None:
    wide = entry("sgd", space={"lr": Range(1e-4, 0.5), "momentum": Range(0.0, 1.0, "linear")})
    assert many_dimensions([entry()]) == ()
    assert many_dimensions([wide]) == ()  # there is no gap to be found
    assert many_dimensions([entry(), wide])[0].startswith("Two or more dimensions are searched for sgd with 3 trials")


def test_all_cautions_are_sentences() -> None:
    wide = {**UP_TO_A_TENTH, "momentum": Range(0.0, 1.0, "linear")}
    steep = (2.3, 2.3, 2.3, 2.3, 2.3, 2.3, DIVERGED, 0.3)
    entries = [
        replace(of_eight(seeds=5, space=wide), name="a"),
        replace(of_eight(seeds=5), name="b"),
        replace(of_eight((0.4,) * 8, seeds=5), name="c"),
        replace(of_eight(steep, seeds=5), name="d"),
    ]
    found = cautions(entries, higher_is_better=False)
    kinds = ("best lr of a", "best lr of b", "best lr of d", "dimensions")
    assert [kind in sentence for kind, sentence in zip(kinds, found, strict=True)] == [True] * len(kinds)
    assert all(sentence.endswith(".") for sentence in found)


def test_nothing_wrong_is_not_warned_of() -> None:
    entries = [entry("a", finals=2), entry("b", finals=2)]
    assert cautions(entries, higher_is_better=False) == ()


def test_of_one_run_it_is_told_that_it_missed() -> None:
    assert missed_target({"adam": 0}, runs=1)[0].startswith("The only final run missed the target")


@pytest.mark.parametrize(("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b")])
def test_listed(names: list[str], text: str) -> None:
    assert listed(names) == text
