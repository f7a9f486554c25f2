"""A step made ready: which parameters go through which kernel, which through the reference, until something moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import is_, itemgetter
from typing import Any

from torch import Tensor

from fallline.kernels import KERNEL_TYPES, Kernel, kernel_for, run_jointly
from fallline.optim import layout
from fallline.optim.batch import Batch, EagerRow, Row
from fallline.optim.hyperparameters import Recipe, check_globals
from fallline.optim.layout import (
    addressable,
    check_sight,
    has_memory,
    is_dense,
    is_plain,
    overlapping,
    rows_are_runs,
    same_strides,
    sums_over_all,
)
from fallline.optim.states import StateOf, check_states, make_states, share_global
from fallline.symbolic import make_plan

Group = dict[str, Any]


class Session:
    """Holds from one step to the next while parameters, states, gradients' layouts and rules stay as they are."""

    def __init__(
        self,
        groups: list[Group],
        state: dict[Tensor, StateOf],
        recipe_of: Callable[[Group], Recipe],
        check: Callable[[Group, Recipe], None],
        differentiable: bool,
    ) -> None:
        self._groups = groups
        self._state = state
        self._recipe_of = recipe_of
        self._check = check
        self._options = [Options(group) for group in groups]
        self.differentiable = differentiable
        self._recipes = [self._recipe(group) for group in groups]
        self._lists = [list(group["params"]) for group in groups]
        self._idle = [p for params in self._lists for p in params if p.grad is None]
        plans = [make_plan(recipe.rule.trace(**recipe.static)) for recipe in self._recipes]
        for recipe, plan, params in zip(self._recipes, plans, self._lists, strict=True):
            check_sight(plan, params, f"the rule '{recipe.rule.name}'")
        active = [(i, p) for i, params in enumerate(self._lists) for p in params if p.grad is not None]
        for i, p in active:  # all of them, before any state is made: which are new is known only to this step
            check_states(p, state.get(p, {}), self._recipes[i])
        check_globals(self._recipes)
        shared = {recipe.state_keys[spec.name] for recipe in self._recipes for spec in recipe.rule.global_states}
        known = {key: next((other[key] for other in state.values() if key in other), None) for key in shared}
        rows = []
        for i, p in active:
            recipe = self._recipes[i]
            keeps = recipe.counts_steps or recipe.rule.states
            kept = state[p] if keeps or p in state else {}  # an empty entry would be saved as one
            rows.append(Row(p, kept, make_states(p, kept, recipe), i, recipe))
        for key in shared:
            share_global(state.values(), key, known[key])
        self._state_values = list(state.values())
        placed = [row.p for row in rows if has_memory(row.p)]
        clashing = {id(placed[i]) for i in overlapping(placed)}
        quick: dict[Kernel, list[Row]] = {}
        elsewhere: dict[tuple[Any, ...], list[Row]] = {}
        self._eager: list[EagerRow] = []
        for row in rows:
            kernel = None if differentiable or id(row.p) in clashing else _kernel_of(row)
            if kernel is not None and row.p.numel():
                quick.setdefault(kernel, []).append(row)
            elif kernel is None and not differentiable and id(row.p) not in clashing and _goes_in_lists(row):
                alike = row.recipe.rule, *row.recipe.static.items(), row.p.dtype, row.p.device
                elsewhere.setdefault(alike, []).append(row)
            elif kernel is None or row.recipe.counts_steps:
                self._eager.append(EagerRow(row, differentiable))
        self._batches = [Batch(members, kernel) for kernel, members in quick.items()]
        self._batches += [Batch(members) for members in elsewhere.values()]
        #: Whether any parameter is moved by torch's operations, which autograd would see.
        self.has_eager = bool(self._eager or elsewhere)
        self._checked = [*(batch.refresh for batch in self._batches), *(row.ready for row in self._eager)]
        self._joint = bool(shared) or any(map(sums_over_all, plans))

    def ready(self, groups: list[Group], state: dict[Tensor, StateOf]) -> bool:
        """Look at everything that may have changed since the last step; take new hyperparameters and addresses."""
        if state is not self._state or groups is not self._groups or len(groups) != len(self._lists):
            return False
        for i, group in enumerate(groups):
            params = group["params"]
            if len(params) != len(self._lists[i]) or not all(map(is_, params, self._lists[i])):
                return False
            if not self._options[i].same(group):
                recipe = self._recipe(group)
                if recipe.rule is not self._recipes[i].rule or recipe.static != self._recipes[i].static:
                    return False
                self._options[i], self._recipes[i] = Options(group), recipe
                check_globals(self._recipes)
                for batch in self._batches:
                    batch.set_recipe(i, recipe)
        if self._idle and any(p.grad is not None for p in self._idle):
            return False
        if len(self._state_values) != len(self._state) or not all(map(is_, self._state.values(), self._state_values)):
            return False
        try:
            for part in self._checked:
                if not part():
                    return False
        except (AttributeError, KeyError):  # a state was taken away
            return False
        return True

    def _recipe(self, group: Group) -> Recipe:
        """The group's recipe, checked; its values are plain numbers, unless autograd is to follow them."""
        recipe = self._recipe_of(group)
        numbers = {k: float(v.detach()) if isinstance(v, Tensor) else v for k, v in recipe.values.items()}
        plain = replace(recipe, values=numbers)
        self._check(group, plain)
        return recipe if self.differentiable else plain

    def run(self) -> None:
        """Take the step."""
        for batch in self._batches:
            batch.numbers.prepare()
        if self._joint:  # everything is summed before anything is written
            for row in self._eager:
                row.prepare(self._recipes[row.group])
            run_jointly([*(batch.host for batch in self._batches), *(row.host for row in self._eager)])
            for batch in self._batches:
                batch.numbers.finish()
            for row in self._eager:
                row.settle()
        else:
            for batch in self._batches:
                batch.host.run()
                if batch.numbers.unsettled:
                    batch.numbers.finish()
            for row in self._eager:  # one by one: a parameter may stand twice
                row.prepare(self._recipes[row.group])
                row.host.write()
                row.settle()
        for batch in self._batches:
            batch.settle()


class Options:
    """A group's options as they were read.

    Args:
        group: The param group.
    """

    def __init__(self, group: Group) -> None:
        keys = [key for key in group if key != "params"]
        self._count = len(group)
        self._read = itemgetter(*keys) if keys else lambda group: ()
        self._values = self._read(group)
        #: Whether one of them can change and stay the same object.
        self.may_change = _is_mutable(tuple(group[key] for key in keys))

    def same(self, group: Group) -> bool:
        """Whether the group says the same; never sure of what can change and stay the same object."""
        return not self.may_change and len(group) == self._count and bool(self._read(group) == self._values)


def _is_mutable(options: tuple[Any, ...]) -> bool:
    return any(isinstance(o, (Tensor, list, dict)) or (isinstance(o, tuple) and _is_mutable(o)) for o in options)


def _goes_in_lists(row: Row) -> bool:
    """Whether a parameter that no kernel can move lies so that torch's calls on lists of tensors take it."""
    p, gradient = row.p, row.p.grad
    if p.device.type in layout.DEVICES or not p.is_floating_point() or not p.numel() or gradient is None:
        return False
    tensors = (p, gradient, *(row.state[row.recipe.state_keys[spec.name]] for spec in row.recipe.rule.tensor_states))
    return all(has_memory(x) and x.dtype == p.dtype and x.device == p.device for x in tensors)


def _kernel_of(row: Row) -> Kernel | None:
    """The kernel that can move this parameter, if its tensors lie so that one can."""
    p, gradient = row.p, row.p.grad
    if not addressable(p) or p.dtype not in KERNEL_TYPES or not is_dense(p) or gradient is None:
        return None
    states = [row.state[row.recipe.state_keys[spec.name]] for spec in row.recipe.rule.tensor_states]
    if any(tensor.is_conj() or tensor.is_neg() or not is_plain(tensor) for tensor in (p, gradient, *states)):
        return None
    kernel = kernel_for(row.recipe.rule, KERNEL_TYPES[p.dtype], row.recipe.static)
    if kernel.plan.uses_channels and not rows_are_runs(p):
        return None
    fits = all(
        tensor.dtype == p.dtype and tensor.layout == p.layout and tensor.device == p.device and same_strides(tensor, p)
        for tensor in (gradient, *states)
    )
    return kernel if fits else None
