"""From the runs of each arm on several problems to one decision: pure arithmetic on arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from fallline.racing.decision.advice import recommended
from fallline.racing.decision.choice import Chosen, choose
from fallline.racing.decision.distances import Distances, Spread, distances, spread
from fallline.racing.decision.means import MeanOver, Part
from fallline.racing.decision.overall import OverProblems, Without, with_lines
from fallline.racing.decision.records import LEVEL, SPEED_SHARE, Entrant, Floats, check_comparable, sane
from fallline.racing.decision.speed import LogSteps, Paces, Speeds, log_steps, paced


@dataclass(frozen=True, eq=False)
class ProblemRuns:
    """The runs of one problem.

    Args:
        problem: Its name.
        entrants: The runs of each arm, on the same seeds and test examples.
        higher_is_better: Whether scores are better the higher they are.
        untrained: The test score before training; None where there is none.
        steps: After how many steps the curves were evaluated; None where speed says little.
        margin: A difference in score that does not matter.
        seed: What the trials were drawn from: problems of one seed may share their luck. It draws the redraws.
    """

    problem: str
    entrants: Sequence[Entrant]
    higher_is_better: bool
    untrained: float | None
    steps: ArrayLike | None = None
    margin: float = 0.0
    seed: int = 0


def decide_over(problems: Sequence[ProblemRuns], level: float = LEVEL) -> OverProblems:
    """Decide between arms that ran on every one of several problems.

    On each problem an arm takes its best configuration, as in a race of it alone. Scores count as shares of the gain of
    the problem's best arm over the untrained model, a run that ends worse than that as the untrained model, so that no
    problem and no run outweighs the others. The means over the problems are compared with the best, for all arms at
    once. Problems are taken as they are: those at hand were picked, not drawn, and a handful would tell little of
    others. Runs are drawn anew within each problem, as in the stratified bootstrap of Agarwal et al., Deep
    reinforcement learning at the edge of the statistical precipice, 2021; but by the variances of seeds, test examples
    and trials, with their degrees of freedom: a bootstrap of few seeds has intervals that are too narrow, and knows
    nothing of the rest. `benchmarks/over_problems.py` has the figures. A problem counts where some arm is better than
    the untrained model for certain.

    Args:
        problems: The runs of each problem; arms are known by their names.
        level: The share of cases in which some interval may fail.

    Returns:
        The decision. What holds for several arms holds for all together.

    Raises:
        ValueError: There are no problems, two of one name, or arms of one problem that can't be compared.

    >>> from fallline.racing.decision import fixed
    >>> seeds = np.linspace(0, 0.01, 10)
    >>> arms = [fixed("a", 0.2 + seeds, 0.2 + seeds), fixed("b", 0.4 + seeds, 0.4 + seeds[::-1])]
    >>> print(decide_over([ProblemRuns(name, arms, False, 1.0) for name in ("p", "q")]).lines[0])
    Take a.
    """
    names = [one.problem for one in problems]
    if not problems or len(set(names)) < len(names):
        raise ValueError(f"problems must be at least one, each with a name of its own; they are {names}.")
    for one in problems:
        check_comparable(one.entrants)
    seen = list(dict.fromkeys(arm.name for one in problems for arm in one.entrants))
    shared = sorted(name for name in seen if all(name in {arm.name for arm in one.entrants} for one in problems))
    apart = tuple(sorted(set(seen) - set(shared)))
    found = {one.problem: _normalised(one, shared) if shared else "no arm was in every race" for one in problems}
    counting = [one for one in found.values() if isinstance(one, _Normalised)]
    left_out = {name: one for name, one in found.items() if isinstance(one, str)}
    return with_lines(_decided(counting, shared, apart, left_out, level))


@dataclass(frozen=True, eq=False)
class _Normalised:
    """One problem's arms, and how its losses become shares of the gain."""

    runs: ProblemRuns
    arms: list[Chosen]
    spread: Spread
    gain: float

    @property
    def shares(self) -> Floats:
        """Mean distances (arms,) from the best arm."""
        return np.asarray((self.spread.means - self.spread.means.min()) / self.gain)


def _normalised(runs: ProblemRuns, names: Sequence[str]) -> _Normalised | str:
    """The problem's arms of these names, in their order; or why it does not count."""
    if runs.untrained is None or not sane(np.array(runs.untrained)):
        return "the untrained model has no score"
    if runs.entrants[0].seeds < 2:
        return "one seed tells nothing of chance"
    sign = -1.0 if runs.higher_is_better else 1.0
    worst = sign * runs.untrained
    by_name = {one.name: one for one in runs.entrants}
    arms = [_taken(by_name[name], sign, worst, runs.seed) for name in names]
    losses = np.stack([*(arm.losses for arm in arms), np.full(arms[0].entrant.seeds, worst)])
    known = [arm.examples for arm in arms if arm.examples is not None]
    examples = None if not known else np.stack([*known, np.full(known[0].shape, worst)])
    luck, trials = (np.array([*own, 0.0]) for own in zip(*((arm.luck, arm.trials) for arm in arms), strict=True))
    whole = spread(losses, luck=luck, trials=trials, examples=examples)
    if not (distances(whole, LEVEL).low[-1, :-1] > 0).any():
        return "no arm is better than the untrained model for certain"
    kept = slice(len(arms))
    parts = {part: getattr(whole, part)[kept, kept] for part in ("seeds", "examples", "common")}
    found = replace(whole, means=whole.means[kept], trials=whole.trials[kept], **parts)
    return _Normalised(runs, arms, found, worst - float(found.means.min()))


def _taken(entrant: Entrant, sign: float, worst: float, seed: int) -> Chosen:
    """What an arm takes; all runs of one that diverged as a whole count as untrained."""
    capped = np.where(sign * entrant.test > worst, sign * worst, entrant.test)
    examples = entrant.examples
    if examples is not None:
        examples = examples + np.where(entrant.usable, capped - entrant.test, 0.0)[..., None]
    capped_entrant = replace(entrant, test=capped, examples=examples)
    found = choose(capped_entrant, sign, worst, np.random.default_rng([seed, *entrant.name.encode()]))
    if found is not None:
        return found
    shares = None if examples is None else np.full(examples.shape[1:], worst)
    return Chosen(entrant, 0, np.full(entrant.seeds, worst), shares, 0.0, 0.0, None, entrant.seeds)


@dataclass(frozen=True, eq=False)
class _Judged:
    """What is found over some problems: the distances, the arm to take and why, and the paces."""

    judged: Distances | None
    leading: list[int]
    place: int
    reason: str
    paces: Paces | None
    timed: list[str]


def _judge(problems: Sequence[_Normalised], margin: float, level: float) -> _Judged:
    count = len(problems[0].arms)
    if count < 2:
        return _Judged(None, [0], 0, "alone", None, [])
    losses = np.mean([one.shares for one in problems], axis=0)
    share = SPEED_SHARE if any(one.runs.steps is not None for one in problems) else 0.0
    whole = MeanOver([Part(one.spread, one.gain, one.runs.seed) for one in problems])
    judged = distances(whole, (1 - share) * level, widest=1.0)
    leading = judged.leading(margin)
    two = leading if len(leading) > 1 else np.argsort(losses, kind="stable")[:2].tolist()
    pace, timed = _paces(problems, two, share * level)
    bytes = [arm.entrant.bytes for arm in problems[0].arms]
    place, reason = recommended(
        judged.furthest, leading, margin=margin,
        steps=[None] * count if pace is None else pace.steps.tolist(),
        widths=[None] * count,
        bytes=[None if math.isnan(one) else one for one in bytes],
        losses=losses.tolist(),
    )  # fmt: skip
    return _Judged(judged, leading, place, reason, pace, timed)


def _paces(problems: Sequence[_Normalised], leading: Sequence[int], level: float) -> tuple[Paces | None, list[str]]:
    """Geometric means of the steps to the level that the leading arms share, and on which problems there is one."""
    found: dict[str, LogSteps] = {}
    for one in problems:
        if one.runs.steps is not None and (logs := log_steps(one.arms, one.runs.steps, leading)) is not None:
            found[one.runs.problem] = logs
    if not found:
        return None, []
    parts = list(found.values())
    judged = distances(MeanOver([Part(one.found, 1.0, 0) for one in parts]), level)  # which trials have no part in
    means = np.mean([one.found.means for one in parts], axis=0)
    missed = tuple(int(count) for count in np.sum([one.missed for one in parts], axis=0))
    names = tuple(arm.name for arm in problems[0].arms)
    return paced(names, math.nan, means, judged, missed, np.any([one.open for one in parts], axis=0)), list(found)


def _decided(
    counting: Sequence[_Normalised], names: Sequence[str], apart: tuple[str, ...], left_out: dict[str, str],
    level: float,
) -> OverProblems:  # fmt: skip
    nothing = OverProblems(
        (), left_out, None, "alone", {}, None, None, dict.fromkeys((*names, *apart)), {}, (), {}, None, (), {}, {},
        apart, level, 0.0,
    )  # fmt: skip
    if not counting:
        return nothing
    margin = float(np.mean([one.runs.margin / one.gain for one in counting]))
    found = _judge(counting, margin, level)
    judged, take = found.judged, names[found.place]
    ends = {} if judged is None else judged.ends(names)
    won = None if judged is None or apart else judged.winner(margin)
    behind = [place for place in range(len(names)) if place not in found.leading]
    return replace(
        nothing,
        problems=tuple(one.runs.problem for one in counting),
        take=take,
        decided_by=found.reason,
        configurations={one.runs.problem: _configuration(one.arms[found.place]) for one in counting},
        at_most_below_best=ends[take][1] if ends else None,
        winner=None if won is None else names[won],
        distances={name: ends.get(name) for name in (*names, *apart)},
        behind={names[place]: ends[names[place]][0] for place in behind},
        tied=tuple(names[place] for place in found.leading if place != won) if len(found.leading) > 1 else (),
        shares={
            name: {one.runs.problem: float(one.shares[place]) for one in counting} for place, name in enumerate(names)
        },
        speeds=_speeds(found),
        speed_problems=tuple(found.timed),
        without=_leaving_out(counting, found, names, margin, level),
        diverged=_diverged(counting, names),
        margin=margin,
    )


def _leaving_out(
    counting: Sequence[_Normalised], found: _Judged, names: Sequence[str], margin: float, level: float
) -> dict[str, Without]:
    without = {}
    for left in counting if len(counting) > 1 and len(names) > 1 else ():
        rest = _judge([one for one in counting if one is not left], margin, level)
        assert rest.judged is not None
        most = float(rest.judged.furthest[rest.place])
        without[left.runs.problem] = Without(names[rest.place], most, found.place not in rest.leading)
    return without


def _speeds(found: _Judged) -> Speeds | None:
    return None if found.paces is None else found.paces.against(found.place)


def _configuration(arm: Chosen) -> dict[str, object] | None:
    known = arm.entrant.configurations
    return None if known is None else dict(known[int(arm.entrant.finals[arm.finalist])])


def _diverged(counting: Sequence[_Normalised], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By arm the problems on which every run of it diverged."""
    whole = {
        name: tuple(one.runs.problem for one in counting if one.arms[place].diverged == one.arms[place].entrant.seeds)
        for place, name in enumerate(names)
    }
    return {name: problems for name, problems in whole.items() if problems}
