"""The verdict in one sentence: who leads, who is not told apart and why, and what to take from a tie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fallline._text import counted, duration, listed
from fallline.racing.judging import statistics
from fallline.racing.judging.pairs import ROUNDING, faster
from fallline.racing.judging.records import Comparison, Entry, Estimate, shape
from fallline.racing.judging.statistics import Floats


@dataclass(frozen=True, eq=False)
class Contender:
    """An entry's scores as losses: lower is better, and diverged ones replaced by the stand-in."""

    entry: Entry
    losses: Floats  # (seeds,) of its best configuration
    score: Estimate  # their mean, in the metric's own orientation
    error: float  # standard error of its loss over the test examples, or over the seeds where those do not split
    study: Floats | None  # (repeats,) with trials and seeds drawn again; None with one finalist
    split: Floats | None  # (repeats,) with test examples drawn again as well

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.entry.name

    @property
    def loss(self) -> float:
        """The mean loss of its best configuration."""
        return float(self.losses.mean())


@dataclass(frozen=True, eq=False)
class Judgement:
    """What was found of all arms: all that the sentence speaks of."""

    standing: list[Contender]  # best first
    fallen: list[str]  # arms that diverged as a whole
    groups: list[list[Contender]]  # each led by its best arm, the others not separated from it
    comparisons: tuple[Comparison, ...]
    sign: float  # -1 where higher is better
    untrained_valid: float | None  # the validation score before training, where it is known
    metric: str


def sentence(judgement: Judgement, winner: str | None, effort_names_winner: bool, *, cost: bool = True) -> str:
    """Say what was found, and no more; with `cost=False` without what a clock had a say in."""
    standing, fallen = judgement.standing, judgement.fallen
    if not standing:
        who = f"Every arm diverged ({listed(fallen)})" if len(fallen) > 1 else f"The only arm, {fallen[0]}, diverged"
        return f"{who}, so nothing can be ranked: lower the learning rates."
    if not judgement.comparisons:
        rest = "the only arm that did not diverge" if fallen else "the only arm"
        text = f"There is nothing to compare: {standing[0].name} is {rest} ({_score(judgement, standing[0])})"
    elif not effort_names_winner:
        text = _ranked(judgement)
    elif winner is not None:
        text = _won(judgement)
    elif not any("settings" in one.failed for one in judgement.comparisons):
        text = _ahead(judgement) + _advice(judgement, cost)
    else:
        text = _tied(judgement) + _advice(judgement, cost)
    last = f"; {listed(fallen)} diverged and {'comes' if len(fallen) == 1 else 'come'} last" if fallen else ""
    return f"{text[0].upper()}{text[1:]}{last}."


def _limits(judgement: Judgement) -> str:
    entries = [arm.entry for arm in judgement.standing]
    seeds, examples = shape(entries[0].finals[0])
    trials = max(len(entry.trials) if entry.searched else 0 for entry in entries)
    counts = [*([f"{counted(trials, 'trial')} an arm"] if trials else []), counted(seeds, "seed")]
    counts += [counted(examples, "test example")] if examples is not None else []
    return f"on this problem and budget only ({', '.join(counts)})"


def _score(judgement: Judgement, arm: Contender) -> str:
    return f"mean test {judgement.metric} {arm.score.value:.4g}"


def _ranked(judgement: Judgement) -> str:
    first, *others = judgement.standing
    then = [f"{arm.name} ({arm.score.value:.4g})" for arm in others]
    return (
        f"This is a ranking by mean score, which other seeds or other trials could change, and never names a winner: "
        f"{_limits(judgement)}, {first.name} comes first ({_score(judgement, first)}), then {listed(then)}; take "
        "standard effort for a verdict"
    )


def _won(judgement: Judgement) -> str:
    best, second = judgement.standing[:2]
    p = max(one.adjusted_p for one in judgement.comparisons)
    two = len(judgement.comparisons) == 1
    others, level = (
        (second.name, f"p = {p:.2g}") if two else ("every other arm", f"p at most {p:.2g}, corrected for all pairs")
    )
    draws = [] if best.study is None else ["other trials"]
    draws += [] if best.split is None else ["other test examples"]
    return (
        f"{_limits(judgement)}, {best.name} wins ({_score(judgement, best)}, next {second.name} with "
        f"{second.score.value:.4g}): its lead over {others} is more than "
        f"{listed([f'other seeds ({level})', *draws], 'or')} would explain"
    )


def _ahead(judgement: Judgement) -> str:
    best, second = judgement.standing[:2]
    return (
        f"{_limits(judgement)}, the settings found for {best.name} are ahead ({_score(judgement, best)}, next "
        f"{second.name} with {second.score.value:.4g}), but {_doubts(judgement)}, so no winner is named: "
        f"it is a tie with {listed([arm.name for arm in judgement.groups[0][1:]])}{_behind(judgement)}"
    )


def _tied(judgement: Judgement) -> str:
    group = judgement.groups[0]
    values = [f"{value:.4g}" for value in sorted(arm.score.value for arm in group)]
    span = " to ".join(dict.fromkeys([values[0], values[-1]]))
    return (
        f"{_limits(judgement)}, it is a tie, so no winner is named: {listed([arm.name for arm in group])} share the "
        f"lead (mean test {judgement.metric} {span}) and are not told apart, since {_doubts(judgement)}"
        f"{_behind(judgement)}"
    )


def _doubts(judgement: Judgement) -> str:
    """Why the best arm is not told apart from those it ties with."""
    tied = [one for one in judgement.comparisons if not one.separated]
    doubted: dict[str, bool] = {
        "other seeds": any("settings" in one.failed for one in tied),
        "other trials": any("study" in one.failed for one in tied),
        "other test examples": any("split" in one.failed and not _too_small(one) for one in tied),
    }
    draws = [draw for draw, doubt in doubted.items() if doubt]
    whose = "the order, for each of them one or another" if len(tied) > 1 and len(draws) > 1 else "their order"
    reasons = [f"{listed(draws, 'or')} could change {whose}"] if draws else []
    if any(_too_small(one) and "settings" not in one.failed for one in tied):
        reasons.append(f"a lead of no more than {tied[0].smallest_difference:.2g} does not count")
    return listed(reasons)


def _too_small(comparison: Comparison) -> bool:
    """Whether the lead is too small to count and nothing else than that keeps the test examples from separating."""
    split, rounding = comparison.split, ROUNDING * max(abs(comparison.best_score), abs(comparison.other_score))
    small = comparison.difference <= comparison.smallest_difference + rounding
    return small and (split is None or split[0] > rounding)


def _behind(judgement: Judgement) -> str:
    behind = [one.other for one in judgement.comparisons if one.separated]
    is_or_are = "is" if len(behind) == 1 else "are"
    return f", while {listed(behind)} {is_or_are} behind {judgement.standing[0].name}" if behind else ""


def _advice(judgement: Judgement, cost: bool) -> str:
    """What tells the arms of the best group apart: how many of their trials came near the best and, if asked, costs."""
    group = [arm.entry for arm in judgement.groups[0]]
    told = [_sensitivity(judgement, group) if all(one.searched for one in group) else "", _cost(group) if cost else ""]
    text = " and ".join(one for one in told if one)
    return f"; {text}" if text else ""


def _sensitivity(judgement: Judgement, group: list[Entry]) -> str:
    """Which arms had the most trials near the group's best one by validation; nothing where that tells none apart."""
    scores = [[trial.comparable for trial in entry.trials] for entry in group]
    losses = [[judgement.sign * score for score in some if score is not None] for some in scores]
    best, untrained = min(map(min, losses)), judgement.untrained_valid
    if untrained is None or best >= judgement.sign * untrained:
        return ""
    near = [statistics.near_best(one, best, judgement.sign * untrained) for one in losses]
    most = [entry.name for entry, count in zip(group, near, strict=True) if count == max(near)]
    if len(most) == len(group):
        return ""
    what = "learning rate" if all(set(entry.space) <= {"lr"} for entry in group) else "settings"
    these, more, less = (
        ("of the two", "more", "less sensitivity") if len(group) == 2 else ("of these", "the most", "low sensitivity")
    )
    share = f"{max(near)} of {len(group[0].trials)}"
    return f"{these} {listed(most)} had {more} trials near the best ({share}), a sign of {less} to the {what}"


def _cost(group: list[Entry]) -> str:
    """Which arm of a group has the cheapest step: by the clock where that tells it from all others, else by bytes.

    Where rounds of timing disagree, the clock names none. Arms that it tells to be slower than another are left out.
    """
    times = np.array([entry.step_rounds for entry in group])
    told = faster(times)
    quick = [entry for place, entry in enumerate(group) if not told[:, place].any()]
    both, cheaper = ("both", "cheaper") if len(group) == 2 else ("all", "cheapest")
    if len(quick) == 1 and told[group.index(quick[0])].sum() == len(group) - 1:
        return f"{quick[0].name} is {cheaper} with a step of {duration(quick[0].step_time)}"
    of_whom = "" if len(quick) == len(group) else f" of {listed([entry.name for entry in quick])}"
    apart = f"step times{of_whom} can't be told apart here"
    moved = [entry.bytes_per_parameter for entry in quick]
    fewest = min((count for count in moved if not math.isnan(count)), default=math.nan)
    light = [entry.name for entry, count in zip(quick, moved, strict=True) if count == fewest]
    if math.isnan(fewest):
        return apart
    if len(light) == len(quick):
        whole = both if len(quick) == len(group) else "both" if len(quick) == 2 else "all"
        return f"{apart}, where {whole} move equally many bytes"
    return f"{apart}, where {listed(light)} {'moves' if len(light) == 1 else 'move'} the fewest bytes"
