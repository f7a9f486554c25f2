"""Adagrad's fading steps, and what a moving average of squares does about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fallline.landscape import path, surfaces
from fallline.lessons.followed import Array, Followed, followed
from fallline.lessons.lesson import Check, Evidence, Lesson, exact, measured
from fallline.lessons.pictures import lines
from fallline.lessons.populations import lane
from fallline.problems import breast_cancer, digits
from fallline.training import Problem

_CHOSEN_ON = 2  # seeds apart, which choose each rule's rate


def stalling(
    *,
    rule: str = "adagrad",
    cures: Sequence[str] = ("rmsprop", "adadelta"),
    rates: Sequence[float] = (0.1, 1.0, 10.0, 100.0),
    problems: Mapping[str, Callable[..., Problem]] = {"digits": digits, "breast cancer": breast_cancer},
    ravine_rate: float = 0.5,
    epochs: int = 40,
    seeds: int = 6,
) -> Evidence:
    """Compare Adagrad's sum of squares with moving averages, at one rate and at each one's best.

    Args:
        rule: What should stall.
        cures: What should not.
        rates: Learning rates to choose the best of, as multiples of each rule's default; 1 is among them.
        problems: Functions that build the problems, by name.
        ravine_rate: The learning rate of `rule` and of the first cure in a ravine.
        epochs: Of each problem.
        seeds: How many runs each mean is over.
    """
    names = (rule, *cures)
    checks: list[Check] = []
    fading: dict[str, tuple[Array, Array]] = {}
    for called, make in problems.items():
        problem = make(epochs=epochs)
        settings = {
            f"{name} {rate}": lane(name, lr=rate * lane(name).values["lr"]) for name in names for rate in rates
        }
        found = followed(problem, settings, seeds + _CHOSEN_ON)
        loss, _ = found.quality(problem.train)
        rate_of_step = _by_epoch(found.steps / found.slopes, problem.steps_per_epoch)
        best = {name: _best(found, name, rates, loss) for name in names}
        for condition, taken in (("all at their defaults", dict.fromkeys(names, 1.0)), ("each at its best rate", best)):
            chosen = {name: f"{name} {rate}" for name, rate in taken.items()}
            checks += _compared(
                {name: found.of(one, rate_of_step)[:seeds] for name, one in chosen.items()},
                {name: found.of(one, loss)[:seeds] for name, one in chosen.items()},
                f"{called}, {condition}",
                of=2 * len(problems) * len(names),
            )
        fading = fading or {
            name: (np.arange(1, epochs + 1), found.of(f"{name} 1.0", rate_of_step)[:seeds]) for name in names
        }
    checks += _in_ravine(rule, cures[0], ravine_rate)
    return Evidence(
        f"{', '.join(names)} for {epochs} epochs, {seeds} seeds, at their default rates and at the best of "
        f"{', '.join(f'{rate:g}' for rate in rates)} times these (the lowest training loss on {_CHOSEN_ON} other "
        f"seeds); and a ravine with exact gradients at η = {ravine_rate:g}.",
        tuple(checks),
        lines("How far a step goes for its gradient", "epoch", "|step| / |gradient|", fading, log_x=True, log_y=True),
        "Where gradients are exact and fade, so does what Adagrad adds to its sum: its rate levels off and it arrives, "
        "while a moving average goes on stepping by about η.",
    )


def _by_epoch(values: Array, steps_per_epoch: int) -> Array:
    """Medians [lanes, epochs] of values [lanes, steps]."""
    with np.errstate(all="ignore"):
        return np.asarray(np.median(values.reshape(len(values), -1, steps_per_epoch), axis=2))


def _best(found: Followed, name: str, rates: Sequence[float], loss: Array) -> float:
    """The rate with the lowest loss on the seeds that choose; one that diverged is none."""
    means = [found.of(f"{name} {rate}", loss)[-_CHOSEN_ON:].mean() for rate in rates]
    return rates[int(np.nanargmin(means))]


def _compared(rates: Mapping[str, Array], losses: Mapping[str, Array], condition: str, of: int) -> list[Check]:
    """Whether the first one's rate of a step falls, and the others' losses end lower."""
    first, *others = losses
    last, early = rates[first][:, -1], rates[first][:, rates[first].shape[1] // 10]
    what = f"{first}'s step for its gradient, in the last epoch over that after a tenth of them"
    fell = measured(what, last / early, below=1.0, condition=condition, of=of, ratio=True)
    return [
        fell,
        *(
            measured(
                f"the training loss in the end, {name}'s over {first}'s",
                losses[name] / losses[first],
                below=1.0,
                condition=condition,
                of=of,
                ratio=True,
            )
            for name in others
        ),
    ]


def _in_ravine(rule: str, cure: str, rate: float) -> list[Check]:
    ends = [path(surfaces.ravine, name, lr=rate).losses[-1] for name in (rule, cure)]
    return [
        exact(
            f"the height in the end, {cure}'s over {rule}'s",
            float(ends[1] / ends[0]),
            below=1.0,
            condition="ravine, exact gradients",
        )
    ]


LESSONS = [
    Lesson(
        9,
        "Adagrad stalls",
        "Adagrad's steps shrink without end until it stalls, and a moving average of squares, as Adadelta and RMSprop "
        "have it, cures that.",
        "Zeiler, ADADELTA: an adaptive learning rate method, 2012; Tieleman and Hinton, lecture 6.5, 2012",
        stalling,
        "Take epochs=5: before it stalls Adagrad is ahead in many problems. The sums are what keeps it steady where "
        "features are rare.",
    ),
]
