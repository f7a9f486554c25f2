"""What `update` refuses of its dictionaries, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        raise TypeError(
            f"params['{name}'] holds {whole.dtype}, and only {', '.join(_TAKEN)} can be trained; convert it by "
            f".astype(np.float64){_of_complex(whole)}"
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


def check_known(name: object, params: Mapping[str, Any]) -> None:
    """Raise KeyError for a gradient without its parameter."""
    if name not in params:
        names = ", ".join(f"'{one}'" for one in list(params)[:8]) or "none"
        raise KeyError(f"grads has {name!r}, and params has no such name; it has {names}")


def check_kept(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise ValueError if a name now stands for another kind of array than the one that its states were made for."""
    now, before = _native(array.dtype), _native(dtype)
    if (array.shape, now) != (shape, before):
        raise ValueError(
            f"params['{name}'] is now {now} of shape {array.shape}, and it was {before} of shape {shape}, for which "
            "its states were made; give the new array a new name, or make a new optimizer"
        )


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


def _of_complex(array: Array) -> str:
    return ", or view its real and imaginary parts by .view(np.float64)" if array.dtype.kind == "c" else ""
