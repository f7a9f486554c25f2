"""Operations that are slow over many lanes on a CPU, replaced by faster ones that give the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch.overrides import TorchFunctionMode

from fallline.training import lane_attention, lane_channels, short_rows

_REPLACEMENTS = {**short_rows.REPLACEMENTS, **lane_channels.REPLACEMENTS, **lane_attention.REPLACEMENTS}


class LaneOperations(TorchFunctionMode):
    """While active, softmax over short rows, and convolution, pooling, norms and attention of lanes, are faster.

    The results agree to rounding.

    >>> import torch
    >>> rows = torch.randn(64, 10)
    >>> with LaneOperations():
    ...     fast = torch.softmax(rows, 1)
    >>> torch.allclose(fast, torch.softmax(rows, 1))
    True
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Replace the functions of the table, where they apply; torch calls this for every operation."""
        replacement = _REPLACEMENTS.get(func)
        result = replacement(*args, **(kwargs or {})) if replacement else None
        return func(*args, **(kwargs or {})) if result is None else result
