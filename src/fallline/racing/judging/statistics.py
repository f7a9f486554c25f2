"""The statistics of a race, as pure functions of arrays: exact where that is possible, else with an explicit seed.

No infinity or NaN enters: every function refuses them, and `finite_losses` is how diverged scores become finite.
Losses, everywhere here, are oriented so that lower is better.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fallline.racing.judging.records import LARGEST_SCORE, Estimate

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVEL = 0.05  # of the tests; the intervals are its complement
REPEATS = 2000
LARGEST = 1e3 * LARGEST_SCORE  # room for what is computed from scores: differences, stand-ins
EXACT_FLIPS = 2**14  # all sign flips of up to 14 seeds; for more seeds, this many drawn at random
WEIGHTS_AT_ONCE = 2_000_000  # entries of the example weights held in memory together


def finite(values: ArrayLike, name: str) -> Floats:
    """The values as an array of doubles; ValueError naming the argument if one is NaN, infinite or beyond 1e103."""
    array = np.asarray(values, dtype=np.float64)
    if not (np.abs(array) <= LARGEST).all():
        raise ValueError(f"{name} must be finite numbers, at most {LARGEST:g} in size; mark diverged ones first.")
    return array


def stand_in(losses: ArrayLike, untrained: float | None) -> float:
    """The finite loss that takes a diverged run's place: it ranks last, with no made-up size.

    It is the untrained model's loss, for a run that diverged leaves nothing better to use; where some finite loss is
    as bad as that, or the untrained one is not known (None), it is the next double above the worst of them.

    >>> stand_in([0.3, 0.5], untrained=2.3), stand_in([0.3, 7.0], untrained=2.3) > 7.0
    (2.3, True)
    """
    worst = np.max(finite(losses, "losses"), initial=-np.inf)
    beyond = float(np.nextafter(worst, np.inf))
    return beyond if untrained is None else max(float(finite(untrained, "untrained")), beyond)


def sign_flip_p(differences: ArrayLike, *, seed: int = 0) -> Floats:
    """Two-sided p-values (...) of the paired sign-flip permutation of differences (..., seeds).

    Exact for up to 14 seeds (the smallest p is 2 / 2**seeds); beyond that from 16,384 random flips.
    Source: Fisher, The Design of Experiments, 1935, section 21.

    >>> float(sign_flip_p([0.1, 0.2, 0.1, 0.3, 0.2]))
    0.0625
    """
    from scipy.stats import permutation_test

    paired = finite(differences, "differences")
    if paired.shape[-1] < 2:
        return np.ones(paired.shape[:-1])  # one seed has no sign to compare with
    result = permutation_test(
        (paired,), np.mean, permutation_type="samples", vectorized=True, axis=-1, n_resamples=EXACT_FLIPS,
        batch=1024, random_state=np.random.default_rng(seed),
    )  # fmt: skip
    return np.asarray(result.pvalue, dtype=np.float64)


def holm(p_values: ArrayLike) -> Floats:
    """Holm's adjusted p-values (tests,): reject those below the level and the family's error stays below it.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = finite(p_values, "p_values")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]))
    return adjusted


def drawn_trials(trials: int, *, rng: np.random.Generator, repeats: int = REPEATS) -> Integers:
    """Trials (repeats, trials) drawn again with replacement, as independent ones are.

    >>> drawn_trials(4, rng=np.random.default_rng(0), repeats=2).tolist()
    [[3, 2, 2, 1], [1, 0, 0, 0]]
    """
    return rng.integers(0, trials, (repeats, trials))


def drawn_neighbours(places: ArrayLike, *, rng: np.random.Generator, repeats: int = REPEATS) -> Integers:
    """Trials (repeats, trials) drawn again where those at hand, at `places` (trials,), are a stratified sample.

    Scrambled Sobol points of one dimension are: no elementary interval holds two (Owen, Randomly permuted
    (t, m, s)-nets and (t, s)-sequences, 1995). A stratum of one trial shows no spread, so each is collapsed with the
    one before or after it, as chance has it, and one trial of the two is drawn: the stratum's own in half of the draws,
    either neighbour in a quarter. Were the pairs always the same, much would hang on which neighbour the best trial is
    paired with. Source: Wolter, Introduction to Variance Estimation, 2007, sections 2.5 (collapsed strata) and 8.2
    (overlapping differences).

    >>> drawn_neighbours([0.4, 0.1, 0.3], rng=np.random.default_rng(0), repeats=2).tolist()
    [[2, 2, 0], [1, 2, 2]]
    """
    order = np.pad(np.argsort(finite(places, "places"), kind="stable"), 1, "reflect")  # an end has one neighbour
    step = np.array([-1, 0, 0, 1])[rng.integers(0, 4, (repeats, len(order) - 2))]
    return np.asarray(order[np.arange(1, len(order) - 1) + step])


def drawn_finals(drawn: Integers, finals: Sequence[int]) -> Integers:
    """Which final (repeats,) is an arm's best among the trials drawn (repeats, trials).

    `finals` are the trials that have finals, best by validation first; the last stands in when none of them is drawn.

    >>> drawn_finals(np.array([[1, 2, 2], [0, 0, 2], [2, 2, 2]]), [1, 0]).tolist()
    [0, 1, 1]
    """
    rank = np.full(drawn.shape[1], len(finals) - 1)
    rank[list(finals)] = np.arange(len(finals))
    return np.asarray(rank[drawn].min(axis=1))


def resampled_weights(count: int, *, rng: np.random.Generator, repeats: int = REPEATS) -> Floats:
    """Weights (repeats, count) of items drawn again with replacement: each row holds counts over their sum."""
    drawn = rng.integers(0, count, (repeats, count)) + count * np.arange(repeats)[:, None]
    return np.bincount(drawn.ravel(), minlength=repeats * count).reshape(repeats, count) / count


def study_losses(losses: Floats, chosen: Integers, seed_weights: Floats) -> Floats:
    """Mean losses (arms, repeats) had the trials and the seeds been drawn again.

    `losses` (arms, finals, seeds), `chosen` (arms, repeats) from `drawn_finals`, `seed_weights` (repeats, seeds) shared
    by the arms, whose seeds are paired.
    """
    rows = losses[np.arange(len(losses))[:, None], chosen]
    return np.asarray((rows * seed_weights).sum(axis=2))


def split_losses(examples: Floats, chosen: Integers, seed_weights: Floats, *, rng: np.random.Generator) -> Floats:
    """Mean losses (arms, repeats) had the trials, the seeds and the test examples been drawn again.

    `examples` (arms, finals, seeds, examples) are contributions; all arms see the same draw of examples.
    """
    parts = []
    repeats, n_examples = chosen.shape[1], examples.shape[3]
    for part in np.array_split(np.arange(repeats), -(-repeats * n_examples // WEIGHTS_AT_ONCE)):
        weights = resampled_weights(n_examples, rng=rng, repeats=len(part))
        means = (examples.reshape(-1, n_examples) @ weights.T).reshape(*examples.shape[:3], len(part))
        rows = np.take_along_axis(means, chosen[:, None, None, part], axis=1)[:, 0]
        parts.append(np.einsum("asr,rs->ar", rows, seed_weights[part]))
    return np.concatenate(parts, axis=1)


def interval(draws: ArrayLike, *, level: float = 1 - LEVEL) -> tuple[float, float]:
    """The central `level` of resampled values (repeats,), by percentiles.

    >>> interval(range(201), level=0.5)
    (50.0, 150.0)
    """
    low, high = np.quantile(finite(draws, "draws"), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def standard_error(values: ArrayLike) -> float:
    """The standard error of the mean of values (n,); 0.0 for fewer than two.

    >>> standard_error([1.0, 3.0])
    1.0
    """
    sample = finite(values, "values")
    return float(sample.std(ddof=1) / np.sqrt(len(sample))) if len(sample) > 1 else 0.0


def mean_interval(scores: ArrayLike, *, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Estimate:
    """The mean of scores (n,), at least two, with Student's t interval of 95 %, cut off at `bounds`.

    >>> mean_interval([1.0, 2.0, 3.0])
    Estimate(value=2.0, low=-0.484..., high=4.484...)
    """
    from scipy.special import stdtrit

    sample = finite(scores, "scores")
    if sample.ndim != 1 or len(sample) < 2:
        raise ValueError(f"scores must be a vector of at least two for an interval; its shape is {sample.shape}.")
    mean = float(sample.mean()) + 0.0  # never -0.0
    reach = float(stdtrit(len(sample) - 1, 1 - LEVEL / 2)) * standard_error(sample)
    return Estimate(mean, max(mean - reach, bounds[0]), min(mean + reach, bounds[1]))


def near_best(losses: ArrayLike, best: float, untrained: float, *, margin: float = 0.1) -> int:
    """How many of an arm's losses keep all but `margin` of the gain from the untrained loss to the best.

    Where the losses cover a search space evenly, their share is the share of the space that will do: the larger, the
    less sensitive the arm.

    >>> near_best([0.1, 0.2, 0.4, 2.0], best=0.1, untrained=2.1)
    2
    """
    return int((finite(losses, "losses") <= best + margin * max(untrained - best, 0.0)).sum())


def budget_curve(losses: ArrayLike) -> Floats:
    """Expected best of k losses drawn without replacement from the given (n,), for k = 1 to n.

    Exact: with y sorted ascending it is the sum over i of y_(i) C(n-i, k-1) / C(n, k). Each weight follows from the
    last, times (n-i-k+1) / (n-i), so no binomial coefficient ever overflows.

    >>> budget_curve([3.0, 1.0, 2.0]).round(4).tolist()
    [2.0, 1.3333, 1.0]
    """
    ascending = np.sort(finite(losses, "losses"))
    n = len(ascending)
    draws = np.arange(1, n + 1)
    weights, expected = draws / n, np.zeros(n)
    for i, loss in enumerate(ascending, start=1):
        expected += weights * loss
        weights = weights * np.maximum(n - i - draws + 1, 0) / max(n - i, 1)
    return expected


def performance_profile(times: ArrayLike, solved: ArrayLike, ratios: Sequence[float]) -> Floats:
    """Share of problems (arms, ratios) that each arm solves within a ratio of the fastest arm's time.

    `times` (arms, problems) must be above zero where `solved` (arms, problems); elsewhere they are not looked at. A
    problem that no arm solves counts against all. Source: Dolan and Moré, Benchmarking optimization software, 2002.

    >>> performance_profile([[1.0, 4.0], [2.0, 2.0]], [[True, True], [True, True]], [1, 2]).tolist()
    [[0.5, 1.0], [0.5, 1.0]]
    """
    ratio, done = _time_ratios(times, solved)
    return np.asarray((done[..., None] & (ratio[..., None] <= np.asarray(ratios))).mean(axis=1), dtype=np.float64)


def profile_area(times: ArrayLike, solved: ArrayLike, *, limit: float = 4.0) -> Floats:
    """Mean height (arms,) of each performance profile over ratios 1 to `limit`; 1.0 is fastest on every problem.

    Integrated exactly: a problem solved at ratio r adds a step as wide as limit - r.

    >>> profile_area([[1.0, 4.0], [2.0, 2.0]], [[True, True], [True, True]], limit=5.0).tolist()
    [0.875, 0.875]
    """
    if not limit > 1:
        raise ValueError(f"limit must be above 1, the fastest arm's own ratio; it is {limit}.")
    ratio, done = _time_ratios(times, solved)
    return np.asarray(np.where(done, np.maximum(limit - ratio, 0.0), 0.0).mean(axis=1) / (limit - 1))


def _time_ratios(times: ArrayLike, solved: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Times over the fastest arm's, with 1 in the place of misses, and where a problem was solved."""
    seconds, done = np.asarray(times, dtype=np.float64), np.asarray(solved, dtype=np.bool_)
    if seconds.ndim != 2 or seconds.shape != done.shape:
        raise ValueError(f"times and solved must be matrices of one shape; they are {seconds.shape} and {done.shape}.")
    if not ((seconds > 0) & (seconds <= LARGEST))[done].all():
        raise ValueError("times must be finite and above zero wherever solved is true.")
    seconds = np.where(done, seconds, LARGEST)
    return np.where(done, seconds / seconds.min(axis=0), 1.0), done
