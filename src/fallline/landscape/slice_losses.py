"""The models that a slice goes through, and the losses at the points of a grid through their weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline.training import Lanes, Problem, Split, as_metric, loss_of_step, make_lanes, parts, pass_budget

#: A model, or the state_dict of one.
Model = nn.Module | Mapping[str, Any]
State = Mapping[str, Any]
#: How the models are called in what is said of one of them.
_EACH = "models: number {}, counted from 0,"


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
    return [_state(model, _EACH.format(place)) for place, model in enumerate(several)]


def _state(model: object, called: str) -> State:
    if isinstance(model, nn.Module):
        return model.state_dict()
    if isinstance(model, Mapping) and all(isinstance(value, Tensor) for value in model.values()):
        return model
    raise TypeError(
        f"{called} is of type {type(model).__name__}; give a torch.nn.Module, or a state_dict of nothing but tensors."
    )


def with_models(problem: Problem, states: Sequence[State], called: str = _EACH) -> Problem:
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
                f"{called.format(place)} does not fit the problem's model ({_what_differs(error)}); give what the "
                "problem's model function builds, or its state_dict."
            ) from error

    def build(seed: int) -> nn.Module:
        built = problem.build(0)
        built.load_state_dict(states[seed % len(states)])
        return built

    given = copy.copy(problem)
    given.build = build  # type: ignore[method-assign]  # in this copy alone; a subclass would lose the problem's own
    given.metric = as_metric("loss", loss_of_step if problem.loss is None else problem.loss)
    return given


def with_model(problem: Problem, model: Model) -> Problem:
    """Likewise of the one model that an argument `model` is; every seed builds it."""
    return with_models(problem, [_state(model, "model: it")], "model: it")


def _what_differs(error: RuntimeError) -> str:
    """The first difference that torch found; before it comes a headline."""
    lines = [line.strip() for line in str(error).splitlines()]
    return lines[min(1, len(lines) - 1)].rstrip(" .")


Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ray:
    """One tensor of a model on its way: `origin` [...], and what a step along each axis adds, [dimensions, ...].

    Without axes it stays. It never leaves `lowest` and `highest` [...], where these are given.
    """

    origin: Tensor
    axes: Tensor | None = None
    lowest: Tensor | None = None
    highest: Tensor | None = None

    def at(self, places: Tensor) -> Tensor:
        """The tensor at places [n, dimensions]: [n, ...]."""
        if self.axes is None:
            return self.origin.expand(len(places), *self.origin.shape)
        steps = places.to(self.origin) @ self.axes.reshape(len(self.axes), -1)
        there = self.origin + steps.view(-1, *self.origin.shape)
        return there if self.lowest is None else there.clamp(self.lowest, self.highest)


def grid_places(offsets: Sequence[Array]) -> Tensor:
    """All combinations of the offsets, [n, dimensions]; those of the first axis change fastest.

    >>> grid_places([np.array([0.0, 1.0]), np.array([5.0, 7.0])]).tolist()
    [[0.0, 5.0], [1.0, 5.0], [0.0, 7.0], [1.0, 7.0]]
    """
    columns = np.meshgrid(*offsets)
    return torch.from_numpy(np.stack([column.ravel() for column in columns], 1))


def lanes_for_grid(given: Problem, models: Lanes, points: int, *, batched: bool) -> Lanes:
    """Lanes to evaluate so many points with, as many at once as fit into memory; each can hold any of the models."""
    lane = sum(tensor[0].numel() * tensor.element_size() for tensor in (*models.parameters, *models.buffers))
    passes = math.ceil(points / max(1, pass_budget(models.device) // lane)) if batched else points
    # All models are among the lanes, so that whatever differs between them is a tensor of the lanes.
    count = max(len(models), math.ceil(points / passes))
    return make_lanes(given, [*range(len(models)), *[0] * (count - len(models))], batched=batched)


@torch.no_grad()
def losses_at(places: Tensor, rays: Sequence[Ray], lanes: Lanes, split: Split) -> Array:
    """The losses [n] at places [n, dimensions]; one ray for each parameter and buffer of the lanes.

    The lanes are overwritten. What comes out as NaN or infinite is left so.
    """
    found = []
    for part in parts(len(places), len(lanes)):
        here = places[part].to(lanes.device)
        for tensor, ray in zip((*lanes.parameters, *lanes.buffers), rays, strict=True):
            tensor[: len(here)] = ray.at(here)
        found.append(lanes.evaluate(split).loss[: len(here)])
    return np.asarray(torch.cat(found).numpy(), np.float64)
