"""Fallline: gradient descent from the formula to the decision.

Write an update rule once; it becomes a one-pass kernel, a torch optimizer and the printed equation. Race optimizers
on your own model under an equal budget, to a decision: what to take, how much it could cost, and a tie where it is one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fallline._lazy import door
from fallline._version import __version__

if TYPE_CHECKING:
    from fallline.landscape import diagnose, surfaces
    from fallline.optim.generic import Optimizer
    from fallline.optim.newton import Newton
    from fallline.racing import Arm, Choice, Effort, Range, judge, race
    from fallline.symbolic import RuleError, combinator, rule, state
    from fallline.training import Metric, Problem, StreamProblem, fit

#: Public names by where they live; each is imported when it is first asked for.
_find = door(__name__, {
    "symbolic": ("RuleError", "combinator", "rule", "state"),
    "optim.generic": ("Optimizer",),
    "optim.newton": ("Newton",),
    "training": ("Metric", "Problem", "StreamProblem", "fit"),
    "racing": ("Arm", "Choice", "Effort", "Range", "judge", "race"),
    "landscape": ("diagnose", "surfaces"),
})  # fmt: skip
_SUBMODULES = (
    "arrays",
    "averaging",
    "init",
    "kernels",
    "landscape",
    "lessons",
    "math",
    "optim",
    "problems",
    "racing",
    "rules",
    "schedules",
    "symbolic",
    "training",
)

__all__ = [
    "Arm",
    "Choice",
    "Effort",
    "Metric",
    "Newton",
    "Optimizer",
    "Problem",
    "Range",
    "RuleError",
    "StreamProblem",
    "__version__",
    "combinator",
    "diagnose",
    "fit",
    "judge",
    "race",
    "rule",
    "state",
    "surfaces",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    globals()[name] = value = _find(name)
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_SUBMODULES})
