"""A race's runs as the decision sees them, and which configuration each arm takes."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fallline.racing.arms import Arm
from fallline.racing.decision import Entrant, best_finalist
from fallline.racing.runs import Outcome
from fallline.racing.tuning import Finals, Tuned
from fallline.training import Problem

if TYPE_CHECKING:
    from fallline.schedules import Schedule

Chosen = Mapping[str, Sequence[int]]
Integers = NDArray[np.int64]


def best_first(
    arms: Sequence[Arm], tuned: Mapping[str, Tuned], chosen: Chosen, finals: Finals, sign: float
) -> tuple[Chosen, Finals]:
    """The finalists' trials and runs, of each arm those of the configuration that it takes first.

    `sign` makes losses of scores.
    """
    order = {}
    for entrant in as_entrants(arms, tuned, chosen, finals):
        best = best_finalist(entrant, sign)
        order[entrant.name] = [best, *(place for place in range(len(chosen[entrant.name])) if place != best)]
    return (
        {name: [chosen[name][place] for place in places] for name, places in order.items()},
        {name: tuple(finals[name][place] for place in places) for name, places in order.items()},
    )


def as_entrants(
    arms: Sequence[Arm], tuned: Mapping[str, Tuned], chosen: Chosen, finals: Finals, steps: Integers | None = None
) -> list[Entrant]:
    """All arms' runs; what diverged is NaN. Curves are those at these steps, none without them."""
    examples = sharing(run for arm in finals.values() for runs in arm for run in runs)
    return [_entrant(arm, tuned[arm.name], chosen[arm.name], finals[arm.name], examples, steps) for arm in arms]


def _entrant(
    arm: Arm,
    tuned: Tuned,
    chosen: Sequence[int],
    finals: Sequence[Sequence[Outcome]],
    examples: int | None,
    steps: Integers | None,
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
        curves=None if steps is None else _curves(finals, steps),
        configurations=tuned.points if arm.searched else [dict(arm.fixed)],
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


def _curves(finals: Sequence[Sequence[Outcome]], steps: Integers) -> NDArray[np.float64]:
    """Validation losses (finalists, seeds, steps)."""
    return np.array([[run.valid_loss[np.searchsorted(run.steps, steps)] for run in runs] for runs in finals])


def steps_of_speed(
    problem: Problem, arms: Sequence[Arm], tuned: Mapping[str, Tuned], chosen: Chosen, finals: Finals
) -> Integers | None:
    """After how many steps all final runs were evaluated before any learning rate came down.

    A loss falls most as its rate decays to zero, so that how fast it fell until then is all that says something. None
    where rates come down in the first half of a run, or runs were not evaluated after the same steps.
    """
    steps = evaluated(finals)
    if steps is None:
        return None
    schedules = [arm.schedule(tuned[arm.name].points[index], problem) for arm in arms for index in chosen[arm.name]]
    stable = min(_stable(schedule, int(steps[-1])) for schedule in schedules)
    return steps[steps <= stable] if 2 * stable > steps[-1] else None


def evaluated(finals: Finals) -> Integers | None:
    """After how many steps all final runs were evaluated; None where that differs."""
    first, *others = [run.steps for arm in finals.values() for runs in arm for run in runs]
    alike = all(np.array_equal(first, steps) for steps in others)
    return np.unique(first) if alike else None  # a short run comes by a step twice


@functools.lru_cache(maxsize=512)
def _stable(schedule: Schedule | None, steps: int) -> int:
    """The steps before a learning rate first comes down."""
    if schedule is None:
        return steps
    falling = (step for step in range(1, steps) if schedule(step) < schedule(step - 1))
    return next(falling, steps)
