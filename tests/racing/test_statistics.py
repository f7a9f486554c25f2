import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fallline.racing.judging import statistics
from fallline.racing.judging.statistics import (
    budget_curve,
    drawn_finals,
    drawn_neighbours,
    drawn_trials,
    finite,
    holm,
    interval,
    mean_interval,
    near_best,
    resampled_weights,
    sign_flip_p,
    split_losses,
    stand_in,
    standard_error,
    study_losses,
)


def brute_sign_flip_p(differences: np.ndarray) -> float:
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    return float(np.mean(abs((signs * differences).mean(axis=1)) >= abs(differences.mean()) - 1e-12))


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0] * 5, 2 / 32),  # no five seeds reach 0.05
        ([1.0] * 6, 2 / 64),
        ([1.0] * 10, 2 / 1024),
        ([-1.0] * 10, 2 / 1024),
        ([0.0] * 10, 1.0),
        ([1.0, -1.0], 1.0),
        ([3.0, 2.0, -1.0], 0.5),  # |means| 4, 6, 2, 0 over 3, twice each: two of the four are at least 4/3
        ([7.0], 1.0),
    ],
)
def test_sign_flip_p_by_hand(differences: list[float], p: float) -> None:
    assert sign_flip_p(differences) == pytest.approx(p)


@pytest.mark.parametrize("seeds", [2, 3, 5, 8, 10])
def test_sign_flip_p_against_enumeration(seeds: int) -> None:
    rows = np.random.default_rng(seeds).normal(0.3, 1.0, (4, seeds))
    assert sign_flip_p(rows) == pytest.approx([brute_sign_flip_p(row) for row in rows])


def test_sign_flip_p_of_many_seeds_is_drawn_from_its_seed() -> None:
    differences = np.random.default_rng(1).normal(0.4, 1.0, 16)
    p = sign_flip_p(differences, seed=3)
    assert p == sign_flip_p(differences, seed=3)
    assert p == pytest.approx(brute_sign_flip_p(differences), abs=0.01)


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.04], [0.04]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.03, 0.01, 0.02], [0.04, 0.03, 0.04]),  # the largest stays below no smaller one's
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.6, 0.9], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holm_by_hand(p: list[float], adjusted: list[float]) -> None:
    assert holm(p).tolist() == pytest.approx(adjusted)


@pytest.mark.parametrize("n", range(1, 8))
def test_budget_curve_against_every_draw(n: int) -> None:
    losses = np.random.default_rng(n).normal(size=n)
    brute = [np.mean([min(draw) for draw in itertools.combinations(losses, k)]) for k in range(1, n + 1)]
    assert budget_curve(losses) == pytest.approx(brute)


def test_budget_curve_against_binomials() -> None:
    n, losses = 60, np.sort(np.random.default_rng(0).exponential(size=60))
    exact = [
        sum(losses[i - 1] * math.comb(n - i, k - 1) / math.comb(n, k) for i in range(1, n + 1)) for k in range(1, n + 1)
    ]
    assert budget_curve(losses) == pytest.approx(exact, rel=1e-12)


def test_budget_curve_of_many_losses_stays_a_curve() -> None:
    losses = np.random.default_rng(0).normal(size=3000)
    curve = budget_curve(losses)
    assert curve[0] == pytest.approx(losses.mean())
    assert curve[-1] == losses.min()
    assert (np.diff(curve) <= 1e-15).all()


REPEATS = 40_000


def shares_of_finals(drawn: np.ndarray, finals: list[int]) -> np.ndarray:
    return np.bincount(drawn_finals(drawn, finals), minlength=len(finals)) / REPEATS


@pytest.mark.parametrize("finals", [[3, 1, 0, 2, 9], [5]])
def test_finals_of_independent_trials_have_their_exact_probabilities(finals: list[int]) -> None:
    drawn = drawn_trials(16, rng=np.random.default_rng(0), repeats=REPEATS)
    missed = [(1 - j / 16) ** 16 for j in range(len(finals))]  # none better than the j-th drawn
    assert shares_of_finals(drawn, finals) == pytest.approx(-np.diff([*missed, 0.0]), abs=0.01)


@pytest.mark.parametrize(
    ("finals", "missed"),
    [
        # how likely it is that none of the first 1, 2, ... finals is drawn, of eight trials in a row
        ([4, 1], [1 / 2 * (3 / 4) ** 2]),
        ([0, 4], [1 / 2 * 3 / 4]),  # an end has one neighbour, which stands for it in half of its draws
        ([1, 4], [1 / 2 * 1 / 2 * 3 / 4]),
        ([4, 3, 0], [9 / 32, (3 / 4) ** 2 * (1 / 4) ** 2]),
        ([3, 5, 0], [9 / 32, (3 / 4) ** 2 * (1 / 2) ** 3]),
        ([4, 3, 5, 0], [9 / 32, 9 / 256, 0.0]),  # of three neighbours one is always drawn
        ([0, 1, 4], [3 / 8, 0.0]),
        ([5], []),
    ],
)
def test_finals_of_stratified_trials_have_their_exact_probabilities(finals: list[int], missed: list[float]) -> None:
    places = np.array([0.3, 0.9, 0.1, 0.5, 0.8, 0.2, 0.6, 0.4])
    by_place = np.argsort(places)
    drawn = drawn_neighbours(places, rng=np.random.default_rng(0), repeats=REPEATS)
    found = shares_of_finals(drawn, by_place[finals].tolist())
    assert found == pytest.approx(-np.diff([1.0, *missed, 0.0]), abs=0.01)


@pytest.mark.parametrize(
    ("places", "among"),
    [
        ([0.5], [{0}]),
        ([0.5, 0.1], [{0, 1}, {0, 1}]),
        ([0.5, 0.1, 0.3], [{1, 2}, {0, 1, 2}, {0, 2}]),
        ([5.0, 4.0, 3.0, 2.0, 1.0], [{4, 3}, {4, 3, 2}, {3, 2, 1}, {2, 1, 0}, {1, 0}]),
        ([0.2, 0.2, 0.1], [{2, 0}, {2, 0, 1}, {0, 1}]),  # equals in their order
    ],
)
def test_a_trial_is_replaced_by_itself_or_a_neighbour(places: list[float], among: list[set[int]]) -> None:
    drawn = drawn_neighbours(places, rng=np.random.default_rng(0), repeats=200)
    assert [set(column.tolist()) for column in drawn.T] == among


def test_resampled_weights_are_shares_of_draws() -> None:
    weights = resampled_weights(10, rng=np.random.default_rng(0), repeats=4000)
    assert weights.sum(axis=1) == pytest.approx(np.ones(4000))
    assert weights.mean(axis=0) == pytest.approx(np.full(10, 0.1), abs=0.01)
    assert weights[:, 0].var() == pytest.approx(0.009, rel=0.1)  # binomial: 10 * 0.1 * 0.9 / 10**2
    assert set(np.unique(np.round(weights * 10, 9))) <= set(range(11))


def resamples(arms: int = 2, finals: int = 3, seeds: int = 4, repeats: int = 30) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, finals, (arms, repeats))
    return rng.normal(size=(arms, finals, seeds, 7)), chosen, resampled_weights(seeds, rng=rng, repeats=repeats)


def test_study_losses_one_by_one() -> None:
    examples, chosen, weights = resamples()
    losses = examples.mean(axis=3)
    expected = [[losses[a, chosen[a, r]] @ weights[r] for r in range(30)] for a in range(2)]
    assert study_losses(losses, chosen, weights) == pytest.approx(np.array(expected))


def test_split_losses_one_by_one() -> None:
    examples, chosen, weights = resamples()
    drawn = resampled_weights(7, rng=np.random.default_rng(5), repeats=30)
    expected = [[weights[r] @ examples[a, chosen[a, r]] @ drawn[r] for r in range(30)] for a in range(2)]
    found = split_losses(examples, chosen, weights, rng=np.random.default_rng(5))
    assert found == pytest.approx(np.array(expected))


def test_split_losses_do_not_depend_on_the_memory_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    examples, chosen, weights = resamples()
    whole = split_losses(examples, chosen, weights, rng=np.random.default_rng(5))
    monkeypatch.setattr(statistics, "WEIGHTS_AT_ONCE", 40)
    assert split_losses(examples, chosen, weights, rng=np.random.default_rng(5)) == pytest.approx(whole)


def test_equal_examples_leave_the_study_alone() -> None:
    examples, chosen, weights = resamples()
    losses = examples.mean(axis=3)
    equal = np.repeat(losses[..., None], 7, axis=3)
    found = split_losses(equal, chosen, weights, rng=np.random.default_rng(5))
    assert found == pytest.approx(study_losses(losses, chosen, weights))


@pytest.mark.parametrize(
    ("losses", "untrained", "expected"),
    [
        ([0.3, 0.5], 2.3, 2.3),
        ([], 2.3, 2.3),
        ([0.3, 7.0], 2.3, math.nextafter(7.0, math.inf)),
        ([2.3], 2.3, math.nextafter(2.3, math.inf)),
        ([-0.9, -0.05], -0.1, math.nextafter(-0.05, 0.0)),  # accuracies as losses
    ],
)
def test_stand_in_ranks_last(losses: list[float], untrained: float, expected: float) -> None:
    assert stand_in(losses, untrained) == expected


def test_interval_is_central() -> None:
    assert interval(np.arange(1001.0)) == pytest.approx((25.0, 975.0))
    assert interval(np.arange(1001.0), level=0.5) == pytest.approx((250.0, 750.0))


def test_mean_interval_is_students() -> None:
    from scipy.stats import t

    scores = np.random.default_rng(0).normal(5.0, 2.0, 12)
    low, high = t.interval(0.95, 11, loc=scores.mean(), scale=standard_error(scores))
    estimate = mean_interval(scores)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((scores.mean(), low, high))


def test_mean_interval_covers_as_promised() -> None:
    samples = np.random.default_rng(0).normal(size=(400, 6))
    covered = sum(one.low <= 0 <= one.high for one in map(mean_interval, samples))
    assert 0.92 <= covered / 400 <= 0.98


def test_one_score_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two"):
        mean_interval([1.0])


def test_standard_error_of_one_is_nothing() -> None:
    assert standard_error([4.0]) == 0.0
    assert standard_error([1.0, 3.0, 5.0]) == pytest.approx(2 / math.sqrt(3))


def test_near_best_counts_what_keeps_nine_tenths_of_the_gain() -> None:
    assert near_best([0.1, 0.29, 0.31, 2.3], best=0.1, untrained=2.1) == 2
    assert near_best([0.1, 0.2], best=0.1, untrained=0.05) == 1  # nothing was gained, so only the best is near it


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (sign_flip_p, "differences"),
        (holm, "p_values"),
        (budget_curve, "losses"),
        (interval, "draws"),
        (mean_interval, "scores"),
        (standard_error, "values"),
        (lambda values: stand_in(values, 1.0), "losses"),
        (lambda values: stand_in([1.0], values[0]), "untrained"),
        (lambda values: near_best(values, 0.0, 1.0), "losses"),
        (lambda values: drawn_neighbours(values, rng=np.random.default_rng(0)), "places"),
        (lambda values: finite(values, "anything"), "anything"),
    ],
)
def test_nothing_unbounded_enters(function: Callable[[Any], Any], argument: str, bad: float) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be finite"):
        function([bad, 1.0, 2.0])
