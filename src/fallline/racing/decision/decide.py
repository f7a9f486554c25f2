"""From the runs of each arm to the decision: pure arithmetic on arrays, the same whatever the arms' order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fallline._text import listed
from fallline.racing.decision.advice import good_range, recommended
from fallline.racing.decision.choice import Chosen, choose, spread_of, stand_in
from fallline.racing.decision.distances import Distances, Spread, distances
from fallline.racing.decision.lines import with_lines
from fallline.racing.decision.record import Counts, Decision, Take
from fallline.racing.decision.records import LEVEL, SPEED_SHARE, Entrant, check_comparable, sane
from fallline.racing.decision.resolution import Settling, level_of_look, settling
from fallline.racing.decision.speed import Paces, in_time, paces


def decide(
    entrants: Sequence[Entrant],
    *,
    higher_is_better: bool,
    untrained: float | None = None,
    untrained_validation: float | None = None,
    margin: float = 0.0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    steps: ArrayLike | None = None,
    step_seconds: Mapping[str, Sequence[float]] | None = None,
    look: int | None = None,
    metric: str = "score",
    seed: int = 0,
    families: Mapping[str, str] | None = None,
) -> Decision:
    """Decide between arms.

    Args:
        entrants: The runs of each arm, on the same seeds and test examples.
        higher_is_better: Whether scores are better the higher they are.
        untrained: The test score before training, which a run that diverged counts for, or for the worst score seen
            where that is worse; without it, an arm that takes a configuration with such a run is not compared.
        untrained_validation: The validation score before training, which tells what a range of settings gains.
        margin: A difference in score that does not matter.
        bounds: The ends of the score, such as (0, 1) of accuracy, beyond which no distance reaches.
        steps: After how many steps the curves were evaluated (evaluations,); None where speed says little, as with
            learning rates that decay to zero.
        step_seconds: How long a step of each arm took, alone, in several rounds of all; None where that is not known.
        look: The number of this look at the same race, from 1, so that the looks share the level; None where nobody
            looks again.
        metric: What the score is called.
        seed: Draws the redraws.
        families: The family of each arm that has one; None where that is not known.

    Returns:
        The decision. What holds for several arms holds for all together, with 95 % confidence.

    Raises:
        ValueError: If the arms can't be compared, or a number is out of its range.

    >>> from fallline.racing.decision import fixed
    >>> scores = np.linspace(0.90, 0.92, 10)
    >>> arms = [fixed("a", scores, scores), fixed("b", scores, scores[::-1] - 0.1)]
    >>> print(decide(arms, higher_is_better=True, metric="accuracy"))
    Take a.
    With 95 % confidence it is the best: every other arm is behind it.
    Behind for certain: b by at least 0.0904.
    Scores do not split by test example, so how much hangs on this test split is not included.
    This holds on this problem, budget and split only: 10 seeds.
    """
    check_comparable(entrants)
    for name, value in (("untrained", untrained), ("untrained_validation", untrained_validation), ("margin", margin)):
        if value is not None and not sane(np.array(value)):
            raise ValueError(f"{name} must be a finite number, not {value}.")
    if margin < 0:
        raise ValueError(f"margin must be at least 0, not {margin}.")
    if not bounds[0] < bounds[1]:
        raise ValueError(f"bounds must be the lower end of the score and then the upper one, not {bounds}.")
    level, later = (LEVEL, LEVEL) if look is None else (level_of_look(look), level_of_look(look + 1))
    share = 0.0 if steps is None else SPEED_SHARE
    sign = -1.0 if higher_is_better else 1.0
    entrants = sorted(entrants, key=lambda one: one.name)
    arms, apart = _chosen(entrants, sign, untrained, seed)
    found = _judge(arms, margin, (1 - share) * level, bounds[1] - bounds[0])
    pace = None if steps is None else _paces(found, steps, share * level)
    good = [good_range(arm, sign, untrained_validation) for arm in arms]
    place, reason = _recommended(found, pace, [None if one is None else one.width for one in good])
    taken = arms[place] if arms else None
    ends = {} if found.judged is None else found.judged.ends([arm.name for arm in arms])
    unclear = any(one.name in apart and one.usable.any() for one in entrants)
    won = None if found.judged is None or unclear else found.judged.winner(margin)
    winner = None if won is None else arms[won].name
    speeds = None if pace is None else pace.against(place)
    decision = Decision(
        take=None if taken is None else Take(taken.name, _configuration(taken), reason),
        at_most_below_best=None if taken is None or found.judged is None else _told(ends[taken.name][1], found.widest),
        split_alone=None if taken is None else _split_alone(found, place),
        winner=winner,
        distances={one.name: ends.get(one.name) for one in entrants},
        behind={arms[at].name: ends[arms[at].name][0] for at in range(len(arms)) if at not in found.leading},
        tied=()
        if len(found.leading) < 2 or found.judged is None
        else tuple(arms[at].name for at in found.leading if at != won),
        scores={arm.name: sign * float(arm.losses.mean()) + 0.0 for arm in arms},
        speeds=speeds,
        seconds=None if speeds is None or step_seconds is None else in_time(speeds, arms[place].name, step_seconds),
        rates=good[place] if arms else None,
        diverged=_diverged(entrants, arms),
        apart=tuple(apart),
        settling=_settling(found, place, (1 - share) * later),
        level=level,
        margin=margin,
        metric=metric,
        higher_is_better=higher_is_better,
        counts=_counts(entrants),
        notes=(*_nothing_learnt(arms, sign, untrained), *_notes(entrants, arms, look)),
        whole=not _single(arms),
        keep=taken is not None and not taken.entrant.searched and any(arm.entrant.searched for arm in arms),
        gains=_gains(found, place),
        families=families or {},
    )
    return with_lines(decision)


FEW = 20
"""Of test examples: with fewer, normal means are not to be trusted."""


@dataclass(frozen=True, eq=False)
class _Judged:
    """The arms that can be compared, and what was found of them; None where there is too little for it."""

    arms: list[Chosen]
    spread: Spread | None
    judged: Distances | None
    leading: list[int]
    margin: float
    level: float
    widest: float


def _chosen(
    entrants: Sequence[Entrant], sign: float, untrained: float | None, seed: int
) -> tuple[list[Chosen], list[str]]:
    """The arms that can be compared, and the names of those that can't."""
    diverged = stand_in(entrants, sign, untrained)
    arms, apart = [], []
    for one in entrants:
        # One stream an arm, named after it: who else is in the race changes none of its draws.
        found = choose(one, sign, diverged, np.random.default_rng([seed, *one.name.encode()]))
        if found is None or (found.diverged and untrained is None):
            apart.append(one.name)
        else:
            arms.append(found)
    return arms, apart


def _judge(arms: list[Chosen], margin: float, level: float, widest: float) -> _Judged:
    found, judged, leading = None, None, list(range(len(arms)))
    if len(arms) > 1 and arms[0].entrant.seeds > 1:
        found = spread_of(arms)
        judged = distances(found, level, widest)
        leading = judged.leading(margin)
    return _Judged(arms, found, judged, leading, margin, level, widest)


def _paces(found: _Judged, steps: ArrayLike, level: float) -> Paces | None:
    """To the level that the leading arms share, or with one alone ahead the best two."""
    if len(found.arms) < 2:
        return None
    best = sorted(range(len(found.arms)), key=lambda place: found.arms[place].loss)[:2]
    return paces(found.arms, steps, leading=found.leading if len(found.leading) > 1 else best, confidence=level)


def _split_alone(found: _Judged, place: int) -> float | None:
    """The most that an arm would be from the best if seeds and trials were endless and all else were as found."""
    if found.spread is None or found.judged is None or found.spread.n_examples == 1:
        return None
    nothing = np.zeros_like(found.spread.seeds)
    alone = replace(found.spread, seeds=nothing, common=nothing, trials=nothing[0])
    return _finite(distances(alone, found.level, found.widest).furthest[place])


def _recommended(found: _Judged, pace: Paces | None, widths: Sequence[float | None]) -> tuple[int, str]:
    arms = found.arms
    if not arms:
        return 0, "alone"
    if found.judged is None:
        place = int(np.argmin([arm.loss for arm in arms]))
        return place, "alone" if len(arms) == 1 else "score"
    return recommended(
        found.judged.furthest,
        found.leading,
        margin=found.margin,
        steps=[None] * len(arms) if pace is None else pace.steps.tolist(),
        widths=widths,
        bytes=[None if math.isnan(arm.entrant.bytes) else arm.entrant.bytes for arm in arms],
        losses=[arm.loss for arm in arms],
    )


def _nothing_learnt(arms: Sequence[Chosen], sign: float, untrained: float | None) -> tuple[str, ...]:
    if not arms or untrained is None or min(float(arm.losses.mean()) for arm in arms) < sign * untrained:
        return ()
    return ("No arm ended better than the untrained model, so none is worth taking.",)


def _configuration(arm: Chosen) -> Mapping[str, Any] | None:
    known = arm.entrant.configurations
    return None if known is None else known[int(arm.entrant.finals[arm.finalist])]


def _settling(found: _Judged, place: int, level: float) -> Settling | None:
    """What would settle the arm that is taken against the one that could be better by most."""
    rivals = [other for other in found.leading if other != place]
    if found.spread is None or found.judged is None or not rivals:
        return None
    ends = found.judged.high[place]
    rival = max(rivals, key=lambda other: (ends[other], -other))
    if ends[rival] <= found.margin:
        return None
    return settling((found.arms[place].name, found.arms[rival].name), found.spread, level, (place, rival))


def _diverged(entrants: Sequence[Entrant], arms: Sequence[Chosen]) -> dict[str, int]:
    """Of the configuration that each arm takes, or of the soundest where it takes none."""
    counts = {one.name: int((~one.usable).sum(axis=1).min()) for one in entrants}
    counts.update({arm.name: arm.diverged for arm in arms})
    return {name: count for name, count in counts.items() if count}


def _counts(entrants: Sequence[Entrant]) -> Counts:
    examples = entrants[0].examples
    trials = max(one.trials.size if one.searched else 0 for one in entrants)
    return Counts(entrants[0].seeds, None if examples is None else examples.shape[2], trials)


def _notes(entrants: Sequence[Entrant], arms: Sequence[Chosen], look: int | None) -> tuple[str, ...]:
    counts, notes = _counts(entrants), []
    if len(arms) == 1:
        notes.append("There is nothing to compare it with.")
    elif arms and counts.seeds == 1:
        notes.append("One seed tells nothing of chance, so no arm is told from another: run several.")
    if len(arms) > 1 and counts.seeds > 1:
        if counts.examples is None or counts.examples == 1:
            notes.append("Scores do not split by test example, so how much hangs on this test split is not included.")
        elif counts.examples < FEW:
            notes.append(f"{counts.examples} test examples are few to tell what others would come to.")
        if single := _single(arms):
            notes.append(f"With one finalist, another draw of the trials of {listed(single)} is not included.")
    if look is not None and look > 1:
        notes.append(f"This was look {look} at this race; the looks share the level.")
    return tuple(notes)


def _single(arms: Sequence[Chosen]) -> list[str]:
    """The arms that were searched and have one finalist."""
    return [arm.name for arm in arms if arm.entrant.searched and len(arm.entrant.finals) == 1]


def _gains(found: _Judged, place: int) -> dict[str, tuple[float, float]]:
    """What taking an arm gains over each whose setting was given, beside those that were searched."""
    given = [at for at, arm in enumerate(found.arms) if not arm.entrant.searched and at != place]
    if found.judged is None or not any(arm.entrant.searched for arm in found.arms):
        return {}
    low, high = found.judged.low, found.judged.high
    return {found.arms[at].name: (float(low[at, place]), float(high[at, place])) for at in given}


def _told(value: float, widest: float) -> float | None:
    """A distance; None where it is as wide as the score is, which says nothing."""
    return _finite(value) if value < widest else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
