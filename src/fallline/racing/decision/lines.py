"""The decision in short lines, each with its numbers and their unit; its limits come last."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from fallline._text import counted, listed, rough_range
from fallline.racing.decision.record import Decision
from fallline.racing.decision.records import LEVEL
from fallline.racing.decision.speed import Speed

MOST_NAMES = 4
"""Names in a line; more are a table's work."""
WHY = {
    "speed": ", the fastest of those that lose least at worst",
    "range": ", the least sensitive of those that lose least at worst",
    "bytes": ", whose step moves the fewest bytes among those that lose least at worst",
    "name": ", the first by name of those that nothing tells apart",
    "score": ", which has the best mean score",
}
"""What decided for the arm that is taken, where that needs saying."""


def with_lines(decision: Decision) -> Decision:
    """The decision with what it says: what was found, and no more."""
    parts = (_take, _cost, _gains, _speed, _seconds, _rates, _behind, _tied, _open, _next, _diverged, _limits)
    return replace(decision, lines=tuple(line for part in parts for line in part(decision)))


def _take(decision: Decision) -> Iterator[str]:
    take = decision.take
    if take is None:
        yield f"Nothing can be taken: {names_of(decision.apart)} diverged."
        return
    setting = "" if not take.configuration else f" with {listed([_set(*one) for one in take.configuration.items()])}"
    yield f"{'Keep' if decision.keep else 'Take'} {take.arm}{setting}{WHY.get(take.decided_by, '')}."


def _set(name: str, value: object) -> str:
    return f"{name} = {value:.3g}" if isinstance(value, float) else f"{name} = {value}"


def _cost(decision: Decision) -> Iterator[str]:
    take, most = decision.take, decision.at_most_below_best
    if take is None:
        return
    sure = f"{100 * (1 - LEVEL):.3g} % confidence{'' if decision.whole else ', at these settings,'}"
    if len(decision.scores) < 2:
        return
    if most is None:
        yield "How much it could cost can't be told from so few runs."
    elif decision.winner == take.arm and len(decision.behind) == len(decision.distances) - 1:
        yield f"With {sure} it is the best: every other arm is behind it."
    elif most <= decision.margin:
        yield f"With {sure} no arm that is compared is better{_matters(most)}."
    else:
        side = "below" if decision.higher_is_better else "above"
        yield f"With {sure} it ends at most {_number(most)} {side} whichever arm is best."
    if most and decision.split_alone:
        examples = counted(decision.counts.examples or 0, "test example")
        yield f"With endless seeds and trials, {examples} would still leave {_number(decision.split_alone)} open."


def _matters(most: float) -> str:
    return f" by more than {_number(most)}, which does not matter" if most else ""


def _gains(decision: Decision) -> Iterator[str]:
    """Whether to keep a setting that was given."""
    if (take := decision.take) is None:
        return
    for name, (least, most) in decision.gains.items():
        gain = f"What {take.arm} gains over {name}"
        if least > decision.margin:
            yield f"Change from {name}: {take.arm} gains {_number(least)} to {_number(most)} over it."
        elif most <= decision.margin:
            yield f"{gain} does not matter: stay with it, if it is what you have."
        else:
            span = f"{_number(least)} to {_number(most)}"
            yield f"{gain} is not certain: {span}."


def _speed(decision: Decision) -> Iterator[str]:
    speeds, take = decision.speeds, decision.take
    if speeds is None or take is None:
        return
    yield f"At this setting it gets to a validation loss of {speeds.level:.3g} in {speeds.steps:,.0f} steps."
    others = {name: one for name, one in speeds.of.items() if name != take.arm}
    slower = {name: one for name, one in others.items() if one.low > 1}
    faster = {name: one for name, one in others.items() if one.high < 1}
    for what, group in (("more", slower), ("fewer", faster)):
        if 0 < len(group) <= MOST_NAMES:
            told = [f"{name} {times_of(one)}" for name, one in group.items()]
            yield f"For certain {what} steps, at theirs: {'; '.join(told)}."
        elif group:
            yield f"For certain {what} steps, at theirs: {len(group)} arms."
    if missed := {name: one.missed for name, one in speeds.of.items() if one.missed}:
        told = [f"{name} in {count} of {decision.counts.seeds}" for name, count in missed.items()]
        yield f"Runs that missed it: {names_of(told, 'arms in some')}; they count as having needed every step."


def _seconds(decision: Decision) -> Iterator[str]:
    take, speeds = decision.take, decision.seconds
    if speeds is None or take is None:
        return
    found = {name: one for name, one in speeds.of.items() if name != take.arm and (one.low > 1 or one.high < 1)}
    if 0 < len(found) <= MOST_NAMES:
        yield f"In time here, for certain: {'; '.join(f'{name} {times_of(one)}' for name, one in found.items())}."
    elif found:
        slower = sum(one.low > 1 for one in found.values())
        yield f"In time here, for certain: {slower} arms take longer, {len(found) - slower} less."


def times_of(speed: Speed) -> str:
    """A ratio of steps with its interval; its lower end where the upper one is open."""
    if math.isinf(speed.high):
        return f"at least {speed.low:.2f} times"
    return f"{speed.ratio:.2f} times ({speed.low:.2f} to {speed.high:.2f})"


def _rates(decision: Decision) -> Iterator[str]:
    if (found := decision.rates) is not None:
        if found.low == found.high:
            yield f"No other {found.setting} that was tried keeps 90 % of its gain."
        else:
            yield f"{found.setting} from {found.low:.3g} to {found.high:.3g} keeps 90 % of its gain."


def _behind(decision: Decision) -> Iterator[str]:
    if decision.behind:
        told = [f"{name} by at least {_number(least)}" for name, least in decision.behind.items()]
        yield f"Behind for certain: {listed(told) if len(told) <= MOST_NAMES else _grouped(decision, decision.behind)}."


def _tied(decision: Decision) -> Iterator[str]:
    if decision.tied:
        names, begin = decision.tied, "Not told apart"
        if decision.winner is not None:
            begin = f"Not worse than {decision.winner} for certain by more than {_number(decision.margin)}"
        yield f"{begin}: {listed(list(names)) if len(names) <= MOST_NAMES else _grouped(decision, names)}."


def _open(decision: Decision) -> Iterator[str]:
    found = decision.settling
    if found is None:
        return
    pair = listed(found.arms)
    if found.seeds is not None:
        seeds = f"{found.seeds:,} seeds would tell them apart in four of five races"
        yield f"If {pair} differ as they seem to, {seeds}."
    elif found.limited_by == "difference":
        yield f"What {pair} seem to differ by is too small for any affordable number of seeds."
    else:
        examples = f"the {counted(decision.counts.examples or 0, 'test example')} limit"
        what = {"examples": examples, "trials": "the draw of trials limits"}[found.limited_by]
        yield f"More seeds would not tell {pair} apart: {what} it."


def _next(decision: Decision) -> Iterator[str]:
    if (found := decision.next) is not None:
        seconds = rough_range(found.seconds, 2 * found.seconds + 1)
        yield f"To know more, {counted(found.runs, 'run')} in {seconds}: {found.command}"


def _diverged(decision: Decision) -> Iterator[str]:
    if decision.diverged:
        told = [f"{name} in {count} of {decision.counts.seeds}" for name, count in decision.diverged.items()]
        yield f"Final runs diverged: {names_of(told, 'arms in some')}."
    if decision.apart and decision.take is not None:
        are = "is" if len(decision.apart) == 1 else "are"
        yield f"{names_of(decision.apart, 'arms')} {are} not compared, as a run that diverged has no score."


def _limits(decision: Decision) -> Iterator[str]:
    yield from decision.notes
    counts = [counted(decision.counts.seeds, "seed")]
    counts += [] if decision.counts.examples is None else [counted(decision.counts.examples, "test example")]
    counts += [f"{counted(decision.counts.trials, 'trial')} an arm"] if decision.counts.trials else []
    yield f"This holds on this problem, budget and split only: {listed(counts)}."


def names_of(names: Sequence[str], what: str = "arms") -> str:
    """Names in a line, or how many there are."""
    return listed(list(names)) if len(names) <= MOST_NAMES else f"{len(names)} {what}"


def _grouped(decision: Decision, names: Collection[str]) -> str:
    """Many arms by their families; those of none, or alone in theirs, by name if they are few."""
    families = Counter(decision.families.get(name) for name in names)
    large = {family: count for family, count in families.items() if family is not None and count > 1}
    others = [name for name in names if decision.families.get(name) not in large]
    told = [f"{count} of {family}'s family" for family, count in large.items()]
    rest = others if len(others) <= MOST_NAMES else [f"{len(others)} others"]
    whole = f"{len(names)} arms"
    return f"{whole}, {listed([*told, *rest])}" if large else whole


def _number(value: float) -> str:
    return f"{value:.3g}"
