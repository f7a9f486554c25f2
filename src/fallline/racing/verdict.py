"""The verdict: a winner only where three separate questions agree, else ties, in one honest sentence.

An arm's score is the mean over the seeds, on the test split, of its best configuration by validation. The best arm must
beat every other in these settings, under another draw of trials, and under another draw of test examples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fallline.racing import statistics
from fallline.racing.cautions import all_cautions, listed
from fallline.racing.records import LARGEST_SCORE, Comparison, Entry, Verdict, check_comparable, shape
from fallline.racing.statistics import LEVEL, Floats, Integers

SAME_TIME = 1.05  # step times within this ratio are equal: measured again they could swap


@dataclass(frozen=True, eq=False)
class _Arm:
    """An entry's scores as losses: lower is better, and diverged ones replaced by the stand-in."""

    entry: Entry
    losses: Floats  # (seeds,) of its best configuration
    score: float  # their mean, in the metric's own orientation
    error: float  # standard error of its loss over the test examples, or over the seeds where those do not split
    study: Floats  # (repeats,) with trials and seeds drawn again
    split: Floats | None  # (repeats,) with test examples drawn again as well

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def loss(self) -> float:
        return float(self.losses.mean())


@dataclass(frozen=True, eq=False)
class _Race:
    """All that the sentence speaks of."""

    standing: list[_Arm]  # best first
    fallen: list[str]  # arms that diverged as a whole
    groups: list[list[_Arm]]  # each led by its best arm, the others not separated from it
    comparisons: tuple[Comparison, ...]
    sign: float  # -1 where higher is better
    untrained: float
    metric: str


def decide(
    entries: Sequence[Entry],
    *,
    higher_is_better: bool,
    untrained: float,
    smallest_difference: float | None = None,
    effort_names_winner: bool = True,
    seed: int = 0,
    metric: str = "loss",
) -> Verdict:
    """Judge a race from its entries, whatever their order.

    `untrained` is the score before training: a diverged run counts as that, or as worse than the worst finite score
    where that is worse still. A difference counts only above `smallest_difference`; by default that is one standard
    error of the best arm's score over the test examples (over the seeds, where the metric does not split by example).
    An arm that diverged as a whole comes last and is compared with none. With `effort_names_winner=False` the sentence
    is a ranking. `seed` draws the resamples. Raises ValueError when the entries do not fit each other, or a number is
    not finite.

    >>> from fallline.racing.records import Final, Trial
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
    race = _Race(standing, fallen, groups, comparisons, sign, untrained, metric)
    winner = _winner(race) if effort_names_winner else None
    least = comparisons[0].smallest_difference if comparisons else 0.0
    return Verdict(
        winner=winner,
        ties=tuple(tuple(arm.name for arm in group) for group in groups if len(group) > 1),
        sentence=_sentence(race, winner, effort_names_winner),
        warnings=all_cautions(
            entries, higher_is_better=higher_is_better, untrained=untrained, smallest_difference=least
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


def _standing(entries: Sequence[Entry], sign: float, untrained: float, seed: int) -> list[_Arm]:
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
    arms = [_Arm(*parts) for parts in zip(entries, losses[:, 0], means.tolist(), errors, study, split, strict=True)]
    return sorted(arms, key=lambda arm: (arm.loss, arm.name))


def _drawn(entry: Entry, seed: int) -> Integers:
    rng = np.random.default_rng([seed, *entry.name.encode()])
    return statistics.drawn_finals(len(entry.trials), len(entry.finals), rng=rng)


def _groups(
    standing: list[_Arm], smallest_difference: float | None, seed: int
) -> tuple[list[list[_Arm]], tuple[Comparison, ...]]:
    """The best arm with those not separated from it, then the same among the rest; and the best arm's comparisons."""
    groups: list[list[_Arm]] = []
    first: tuple[Comparison, ...] = ()
    while standing:
        best, *others = standing
        comparisons = _compare(best, others, smallest_difference, seed)
        first = first if groups else comparisons
        standing = [arm for arm, one in zip(others, comparisons, strict=True) if one.separated]
        groups.append([best, *(arm for arm in others if arm not in standing)])
    return groups, first


def _compare(best: _Arm, others: list[_Arm], smallest_difference: float | None, seed: int) -> tuple[Comparison, ...]:
    if not others:
        return ()
    least = best.error if smallest_difference is None else smallest_difference
    p_values = statistics.sign_flip_p(np.stack([arm.losses - best.losses for arm in others]), seed=seed)
    return tuple(
        _comparison(best, arm, least, float(p), float(adjusted))
        for arm, p, adjusted in zip(others, p_values, statistics.holm(p_values), strict=True)
    )


def _comparison(best: _Arm, other: _Arm, least: float, p: float, adjusted: float) -> Comparison:
    study = statistics.interval(other.study - best.study)
    split = None
    if best.split is not None and other.split is not None:
        split = statistics.interval(other.split - best.split)
    difference = other.loss - best.loss
    answers = {
        "settings": adjusted < LEVEL,
        "study": study[0] > 0,
        "split": (split is None or split[0] > 0) and difference > least,
    }
    failed = tuple(question for question, separated in answers.items() if not separated)
    return Comparison(
        best.name, other.name, best.score, other.score, difference, p, adjusted, study, split, least,
        failed, separated=not failed,
    )  # fmt: skip


def _winner(race: _Race) -> str | None:
    return race.standing[0].name if race.comparisons and all(one.separated for one in race.comparisons) else None


def _sentence(race: _Race, winner: str | None, effort_names_winner: bool) -> str:
    if not race.standing:
        return f"Every arm diverged ({listed(race.fallen)}), so nothing can be ranked: lower the learning rates."
    fallen = f"; {listed(race.fallen)} diverged and {_verb(race.fallen, 'comes', 'come')} last" if race.fallen else ""
    if not race.comparisons:
        rest = "the only arm that did not diverge" if fallen else "the only arm"
        text = f"There is nothing to compare: {race.standing[0].name} is {rest} ({_score(race, race.standing[0])})"
    elif not effort_names_winner:
        text = _ranked(race)
    elif winner is not None:
        text = _won(race)
    elif not any("settings" in one.failed for one in race.comparisons):
        text = _ahead(race) + _advice(race)
    else:
        text = _tied(race) + _advice(race)
    return f"{text}{fallen}."


def _limits(race: _Race) -> str:
    entry = race.standing[0].entry
    seeds, examples = shape(entry.finals[0])
    counts = [f"{len(entry.trials)} trials an arm", f"{seeds} seeds"]
    counts += [f"{examples} test examples"] if examples is not None else []
    return f"On this problem and budget only ({', '.join(counts)})"


def _score(race: _Race, arm: _Arm) -> str:
    return f"mean test {race.metric} {arm.score:.4g}"


def _verb(names: Sequence[str], singular: str, plural: str) -> str:
    return singular if len(names) == 1 else plural


def _ranked(race: _Race) -> str:
    first, *others = race.standing
    then = [f"{arm.name} ({arm.score:.4g})" for arm in others]
    return (
        f"Quick effort ranks and never names a winner: {_limits(race).lower()}, {first.name} comes first "
        f"({_score(race, first)}), then {listed(then)}; take standard effort for a verdict"
    )


def _won(race: _Race) -> str:
    best, second = race.standing[:2]
    p = max(one.adjusted_p for one in race.comparisons)
    draws = "of trials" if best.split is None else "of trials or of test examples"
    return (
        f"{_limits(race)}, {best.name} wins ({_score(race, best)}, next {second.name} with "
        f"{second.score:.4g}): its lead over every other arm is more than the seeds (p at most {p:.2g} after Holm) or "
        f"another draw {draws} would explain"
    )


def _ahead(race: _Race) -> str:
    best, second = race.standing[:2]
    draws = ["of trials"] if any("study" in one.failed for one in race.comparisons) else []
    draws += ["of test examples"] if any(one.split and one.split[0] <= 0 for one in race.comparisons) else []
    least = race.comparisons[0].smallest_difference
    reasons = [f"another draw {' or '.join(draws)} could turn it round"] if draws else []
    if any(one.difference <= least for one in race.comparisons):
        reasons.append(f"a lead of no more than {least:.2g} does not count")
    return (
        f"{_limits(race)}, the settings found for {best.name} are ahead ({_score(race, best)}, next {second.name} with "
        f"{second.score:.4g}), but {listed(reasons)}, so it is a tie with "
        f"{listed([arm.name for arm in race.groups[0][1:]])}"
    )


def _tied(race: _Race) -> str:
    group = race.groups[0]
    values = [f"{value:.4g}" for value in sorted(arm.score for arm in group)]
    span = " to ".join(dict.fromkeys([values[0], values[-1]]))
    beaten = [one.other for one in race.comparisons if one.separated]
    clear = f", with {group[0].name} clear of {listed(beaten)}" if beaten else ""
    return (
        f"{_limits(race)}, it is a tie: {listed([arm.name for arm in group])} share the lead (mean test {race.metric} "
        f"{span}){clear}"
    )


def _advice(race: _Race) -> str:
    """Which arm of the best group is least sensitive to its learning rate, and which is cheapest.

    Least sensitive: most trials near the group's best one by validation. Cheapest: the shortest step, then the fewest
    bytes moved.
    """
    group = [arm.entry for arm in race.groups[0]]
    losses = [[race.sign * trial.score for trial in entry.trials if trial.usable] for entry in group]
    near = [statistics.near_best(one, min(map(min, losses)), race.sign * race.untrained) for one in losses]
    steady = [entry.name for entry, count in zip(group, near, strict=True) if count == max(near)]
    cheap = _cheapest(group)
    what = "learning rate" if all(set(entry.space) <= {"lr"} for entry in group) else "settings"
    least = "all are equally" if len(steady) == len(group) else f"{listed(steady)} {_verb(steady, 'is', 'are')} least"
    cost = "all cost about" if len(cheap) == len(group) else f"{listed(cheap)} {_verb(cheap, 'is', 'are')} cheapest at"
    step = _duration(min(entry.step_seconds for entry in group if entry.name in cheap))
    share = f"{max(near)} of {len(group[0].trials)} trials near the best"
    return f"; of these {least} sensitive to the {what} ({share}) and {cost} {step} a step"


def _cheapest(group: list[Entry]) -> list[str]:
    fastest = min(entry.step_seconds for entry in group)
    quick = [entry for entry in group if entry.step_seconds <= SAME_TIME * fastest]
    moved = [math.inf if math.isnan(entry.bytes_per_parameter) else entry.bytes_per_parameter for entry in quick]
    return [entry.name for entry, count in zip(quick, moved, strict=True) if count == min(moved)]


def _duration(seconds: float) -> str:
    scale, unit = next(((s, u) for s, u in ((1.0, "s"), (1e-3, "ms")) if seconds >= s), (1e-6, "µs"))
    return f"{seconds / scale:.3g} {unit}"
