from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, studentized_range, t, ttest_rel

from fallline.racing.decision.distances import TRIAL_FREEDOM, Distances, Spread, distances, level_of_each, spread
from fallline.racing.decision.records import Floats

RNG = np.random.default_rng


def plain(
    losses: Floats, examples: Floats | None = None, trials: Floats | None = None, luck: Floats | None = None
) -> Spread:
    nothing = np.zeros(len(losses))
    return spread(losses, luck=nothing if luck is None else luck, trials=nothing if trials is None else trials,
                  examples=examples)  # fmt: skip


@pytest.mark.parametrize("seeds", [2, 3, 10, 40])
def test_two_arms_without_examples_or_trials_have_students_paired_interval(seeds: int) -> None:
    losses = RNG(seeds).standard_normal((2, seeds)) + np.linspace(0, 5, seeds)
    found = distances(plain(losses), 0.05)
    expected = ttest_rel(losses[0], losses[1]).confidence_interval(0.95)
    assert (found.low[0, 1], found.high[0, 1]) == pytest.approx((expected.low, expected.high))
    assert (found.low[1, 0], found.high[1, 0]) == pytest.approx((-expected.high, -expected.low))
    assert found.low[0, 0] == found.high[0, 0] == 0.0


def mean_squares(difference: Floats) -> tuple[float, float, float]:
    """Of rows, columns and their interaction, of an array (seeds, examples), by the textbook."""
    seeds, examples = difference.shape
    grand, rows, columns = difference.mean(), difference.mean(axis=1), difference.mean(axis=0)
    rest = difference - rows[:, None] - columns[None] + grand
    return (
        examples * ((rows - grand) ** 2).sum() / (seeds - 1),
        seeds * ((columns - grand) ** 2).sum() / (examples - 1),
        (rest**2).sum() / (seeds - 1) / (examples - 1),
    )


@pytest.mark.parametrize(("seeds", "examples"), [(2, 2), (3, 5), (10, 40)])
@pytest.mark.parametrize(("by_seed", "by_example"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_seeds_and_examples_are_crossed(seeds: int, examples: int, by_seed: float, by_example: float) -> None:
    rng = RNG(seeds)
    whole = (
        by_seed * rng.standard_normal((3, seeds, 1)) + by_example * rng.standard_normal((3, 1, examples))
        + 0.5 * rng.standard_normal((3, seeds, examples)) + rng.standard_normal((seeds, examples))
    )  # fmt: skip
    found = plain(whole.mean(axis=2), whole)
    for one, other in ((0, 1), (2, 0)):
        rows, columns, rest = (part / seeds / examples for part in mean_squares(whole[one] - whole[other]))
        assert found.seeds[one, other] == pytest.approx(rows)
        assert found.examples[one, other] == pytest.approx(columns)
        assert found.common[one, other] == pytest.approx(rest)
        assert found.variance()[one, other] == pytest.approx(max(rows, columns, rows + columns - rest))
        freedom = found.variance()[one, other] ** 2 / (rows**2 / (seeds - 1) + columns**2 / (examples - 1))
        assert found.freedom()[one, other] == pytest.approx(min(freedom, examples - 1))


def test_the_variance_of_crossed_means_is_estimated_without_counting_chance_twice() -> None:
    """Means over many draws of seeds and examples; adding the two parts would come to 0.13 + 0.1."""
    estimates, means = [], []
    for number in range(2000):
        rng = RNG(number)
        whole = rng.standard_normal((1, 10, 1)) * 0.1 + 0.1 * rng.standard_normal((1, 1, 20))
        whole = whole + rng.standard_normal((2, 10, 20)) * np.array([1.0, 0.0])[:, None, None]
        whole[1] = 0.0
        found = plain(whole.mean(axis=2), whole)
        estimates.append((found.seeds + found.examples - found.common)[0, 1])
        means.append(whole[0].mean())
    truth = 0.01 / 10 + 0.01 / 20 + 1 / 200
    assert np.mean(estimates) == pytest.approx(truth, rel=0.05)
    assert np.var(means) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("times", [1.0, 2.0, 10.0, math.inf])
def test_more_seeds_leave_examples_and_trials(times: float) -> None:
    pair = 1 - np.eye(2)
    found = Spread(np.zeros(2), 4 * pair, 3 * pair, 2 * pair, np.array([0.5, 0.25]), 5, 100)
    assert found.variance(times)[0, 1] == max(4 / times, 3.0, 4 / times + 3 - 2 / times) + 0.75
    squares = (4 / times) ** 2 / min(5 * times - 1, 1e6) + 9 / 99 + (0.25 + 0.0625) / TRIAL_FREEDOM
    assert found.freedom(times)[0, 1] == pytest.approx(min(found.variance(times)[0, 1] ** 2 / squares, 99))


def test_trials_are_each_arms_own_and_luck_is_added() -> None:
    losses = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]])
    found = plain(losses, trials=np.array([0.5, 0.25, 0.0]), luck=np.array([0.5, 0.0, 0.0]))
    assert found.means.tolist() == [2.5, 2.0, 2.0]
    assert found.variance()[0, 1] == 0.75
    assert found.freedom()[0, 1] == pytest.approx(0.75**2 / ((0.25 + 0.0625) / TRIAL_FREEDOM))
    assert found.variance()[0, 2] == pytest.approx(1 / 3 + 0.5)
    assert found.differences.tolist() == [[0.0, 0.5, 0.5], [-0.5, 0.0, 0.0], [-0.5, 0.0, 0.0]]


@pytest.mark.parametrize("arms", [3, 5, 12])
def test_the_level_of_each_pair_is_a_little_below_that_of_the_studentised_range(arms: int) -> None:
    each = level_of_each(arms, 0.05)
    reach = studentized_range.ppf(0.95, arms, 1e5) / math.sqrt(2)
    assert 1.0 < norm.isf(each / 2) / reach < 1.04
    assert (1 - each) ** (arms * (arms - 1) / 2) == pytest.approx(0.95)


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_one_arm_or_two_have_the_whole_level(level: float) -> None:
    assert level_of_each(1, level) == level_of_each(2, level) == pytest.approx(level)


@pytest.mark.parametrize(
    ("low", "high", "nearest", "furthest", "behind"),
    [
        ([[0, -3], [1, 0]], [[0, -1], [3, 0]], [0, 1], [0, 3], [False, True]),
        ([[0, -3], [-1, 0]], [[0, 1], [3, 0]], [0, 0], [1, 3], [False, False]),
        ([[0, 0], [0, 0]], [[0, 0], [0, 0]], [0, 0], [0, 0], [False, False]),
        (  # the last is behind both others, and is certainly further from the second
            [[0, -1, -5], [-2, 0, -6], [2, 3, 0]], [[0, 2, -2], [1, 0, -3], [5, 6, 0]],
            [0, 0, 3], [2, 1, 6], [False, False, True],
        ),
    ],
)  # fmt: skip
def test_distances_from_the_best_follow_from_differences(
    low: list[list[float]], high: list[list[float]], nearest: list[float], furthest: list[float], behind: list[bool]
) -> None:
    found = Distances(np.array(low, dtype=float), np.array(high, dtype=float), 0.05)
    assert found.nearest.tolist() == nearest
    assert found.furthest.tolist() == furthest
    assert found.behind(0.0).tolist() == behind
    assert found.behind(max(nearest)).tolist() == [False] * len(nearest)


@pytest.mark.parametrize(
    ("seeds", "gap", "reach"),
    [
        (10, 0.0, 0.0),  # equal, always
        (10, 0.5, 0.0),  # different, always: 2 / 2**10 is sure enough
        (6, 0.5, 0.0),
        (5, 0.5, math.inf),  # 2 / 2**5 is not
        (2, 0.5, math.inf),
        (2, 0.0, 0.0),
    ],
)
def test_what_never_varies_is_told_by_signs(seeds: int, gap: float, reach: float) -> None:
    losses = np.stack([np.linspace(0, 1, seeds), np.linspace(0, 1, seeds) + gap])
    found = distances(plain(losses), 0.05)
    assert found.high[1, 0] == pytest.approx(gap + reach)
    assert found.low[1, 0] == pytest.approx(gap - reach)


def test_what_differs_by_rounding_is_equal() -> None:
    losses = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])
    losses[1] += np.array([1e-17, -3e-17, 5e-17])
    found = distances(plain(losses), 0.05)
    assert (found.low == 0).all()
    assert (found.high == 0).all()


@pytest.mark.parametrize(("arms", "examples"), [(2, 0), (2, 40), (12, 0), (12, 40)])
def test_equal_arms_are_seldom_told_apart(arms: int, examples: int) -> None:
    told = 0
    for number in range(300):
        rng = RNG([number, arms])
        losses = rng.standard_normal((arms, 10)) + 3 * rng.standard_normal(10)
        whole = losses[..., None] + rng.standard_normal((arms, 10, examples)) if examples else None
        means = losses if whole is None else whole.mean(axis=2)
        told += bool(distances(plain(means, whole), 0.05).behind(0.0).any())
    assert told <= 24  # 15 are expected; more than 24 of 300 at 5 % in one of a hundred


def test_one_pair_among_many_has_a_wider_interval() -> None:
    losses = RNG(0).standard_normal((12, 10))
    alone = distances(plain(losses[:2]), 0.05)
    among = distances(plain(losses), 0.05)
    reach = t.ppf(1 - among.each / 2, 9) / t.ppf(0.975, 9)
    assert among.high[0, 1] - among.low[0, 1] == pytest.approx(reach * (alone.high[0, 1] - alone.low[0, 1]))
    assert among.each == level_of_each(12, 0.05)
