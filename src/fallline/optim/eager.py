"""One parameter moved by the reference: what kernels do not take (other devices and layouts, sparse, complex)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fallline.kernels import evaluate, host_scalars
from fallline.optim.recipe import Recipe
from fallline.optim.states import StateOf
from fallline.symbolic import make_plan, rests_without_gradient


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

    def run(self, recipe: Recipe, differentiable: bool) -> None:
        """Move the parameter and its states in place, or, if autograd is to follow, put new states in their place."""
        assert self.p.grad is not None
        graph = recipe.rule.trace(**recipe.static)
        plan = make_plan(graph)
        if plan.uses_channels and self.p.is_complex():
            raise TypeError(
                f"the rule '{recipe.rule.name}' sums over channels, which complex parameters can't have yet"
            )
        if recipe.counts_steps:
            self.state["step"] = self.state["step"] + 1 if differentiable else self.state["step"].add_(1)
        given = {**recipe.values, **{spec.absent: float(spec.name in self.made) for spec in recipe.rule.states}}
        if recipe.rule.uses_t:
            given["t"] = float(self.state["step"])
        host = host_scalars(plan)
        keys = {spec.name: recipe.state_keys[spec.name] for spec in recipe.rule.states}
        values = [given[name] for name in host.names]
        scalars = host.tensors(*values) if any(isinstance(v, Tensor) for v in values) else host.values(*values)
        gradient, touched = _touched(self.p.grad, lazily=not differentiable and rests_without_gradient(graph))
        tensors = {"p": self.p, **{name: self.state[key] for name, key in keys.items()}}
        there = {name: _real(tensor if touched is None else tensor[touched]) for name, tensor in tensors.items()}
        update, states = evaluate(plan, {**there, "g": _real(gradient)}, scalars)
        if touched is None:
            there["p"].sub_(update)
        else:
            self.p[touched] = _like(self.p, there["p"] - update).to(self.p.dtype)
        for name, value in states.items():
            if differentiable:
                self.state[keys[name]] = _like(self.p, value)
            else:
                state = self.state[keys[name]]
                state[... if touched is None else touched] = _like(self.p, value).to(state.dtype)
        self.made = ()


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
