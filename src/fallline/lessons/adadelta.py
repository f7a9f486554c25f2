"""Adadelta's units: what becomes of it when the loss is multiplied, and whether it can do without a learning rate."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from torch import Tensor

from fallline._text import listed
from fallline.lessons.followed import CHOOSING, Array, best_of
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import intervals
from fallline.lessons.populations import lane, trained
from fallline.problems import find
from fallline.training import Problem
from fallline.training.updates import LaneRule

_AS_GOOD = 1.05  # of a loss
_WHAT_DOES_NOT_SCALE = " Its ε, 1e-6, is added to squares of gradients and has their unit: it does not scale along."


def units(
    *,
    rule: str = "adadelta",
    scales: Sequence[float] = (1e-3, 1e3),
    rates: Sequence[float] = (0.01, 0.1, 10.0, 100.0),
    problems: Sequence[str] = ("digits", "breast-cancer", "diabetes"),
    seeds: int = 10,
) -> Evidence:
    """Multiply the loss, and then the learning rate, and see what changes.

    Args:
        rule: What should need no learning rate.
        scales: What the loss is multiplied by.
        rates: Learning rates to try beside the default, as multiples of it.
        problems: Names of bundled problems.
        seeds: How many runs each mean is over.
    """
    default = lane(rule).values["lr"]
    tried = (1.0, *rates)
    settings = {**{f"{rate:g}": lane(rule, lr=rate * default) for rate in tried}, "sgd": lane("sgd", lr=0.1)}
    of = len(problems) * (len(scales) + 1)
    checks: list[Check] = []
    changes: dict[str, dict[str, Array]] = {"sgd": {}, rule: {}}
    best_rates = []
    for called in problems:
        problem = find(called).make()
        losses = _ends(problem, settings, seeds + CHOOSING)
        best = best_of({rate: losses[f"{rate:g}"] for rate in tried})
        best_rates.append(f"{best:g} on {called}")
        checks.append(
            measured(
                f"the validation loss at the default rate over that at the best of {len(tried)}",
                (losses["1"] / losses[f"{best:g}"])[:seeds],
                below=_AS_GOOD,
                condition=f"{called}, no rate chosen",
                of=of,
                ratio=True,
            )
        )
        for scale in scales:
            changed = _ends(problem, {"1": settings["1"], "sgd": settings["sgd"]}, seeds, scale)
            condition = f"{called}, loss times {scale:g}"
            changes[rule][condition] = changed["1"] / losses["1"][:seeds]
            changes["sgd"][condition] = changed["sgd"] / losses["sgd"][:seeds]
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
        f"{rule} with its defaults on {listed(problems)}, {seeds} seeds; beside it the best of "
        f"{listed([f'{rate:g}' for rate in rates])} times its rate (chosen on {CHOOSING} other seeds), and the loss "
        f"times {listed([f'{scale:g}' for scale in scales])}. Losses within {_AS_GOOD - 1:.0%} count as the same.",
        tuple(checks),
        intervals(
            "What multiplying the loss changes",
            "validation loss over that without it",
            changes,
            log=True,
            upright=(1.0, "no change"),
            notes=("Gradient descent, at 0.1, has no dot where it diverges.",),
        ),
        f"The best multiple of the default rate was {listed(best_rates)}.{_WHAT_DOES_NOT_SCALE * (rule == 'adadelta')}",
    )


def _ends(problem: Problem, settings: Mapping[str, LaneRule], seeds: int, scale: float = 1.0) -> dict[str, Array]:
    """The validation losses [seeds] in the end, by setting, where the loss is multiplied; they are divided again."""
    plain = problem.loss
    assert plain is not None

    def multiplied(output: Tensor, target: Tensor) -> Tensor:
        return scale * plain(output, target)

    scaled = copy.copy(problem)
    scaled.loss = multiplied
    return {name: curves.valid_loss[:, -1] / scale for name, curves in trained(scaled, settings, seeds).items()}


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
