"""Adadelta's units: what becomes of it when the loss is multiplied, and whether it can do without a learning rate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fallline.lessons.followed import Array, followed
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import intervals
from fallline.lessons.populations import lane
from fallline.problems import breast_cancer, diabetes, digits
from fallline.training import Problem

_AS_GOOD = 1.05  # of a loss, and more than "nothing" changes


def units(
    *,
    rule: str = "adadelta",
    scales: Sequence[float] = (1e-3, 1e3),
    rates: Sequence[float] = (0.01, 0.1, 10.0, 100.0),
    problems: Mapping[str, Callable[[], Problem]] = {
        "digits": digits,
        "breast cancer": breast_cancer,
        "diabetes": diabetes,
    },
    seeds: int = 10,
) -> Evidence:
    """Multiply the loss, and then the learning rate, and see what changes.

    Args:
        rule: What should need no learning rate.
        scales: What the loss is multiplied by.
        rates: Learning rates to try beside the default, as multiples of it.
        problems: Functions that build the problems, by name.
        seeds: How many runs each mean is over.
    """
    default = lane(rule).values["lr"]
    settings = {"1": lane(rule), **{f"{rate:g}": lane(rule, lr=rate * default) for rate in rates}}
    of = len(problems) * (len(scales) + 1)
    checks: list[Check] = []
    changes: dict[str, dict[str, Array]] = {rule: {}, "sgd": {}}
    best_rates = []
    for called, make in problems.items():
        problem = make()
        found = followed(problem, settings, seeds)
        losses, _ = found.quality(problem.valid)
        best = min(found.settings, key=lambda name: np.nan_to_num(found.of(name, losses).mean(), nan=np.inf))
        best_rates.append(f"{best} on {called}")
        checks.append(
            measured(
                f"the validation loss at the default rate over that at the best of {len(settings)}",
                found.of("1", losses) / found.of(best, losses),
                below=_AS_GOOD,
                condition=f"{called}, no rate chosen",
                of=of,
                ratio=True,
            )
        )
        plain = _ends(problem, rule, seeds, 1.0)
        for scale in scales:
            changed = _ends(problem, rule, seeds, scale)
            condition = f"{called}, loss times {scale:g}"
            changes[rule][condition], changes["sgd"][condition] = changed[0] / plain[0], changed[1] / plain[1]
            checks.append(
                measured(
                    "the validation loss in the end, divided by the factor, over that without it",
                    changes[rule][condition],
                    above=1 / _AS_GOOD,
                    below=_AS_GOOD,
                    condition=condition,
                    of=of,
                    ratio=True,
                )
            )
    return Evidence(
        f"{', '.join(problems)}, {seeds} seeds, {rule} as it is by default; beside it the best of "
        f"{', '.join(f'{rate:g}' for rate in rates)} times its rate, and the loss times "
        f"{', '.join(f'{scale:g}' for scale in scales)}. As good is within {_AS_GOOD - 1:.0%}.",
        tuple(checks),
        intervals(
            "What multiplying the loss changes",
            "final validation loss over that without the factor",
            changes,
            log=True,
            upright=(1.0, "no change"),
            notes=("Gradient descent, at 0.1, has no dot where it diverges.",),
        ),
        f"The best multiple of the default rate was {', '.join(best_rates)}. Its ε, 1e-6, has a unit, that of a "
        "squared gradient: where gradients are as small as 1e-3, the units no longer match.",
    )


def _ends(problem: Problem, rule: str, seeds: int, scale: float) -> tuple[Array, Array]:
    """The validation losses [seeds] in the end of the rule and of gradient descent, divided by the factor again."""
    plain = problem.loss
    assert plain is not None

    def multiplied(output: Tensor, target: Tensor) -> Tensor:
        return scale * plain(output, target)

    scaled = copy.copy(problem)
    scaled.loss = multiplied
    found = followed(scaled, {rule: lane(rule), "sgd": lane("sgd", lr=0.1)}, seeds)
    losses, _ = found.quality(problem.valid)
    return found.of(rule, losses) / scale, found.of("sgd", losses) / scale


LESSONS = [
    Lesson(
        10,
        "Adadelta has no rate",
        "Adadelta needs no learning rate, since the units of its step match, and rescaling the loss changes nothing.",
        "Zeiler, ADADELTA: an adaptive learning rate method, 2012",
        units,
        "Take rule='sgd': every factor on the loss is a factor on its rate.",
    ),
]
