"""What a user gives as data, made into two tensors of equal length."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from fallline.training.errors import ProblemError

_REMEDY = "give a pair (X, y) of tensors or NumPy arrays, or a torch Dataset with a length"


@dataclass(frozen=True)
class Split:
    """Examples of one part of the data: `inputs` [n, ...] and `targets` [n, ...]; its length is n."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


def as_split(name: str, data: object, dtype: torch.dtype) -> Split:
    """Make a split of (X, y) or of a Dataset, which is read once.

    Floating-point numbers become `dtype`, integer targets int64. What needs no conversion is not copied.

    Raises ProblemError, naming the split: not a pair or a Dataset, not numbers, different lengths, no examples,
    NaN or infinity.

    >>> split = as_split("train", (np.zeros((3, 2)), np.array([0, 1, 1])), torch.float32)
    >>> len(split), split.inputs.dtype, split.targets.dtype
    (3, torch.float32, torch.int64)
    """
    inputs, targets = _pair(name, data)
    split = Split(_convert(name, "X", inputs, dtype), _convert(name, "y", targets, dtype))
    _check_lengths(name, split)
    _check_finite(name, "X", split.inputs)
    _check_finite(name, "y", split.targets)
    return split


def _pair(name: str, data: object) -> tuple[object, object]:
    """X and y as they were given."""
    if isinstance(data, Dataset):
        return _read(name, data)
    if isinstance(data, tuple | list) and len(data) == 2:
        return data[0], data[1]
    raise ProblemError(f"{name}: got {type(data).__name__}; {_REMEDY}.")


def _read(name: str, dataset: Dataset[object]) -> tuple[Tensor, Tensor]:
    """Every example of a Dataset, stacked."""
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized):
        raise ProblemError(f"{name}: {type(dataset).__name__} has no length; {_REMEDY}.")
    if len(dataset) == 0:
        raise ProblemError(f"{name}: the Dataset is empty; give it at least one example.")
    examples = [dataset[index] for index in range(len(dataset))]
    if not all(isinstance(example, tuple | list) and len(example) == 2 for example in examples):
        raise ProblemError(f"{name}: the Dataset's examples must be pairs (x, y); wrap it so that it returns them.")
    inputs, targets = zip(*cast(list[tuple[object, object]], examples), strict=True)
    return _stack(name, "x", inputs), _stack(name, "y", targets)


def _stack(name: str, what: str, values: tuple[object, ...]) -> Tensor:
    try:
        return torch.stack([torch.as_tensor(value) for value in values])
    except (TypeError, ValueError, RuntimeError) as error:
        raise ProblemError(
            f"{name}: the Dataset's {what} can't be stacked into one tensor; "
            "transform every example to a tensor of the same shape and type."
        ) from error


def _convert(name: str, what: str, values: object, dtype: torch.dtype) -> Tensor:
    if not isinstance(values, Tensor | np.ndarray):
        raise ProblemError(f"{name}: {what} is of type {type(values).__name__}; {_REMEDY}.")
    tensor = values.detach() if isinstance(values, Tensor) else _from_numpy(name, what, values)
    if tensor.ndim == 0:
        raise ProblemError(f"{name}: {what} is a single number; its first dimension must count the examples.")
    if tensor.is_floating_point():
        return tensor.to(dtype)
    if what == "y" and tensor.dtype != torch.bool and not tensor.is_complex():
        return tensor.to(torch.int64)
    return tensor


def _from_numpy(name: str, what: str, values: np.ndarray[Any, Any]) -> Tensor:
    """Share the array's memory, or copy what torch can't read: reversed, read-only, of foreign byte order."""
    try:
        return torch.from_numpy(np.require(values, values.dtype.newbyteorder("="), ["C", "W"]))
    except TypeError as error:
        raise ProblemError(f"{name}: {what} holds {values.dtype}, not numbers; encode it as numbers first.") from error


def _check_lengths(name: str, split: Split) -> None:
    if len(split.inputs) != len(split.targets):
        raise ProblemError(
            f"{name}: X has {len(split.inputs)} examples and y has {len(split.targets)}; "
            "their first dimensions must be equal."
        )
    if len(split) == 0:
        raise ProblemError(f"{name}: the split is empty; give it at least one example.")


def _check_finite(name: str, what: str, values: Tensor) -> None:
    bad = ~values.isfinite()
    if bad.any():
        first = int(bad.flatten(1).any(1).nonzero()[0]) if values.ndim > 1 else int(bad.nonzero()[0])
        count = int(bad.sum())
        found = "1 value that is" if count == 1 else f"{count} values that are"
        raise ProblemError(
            f"{name}: {what} has {found} NaN or infinite, the first in example {first} (counted from 0); "
            f"remove or fill {'it' if count == 1 else 'them'}."
        )
