"""What moves the parameters of a step: a kernel all of its own together, torch's operations the others one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from fallline.kernels import EagerHost, ForeachHost, Given, Kernel, Section, TableHost, host_numbers, host_scalars
from fallline.optim.hyperparameters import Recipe
from fallline.optim.layout import BLOCK, Watch
from fallline.optim.states import StateOf, adopt_numbers, adopt_small
from fallline.symbolic import make_plan, rests_without_gradient

#: In a batch of more than one block, states of at most so many elements are adopted into one vector. They are looked at
#: by identity and by the vector's address: whoever moves one must replace it, not assign to its `.data`.
_SMALL = 1 << 12


@dataclass
class Row:
    """A parameter with its states; `made` names the states that have just been made, `group` numbers its group."""

    p: Tensor
    state: StateOf
    made: tuple[str, ...]
    group: int
    recipe: Recipe


class Batch:
    """Parameters of any groups whose rule, type and device are the same.

    With a kernel they are one table, and move by one launch; without, by calls that take all of them at once.
    """

    def __init__(self, rows: Sequence[Row], kernel: Kernel | None = None) -> None:
        params, states = [row.p for row in rows], [row.state for row in rows]
        recipe = rows[0].recipe
        rule, plan = recipe.rule, make_plan(recipe.rule.trace(**recipe.static))
        keys = [recipe.state_keys[spec.name] for spec in rule.tensor_states]
        numbers = {spec.name: recipe.state_keys[spec.name] for spec in rule.number_states}
        everywhere = {recipe.state_keys[spec.name] for spec in rule.global_states}
        small = [i for i, p in enumerate(params) if p.numel() <= _SMALL] if kernel and len(params) > BLOCK else []
        held: list[Tensor] = []
        for key in keys if small else ():
            held += adopt_small([params[i] for i in small], [states[i] for i in small], key)
        vectors = {
            key: states[0][key] if key in everywhere else adopt_numbers(states, key)
            for key in [*numbers.values(), *(["step"] if recipe.counts_steps else [])]
        }
        held += vectors.values()
        self._watch(params, states, keys, vectors, held, set(small))
        # Views share their vector's version; these have their own.
        self._apart = [
            state[key] for key in vectors.keys() - everywhere for state in states if state[key]._base is None
        ]
        kept = {name: vectors[key].numpy() for name, key in numbers.items()}
        varying: dict[str, Any] = {name: np.broadcast_to(vector, len(rows)) for name, vector in kept.items()}
        counts = vectors["step"].numpy() if recipe.counts_steps else None
        if counts is not None:
            varying["t"] = counts
        if "dimensions" in plan.scalars:
            varying["dimensions"] = np.array([p.dim() for p in params])
        absent = {
            spec.absent: np.array([spec.name in row.made for row in rows], np.float64)
            for spec in rule.tensor_states
            if spec.absent in plan.scalars
        }
        #: Rows come group by group.
        self._sections: dict[int, Section] = {}
        for i, row in enumerate(rows):
            self._sections.setdefault(row.group, Section(i, i, row.recipe.values)).stop = i + 1
        given = Given([*self._sections.values()], varying, absent, [*kept.values()], counts)
        columns = {
            spec.name: [state[key] for state in states] for spec, key in zip(rule.tensor_states, keys, strict=True)
        }
        self._gradients = np.empty(len(rows), np.int64)  # where they lie, which only kernels need to know
        self.host: TableHost | ForeachHost
        if kernel is None:
            self.host = ForeachHost(plan, params, columns, given)
        else:
            tensors = zip(params, params, *columns.values(), strict=True)
            self.host = TableHost(kernel, params, [[tensor.data_ptr() for tensor in row] for row in tensors], given)
            self._gradients = self.host.gradients
        self.numbers = self.host.numbers

    def _watch(
        self,
        params: Sequence[Tensor],
        states: Sequence[StateOf],
        keys: Sequence[str],
        vectors: dict[str, Tensor],
        held: Sequence[Tensor],
        adopted: set[int],
    ) -> None:
        """Watch parameters and states in blocks; what holds the adopted ones is watched once, for all its views."""
        self._blocks = []
        for start in range(0, len(params), BLOCK):
            rows = range(start, min(start + BLOCK, len(params)))
            loose = [states[i][key] for key in keys for i in rows if i not in adopted]
            loose += held if start == 0 else ()
            watched = [params[i] for i in rows], [states[i] for i in rows]
            self._blocks.append(Watch(*watched, [*keys, *vectors], loose))
        few = len(params) <= BLOCK  # of many, the numbers are watched by identity and by their vectors' addresses
        self._views = [state[key] for key in vectors for state in states] if few else []
        self._view_addresses = list(map(Tensor.data_ptr, self._views))

    def set_recipe(self, group: int, recipe: Recipe) -> None:
        """Take a group's new hyperparameter values; the rule is the same."""
        if group in self._sections:
            self._sections[group].values = recipe.values
            self.numbers.stale = True

    def refresh(self) -> bool:
        """Read the gradients' addresses; False if anything else lies elsewhere or otherwise than it did."""
        if self._views and list(map(Tensor.data_ptr, self._views)) != self._view_addresses:
            return False
        addresses: list[int] = []
        for block in self._blocks:
            found = block.gradient_addresses()
            if found is None:
                return False
            addresses += found
        if self._apart:
            increment_version(self._apart)
        self._gradients[:] = addresses
        return all(addresses)  # a freed gradient lies nowhere

    def settle(self) -> None:
        """Take up what the step left, and let the gradients go."""
        for block in self._blocks:
            block.held = []
        if self.numbers.unsettled:
            self.numbers.settle()


class EagerRow:
    """A parameter that kernels do not take (other devices and layouts, sparse, complex), moved by the reference."""

    def __init__(self, row: Row, differentiable: bool) -> None:
        self._p, self._state, self._recipe, self._made = row.p, row.state, row.recipe, row.made
        self.group = row.group
        self._kind = _kind(row.p.grad)
        self._keys = set(row.state)
        self._differentiable = differentiable
        graph = row.recipe.rule.trace(**row.recipe.static)
        plan = make_plan(graph)
        self._lazy = not differentiable and rests_without_gradient(graph)
        self._uses_channels = plan.uses_channels
        self._scalars, self._becomes = host_scalars(plan), host_numbers(plan)
        self._totals = [f"total_{i}" for i in range(len(plan.totals))]
        self._kept = {name: row.recipe.state_keys[name] for name in plan.new_numbers}
        self.host = EagerHost(plan, self._store, differentiable=differentiable)

    def ready(self) -> bool:
        """Whether gradient and states are there and of the kind they were; the rest is looked at when it is used."""
        gradient = self._p.grad
        return gradient is not None and _kind(gradient) == self._kind and self._keys <= self._state.keys()

    def prepare(self, recipe: Recipe) -> None:
        """Evaluate the scalars of the coming step; what autograd is to follow stays a tensor."""
        p, state, rule = self._p, self._state, recipe.rule
        assert p.grad is not None
        if self._uses_channels and p.is_complex():
            raise TypeError(f"the rule '{rule.name}' sums over channels, which complex parameters can't have yet")
        given = {**recipe.values, **{spec.absent: float(spec.name in self._made) for spec in rule.states}}
        given["dimensions"] = p.dim()
        if rule.uses_t:
            given["t"] = float(state["step"]) + 1
        for spec in rule.number_states:
            number = state[recipe.state_keys[spec.name]]
            given[spec.name] = number if self._differentiable else float(number)
        self._given = given
        values = [given[name] for name in self._scalars.names]
        followed = any(isinstance(value, Tensor) for value in values)
        scalars = self._scalars.tensors(*values) if followed else self._scalars.values(*values)
        gradient, self._touched = _touched(p.grad, self._lazy)
        tensors = {spec.name: state[recipe.state_keys[spec.name]] for spec in rule.tensor_states} | {"p": p}
        if self._touched is not None:
            tensors = {name: tensor[self._touched] for name, tensor in tensors.items()}
        self._tensors = {name: _real(tensor) for name, tensor in tensors.items()}
        self.host.take([{**self._tensors, "g": _real(gradient)}], [scalars])

    def _store(self, _: int, update: Tensor, states: dict[str, Tensor], totals: list[Any]) -> None:
        """Move the parameter and its states in place, or, if autograd is to follow, put new states in their place.

        The step is counted when nothing is left that could fail.
        """
        p, state = self._p, self._state
        if self._touched is None:
            self._tensors["p"].sub_(update)
        else:
            p[self._touched] = _like(p, self._tensors["p"] - update).to(p.dtype)
        for name, value in states.items():
            key = self._recipe.state_keys[name]
            if self._differentiable:
                state[key] = _like(p, value)
            else:
                own = state[key]
                own[... if self._touched is None else self._touched] = _like(p, value).to(own.dtype)
        self._new_numbers: tuple[Any, ...] = ()
        if self._kept:
            given = {**self._given, **dict(zip(self._totals, totals, strict=True))}
            values = [given[name] for name in self._becomes.names]
            evaluate = self._becomes.tensors if self._differentiable else self._becomes.values
            self._new_numbers = evaluate(*(v if self._differentiable else float(v) for v in values))
        if self._recipe.counts_steps:
            state["step"] = state["step"] + 1 if self._differentiable else state["step"].add_(1)
        self._made = ()
        del self._tensors

    def settle(self) -> None:
        """Take up what the states that are numbers become, which other tensors may have had to see as it was."""
        for key, number in zip(self._kept.values(), self._new_numbers, strict=True):
            if self._differentiable:
                self._state[key] = number.to(self._state[key])
            else:
                self._state[key].fill_(number)


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
