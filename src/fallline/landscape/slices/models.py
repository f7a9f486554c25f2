"""The models that a slice goes through, taken as a problem whose seeds stand for them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from fallline.training import Problem
from fallline.training.metrics import as_metric
from fallline.training.metrics.metric import loss_of_step

#: A model, or the state_dict of one.
Model = nn.Module | Mapping[str, Any]
State = Mapping[str, Any]


def states_of(models: Model | Sequence[Model]) -> list[State]:
    """The models' state_dicts, which share their tensors; one or several models.

    Raises TypeError for what is no model, ValueError for none.
    """
    several = [models] if isinstance(models, nn.Module | Mapping) else models
    if not isinstance(several, Sequence) or isinstance(several, str):
        raise TypeError(
            f"models: got {type(models).__name__}; give a torch.nn.Module, a state_dict, or a list of them."
        )
    if not several:
        raise ValueError("models: the list is empty; give at least one module or state_dict.")
    return [_state(model, place) for place, model in enumerate(several)]


def _state(model: object, place: int) -> State:
    if isinstance(model, nn.Module):
        return model.state_dict()
    if isinstance(model, Mapping) and all(isinstance(value, Tensor) for value in model.values()):
        return model
    raise TypeError(
        f"models: number {place}, counted from 0, is of type {type(model).__name__}; give modules, or state_dicts of "
        "nothing but tensors."
    )


def with_models(problem: Problem, states: Sequence[State]) -> Problem:
    """The problem with the loss as its metric, whose seed i builds the i-th model: lanes of it are these models.

    What is trained and what is frozen is as the problem's model has it. Raises ValueError for a state that does not
    fit that model.
    """
    module = problem.build(0)
    for place, state in enumerate(states):
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f"models: number {place}, counted from 0, does not fit the problem's model ({_what_differs(error)}); "
                "give modules that the problem's model function builds, or their state_dicts."
            ) from error

    def build(seed: int) -> nn.Module:
        built = problem.build(0)
        built.load_state_dict(states[seed % len(states)])
        return built

    given = copy.copy(problem)
    given.build = build  # type: ignore[method-assign]  # in this copy alone; a subclass would lose the problem's own
    given.metric = as_metric("loss", loss_of_step if problem.loss is None else problem.loss)
    return given


def _what_differs(error: RuntimeError) -> str:
    """The first difference that torch found; before it comes a headline."""
    lines = [line.strip() for line in str(error).splitlines()]
    return lines[min(1, len(lines) - 1)].rstrip(" .")
