import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fallline._text import listed
from fallline.racing.arms.dimensions import Choice, Dimension, Range
from fallline.racing.judging.cautions import (
    all_cautions,
    best_at_edge,
    crossing_budgets,
    diverged_runs,
    few_seeds,
    many_dimensions,
    missed_target,
    one_finalist,
    unsplit_metric,
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
    examples: int | None = 4,
) -> Entry:
    """An arm with these trials; the best ones have finals, of whose runs the last ones diverged."""
    trials = tuple(
        Trial({"lr": lr, "momentum": 0.1 * i}, score, not math.isfinite(score))
        for i, (lr, score) in enumerate(zip(lrs, validation, strict=True))
    )
    order = sorted(range(len(trials)), key=lambda i: (trials[i].diverged, trials[i].score))
    diverged = np.arange(finals * seeds).reshape(finals, seeds) >= finals * seeds - fallen_runs
    shares = None if examples is None else np.full((seeds, examples), 0.3)
    runs = tuple(Final(order[i], np.full(seeds, 0.3), diverged[i], shares) for i in range(finals))
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
    made = entry(validation=validation, lrs=(*EIGHT[:-1], last), **{"space": UP_TO_A_TENTH, "examples": None, **more})
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
    ("arms", "seeds", "told"),
    [
        (1, 2, []),
        (2, 10, []),
        (20, 10, []),
        (2, 5, ["smallest p-value within reach is 0.062", "no winner can be named", "take 10 seeds"]),
        (2, 1, ["With 1 seed and 2 arms"]),
        (2, 6, ["only a lead in nearly every seed can win", "take 10 seeds"]),
        (3, 6, ["smallest p-value within reach is 0.031", "only a lead in nearly every seed can win"]),
        (3, 5, ["smallest p-value within reach is 0.062", "no winner can be named"]),
        (21, 10, ["With 10 seeds and 21 arms", "take 12 seeds"]),
        (21, 12, []),
        (120, 12, []),
    ],
)
def test_few_seeds(arms: int, seeds: int, told: list[str]) -> None:
    found = few_seeds([entry(f"arm{i}", seeds=seeds) for i in range(arms)])
    assert len(found) == bool(told)
    assert all(text in found[0] for text in told)


@pytest.mark.parametrize("arms", [2, 20, 21, 300])
def test_the_seeds_advised_are_enough(arms: int) -> None:
    advised = int(few_seeds([entry(f"arm{i}", seeds=2) for i in range(arms)])[0].split("take ")[1].split()[0])
    assert 2 / 2**advised < 0.05
    assert few_seeds([entry(f"arm{i}", seeds=advised) for i in range(arms)]) == ()


def test_one_finalist() -> None:
    assert "so no winner can be named" in one_finalist([entry("a"), entry("b")])[0]
    assert one_finalist([entry("a", finals=2), entry("b", finals=2)]) == ()
    assert one_finalist([entry("a")]) == one_finalist([entry("a"), entry("b", (DIVERGED,) * 3)]) == ()
    assert one_finalist([replace(entry(name), space={}) for name in "ab"]) == ()  # nothing was drawn


def test_arms_that_diverged_need_no_seeds() -> None:
    fallen = entry("sgd", (DIVERGED,) * 3, seeds=5)
    assert few_seeds([entry(seeds=5), fallen]) == ()


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


def test_diverged_runs_are_counted() -> None:
    entries = [
        entry("fine"),
        entry("sgd", (0.3, 0.2, DIVERGED), finals=2, fallen_runs=3),
        entry("momentum", (0.3, DIVERGED, DIVERGED), finals=2),
        entry("absurd", (DIVERGED,) * 3),
        entry("fragile", fallen_runs=10),
    ]
    assert diverged_runs(entries) == (
        "absurd and fragile diverged as a whole: lower their learning rates and race again.",
        "Runs diverged: sgd in 1 of 3 trials and 3 of 20 final runs; momentum in 2 of 3 trials.",
    )
    assert diverged_runs(entries[:1]) == ()
    assert diverged_runs(entries[3:]) == ()  # the verdict says so already


# E[best of 1, 2, 3]: flat stays at 0.3, steep falls: 0.575, 0.36, 0.25, with four of each
FLAT, STEEP = (0.3, 0.3, 0.3, 0.3), (0.1, 0.2, 1.0, 1.0)
FOUR = (1e-4, 1e-3, 1e-2, 1e-1)
#: So often over, the trials are enough for a crossing to stand in nearly all other draws of them.
OFTEN = 12


def crossing(
    *validations: Sequence[float], margin: float = 0.0, often: int = OFTEN, untrained: float | None = 2.3
) -> tuple[str, ...]:
    entries = [entry(name, [*one] * often, lrs=FOUR * often) for name, one in zip("abcd", validations, strict=False)]
    return crossing_budgets(entries, higher_is_better=False, untrained=untrained, smallest_difference=margin)


@pytest.mark.parametrize(
    ("validations", "margin", "told"),
    [
        ((FLAT, STEEP), 0.0, "a with 1 to 2 and b with 3 or more"),
        ((STEEP, FLAT), 0.0, "b with 1 to 2 and a with 3 or more"),
        ((FLAT, STEEP), 0.25, None),  # b is 0.275 behind with one trial, a never more than 0.2: a will do throughout
        ((FLAT, (0.2, 0.2, 0.2, 0.2)), 0.0, None),
        ((FLAT, FLAT), 0.0, None),
        ((FLAT, (0.21, 0.3, 0.42, 0.42), (0.0, 2.0, 2.0, 2.0)), 0.0,
         "a with 1, b with 2 to 7 and c with 8 or more"),
        ((FLAT, (0.1, 0.2, DIVERGED, 9.0)), 0.0, "a with 1 to 3 and b with 4 or more"),
        # what ended worse than untrained counts as untrained
        (((0.6,) * 4, (0.1, 0.2, 9.0, 9.0)), 0.0, "a with 1 to 2 and b with 3 or more"),
        ((FLAT, (0.299, 0.299, 0.3, 0.303)), 0.0, None),  # a crossing that another draw of trials could undo
    ],
)  # fmt: skip
def test_crossing_budgets(validations: Sequence[Sequence[float]], margin: float, told: str | None) -> None:
    start = "Who leads in validation depends on how many trials each arm is given: "
    assert crossing(*validations, margin=margin) == (() if told is None else (f"{start}{told}.",))


def test_few_trials_tell_of_no_crossing() -> None:
    assert crossing(FLAT, STEEP, often=1) == ()


def test_where_the_untrained_model_has_no_score_the_worst_trial_stands_for_what_diverged() -> None:
    worst = crossing(FLAT, (0.1, 0.2, DIVERGED, 9.0), untrained=None)
    assert worst == crossing(FLAT, (0.1, 0.2, 9.0, 9.0), untrained=None) != ()


def test_crossing_budgets_of_a_gain() -> None:
    entries = [entry(name, [-x for x in one] * OFTEN, lrs=FOUR * OFTEN) for name, one in (("a", FLAT), ("b", STEEP))]
    found = crossing_budgets(entries, higher_is_better=True, untrained=-2.3, smallest_difference=0.0)
    assert found == crossing(FLAT, STEEP)


def test_crossing_budgets_need_a_margin() -> None:
    with pytest.raises(ValueError, match="smallest_difference must be at least 0"):
        crossing(FLAT, STEEP, margin=-1.0)


def test_equal_arms_cross_nothing() -> None:
    told = 0
    for race in range(20):
        rng = np.random.default_rng(race)
        arms = [0.3 + 2 * (rng.random(16) - 0.6) ** 2 + 0.02 * rng.standard_normal(16) for _ in range(12)]
        entries = [entry(f"arm{place}", one.tolist(), lrs=FOUR * 4) for place, one in enumerate(arms)]
        told += crossing_budgets(entries, higher_is_better=False, untrained=2.3, smallest_difference=0.0) != ()
    assert told <= 1


def test_a_diverged_arm_crosses_nothing() -> None:
    assert crossing((DIVERGED,) * 4) == ()
    assert crossing(FLAT, STEEP, (DIVERGED,) * 4) == crossing(FLAT, STEEP)


def test_many_dimensions() -> None:
    wide = entry("sgd", space={"lr": Range(1e-4, 0.5), "momentum": Range(0.0, 1.0, "linear")})
    assert many_dimensions([entry()]) == ()
    assert many_dimensions([wide]) == ()  # there is no gap to be found
    assert many_dimensions([entry(), wide])[0].startswith("Two or more dimensions are searched for sgd with 3 trials")


def test_unsplit_metric() -> None:
    assert unsplit_metric([entry()]) == ()
    fallen = entry("sgd", (DIVERGED,) * 3, examples=None)
    assert "does not split by example" in unsplit_metric([entry(examples=None), fallen])[0]
    assert unsplit_metric([fallen]) == ()  # nothing was left to split


def test_all_cautions_are_sentences() -> None:
    wide = {**UP_TO_A_TENTH, "momentum": Range(0.0, 1.0, "linear")}
    steep = (2.3, 2.3, 2.3, 2.3, 2.3, 2.3, DIVERGED, 0.3)
    entries = [
        replace(of_eight(seeds=5, space=wide), name="a"),
        replace(of_eight(seeds=5), name="b"),
        replace(of_eight((0.4,) * 8, seeds=5), name="c"),
        replace(of_eight(steep, seeds=5), name="d"),
    ]
    found = all_cautions(entries, higher_is_better=False, untrained=2.3, smallest_difference=0.0)
    kinds = ("best lr of a", "best lr of b", "best lr of d", "5 seeds", "one finalist", "Runs diverged", "dimensions",
             "split")  # fmt: skip
    assert [kind in sentence for kind, sentence in zip(kinds, found, strict=True)] == [True] * len(kinds)
    assert all(sentence.endswith(".") for sentence in found)


def test_a_race_for_a_ranking_needs_no_more_seeds_or_finalists() -> None:
    entries = [entry("a", seeds=5), entry("b", seeds=5)]
    told = [
        all_cautions(entries, higher_is_better=False, untrained=2.3, smallest_difference=0.0, names_winner=names)
        for names in (True, False)
    ]
    assert [len(sentences) for sentences in told] == [2, 0]


def test_nothing_wrong_is_not_warned_of() -> None:
    entries = [entry("a", finals=2), entry("b", finals=2)]
    assert all_cautions(entries, higher_is_better=False, untrained=2.3, smallest_difference=0.0) == ()


def test_remedies_name_what_was_searched() -> None:
    fallen = entry("sgd", (DIVERGED,) * 3, space={"momentum": Range(0.0, 1.0, "linear")})
    assert diverged_runs([entry(), fallen])[0] == "sgd diverged as a whole: change its settings and race again."
    assert missed_target({"adam": 0}, runs=1)[0].startswith("The only final run missed the target")


@pytest.mark.parametrize(("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b")])
def test_listed(names: list[str], text: str) -> None:
    assert listed(names) == text
