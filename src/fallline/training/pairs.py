"""Pairs (x, y) that come one after another, checked and made into two tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fallline.training.errors import ProblemError

Pair = tuple[Tensor, Tensor]

#: How several inputs of an example become the one that a problem takes.
PACK = (
    "pack several inputs of an example into one tensor x, torch.cat([a.flatten(1), b.flatten(1)], 1), and take it "
    "apart in the model, a, b = x.split([width_of_a, width_of_b], 1); or give row numbers, X = torch.arange(n), and "
    "let the model look its inputs up, a[x] and b[x]"
)


@dataclass(frozen=True)
class Items:
    """What a stream of pairs holds, and how many of them become one tensor."""

    plural: str
    join: Callable[[list[Tensor]], Tensor]


EXAMPLES = Items("examples", torch.stack)
BATCHES = Items("batches", torch.cat)


def pairs(name: str, items: Iterable[Any], kind: Items) -> Iterator[Sequence[Any]]:
    """The items, each checked to be a pair (x, y) as it comes."""
    for item in items:
        if isinstance(item, Mapping):
            raise ProblemError(_of_mappings(name, list(item), kind))
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise ProblemError(_of_others(name, item, kind))
        yield item


def joined(name: str, items: Iterable[Sequence[Any]], kind: Items) -> Pair:
    """Two tensors [n, ...] of all pairs (x, y).

    Raises ProblemError: there are none, or their shapes differ.
    """
    halves = list(zip(*items, strict=True))
    if not halves:
        raise ProblemError(f"{name}: it has no {kind.plural}; give it at least one example.")
    return _tensor(name, "x", halves[0], kind), _tensor(name, "y", halves[1], kind)


def _tensor(name: str, what: str, values: Sequence[Any], kind: Items) -> Tensor:
    try:
        return kind.join([torch.as_tensor(value) for value in values])
    except (TypeError, ValueError, RuntimeError) as error:
        several = isinstance(values[0], Mapping) or (
            isinstance(values[0], tuple | list) and any(isinstance(part, Tensor) for part in values[0])
        )
        raise ProblemError(
            f"{name}: the {what} of its {kind.plural} can't become one tensor; "
            + (f"{PACK}." if several else "transform every example to a tensor of the same shape and type.")
        ) from error


def _of_others(name: str, item: Any, kind: Items) -> str:
    found = f"{name}: its {kind.plural} must be pairs (x, y)"
    if isinstance(item, tuple | list) and len(item) > 2:
        return f"{found}, and have {len(item)} parts; {PACK}."
    return f"{found}; wrap it so that it returns them."


def _of_mappings(name: str, keys: list[Any], kind: Items) -> str:
    found = f"{name}: its {kind.plural} are dicts with the keys {', '.join(map(repr, keys))}, not pairs (x, y)"
    if len(keys) < 2:
        return f"{found}; wrap it so that it returns pairs."
    x, y = (
        f"torch.{kind.join.__name__}([torch.as_tensor(one[{key!r}]) for one in data])" for key in (keys[0], keys[-1])
    )
    more = f"; of more keys, {PACK}" if len(keys) > 2 else ""
    return f"{found}; give two tensors, for instance {name}=({x}, {y}){more}."
