"""Elementary functions of torch tensors, NumPy arrays, plain numbers and SymPy's symbols alike."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def exp(x: Any) -> Any:
    """Exponential function, of the kind of thing that `x` is.

    >>> import torch
    >>> float(exp(0.0)), exp(torch.zeros(2))
    (1.0, tensor([1., 1.]))
    """
    return _library_of(x).exp(x)


def log(x: Any) -> Any:
    """Natural logarithm."""
    return _library_of(x).log(x)


def cos(x: Any) -> Any:
    """Cosine of an angle in radians."""
    return _library_of(x).cos(x)


def sin(x: Any) -> Any:
    """Sine of an angle in radians."""
    return _library_of(x).sin(x)


def tan(x: Any) -> Any:
    """Tangent of an angle in radians."""
    return _library_of(x).tan(x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return _library_of(x).tanh(x)


def sqrt(x: Any) -> Any:
    """Square root."""
    return _library_of(x).sqrt(x)


def _library_of(x: Any) -> Any:
    """The library that x comes from, which is imported then; NumPy takes the rest."""
    root = type(x).__module__.partition(".")[0]
    return sys.modules[root] if root in ("torch", "sympy") else np
