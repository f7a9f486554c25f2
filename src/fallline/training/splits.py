"""What a user gives as data, made into two tensors of equal length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fallline.training.datasets import read_once
from fallline.training.errors import ProblemError
from fallline.training.pairs import PACK

_MOST_INPUTS = 8  # longer lists are of examples
_REMEDY = "give a pair (X, y) of tensors or NumPy arrays, a torch Dataset or a DataLoader"


@dataclass(frozen=True)
class Split:
    """Examples of one part of the data: `inputs` [n, ...] and `targets` [n, ...]; its length is n."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


def as_split(name: str, data: object, dtype: torch.dtype) -> Split:
    """Make a split of (X, y), or of a Dataset or a DataLoader, which is read once.

    Floating-point numbers become `dtype`, integer targets int64, on the CPU. What needs no conversion is not copied.
    What reading draws follows from the name of the split; where examples differ each time, a warning says so.

    Raises ProblemError, naming the split: not a pair, a Dataset or a DataLoader, not numbers, different lengths, no
    examples, NaN or infinity.

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
    """X and y as they were given, or read."""
    if isinstance(data, Dataset | DataLoader):
        return read_once(name, data)
    if isinstance(data, tuple | list) and len(data) == 2:
        return data[0], data[1]
    if isinstance(data, tuple | list | Mapping) and len(data) > 2:
        raise ProblemError(f"{name}: got {type(data).__name__} of {len(data)} parts, and takes a pair (X, y); {PACK}.")
    hint = " (for a model without targets, (X, X))" if isinstance(data, Tensor | np.ndarray) else ""
    raise ProblemError(f"{name}: got {type(data).__name__}; {_REMEDY}{hint}.")


def _convert(name: str, what: str, values: object, dtype: torch.dtype) -> Tensor:
    if isinstance(values, tuple | list | Mapping) and _holds_arrays(values):
        raise ProblemError(f"{name}: {what} is a {type(values).__name__} of {len(values)} arrays; {PACK}.")
    if not hasattr(values, "__array__"):  # as tensors, arrays and what pandas makes have
        raise ProblemError(f"{name}: {what} is of type {type(values).__name__}; {_REMEDY}.")
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
    if len(values) > _MOST_INPUTS:
        return False
    return any(hasattr(one, "__array__") and getattr(one, "ndim", 0) for one in held)


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
