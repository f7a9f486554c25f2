"""One parameter moved by the reference: what kernels do not take (other devices and layouts, sparse, complex)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fallline.kernels import Evaluation, Sums, host_numbers, host_scalars
from fallline.optim.hyperparameters import Recipe
from fallline.optim.states import StateOf
from fallline.symbolic import make_plan, rests_without_gradient
from fallline.symbolic.expression import described


@dataclass
class EagerRow:
    """A parameter with its states; `made` names the states that have just been made."""

    p: Tensor
    state: StateOf
    made: tuple[str, ...]
    group: int

    def __post_init__(self) -> None:
        self.kind = _kind(self.p.grad)
        self.keys = set(self.state)

    def ready(self) -> bool:
        """Whether gradient and states are there and of the kind they were; the rest is looked at when it is used."""
        gradient = self.p.grad
        return gradient is not None and _kind(gradient) == self.kind and self.keys <= self.state.keys()

    def prepare(self, recipe: Recipe, differentiable: bool) -> None:
        """Count the step and evaluate the scalars; what autograd is to follow stays a tensor."""
        assert self.p.grad is not None
        self.recipe, self.differentiable = recipe, differentiable
        graph = recipe.rule.trace(**recipe.static)
        self.plan = plan = make_plan(graph)
        if plan.uses_channels and self.p.is_complex():
            raise TypeError(
                f"the rule '{recipe.rule.name}' sums over channels, which complex parameters can't have yet"
            )
        given = {**recipe.values, **{spec.absent: float(spec.name in self.made) for spec in recipe.rule.states}}
        given["dimensions"] = self.p.dim()
        if recipe.rule.uses_t:
            given["t"] = float(self.state["step"]) + 1
        for spec in recipe.rule.number_states:
            number = self.state[recipe.state_keys[spec.name]]
            given[spec.name] = number if differentiable else float(number)
        self.given = given
        host = host_scalars(plan)
        values = [given[name] for name in host.names]
        scalars = host.tensors(*values) if any(isinstance(v, Tensor) for v in values) else host.values(*values)
        gradient, self.touched = _touched(self.p.grad, lazily=not differentiable and rests_without_gradient(graph))
        tensors = {spec.name: self.state[recipe.state_keys[spec.name]] for spec in recipe.rule.tensor_states}
        tensors["p"] = self.p
        self.tensors = {name: _real(t if self.touched is None else t[self.touched]) for name, t in tensors.items()}
        self.evaluation = Evaluation(plan, {**self.tensors, "g": _real(gradient)}, scalars)

    @property
    def levels(self) -> int:
        """How many levels of sums there are before the writing."""
        return len(self.plan.passes) - 1

    def reduce(self, level: int) -> Sums:
        """Compute this tensor's share of the sums over all tensors."""
        return {
            described(total.args[0]): self._number(self.evaluation.value(total))
            for total in self.plan.passes[level].reductions
            if total.operation == "joint_sum"
        }

    def share(self, level: int, sums: Sums) -> None:
        """Take the sums over all tensors."""
        for total in self.plan.passes[level].reductions:
            if total.operation == "joint_sum":
                self.evaluation.take(total, sums[described(total.args[0])][0])

    def write(self) -> None:
        """Move the parameter and its states in place, or, if autograd is to follow, put new states in their place.

        The step is counted when nothing is left that could fail.
        """
        update, states = self.evaluation.results()
        if self.touched is None:
            self.tensors["p"].sub_(update)
        else:
            self.p[self.touched] = _like(self.p, self.tensors["p"] - update).to(self.p.dtype)
        for name, value in states.items():
            key = self.recipe.state_keys[name]
            if self.differentiable:
                self.state[key] = _like(self.p, value)
            else:
                state = self.state[key]
                state[... if self.touched is None else self.touched] = _like(self.p, value).to(state.dtype)
        self.new_numbers: tuple[Any, ...] = ()
        if self.plan.new_numbers:
            totals = {f"total_{i}": self.evaluation.value(total) for i, total in enumerate(self.plan.totals)}
            host, given = host_numbers(self.plan), {**self.given, **totals}
            values = [given[name] for name in host.names]
            evaluate = host.tensors if self.differentiable else host.values
            self.new_numbers = evaluate(*(v if self.differentiable else float(v) for v in values))
        if self.recipe.counts_steps:
            self.state["step"] = self.state["step"] + 1 if self.differentiable else self.state["step"].add_(1)
        self.made = ()
        del self.evaluation, self.tensors

    def settle(self) -> None:
        """Take up what the states that are numbers become, which other tensors may have had to see as it was."""
        for name, number in zip(self.plan.new_numbers, self.new_numbers, strict=True):
            key = self.recipe.state_keys[name]
            if self.differentiable:
                self.state[key] = number.to(self.state[key])
            else:
                self.state[key].fill_(number)

    def _number(self, total: Tensor) -> Any:
        """A sum as it is added to the kernels': a number in an array, unless autograd is to follow it."""
        return total[None] if self.differentiable else np.array([float(total)])


def _kind(gradient: Tensor | None) -> tuple[object, ...]:
    if gradient is None:
        return ()
    # A gradient that lies otherwise than it did may be one for a kernel.
    return type(gradient), gradient.layout, gradient.stride() if gradient.layout == torch.strided else None


def _touched(gradient: Tensor, lazily: bool) -> tuple[Tensor, tuple[Tensor, ...] | None]:
    """The gradient as a dense tensor, and, if only the rows of a sparse one need moving, where they are."""
    if gradient.layout == torch.strided:
        return gradient, None
    if gradient.layout != torch.sparse_coo or not lazily:
        return gradient.to_dense(), None
    gradient = gradient.coalesce()
    return gradient.values(), tuple(gradient.indices())


def _like(tensor: Tensor, value: Tensor) -> Tensor:
    return torch.view_as_complex(value) if tensor.is_complex() else value


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
