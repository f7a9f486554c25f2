"""What is looked at before every step: whether tensors still lie where, and as, they did."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, is_, itemgetter
from typing import Any

from torch import Tensor
from torch.autograd.graph import increment_version

from fallline.optim.layout import layout_guard
from fallline.optim.states import StateOf

#: Tensors are looked at in blocks that fit a core's cache, since each is asked several things.
BLOCK = 256

_address = Tensor.data_ptr
_gradient = attrgetter("grad")


class Watch:
    """A block of parameters with their gradients and states.

    Parameters and `loose` tensors are watched by address and layout; what lies under `keys` in the states, by identity.
    """

    def __init__(
        self, params: Sequence[Tensor], states: Sequence[StateOf], keys: Sequence[str], loose: Sequence[Tensor]
    ) -> None:
        self._params = list(params)
        #: The gradients whose addresses were given out, kept alive until the step is taken.
        self.held: list[Tensor] = []
        self._states = list(states)
        self._kept: list[tuple[Any, list[Tensor]]] = [(itemgetter(k), [state[k] for state in states]) for k in keys]
        self._written = [*params, *loose]
        gradients = [p.grad for p in params if p.grad is not None]
        self._layout = layout_guard([*gradients, *self._written])
        self._addresses = list(map(_address, self._written))

    def gradient_addresses(self) -> list[int] | None:
        """Where the gradients lie now; None if anything else lies elsewhere, or anything otherwise, than it did."""
        self.held = gradients = list(map(_gradient, self._params))
        if not self._layout(*gradients, *self._written) or list(map(_address, self._written)) != self._addresses:
            return None
        for key, values in self._kept:
            if not all(map(is_, map(key, self._states), values)):
                return None
        increment_version(self._written)  # here, where they are at hand, for the writing that follows
        return list(map(_address, gradients))
