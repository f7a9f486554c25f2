"""Adagrad's fading steps, and what a moving average of squares does about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fallline._text import listed
from fallline.lessons.followed import CHOOSING, Array, best_of, followed
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import lines
from fallline.lessons.populations import lane
from fallline.problems import find


def stalling(
    *,
    rule: str = "adagrad",
    cures: Sequence[str] = ("rmsprop", "adadelta"),
    rates: Sequence[float] = (0.1, 1.0, 10.0, 100.0),
    problems: Sequence[str] = ("digits", "breast-cancer"),
    epochs: int = 30,
    seeds: int = 10,
) -> Evidence:
    """Compare Adagrad's sum of squares with moving averages, at one rate and at each one's best.

    Args:
        rule: What should stall.
        cures: What should not.
        rates: Learning rates to choose the best of, as multiples of each rule's default; 1 is among them.
        problems: Names of bundled problems.
        epochs: Of each problem.
        seeds: How many runs each mean is over.

    Raises:
        ValueError: The defaults themselves are not among the rates.
    """
    if 1 not in rates:
        raise ValueError(f"rates must have 1 among them, which is each rule's default; got {rates!r}.")
    rates = [float(rate) for rate in rates]
    names = (rule, *cures)
    checks: list[Check] = []
    fading: dict[str, tuple[Array, Array]] = {}
    unseen = []
    for called in problems:
        problem = find(called).make(epochs=epochs)
        settings = {f"{name} {rate}": lane(name, lr=rate * lane(name).values["lr"]) for name in names for rate in rates}
        found = followed(problem, settings, seeds + CHOOSING)
        loss, _ = found.quality(problem.train)
        tested, _ = found.quality(problem.splits()["test"])
        rate_of_step = _by_epoch(found.steps / found.slopes, problem.steps_per_epoch)
        best = {name: best_of({rate: found.of(f"{name} {rate}", loss) for rate in rates}) for name in names}
        for condition, taken in (("all at their defaults", dict.fromkeys(names, 1.0)), ("each at its best rate", best)):
            chosen = {name: f"{name} {rate}" for name, rate in taken.items()}
            checks += _compared(
                {name: found.of(one, rate_of_step)[:seeds] for name, one in chosen.items()},
                {name: found.of(one, loss)[:seeds] for name, one in chosen.items()},
                f"{called}, {condition}",
                of=2 * len(problems) * len(names),
            )
        ends = {name: found.of(f"{name} {rate}", tested)[:seeds].mean() for name, rate in best.items()}
        unseen.append(f"{called}: " + ", ".join(f"{name} {end:.3f}" for name, end in ends.items()))
        fading = fading or {
            name: (np.arange(1.0, epochs + 1), found.of(f"{name} 1.0", rate_of_step)[:seeds]) for name in names
        }
    return Evidence(
        f"{listed(names)} for {epochs} epochs of {listed(problems)}, {seeds} seeds, at their default rates and "
        f"at the best of {listed([f'{rate:g}' for rate in rates])} times these (the lowest training loss on {CHOOSING} "
        "other seeds).",
        tuple(checks),
        lines("How far a step goes for its gradient", "epoch", "|step| / |gradient|", fading, log_x=True, log_y=True),
        f"Mean losses on test examples, at the rates with the lowest training loss: {'; '.join(unseen)}.",
    )


def _by_epoch(values: Array, steps_per_epoch: int) -> Array:
    """Medians [lanes, epochs] of values [lanes, steps]."""
    with np.errstate(all="ignore"):
        return np.asarray(np.median(values.reshape(len(values), -1, steps_per_epoch), axis=2))


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


LESSONS = [
    Lesson(
        9,
        "Adagrad stalls",
        "Adagrad's steps shrink without end until it stalls, and a moving average of squares, as Adadelta and RMSprop "
        "have it, cures that.",
        "Zeiler, ADADELTA: an adaptive learning rate method, 2012; Tieleman and Hinton, lecture 6.5, 2012",
        stalling,
        "Take epochs=3, before the sum has grown, and epochs=100.",
    ),
]
