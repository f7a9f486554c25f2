"""The tensors kept for a parameter: made when absent, checked when loaded, handed to another rule."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fallline import rules
from fallline.optim.hyperparameters import Recipe
from fallline.rules import AVERAGE, SUM, Moment
from fallline.symbolic import Rule

StateOf = dict[str, Any]


def check_states(p: Tensor, state: StateOf, recipe: Recipe) -> None:
    """Raise ValueError if a state that is there does not fit the parameter."""
    for spec in recipe.rule.states:
        key = recipe.state_keys[spec.name]
        value = state.get(key)
        shape = p.shape if spec.kind == "tensor" else ()
        if value is not None and (not isinstance(value, Tensor) or value.shape != shape):
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            wanted = "the parameter's shape" if spec.kind == "tensor" else "shape ()"
            raise ValueError(
                f"state '{key}' of a parameter of shape {tuple(p.shape)} is {found}; it must be a tensor of {wanted}. "
                "Load a state_dict that was saved from this model and rule"
            )


def make_states(p: Tensor, state: StateOf, recipe: Recipe) -> tuple[str, ...]:
    """Make the states that are absent; return the names of those just made."""
    if recipe.counts_steps and "step" not in state:
        state["step"] = _number(0.0, _number_dtype())
    made = []
    for spec in recipe.rule.states:
        key = recipe.state_keys[spec.name]
        if state.get(key) is None:
            fill = recipe.initial.get(spec.name, spec.fill)
            if spec.kind != "tensor":
                state[key] = _number(fill, torch.promote_types(_number_dtype(), p.dtype.to_real()))
                continue
            number = complex(fill, fill) if p.is_complex() else fill
            state[key] = torch.full_like(p, number, memory_format=torch.preserve_format, requires_grad=False)
            made.append(spec.name)
    return tuple(made)


def _number(value: float, dtype: torch.dtype) -> Tensor:
    """A number of our own, told from those of others by being a view."""
    return torch.tensor([value], dtype=dtype, device="cpu")[0]


def _number_dtype() -> torch.dtype:
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32


def adopt_numbers(states: Sequence[StateOf], key: str) -> Tensor:
    """One vector in which each state's number under a key lies, so that all change in one go: step counts, say.

    Where the number is our own, a view of the vector takes its place; one that was loaded, or that torch's constructor
    made, stays the tensor that it is, and lies there from now on.
    """
    numbers = [state[key] for state in states]
    dtype = numbers[0].dtype if isinstance(numbers[0], Tensor) else _number_dtype()
    vector = torch.tensor([float(number) for number in numbers], dtype=dtype, device="cpu")
    with torch.inference_mode(False):
        for state, number, view in zip(states, numbers, vector.unbind(), strict=True):
            if isinstance(number, Tensor) and _can_move(number, view):
                number.data = view
            else:
                state[key] = view
    return vector


def _can_move(number: Tensor, view: Tensor) -> bool:
    """Whether a tensor can be let lie where a view does."""
    alike = (number.dtype, number.device, number.layout) == (view.dtype, view.device, view.layout)
    theirs = number._base is None and not number.requires_grad and not number.is_inference()
    return alike and theirs and type(number) is Tensor


def own(states: MutableMapping[Any, Any]) -> None:
    """Let states that were loaded belong to nobody else: each tensor a copy, and what was one tensor still one."""
    copies: dict[int, Tensor] = {}
    for key, state in states.items():
        states[key] = _copied(state, copies)


def _copied(value: Any, copies: dict[int, Tensor]) -> Any:
    if isinstance(value, Tensor):
        if id(value) not in copies:
            copies[id(value)] = value.clone()
        return copies[id(value)]
    if isinstance(value, dict):
        return {key: _copied(inner, copies) for key, inner in value.items()}
    return type(value)(_copied(inner, copies) for inner in value) if type(value) in (list, tuple) else value


def share_global(states: Iterable[StateOf], key: str, known: Tensor | None) -> None:
    """Let all states keep one tensor under the key: the known one, or the first."""
    for state in states:
        if key in state:
            known = state[key] if known is None else known
            state[key] = known


def adopt_small(params: Sequence[Tensor], states: Sequence[StateOf], key: str) -> list[Tensor]:
    """Make each state under a key a view of a vector, laid out as its parameter; the vectors that are viewed.

    Thousands of small states then have one address to look at and one version, which they share, to raise. A state that
    is a view already stays the tensor that it is.
    """
    loose = [i for i, state in enumerate(states) if state[key]._base is None]
    sizes = [-(-params[i].numel() // _ALIGNED) * _ALIGNED for i in loose]  # rounded up
    with torch.inference_mode(False):  # whose views do not know what they are views of
        vector = torch.zeros(sum(sizes), dtype=params[0].dtype, device="cpu")
        for i, offset in zip(loose, itertools.accumulate(sizes, initial=0), strict=False):
            view = vector.as_strided(params[i].shape, params[i].stride(), offset)
            states[i][key] = view.copy_(states[i][key])
    bases = [state[key]._base for state in states]
    return list({id(base): base for base in bases}.values())


_ALIGNED = 16  # elements, so that each state begins a cache line


def hand_over(
    state: StateOf, old: Rule, old_values: Mapping[str, Any], new: Rule, new_values: Mapping[str, Any]
) -> StateOf:
    """The state of one parameter with which the new rule goes on.

    - A state of a part that both rules have (the same rule inside, the same combinator) goes on as it is.
    - So does a moment of the gradients that both are known to keep: the second moment `v` of Adam in RMSprop, say. The
      average `m` and the sum `b` go over into each other: b = m / (1 - β), with the average's own β.
    - What else the new rule keeps begins anew, and so does all if only one of the two climbs (`maximize`)
      or the parameter has had no gradient yet.
    - A rule that corrects the bias of its averages (one that uses t) needs all of them to be of one age: if any begins
      anew, all do, and the step count with them. Else the count goes on.
    """
    if not state or _climbs(old) != _climbs(new):
        return {}
    kept: StateOf = {}
    for part, name, moment in _states(new):
        for other_part, other_name, other in _states(old):
            if part is other_part and name == other_name:
                kept[name] = state[other_name]
            elif moment is not None and other is not None and name not in kept:
                factor = _factor(other, old_values, moment, new_values)
                if factor is not None:
                    kept[name] = state[other_name] * factor if factor != 1 else state[other_name]
    if not new.uses_t:
        return kept
    return {**kept, "step": state["step"]} if len(kept) == len(new.states) and "step" in state else {}


def _states(rule: Rule) -> Iterator[tuple[object, str, Moment | None]]:
    """Each state with the part that it belongs to, and what it gathers if that is known."""
    for part, states in rule.parts:
        for spec in states:
            record = rules.record_of(part) if isinstance(part, Rule) else None
            yield part, spec.name, record.moments.get(spec.name) if record is not None else None


def _climbs(rule: Rule) -> bool:
    return sum(part is rules.maximize for part, _ in rule.parts) % 2 == 1


def _factor(old: Moment, old_values: Mapping[str, Any], new: Moment, new_values: Mapping[str, Any]) -> float | None:
    """What turns one moment into the other; None if they are of different kinds."""
    if old.kind == new.kind:
        return 1.0
    if (old.kind, new.kind) == (AVERAGE, SUM):
        return 1 / (1 - float(old_values[old.decay]))
    if (old.kind, new.kind) == (SUM, AVERAGE):
        return 1 - float(new_values[new.decay])
    return None
