"""Operations that are slow over many lanes on a CPU, replaced by faster ones that give the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fallline.training import lane_attention, lane_channels, short_rows

_ESCAPES = (
    Tensor.data.__get__,  # type: ignore[attr-defined]
    Tensor.numpy,
    Tensor.__array__,
    Tensor.untyped_storage,
    Tensor.data_ptr,
    Tensor.set_,
    Tensor.__dlpack__,
)
_REPLACEMENTS = {**short_rows.REPLACEMENTS, **lane_channels.REPLACEMENTS, **lane_attention.REPLACEMENTS}


class LaneOperations(TorchFunctionMode):
    """While active, softmax over short rows, and convolution, pooling, norms and attention of lanes, are faster.

    The results agree to rounding. `escaped` is told each tensor that torch is asked for memory of in which it does not
    count changes.

    >>> rows = torch.randn(64, 10)
    >>> with LaneOperations():
    ...     fast = torch.softmax(rows, 1)
    >>> torch.allclose(fast, torch.softmax(rows, 1))
    True
    """

    def __init__(self, escaped: Callable[[Tensor], None] | None = None) -> None:
        super().__init__()
        self._replacements: dict[Callable[..., Any], Callable[..., Tensor | None]] = _REPLACEMENTS
        if escaped is not None:
            self._replacements = {**_REPLACEMENTS, **dict.fromkeys(_ESCAPES, _telling(escaped))}

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Replace the functions of the table, where they apply; torch calls this for every operation."""
        replacement = self._replacements.get(func)
        result = replacement(*args, **(kwargs or {})) if replacement else None
        return func(*args, **(kwargs or {})) if result is None else result


def _telling(escaped: Callable[[Tensor], None]) -> Callable[..., None]:
    def tell(tensor: Tensor, *given: Any, **named: Any) -> None:
        if not torch._C._functorch.is_batchedtensor(tensor):
            escaped(tensor)

    return tell
