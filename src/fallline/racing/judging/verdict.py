"""The verdict: a winner only where three separate questions agree, else ties, in one honest sentence.

An arm's score is the mean over the seeds, on the test split, of its best configuration by validation. The best arm must
beat every other in these settings, under another draw of trials, and under another draw of test examples; and whatever
is said of two arms holds for all pairs of arms together, since with many arms some pair always looks different.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fallline.racing.arms import Range
from fallline.racing.judging import statistics
from fallline.racing.judging.cautions import all_cautions
from fallline.racing.judging.pairs import ROUNDING, all_pairs_p, joint_level
from fallline.racing.judging.records import LARGEST_SCORE, Comparison, Entry, Estimate, Verdict, check_comparable
from fallline.racing.judging.sentence import Contender, Judgement, sentence
from fallline.racing.judging.statistics import LEVEL, Floats, Integers


def decide(
    entries: Sequence[Entry],
    *,
    higher_is_better: bool,
    untrained: float | None,
    untrained_valid: float | None = None,
    smallest_difference: float | None = None,
    effort_names_winner: bool = True,
    seed: int = 0,
    metric: str = "loss",
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Verdict:
    """Judge a race from its entries, whatever their order.

    `untrained` is the score before training: a diverged run counts as that, or as worse than the worst finite score
    where that is worse still, or where it is None, as for a metric that an untrained model has no value of.
    `untrained_valid` is the same on the validation split, if that differs. A difference counts only above
    `smallest_difference`; by default that is one standard error of the best arm's score over the test examples (over
    the seeds, where the metric does not split by example), or where that is zero, as for a perfect score, the largest
    of the others'. `bounds` are the ends of the metric, where intervals end as well.
    An arm that diverged as a whole comes last and is compared with none. With `effort_names_winner=False` the sentence
    is a ranking. `seed` draws the resamples. Raises ValueError when the entries do not fit each other, or a number is
    not finite.

    Other seeds are sign flips, corrected for all pairs of arms (`all_pairs_p`). Another draw of trials is a bootstrap:
    trials and seeds are drawn again, each time the best trial by validation is taken with its finals, and the interval
    of the difference, 95 % for all pairs together (`joint_level`), must lie above 0. Another draw of Sobol points would
    be as even as this one, so stratified trials of one range give way to a neighbour at most (`drawn_neighbours`): the
    best is missed in 28 % of the draws, the best two, if neighbours, in 3.5 %, the best three never. Other trials are
    drawn with replacement, which misses the best of 16 in 36 % of the draws, the best two in 12 %, the best three in
    3.6 %: in several dimensions no neighbour is near enough to stand for a trial, and trials that were proposed or
    halved are no even draw. With one finalist an arm no other trial is known that could be drawn: then nobody wins.
    `benchmarks/false_winners.py` measures what this comes to.

    >>> from fallline.racing.judging.records import Final, Trial
    >>> def entry(name, losses):
    ...     final = Final(0, np.array(losses), np.zeros(10, dtype=bool), None)
    ...     return Entry(name, (Trial({"lr": 0.1}, losses[0], False),), (final,), {}, 12.0, 1e-5)
    >>> slow, fast = entry("slow", np.linspace(0.5, 0.6, 10)), entry("fast", np.linspace(0.1, 0.2, 10))
    >>> decide([slow, fast], higher_is_better=False, untrained=2.3).winner
    'fast'
    """
    check_comparable(entries)
    if untrained is not None and not abs(untrained) <= LARGEST_SCORE:
        raise ValueError(f"untrained must be the finite score before training, or None, not {untrained}.")
    if smallest_difference is not None and not 0 <= smallest_difference <= LARGEST_SCORE:
        raise ValueError(f"smallest_difference must be a finite number of at least 0, not {smallest_difference}.")
    entries = sorted(entries, key=lambda entry: entry.name)
    sign = -1.0 if higher_is_better else 1.0
    standing = _standing([entry for entry in entries if not entry.diverged], sign, untrained, seed, bounds)
    groups, comparisons = _groups(standing, smallest_difference, seed)
    fallen = [entry.name for entry in entries if entry.diverged]
    before = untrained if untrained_valid is None else untrained_valid
    judgement = Judgement(standing, fallen, groups, comparisons, sign, before, metric)
    won = effort_names_winner and comparisons and all(one.separated for one in comparisons)
    winner = comparisons[0].best if won else None
    least = comparisons[0].smallest_difference if comparisons else 0.0
    return Verdict(
        winner=winner,
        ties=tuple(tuple(arm.name for arm in group) for group in groups if len(group) > 1),
        sentence=sentence(judgement, winner, effort_names_winner),
        conclusion=sentence(judgement, winner, effort_names_winner, cost=False),
        warnings=all_cautions(
            entries,
            higher_is_better=higher_is_better,
            untrained=before,
            smallest_difference=least,
            names_winner=effort_names_winner,
        ),
        comparisons=comparisons,
        ranking=(*(arm.name for arm in standing), *fallen),
        scores={arm.name: arm.score for arm in standing},
    )


def _standing(
    entries: Sequence[Entry], sign: float, untrained: float | None, seed: int, bounds: tuple[float, float]
) -> list[Contender]:
    """The arms best first, with their resampled losses; exact ties in the order of their names."""
    if not entries:
        return []
    # What is not searched has one final, which stands in each finalist's place.
    most = max(len(entry.finals) for entry in entries)
    finals = [entry.finals if entry.searched else entry.finals[:1] * most for entry in entries]
    usable = np.stack([[final.usable for final in some] for some in finals])
    scores = sign * np.stack([[final.scores for final in some] for some in finals])
    last = statistics.stand_in(scores[usable], None if untrained is None else sign * untrained)
    losses = np.where(usable, scores, last)
    # One stream an arm, named after it, and one they share: who else is in the race changes no arm's draws.
    shared = np.random.default_rng(seed)
    chosen = np.stack([_drawn(entry, seed) for entry in entries])
    weights = statistics.resampled_weights(losses.shape[2], rng=shared)
    study: list[Floats | None] = list(statistics.study_losses(losses, chosen, weights))
    split: list[Floats | None] = [None] * len(entries)
    sample = losses[:, 0]
    contributions = [[final.examples for final in some if final.examples is not None] for some in finals]
    if contributions[0]:
        examples = np.where(usable[..., None], sign * np.asarray(contributions), last)
        split = list(statistics.split_losses(examples, chosen, weights, rng=shared))
        sample = examples[:, 0].mean(axis=1)
    errors = [statistics.standard_error(one) for one in sample]
    if losses.shape[1] == 1:  # the seeds alone were drawn again
        study = [None] * len(entries)
    scored = [_scored(sign * one, bounds) for one in losses[:, 0]]
    arms = [Contender(*parts) for parts in zip(entries, losses[:, 0], scored, errors, study, split, strict=True)]
    return sorted(arms, key=lambda arm: (arm.loss, arm.name))


def _scored(scores: Floats, bounds: tuple[float, float]) -> Estimate:
    """The mean of an arm's scores (seeds,); a single one gives no interval."""
    if len(scores) == 1:
        return Estimate(float(scores[0]) + 0.0, math.nan, math.nan)
    return statistics.mean_interval(scores, bounds=bounds)


def _drawn(entry: Entry, seed: int) -> Integers:
    rng = np.random.default_rng([seed, *entry.name.encode()])
    return statistics.drawn_finals(_drawn_trials(entry, rng), [final.trial for final in entry.finals])


def _drawn_trials(entry: Entry, rng: np.random.Generator) -> Integers:
    """Another draw of the trials: of neighbours where they are a stratified sample of one range, else of any."""
    if entry.stratified and len(entry.space) == 1:
        ((name, dimension),) = entry.space.items()
        if isinstance(dimension, Range):
            return statistics.drawn_neighbours([trial.configuration[name] for trial in entry.trials], rng=rng)
    return statistics.drawn_trials(len(entry.trials), rng=rng)


@dataclass(frozen=True)
class _Together:
    """What makes statements about one pair hold for all pairs of the standing arms together."""

    p: dict[tuple[str, str], float]  # adjusted, of two arms by their names
    study: float  # the level of each pair's interval
    split: float


def _together(standing: list[Contender], seed: int) -> _Together:
    names = [arm.name for arm in standing]
    found = all_pairs_p(np.stack([arm.losses for arm in standing]), seed=seed)
    levels = []
    for draws in ([arm.study for arm in standing], [arm.split for arm in standing]):
        there = [one for one in draws if one is not None]
        levels.append(joint_level(np.stack(there)) if there else LEVEL)
    p = {(one, other): float(found[i, j]) for i, one in enumerate(names) for j, other in enumerate(names)}
    return _Together(p, *levels)


def _groups(
    standing: list[Contender], smallest_difference: float | None, seed: int
) -> tuple[list[list[Contender]], tuple[Comparison, ...]]:
    """The best arm with those not separated from it, then the same among the rest; and the best arm's comparisons."""
    groups: list[list[Contender]] = []
    first: tuple[Comparison, ...] = ()
    together = _together(standing, seed) if standing else None
    while standing and together:
        best, *others = standing
        comparisons = _compare(best, others, smallest_difference, together, seed)
        first = first if groups else comparisons
        standing = [arm for arm, one in zip(others, comparisons, strict=True) if one.separated]
        groups.append([best, *(arm for arm in others if arm not in standing)])
    return groups, first


def _compare(
    best: Contender, others: list[Contender], smallest_difference: float | None, together: _Together, seed: int
) -> tuple[Comparison, ...]:
    if not others:
        return ()
    least = best.error or max(arm.error for arm in others) if smallest_difference is None else smallest_difference
    p_values = statistics.sign_flip_p(np.stack([arm.losses - best.losses for arm in others]), seed=seed)
    return tuple(_comparison(best, arm, least, float(p), together) for arm, p in zip(others, p_values, strict=True))


def _comparison(best: Contender, other: Contender, least: float, p: float, together: _Together) -> Comparison:
    study = _interval(best.study, other.study, together.study)
    split = _interval(best.split, other.split, together.split)
    difference, adjusted = other.loss - best.loss, together.p[best.name, other.name]
    # What is zero but for the rounding of sums is zero: scores that are shares of whole examples often are.
    rounding = ROUNDING * max(abs(best.loss), abs(other.loss))
    unsearched = best.entry.judges_trials is None and other.entry.judges_trials is None
    answers = {
        "settings": adjusted < LEVEL,
        "study": unsearched if study is None else study[0] > rounding,
        "split": (split is None or split[0] > rounding) and difference > least + rounding,
    }
    failed = tuple(question for question, separated in answers.items() if not separated)
    return Comparison(
        best.name, other.name, best.score.value, other.score.value, difference, p, adjusted, study, split, least,
        failed, separated=not failed,
    )  # fmt: skip


def _interval(best: Floats | None, other: Floats | None, level: float) -> tuple[float, float] | None:
    return None if best is None or other is None else statistics.interval(other - best, level=1 - level)
