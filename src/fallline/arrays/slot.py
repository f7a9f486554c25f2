"""One name of the dictionaries: its array as a tensor that a kernel can move."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fallline.arrays.checks import Array, check_gradient, check_kept


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
        check_kept(self.name, array, self.shape, self.dtype)
        self._take(array)
        self.tensor.data = torch.from_numpy(self._values)

    def _take(self, array: Array) -> None:
        self.array = array
        # Noted down, since an array's own can be set in place.
        self.shape, self._strides, self.dtype = array.shape, array.strides, array.dtype
        self._values = self._room()

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
            gradient = self._readable(check_gradient(self.name, gradient, array), owners)
            if self._values is not array:
                self._values[...] = array
        self.tensor.grad = torch.from_numpy(gradient)

    def _readable(self, gradient: Array, owners: set[int]) -> Array:
        if gradient.dtype != self.kind or not gradient.flags.carray or owner(gradient) in owners:
            return np.array(gradient, self.kind, order="C")
        return gradient

    def store(self) -> None:
        """Let the array have what the step left."""
        if self._values is not self.array:
            self.array[...] = self._values

    def _room(self) -> Array:
        """The array itself, or where its numbers are copied to."""
        if self.array.flags.carray and self.dtype == self.kind:
            return self.array
        return np.empty(self.shape, self.kind)


def owner(array: Array) -> int:
    """The identity of what owns an array's memory: the same for arrays that may share it."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return id(array if array.base is None else array.base)
