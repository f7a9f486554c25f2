"""One name of the dictionaries: its array as a tensor that a kernel can move, its states, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.symbolic import Rule


class Slot:
    """A parameter by name. Its tensor shares the array's memory, or is a stand-in that is copied to and fro.

    A stand-in is contiguous and of the machine's own numbers; for half precision it is in float32, so that states keep
    what float16 would lose. What stands for the name may become another array, of the same kind.
    """

    def __init__(self, name: str, array: Array) -> None:
        self.name = name
        self.kind: np.dtype[Any] = np.promote_types(array.dtype, np.float32).newbyteorder("=")
        self._take(array)
        self.tensor = torch.from_numpy(self._values)

    def holds(self, array: object) -> bool:
        """Whether it is the array that stands for the name, and lies as it did when it began to."""
        own = self.array
        return array is own and own.shape == self.shape and own.strides == self._strides and own.dtype is self.dtype

    def bind(self, array: Array) -> None:
        """Let another array stand for the name; its states go on. Raises ValueError for one of another kind."""
        now, before = _native(array.dtype), _native(self.dtype)
        if (array.shape, now) != (self.shape, before):
            raise ValueError(
                f"params['{self.name}'] is now {now} of shape {array.shape}, and it was {before} of shape "
                f"{self.shape}, for which its states were made; give the new array a new name, or make a new optimizer"
            )
        self._take(array)
        self.tensor.data = torch.from_numpy(self._values)

    def _take(self, array: Array) -> None:
        self.array = array
        # Noted down, since an array's own can be set in place.
        self.shape, self._strides, self.dtype = array.shape, array.strides, array.dtype
        #: The array itself, or where its numbers are copied to.
        self._values = array
        if not array.flags.carray or array.dtype != self.kind:
            self._values = np.empty(array.shape, self.kind)

    def load(self, gradient: Any, owners: set[int]) -> None:
        """Take the gradient. It is copied if a kernel can't read it, or if it lies in memory that belongs to `owners`.

        Raises TypeError or ValueError for what is no gradient of this array.
        """
        array = self.array
        if not array.flags.writeable:
            raise ValueError(f"params['{self.name}'] has become read-only; leave its gradient out to let it rest")
        if not (
            # A new array of its own, as most are: looked at first, since there may be thousands.
            type(gradient) is np.ndarray
            and gradient.base is None
            and gradient.shape == self.shape
            and gradient.dtype == self.kind
            and gradient.flags.carray
            and id(gradient) not in owners
            and self._values is array
        ):
            gradient = check_gradient(self.name, gradient, array)
            if gradient.dtype != self.kind or not gradient.flags.carray or owner(gradient) in owners:
                gradient = np.array(gradient, self.kind, order="C")
            if self._values is not array:
                self._values[...] = array
        self.tensor.grad = torch.from_numpy(gradient)

    def store(self) -> None:
        """Let the array have what the step left."""
        if self._values is not self.array:
            self.array[...] = self._values


def owner(array: Array) -> int:
    """The identity of what owns an array's memory: the same for arrays that may share it."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return id(array if array.base is None else array.base)


Array = NDArray[Any]

#: Types of number that are computed with as they are, and half precision, which is computed with in float32.
_TAKEN = ("float16", "float32", "float64")


def check_mapping(what: str, given: object) -> None:
    """Raise TypeError unless it is a dictionary."""
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{what} must be a dictionary of NumPy arrays by name, as {{'w': w}}; got {type(given).__name__}. Give "
            "each array a name, for a list by dict(zip(names, arrays))"
        )


def check_parameter(name: object, array: object) -> Array:
    """The array; TypeError or ValueError if it can't be a parameter that is changed in place."""
    if not isinstance(name, str):
        raise TypeError(f"the names of params must be strings; got {name!r}")
    whole = _as_array(f"params['{name}']", array)
    if _native(whole.dtype).name not in _TAKEN:
        viewed = ", or view its real and imaginary parts by .view(np.float64)" if whole.dtype.kind == "c" else ""
        raise TypeError(
            f"params['{name}'] holds {whole.dtype}, and only {', '.join(_TAKEN)} can be trained; convert it by "
            f".astype(np.float64){viewed}"
        )
    if not whole.flags.writeable:
        raise ValueError(f"params['{name}'] is read-only, and it is changed in place; give a copy of it, by .copy()")
    return whole


def check_gradient(name: str, gradient: object, parameter: Array) -> Array:
    """The gradient; TypeError or ValueError if it is none of this parameter."""
    # Arithmetic on an array without dimensions gives a number of NumPy's, not an array.
    whole = np.asarray(gradient) if isinstance(gradient, np.generic) else _as_array(f"grads['{name}']", gradient)
    if whole.shape != parameter.shape:
        raise ValueError(
            f"grads['{name}'] has shape {whole.shape}, and params['{name}'] has {parameter.shape}; they must be equal"
        )
    if _native(whole.dtype) != _native(parameter.dtype):
        raise TypeError(
            f"grads['{name}'] holds {whole.dtype}, and params['{name}'] holds {parameter.dtype}; they must be equal: "
            f"compute it in {parameter.dtype}, or convert it by .astype(params['{name}'].dtype)"
        )
    return whole


def check_apart(arrays: Mapping[str, Array]) -> None:
    """Raise ValueError if two of the arrays share memory."""
    reaching: list[tuple[int, str]] = []  # ends and names of those that may reach into the next
    for start, end, name in sorted((*_bounds(array), name) for name, array in arrays.items()):
        reaching = [one for one in reaching if one[0] > start]
        for _, other in reaching:
            if np.shares_memory(arrays[name], arrays[other]):
                raise ValueError(
                    f"params['{other}'] and params['{name}'] share memory, which would be moved twice; give it one "
                    "name, with the sum of the gradients"
                )
        reaching.append((end, name))


def _bounds(array: Array) -> tuple[int, int]:
    """The first byte of an array in memory, and the one behind its last."""
    first: int = array.__array_interface__["data"][0]
    reach = [stride * (size - 1) for stride, size in zip(array.strides, array.shape, strict=True)]
    return first + sum(r for r in reach if r < 0), first + sum(r for r in reach if r > 0) + array.itemsize


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in the machine's own order of bytes, whichever the array has."""
    return dtype.newbyteorder("=")


def _as_array(what: str, given: object) -> Array:
    if isinstance(given, np.ndarray) and not isinstance(given, np.ma.MaskedArray):
        return given
    kind = type(given).__name__
    if isinstance(given, Mapping | list | tuple):
        raise TypeError(
            f"{what} is a {kind}; nested parameters are not taken. Flatten them into one dictionary of arrays, with "
            "names such as 'layer1.weight'"
        )
    raise TypeError(f"{what} is a {kind}; it must be a NumPy array (numpy.ndarray)")


def read_states(rule: Rule, slot: Slot, saved: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    """The states of one name as tensors. Raises ValueError for one that does not fit the slot's array."""
    tensors = {spec.name for spec in rule.tensor_states}
    for key, array in saved.items():
        shape = slot.shape if key in tensors else ()
        if array.shape != shape:
            raise ValueError(
                f"the loaded state '{key}' of '{slot.name}' has shape {array.shape}, and must have {shape}; load what "
                "was saved for arrays of these shapes"
            )
    return {
        key: torch.from_numpy(array.astype(slot.kind, order="C") if key in tensors else array.copy())
        for key, array in saved.items()
    }
