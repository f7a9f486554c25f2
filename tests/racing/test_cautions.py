import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from fallline.racing.arms.dimensions import Choice, Dimension, Range
from fallline.racing.judging.cautions import (
    all_cautions,
    best_at_edge,
    crossing_budgets,
    diverged_runs,
    few_seeds,
    many_dimensions,
    missed_target,
    unsplit_metric,
)
from fallline.racing.judging.records import Entry, Final, Trial
from fallline.racing.wording import listed

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


LOWEST = (
    "The best lr of adam, 0.001, is the lowest of the 3 tried: the best may lie outside the space, so lower its lower "
    "end below 0.0001 and race again."
)
HIGHEST = (
    "The best lr of adam, 0.1, is the highest of the 3 tried: the best may lie outside the space, so raise its upper "
    "end above 0.5 and race again."
)


@pytest.mark.parametrize(
    ("validation", "told"),
    [
        ((0.3, 0.2, 0.4), ()),
        ((0.1, 0.2, 0.4), (LOWEST,)),
        ((0.3, 0.2, 0.1), (HIGHEST,)),
        ((0.3, 0.2, DIVERGED), ()),  # what diverged further out brackets the best
        ((DIVERGED, DIVERGED, DIVERGED), ()),
    ],
)
def test_best_at_edge(validation: Sequence[float], told: tuple[str, ...]) -> None:
    assert best_at_edge([entry(validation=validation)]) == told


def test_best_at_edge_looks_at_every_dimension() -> None:
    both = {"lr": Range(1e-4, 0.5), "momentum": Range(0.0, 1.0, "linear")}
    assert len(best_at_edge([entry(validation=(0.3, 0.2, 0.1), space=both)])) == 2


@pytest.mark.parametrize(
    ("space", "validation", "told"),
    [
        ({"lr": Range(9e-3, 1.0)}, (0.3, 0.2, 0.4), "0.01, lies at the lower end of its space"),
        ({"lr": Range(1e-5, 1.1e-2)}, (0.3, 0.2, 0.4), "raise its upper end above 0.011"),
        ({"lr": Range(1e-5, 1.1e-2)}, (0.3, 0.2, DIVERGED), None),  # what diverged further out brackets the best
        ({"momentum": Range(0.0, 1.0, "linear")}, (0.1, 0.2, 0.4), None),  # nothing lies below 0
        ({"lr": Choice((1e-3, 1e-2, 1e-1))}, (0.1, 0.2, 0.4), None),  # options have no order
    ],
)
def test_best_at_an_end_of_its_space(
    space: Mapping[str, Dimension], validation: Sequence[float], told: str | None
) -> None:
    found = best_at_edge([entry(validation=validation, space=space)])
    assert found == () if told is None else told in found[0]


def test_two_trials_have_no_inside() -> None:
    assert best_at_edge([entry(validation=(0.3, 0.2), lrs=(1e-3, 1e-2))]) == ()


@pytest.mark.parametrize(
    ("arms", "seeds", "told"),
    [
        (1, 2, []),
        (2, 10, []),
        (20, 10, []),
        (2, 5, ["smallest p-value within reach is 0.062", "no winner can be named", "take 10 seeds"]),
        (2, 1, ["With 1 seed and 2 arms"]),
        (2, 6, ["only a lead in nearly every seed can win", "take 10 seeds"]),
        (3, 6, ["smallest p-value within reach is 0.062", "no winner can be named"]),
        (21, 10, ["With 10 seeds and 21 arms", "take 12 seeds"]),
        (21, 12, []),
        (120, 12, ["no winner can be named", "take 13 seeds"]),
    ],
)
def test_few_seeds(arms: int, seeds: int, told: list[str]) -> None:
    found = few_seeds([entry(f"arm{i}", seeds=seeds) for i in range(arms)])
    assert len(found) == bool(told)
    assert all(text in found[0] for text in told)


@pytest.mark.parametrize("arms", range(2, 300, 7))
def test_the_seeds_advised_are_enough(arms: int) -> None:
    advised = int(few_seeds([entry(f"arm{i}", seeds=2) for i in range(arms)])[0].split("take ")[1].split()[0])
    assert (arms - 1) * 2 / 2**advised < 0.05
    assert few_seeds([entry(f"arm{i}", seeds=advised) for i in range(arms)]) == ()


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


# E[best of 1, 2, 3, 4]: flat stays at 0.3, steep falls: 0.575, 0.283, 0.125, 0.1
FLAT, STEEP = (0.3, 0.3, 0.3, 0.3), (0.1, 0.2, 1.0, 1.0)
FOUR = (1e-4, 1e-3, 1e-2, 1e-1)


def crossing(*validations: Sequence[float], margin: float = 0.0) -> tuple[str, ...]:
    entries = [entry(name, one, lrs=FOUR) for name, one in zip("abcd", validations, strict=False)]
    return crossing_budgets(entries, higher_is_better=False, untrained=2.3, smallest_difference=margin)


@pytest.mark.parametrize(
    ("validations", "margin", "told"),
    [
        ((FLAT, STEEP), 0.0, "a with 1 and b with 2 or more"),
        ((STEEP, FLAT), 0.0, "b with 1 and a with 2 or more"),
        ((FLAT, STEEP), 0.25, None),  # b is 0.275 behind with one trial, a never more than 0.2: a will do throughout
        ((FLAT, (0.2, 0.2, 0.2, 0.2)), 0.0, None),
        ((FLAT, FLAT), 0.0, None),
        ((FLAT, (0.21, 0.3, 0.42, 0.42), (0.0, 2.0, 2.0, 2.0)), 0.0,
         "a with 1, b with 2 to 3 and c with 4 or more"),
        ((FLAT, (0.1, 0.2, DIVERGED, 9.0)), 0.0, "a with 1 to 2 and b with 3 or more"),
        # what ended worse than untrained counts as untrained
        (((1.0,) * 4, (0.1, 0.2, 9.0, 9.0)), 0.0, "a with 1 and b with 2 or more"),
    ],
)  # fmt: skip
def test_crossing_budgets(validations: Sequence[Sequence[float]], margin: float, told: str | None) -> None:
    start = "Who leads in validation depends on how many trials each arm is given: "
    assert crossing(*validations, margin=margin) == (() if told is None else (f"{start}{told}.",))


def test_crossing_budgets_of_a_gain() -> None:
    entries = [entry("a", [-x for x in FLAT], lrs=FOUR), entry("b", [-x for x in STEEP], lrs=FOUR)]
    found = crossing_budgets(entries, higher_is_better=True, untrained=-2.3, smallest_difference=0.0)
    assert found == crossing(FLAT, STEEP)


def test_crossing_budgets_need_a_margin() -> None:
    with pytest.raises(ValueError, match="smallest_difference must be at least 0"):
        crossing(FLAT, STEEP, margin=-1.0)


def test_a_diverged_arm_crosses_nothing() -> None:
    assert crossing((DIVERGED,) * 4) == ()
    assert crossing(FLAT, STEEP, (DIVERGED,) * 4) == crossing(FLAT, STEEP)


def test_many_dimensions() -> None:
    wide = entry("sgd", space={"lr": Range(1e-4, 0.5), "momentum": Range(0.0, 1.0, "linear")})
    assert many_dimensions([entry()]) == ()
    assert many_dimensions([entry(), wide])[0].startswith("Two or more dimensions are searched for sgd with 3 trials")


def test_unsplit_metric() -> None:
    assert unsplit_metric([entry()]) == ()
    fallen = entry("sgd", (DIVERGED,) * 3, examples=None)
    assert "does not split by example" in unsplit_metric([entry(examples=None), fallen])[0]
    assert unsplit_metric([fallen]) == ()  # nothing was left to split


def test_all_cautions_are_sentences() -> None:
    both = {"lr": Range(1e-5, 1.0), "momentum": Range(-1.0, 1.0, "linear")}
    entries = [
        entry("a", (0.1, 0.2, DIVERGED, 1.0), lrs=FOUR, seeds=5, examples=None, space=both),
        entry("b", FLAT, lrs=FOUR, seeds=5, examples=None),
    ]
    found = all_cautions(entries, higher_is_better=False, untrained=2.3, smallest_difference=0.0)
    kinds = (
        "best lr",
        "best momentum",
        "best lr",
        "5 seeds",
        "Runs diverged",
        "how many trials",
        "dimensions",
        "split",
    )
    assert [kind in sentence for kind, sentence in zip(kinds, found, strict=True)] == [True] * len(kinds)
    assert all(sentence.endswith(".") for sentence in found)


def test_a_race_for_a_ranking_needs_no_more_seeds() -> None:
    entries = [entry("a", seeds=5), entry("b", seeds=5)]
    told = [
        all_cautions(entries, higher_is_better=False, untrained=2.3, smallest_difference=0.0, names_winner=names)
        for names in (True, False)
    ]
    assert (len(told[0]), told[1]) == (1, ())


def test_nothing_wrong_is_not_warned_of() -> None:
    entries = [entry("a"), entry("b")]
    assert all_cautions(entries, higher_is_better=False, untrained=2.3, smallest_difference=0.0) == ()


@pytest.mark.parametrize(("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b")])
def test_listed(names: list[str], text: str) -> None:
    assert listed(names) == text
