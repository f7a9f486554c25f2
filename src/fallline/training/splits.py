"""Pairs (x, y), one after another or all at once: checked, and made into two tensors of equal length."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
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
_MOST_INPUTS = 8  # longer lists are of examples
REMEDY = "give a pair (X, y) of tensors or NumPy arrays, a torch Dataset or a DataLoader"


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
            several = isinstance(item, tuple | list) and len(item) > 2
            remedy = f", and have {len(item)} parts; {PACK}" if several else "; wrap it so that it returns them"
            raise ProblemError(f"{name}: its {kind.plural} must be pairs (x, y){remedy}.")
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


def _of_mappings(name: str, keys: list[Any], kind: Items) -> str:
    found = f"{name}: its {kind.plural} are dicts with the keys {', '.join(map(repr, keys))}, not pairs (x, y)"
    if len(keys) < 2:
        return f"{found}; wrap it so that it returns pairs."
    x, y = (
        f"torch.{kind.join.__name__}([torch.as_tensor(one[{key!r}]) for one in data])" for key in (keys[0], keys[-1])
    )
    more = f"; of more keys, {PACK}" if len(keys) > 2 else ""
    return f"{found}; give two tensors, for instance {name}=({x}, {y}){more}."


@dataclass(frozen=True)
class Split:
    """Examples of one part of the data; its length is n.

    Attributes:
        inputs: The inputs [n, ...].
        targets: The targets [n, ...].
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: slice | list[int] | Tensor) -> Split:
        """Some of the examples.

        Args:
            rows: Which, as tensors are indexed.
        """
        return Split(self.inputs[rows], self.targets[rows])

    def to(self, device: torch.device) -> Split:
        """The examples on a device, not copied where they are there.

        Args:
            device: The device.
        """
        return Split(self.inputs.to(device), self.targets.to(device))


def concatenated(splits: Sequence[Split]) -> Split:
    """The examples of several splits, one after the other."""
    return Split(torch.cat([one.inputs for one in splits]), torch.cat([one.targets for one in splits]))


def split_of(name: str, pair: tuple[object, object], dtype: torch.dtype) -> Split:
    """Make a split of X and y: floating-point numbers become `dtype`, integer targets int64, on the CPU.

    Raises ProblemError, naming the split: not numbers, different lengths, no examples, NaN or infinity.
    """
    inputs, targets = pair
    split = Split(_convert(name, "X", inputs, dtype), _convert(name, "y", targets, dtype))
    if len(split.inputs) != len(split.targets):
        raise ProblemError(
            f"{name}: X has {len(split.inputs)} examples and y has {len(split.targets)}; "
            "their first dimensions must be equal."
        )
    if len(split) == 0:
        raise ProblemError(f"{name}: the split is empty; give it at least one example.")
    _check_finite(name, "X", split.inputs)
    _check_finite(name, "y", split.targets)
    return split


def _convert(name: str, what: str, values: object, dtype: torch.dtype) -> Tensor:
    if isinstance(values, tuple | list | Mapping) and _holds_arrays(values):
        raise ProblemError(f"{name}: {what} is a {type(values).__name__} of {len(values)} arrays; {PACK}.")
    if not hasattr(values, "__array__"):  # as tensors, arrays and what pandas makes have
        raise ProblemError(f"{name}: {what} is of type {type(values).__name__}; {REMEDY}.")
    tensor = values.detach().cpu() if isinstance(values, Tensor) else _from_numpy(name, what, np.asarray(values))
    if tensor.ndim == 0:
        raise ProblemError(f"{name}: {what} is a single number; its first dimension must count the examples.")
    if tensor.is_floating_point():
        return tensor.to(dtype)
    if what == "y" and tensor.dtype != torch.bool and not tensor.is_complex():
        return tensor.to(torch.int64)
    return tensor


def _holds_arrays(values: Sequence[Any] | Mapping[Any, Any]) -> bool:
    held = values.values() if isinstance(values, Mapping) else values
    return len(values) <= _MOST_INPUTS and any(hasattr(one, "__array__") and getattr(one, "ndim", 0) for one in held)


def _from_numpy(name: str, what: str, values: np.ndarray[Any, Any]) -> Tensor:
    """Share the array's memory, or copy what torch can't read: reversed, read-only, of foreign byte order."""
    try:
        return torch.from_numpy(np.require(values, values.dtype.newbyteorder("="), ["C", "W"]))
    except TypeError as error:
        raise ProblemError(f"{name}: {what} holds {values.dtype}, not numbers; encode it as numbers first.") from error


def _check_finite(name: str, what: str, values: Tensor) -> None:
    bad = ~values.isfinite()
    if bad.any():
        first, count = int(bad.nonzero()[0, 0]), int(bad.sum())
        found = "1 value that is" if count == 1 else f"{count} values that are"
        raise ProblemError(
            f"{name}: {what} has {found} NaN or infinite, the first in example {first} (counted from 0); "
            f"remove or fill {'it' if count == 1 else 'them'}."
        )


#: Share of a split whose examples are in another, above that of examples that repeat anyway.
_WORTH_A_WORD = 0.01
_COLUMNS, _CANDIDATES = 32, 8  # numbers of an example, and examples like it, that are compared before all are


def shared_examples(splits: Mapping[str, Split]) -> Iterator[str]:
    """Splits that have examples, inputs and targets alike, of an earlier one, beyond those that repeat anyway."""
    prints = {name: _prints(split) for name, split in splits.items()}
    for first, second in itertools.combinations(splits, 2):
        one, other = splits[first], splits[second]
        if len(one) < 2:  # a problem without data
            continue
        count = _shared(one, other, prints[first], prints[second])
        again = count == len(other) == len(one) and torch.equal(prints[first].sort()[0], prints[second].sort()[0])
        if not again and count / len(other) <= max(_WORTH_A_WORD, 2 * _repeated(prints[first])):
            continue
        found = f"it is {first} again" if again else f"{count:,} of its {len(other):,} examples are in {first} too"
        use = "trained on" if first == "train" else "used to choose"
        yield (
            f"{second}: {found}, so it can't tell how a model does on examples that were not {use}; give it others, "
            f"which {first} does not have."
        )


def _shared(one: Split, other: Split, ones: Tensor, others: Tensor) -> int:
    """How many examples of the other are in this one as well, inputs and targets alike."""
    if one.inputs.shape[1:] != other.inputs.shape[1:] or one.targets.shape[1:] != other.targets.shape[1:]:
        return 0
    prints, there = others.tolist(), dict[float, list[int]]()
    wanted = set(prints)
    for row, print_ in enumerate(ones.tolist()):
        if print_ in wanted:
            there.setdefault(print_, []).append(row)
    return sum(
        any(
            torch.equal(one.inputs[row], other.inputs[place]) and torch.equal(one.targets[row], other.targets[place])
            for row in there.get(print_, ())[:_CANDIDATES]
        )
        for place, print_ in enumerate(prints)
    )


def _repeated(prints: Tensor) -> float:
    """The share of examples that have a twin in the same split."""
    _, counts = prints.unique(return_counts=True)  # type: ignore[no-untyped-call]
    return float(counts[counts > 1].sum()) / len(prints)


def _prints(split: Split) -> Tensor:
    """A number [n] for each example, alike for those that are."""
    total = torch.zeros(len(split), dtype=torch.float64)
    for part in (split.inputs, split.targets):
        flat = part.reshape(len(split), -1)
        if flat.is_complex():
            flat = flat.real + 2 * flat.imag
        some = flat[:, :: max(1, flat.shape[1] // _COLUMNS)].double()
        weights = torch.rand(some.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
        # Summed row by row, since a product of matrices may round otherwise from row to row.
        total += (some * weights).sum(1) + flat.sum(1, dtype=torch.float64)
    return total
