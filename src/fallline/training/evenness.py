"""Which functions torch computes otherwise in a processor's vectors than for the numbers left over at a tensor's end.

Where those numbers lie hangs on how many lanes there are. So that a lane's numbers do not, passes with such functions
are taken by so many lanes that none are left over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_MOST_AT_ONCE = 32  # numbers that a loop of torch's takes at once: two vectors of sixteen
_SAMPLE = 4096


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What watches the operations that reach torch's kernels."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch's compiler, which would be imported for it, takes a second


class Evenness(Watch):  # type: ignore[no-untyped-call]
    """While active, notes whether there are functions whose last digit hangs on where a number lies.

    >>> with Evenness() as evenness:
    ...     _ = torch.ones(3, 7).relu() + 1
    >>> evenness.missing(5, rows=7)
    0
    """

    def __init__(self) -> None:
        super().__init__()
        #: Of each number, and of a channel's, which lie beside those of other lanes.
        self._uneven = self._by_channel = False
        self._known: set[Any] = set()

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do an operation, and try it on a sample where it is one of single numbers."""
        result = func(*args, **(kwargs or {}))
        self._by_channel |= "batch_norm" in func.name()
        single = torch.Tag.pointwise in func.tags and isinstance(result, Tensor) and result.is_floating_point()
        if single and not self._uneven:
            numbers = [None if isinstance(value, Tensor) else value for value in (*args, *(kwargs or {}).values())]
            if (kind := (func, result.dtype, repr(numbers))) not in self._known:
                self._known.add(kind)
                self._uneven = _is_uneven(func, args, kwargs or {})
        return result

    def missing(self, lanes: int, rows: int) -> int:
        """How many lanes are to be added to those of a pass over so many rows; a single one is always given another.

        torch takes batched products and grouped convolutions of one lane in another way than those of several.
        """
        multiple = _MOST_AT_ONCE // math.gcd(_MOST_AT_ONCE, rows) if self._uneven else 1
        return max(2 - lanes, -lanes % (_MOST_AT_ONCE if self._by_channel else multiple))


def _is_uneven(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Compare a function of numbers that lie side by side, in vectors, with that of numbers that do not.

    What can't be tried counts as uneven; nothing of the model's own is written to.
    """
    if any(isinstance(value, Tensor) for value in kwargs.values()):
        return True
    apart, together = ([_sample(value, place, step) for place, value in enumerate(args)] for step in (2, 1))
    try:
        one, other = func(*apart, **kwargs), func(*together, **kwargs)
    except Exception:
        return True
    return not torch.equal(one.nan_to_num(), other.nan_to_num())


def _sample(value: Any, place: int, step: int) -> Any:
    """In the place of a tensor one of random numbers, each so many places from the next; of a number's, a copy."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value.clone() if isinstance(value, Tensor) else value
    drawn = torch.randn(_SAMPLE, generator=torch.Generator().manual_seed(place)).to(value.device, value.dtype)
    return drawn.repeat_interleave(step)[::step]
