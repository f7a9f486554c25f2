"""Methods that torch.compile breaks its graph at, without loading its compiler for them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from torch._compile import _disable_dynamo


def untraced(method: Callable[..., Any]) -> Any:
    """Mark a method that there is nothing to trace in.

    torch's own mark loads its compiler at the first call, which takes more than a second. Before something else has
    loaded it nothing can be compiled, so that the method is called as it is.
    """
    marked = _disable_dynamo(method)

    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        return (marked if "torch._dynamo" in sys.modules else method)(*arguments, **named)

    return call
