"""The verdict in one sentence: who leads, who is not told apart and why, and what to take from a tie."""

from __future__ import annotations

import math

from fallline.racing.judging import statistics
from fallline.racing.judging.contenders import Contender, Judgement
from fallline.racing.judging.records import Comparison, Entry, shape
from fallline.racing.wording import counted, duration, listed

SAME_TIME = 1.05  # step times within this ratio are equal: measured again they could swap


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
    entry = judgement.standing[0].entry
    seeds, examples = shape(entry.finals[0])
    counts = [f"{counted(len(entry.trials), 'trial')} an arm", counted(seeds, "seed")]
    counts += [counted(examples, "test example")] if examples is not None else []
    return f"on this problem and budget only ({', '.join(counts)})"


def _score(judgement: Judgement, arm: Contender) -> str:
    return f"mean test {judgement.metric} {arm.score:.4g}"


def _ranked(judgement: Judgement) -> str:
    first, *others = judgement.standing
    then = [f"{arm.name} ({arm.score:.4g})" for arm in others]
    return (
        f"This is a ranking and never names a winner: {_limits(judgement)}, {first.name} comes first "
        f"({_score(judgement, first)}), then {listed(then)}; take standard effort for a verdict"
    )


def _won(judgement: Judgement) -> str:
    best, second = judgement.standing[:2]
    p = max(one.adjusted_p for one in judgement.comparisons)
    two = len(judgement.comparisons) == 1
    others, level = (
        (second.name, f"p = {p:.2g}") if two else ("every other arm", f"p at most {p:.2g} after Holm's correction")
    )
    draws = ["other trials"] if best.split is None else ["other trials", "other test examples"]
    return (
        f"{_limits(judgement)}, {best.name} wins ({_score(judgement, best)}, next {second.name} with "
        f"{second.score:.4g}): its lead over {others} is more than {listed([f'other seeds ({level})', *draws], 'or')} "
        "would explain"
    )


def _ahead(judgement: Judgement) -> str:
    best, second = judgement.standing[:2]
    return (
        f"{_limits(judgement)}, the settings found for {best.name} are ahead ({_score(judgement, best)}, next "
        f"{second.name} with {second.score:.4g}), but {_doubts(judgement)}, so no winner is named: it is a tie with "
        f"{listed([arm.name for arm in judgement.groups[0][1:]])}{_behind(judgement)}"
    )


def _tied(judgement: Judgement) -> str:
    group = judgement.groups[0]
    values = [f"{value:.4g}" for value in sorted(arm.score for arm in group)]
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
        "other test examples": any(one.split is not None and one.split[0] <= 0 for one in tied),
    }
    draws = [draw for draw, doubt in doubted.items() if doubt]
    whose = "the order, for each of them one or another" if len(tied) > 1 and len(draws) > 1 else "their order"
    reasons = [f"{listed(draws, 'or')} could change {whose}"] if draws else []
    if any(_too_small(one) for one in tied):
        reasons.append(f"a lead of no more than {tied[0].smallest_difference:.2g} does not count")
    return listed(reasons)


def _too_small(comparison: Comparison) -> bool:
    """Whether the lead holds over the seeds and is still too small to count."""
    return comparison.difference <= comparison.smallest_difference and "settings" not in comparison.failed


def _behind(judgement: Judgement) -> str:
    behind = [one.other for one in judgement.comparisons if one.separated]
    is_or_are = "is" if len(behind) == 1 else "are"
    return f", while {listed(behind)} {is_or_are} behind {judgement.standing[0].name}" if behind else ""


def _advice(judgement: Judgement, cost: bool) -> str:
    """Which arm of the best group is least sensitive to its learning rate and, if asked, which is cheapest.

    Least sensitive: most trials near the group's best one by validation.
    """
    group = [arm.entry for arm in judgement.groups[0]]
    scores = [[trial.comparable for trial in entry.trials] for entry in group]
    losses = [[judgement.sign * score for score in some if score is not None] for some in scores]
    worst = judgement.sign * judgement.untrained_valid
    near = [statistics.near_best(one, min(map(min, losses)), worst) for one in losses]
    steady = [entry.name for entry, count in zip(group, near, strict=True) if count == max(near)]
    what = "learning rate" if all(set(entry.space) <= {"lr"} for entry in group) else "settings"
    these, all_of_them, less = ("of the two", "both", "less") if len(group) == 2 else ("of these", "all", "least")
    sensitivity = f"{all_of_them} are equally" if len(steady) == len(group) else f"{these} {_are(steady)} {less}"
    share = f"{max(near)} of {counted(len(group[0].trials), 'trial')} near the best"
    costs = f" and {_cost(group)}" if cost else ""
    return f"; {sensitivity} sensitive to the {what} ({share}){costs}"


def _cost(group: list[Entry]) -> str:
    """Which arm of a group is cheapest: the shortest step, then the fewest bytes moved."""
    cheap, by_bytes = _cheapest(group)
    all_of_them, cheaper = ("both", "cheaper") if len(group) == 2 else ("all", "cheapest")
    found = f"{all_of_them} cost about" if len(cheap) == len(group) else f"{_are(cheap)} {cheaper} at"
    step = duration(min(entry.step_seconds for entry in group if entry.name in cheap))
    return f"{found} {step} a step{', moving the fewest bytes' if by_bytes else ''}"


def _are(names: list[str]) -> str:
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'}"


def _cheapest(group: list[Entry]) -> tuple[list[str], bool]:
    """The cheapest arms, and whether the bytes decided between equally fast ones."""
    fastest = min(entry.step_seconds for entry in group)
    quick = [entry for entry in group if entry.step_seconds <= SAME_TIME * fastest]
    moved = [math.inf if math.isnan(entry.bytes_per_parameter) else entry.bytes_per_parameter for entry in quick]
    cheap = [entry.name for entry, count in zip(quick, moved, strict=True) if count == min(moved)]
    return cheap, len(cheap) < len(quick)
