"""Why the arm to take trains as it does: its diagnosis, all of it, or what costs no more than a second."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from fallline.landscape import Diagnosis, diagnose
from fallline.racing.arms import Arm
from fallline.symbolic import Rule
from fallline.training import FitResult, Problem

if TYPE_CHECKING:
    from fallline.landscape.diagnosis import Stage

#: What is cheap, on how many examples, and the seconds that it may be foreseen to take at most.
_CHEAP, _EXAMPLES, _SECONDS = ("place", "noise"), 256, 1.0


class _TooDearError(Exception):
    """The cheap parts are not cheap with this model."""


def diagnosed(
    arm: Arm, configuration: Mapping[str, Any], problem: Problem, model: nn.Module | FitResult, **asked: Any
) -> Diagnosis:
    """Diagnose a model as the arm trains it.

    Args:
        arm: The arm.
        configuration: What it takes of what was searched.
        problem: What was raced.
        model: The network that it trained, or the run.
        asked: What `fallline.diagnose` takes beside the optimizer.

    Raises:
        ProblemError: Nothing can be measured.
    """
    recipe = arm.recipe(configuration, problem)
    lane = recipe.lane
    known = lane.rule.hyperparameters if isinstance(lane.rule, Rule) else inspect.signature(lane.rule).parameters
    if lane.then is not None or "lr" not in known or not isinstance(lane.rule, Rule | type):
        # What has phases or is a function of the user's own can't be run at other rates.
        asked = {**asked, "parts": [name for name in asked.get("parts") or ("run", *_CHEAP) if name != "rates"]}
        return diagnose(problem, model, batch=recipe.batch, **asked)
    return diagnose(problem, model, lane.rule, batch=recipe.batch, **{**lane.values, **asked})


def looked_at(arm: Arm, configuration: Mapping[str, Any], problem: Problem, model: nn.Module) -> Diagnosis | None:
    """What can be said of a model in about a second; None where even that takes longer.

    Args:
        arm: The arm that trained it.
        configuration: What it takes of what was searched.
        problem: What was raced.
        model: The network.
    """

    def watch(stage: Stage) -> None:
        if stage.most > _SECONDS:
            raise _TooDearError

    examples = min(_EXAMPLES, len(problem.train))
    try:
        return diagnosed(arm, configuration, problem, model, parts=_CHEAP, examples=examples, progress=watch)
    except _TooDearError:
        return None
