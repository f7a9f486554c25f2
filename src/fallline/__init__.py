"""Fallline: gradient descent from the formula to the verdict.

Write an update rule once; it becomes a one-pass kernel, a torch optimizer and the printed equation. Race optimizers
on your own model under an equal budget, and get a verdict that says "tie" when it is a tie.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fallline._version import __version__

if TYPE_CHECKING:
    from fallline.landscape import surfaces
    from fallline.optim.generic import Optimizer
    from fallline.optim.newton import Newton
    from fallline.racing import Arm, Choice, Effort, Range, race
    from fallline.symbolic import RuleError, combinator, rule, state
    from fallline.training import Metric, Problem, StreamProblem, fit

#: Public names and where they live; each is imported when it is first asked for.
_HOME = {
    "rule": "fallline.symbolic",
    "combinator": "fallline.symbolic",
    "state": "fallline.symbolic",
    "RuleError": "fallline.symbolic",
    "Optimizer": "fallline.optim.generic",
    "Newton": "fallline.optim.newton",
    "Metric": "fallline.training",
    "Problem": "fallline.training",
    "StreamProblem": "fallline.training",
    "fit": "fallline.training",
    "Arm": "fallline.racing",
    "Choice": "fallline.racing",
    "Range": "fallline.racing",
    "Effort": "fallline.racing",
    "race": "fallline.racing",
    "surfaces": "fallline.landscape",
}
_SUBMODULES = (
    "arrays",
    "averaging",
    "init",
    "kernels",
    "landscape",
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
    "fit",
    "race",
    "rule",
    "state",
    "surfaces",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return importlib.import_module(f"fallline.{name}")
    raise AttributeError(f"module 'fallline' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*__all__, *_SUBMODULES})
