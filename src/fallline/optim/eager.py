"""One parameter moved by the reference: what kernels do not take (other devices and layouts, sparse, complex)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fallline.kernels import evaluate, host_scalars
from fallline.optim.recipe import Recipe
from fallline.optim.states import StateOf
from fallline.symbolic import make_plan


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
        plan = make_plan(recipe.rule.trace(**recipe.static))
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
        tensors = {"p": self.p, "g": self.p.grad, **{name: self.state[key] for name, key in keys.items()}}
        values = [given[name] for name in host.names]
        scalars = host.tensors(*values) if any(isinstance(v, Tensor) for v in values) else host.values(*values)
        update, states = evaluate(plan, {name: _plain(tensor) for name, tensor in tensors.items()}, scalars)
        _real(self.p).sub_(update)
        for name, value in states.items():
            if differentiable:
                self.state[keys[name]] = torch.view_as_complex(value) if self.p.is_complex() else value
            else:
                _real(self.state[keys[name]]).copy_(value)
        self.made = ()


def _kind(gradient: Tensor | None) -> tuple[object, ...]:
    return () if gradient is None else (type(gradient), gradient.layout)


def _plain(tensor: Tensor) -> Tensor:
    return _real(tensor.to_dense() if tensor.layout != torch.strided else tensor)


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
