"""The verdict: a winner only where three separate questions agree, else ties, in one honest sentence.

An arm's score is the mean over the seeds, on the test split, of its best configuration by validation. The best arm must
beat every other in these settings, under another draw of trials, and under another draw of test examples.
"""

from collections.abc import Sequence

import numpy as np

from fallline.racing.arms.dimensions import Range
from fallline.racing.judging import statistics
from fallline.racing.judging.cautions import all_cautions
from fallline.racing.judging.contenders import Contender, Judgement
from fallline.racing.judging.records import LARGEST_SCORE, Comparison, Entry, Verdict, check_comparable
from fallline.racing.judging.sentence import sentence
from fallline.racing.judging.statistics import LEVEL, Floats, Integers


def decide(
    entries: Sequence[Entry],
    *,
    higher_is_better: bool,
    untrained: float,
    untrained_valid: float | None = None,
    smallest_difference: float | None = None,
    effort_names_winner: bool = True,
    seed: int = 0,
    metric: str = "loss",
) -> Verdict:
    """Judge a race from its entries, whatever their order.

    `untrained` is the score before training: a diverged run counts as that, or as worse than the worst finite score
    where that is worse still; `untrained_valid` is the same on the validation split, if that differs. A difference
    counts only above `smallest_difference`; by default that is one standard error of the best arm's score over the test
    examples (over the seeds, where the metric does not split by example), or where that is zero, as for a perfect
    score, the largest of the others'.
    An arm that diverged as a whole comes last and is compared with none. With `effort_names_winner=False` the sentence
    is a ranking. `seed` draws the resamples. Raises ValueError when the entries do not fit each other, or a number is
    not finite.

    Another draw of trials is a bootstrap: trials and seeds are drawn again, each time the best trial by validation is
    taken with its finals, and the 95 % interval of the difference must lie above 0. Another draw of Sobol points would
    be as even as this one, so stratified trials of one range give way to a neighbour at most (`drawn_neighbours`): the
    best is missed in 28 % of the draws, the best two, if neighbours, in 3.5 %, the best three never. Other trials are
    drawn with replacement, which misses the best of 16 in 36 % of the draws, the best two in 12 %, the best three in
    3.6 %: in several dimensions no neighbour is near enough to stand for a trial, and trials that were proposed or
    halved are no even draw. `benchmarks/false_winners.py` measures what this comes to.

    >>> from fallline.racing.judging.records import Final, Trial
    >>> def entry(name, losses):
    ...     final = Final(0, np.array(losses), np.zeros(10, dtype=bool), None)
    ...     return Entry(name, (Trial({"lr": 0.1}, losses[0], False),), (final,), {"lr": (1e-4, 1.0)}, 12.0, 1e-5)
    >>> slow, fast = entry("slow", np.linspace(0.5, 0.6, 10)), entry("fast", np.linspace(0.1, 0.2, 10))
    >>> decide([slow, fast], higher_is_better=False, untrained=2.3).winner
    'fast'
    """
    _check(entries, untrained, smallest_difference)
    entries = sorted(entries, key=lambda entry: entry.name)
    sign = -1.0 if higher_is_better else 1.0
    standing = _standing([entry for entry in entries if not entry.diverged], sign, untrained, seed)
    groups, comparisons = _groups(standing, smallest_difference, seed)
    fallen = [entry.name for entry in entries if entry.diverged]
    before = untrained if untrained_valid is None else untrained_valid
    judgement = Judgement(standing, fallen, groups, comparisons, sign, before, metric)
    winner = _winner(judgement) if effort_names_winner else None
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
    )


def _check(entries: Sequence[Entry], untrained: float, smallest_difference: float | None) -> None:
    check_comparable(entries)
    if not abs(untrained) <= LARGEST_SCORE:
        raise ValueError(f"untrained must be the finite score before training, not {untrained}.")
    if smallest_difference is not None and not 0 <= smallest_difference <= LARGEST_SCORE:
        raise ValueError(f"smallest_difference must be a finite number of at least 0, not {smallest_difference}.")


def _standing(entries: Sequence[Entry], sign: float, untrained: float, seed: int) -> list[Contender]:
    """The arms best first, with their resampled losses; exact ties in the order of their names."""
    if not entries:
        return []
    usable = np.stack([[final.usable for final in entry.finals] for entry in entries])
    scores = sign * np.stack([[final.scores for final in entry.finals] for entry in entries])
    last = statistics.stand_in(scores[usable], sign * untrained)
    losses = np.where(usable, scores, last)
    # One stream an arm, named after it, and one they share: who else is in the race changes no arm's draws.
    shared = np.random.default_rng(seed)
    chosen = np.stack([_drawn(entry, seed) for entry in entries])
    weights = statistics.resampled_weights(losses.shape[2], rng=shared)
    study = statistics.study_losses(losses, chosen, weights)
    split: list[Floats | None] = [None] * len(entries)
    sample = losses[:, 0]
    contributions = [[final.examples for final in entry.finals if final.examples is not None] for entry in entries]
    if contributions[0]:
        examples = np.where(usable[..., None], sign * np.asarray(contributions), last)
        split = list(statistics.split_losses(examples, chosen, weights, rng=shared))
        sample = examples[:, 0].mean(axis=1)
    errors = [statistics.standard_error(one) for one in sample]
    means = sign * losses[:, 0].mean(axis=1) + 0.0  # never -0.0
    arms = [
        Contender(*parts) for parts in zip(entries, losses[:, 0], means.tolist(), errors, study, split, strict=True)
    ]
    return sorted(arms, key=lambda arm: (arm.loss, arm.name))


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


def _groups(
    standing: list[Contender], smallest_difference: float | None, seed: int
) -> tuple[list[list[Contender]], tuple[Comparison, ...]]:
    """The best arm with those not separated from it, then the same among the rest; and the best arm's comparisons."""
    groups: list[list[Contender]] = []
    first: tuple[Comparison, ...] = ()
    while standing:
        best, *others = standing
        comparisons = _compare(best, others, smallest_difference, seed)
        first = first if groups else comparisons
        standing = [arm for arm, one in zip(others, comparisons, strict=True) if one.separated]
        groups.append([best, *(arm for arm in others if arm not in standing)])
    return groups, first


def _compare(
    best: Contender, others: list[Contender], smallest_difference: float | None, seed: int
) -> tuple[Comparison, ...]:
    if not others:
        return ()
    least = best.error or max(arm.error for arm in others) if smallest_difference is None else smallest_difference
    p_values = statistics.sign_flip_p(np.stack([arm.losses - best.losses for arm in others]), seed=seed)
    return tuple(
        _comparison(best, arm, least, float(p), float(adjusted))
        for arm, p, adjusted in zip(others, p_values, statistics.holm(p_values), strict=True)
    )


def _comparison(best: Contender, other: Contender, least: float, p: float, adjusted: float) -> Comparison:
    study = statistics.interval(other.study - best.study)
    split = None
    if best.split is not None and other.split is not None:
        split = statistics.interval(other.split - best.split)
    difference = other.loss - best.loss
    # What is zero but for the rounding of sums is zero: scores that are shares of whole examples often are.
    rounding = 1e-12 * max(abs(best.loss), abs(other.loss))
    answers = {
        "settings": adjusted < LEVEL,
        "study": study[0] > rounding,
        "split": (split is None or split[0] > rounding) and difference > least + rounding,
    }
    failed = tuple(question for question, separated in answers.items() if not separated)
    return Comparison(
        best.name, other.name, best.score, other.score, difference, p, adjusted, study, split, least,
        failed, separated=not failed,
    )  # fmt: skip


def _winner(judgement: Judgement) -> str | None:
    comparisons = judgement.comparisons
    return comparisons[0].best if comparisons and all(one.separated for one in comparisons) else None
