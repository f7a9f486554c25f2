"""A race's runs as the decision sees them, and which configuration each arm takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fallline.racing.arms import Arm
from fallline.racing.decision import Entrant, best_finalist
from fallline.racing.runs import Outcome
from fallline.racing.tuning import Finals, Tuned

Chosen = Mapping[str, Sequence[int]]


def best_first(
    arms: Sequence[Arm], tuned: Mapping[str, Tuned], chosen: Chosen, finals: Finals, sign: float
) -> tuple[Chosen, Finals]:
    """The finalists' trials and runs, of each arm those of the configuration that it takes first.

    `sign` makes losses of scores.
    """
    order = {}
    for entrant in entrants(arms, tuned, chosen, finals):
        best = best_finalist(entrant, sign)
        order[entrant.name] = [best, *(place for place in range(len(chosen[entrant.name])) if place != best)]
    return (
        {name: [chosen[name][place] for place in places] for name, places in order.items()},
        {name: tuple(finals[name][place] for place in places) for name, places in order.items()},
    )


def entrants(arms: Sequence[Arm], tuned: Mapping[str, Tuned], chosen: Chosen, finals: Finals) -> list[Entrant]:
    """All arms' runs; what diverged is NaN."""
    examples = sharing(run for arm in finals.values() for runs in arm for run in runs)
    return [_entrant(arm, tuned[arm.name], chosen[arm.name], finals[arm.name], examples) for arm in arms]


def _entrant(
    arm: Arm, tuned: Tuned, chosen: Sequence[int], finals: Sequence[Sequence[Outcome]], examples: int | None
) -> Entrant:
    shares = None
    if examples is not None:
        none = np.full(examples, np.nan)
        shares = np.stack([[none if run.examples is None else run.examples for run in runs] for runs in finals])
    even = tuned.even and len(tuned.places) > 0
    return Entrant(
        arm.name,
        np.array([trial.score if trial.usable else np.nan for trial in tuned.trials]),
        np.array(chosen),
        np.array([[np.nan if run.diverged else run.valid_metric[-1] for run in runs] for runs in finals]),
        np.array([[np.nan if run.diverged else run.score for run in runs] for runs in finals]),
        shares,
        places=np.array(tuned.places) if even else None,
        stages=np.array(tuned.stages) if even else None,
        curves=_curves(finals),
        configurations=tuned.points,
        searched=arm.searched,
        bytes=arm.bytes_per_parameter,
    )


def sharing(runs: Iterable[Outcome]) -> int | None:
    """How many examples share in the scores; None where the metric is no mean over them.

    A run that diverged tells nothing of it, and where there is one example alone, no other can be drawn.
    """
    told = [run.examples for run in runs if not run.diverged]
    shares = [examples for examples in told if examples is not None]
    return len(shares[0]) if shares and len(shares) == len(told) and len(shares[0]) > 1 else None


def _curves(finals: Sequence[Sequence[Outcome]]) -> NDArray[np.float64] | None:
    """Validation losses (finalists, seeds, evaluations) at the steps of `evaluated`; None where these differ."""
    steps = evaluated(run for runs in finals for run in runs)
    if steps is None:
        return None
    at = np.searchsorted(finals[0][0].steps, steps)
    return np.array([[run.valid_loss[at] for run in runs] for runs in finals])


def evaluated(runs: Iterable[Outcome]) -> NDArray[np.int64] | None:
    """After how many steps, at least one, all runs were evaluated; None where that differs."""
    first, *others = [run.steps for run in runs]
    alike = all(np.array_equal(first, steps) for steps in others)
    return np.unique(first[first > 0]) if alike else None
