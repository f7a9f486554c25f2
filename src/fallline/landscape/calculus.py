"""Functions of numbers of any kind, and the value, gradient and Hessian matrix of a function of two, exact and fast."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np


def exp(x: Any) -> Any:
    """Return the exponential function, of the kind of thing that `x` is.

    Args:
        x: A number: a plain one, or torch's tensors, NumPy's arrays or SymPy's symbols of them.

    >>> import torch
    >>> float(exp(0.0)), exp(torch.zeros(2))
    (1.0, tensor([1., 1.]))
    """
    return _library_of(x).exp(x)


def log(x: Any) -> Any:
    """Return the natural logarithm, of the kind of thing that `x` is.

    Args:
        x: A number: a plain one, or torch's tensors, NumPy's arrays or SymPy's symbols of them.

    >>> float(log(1.0))
    0.0
    """
    return _library_of(x).log(x)


def cos(x: Any) -> Any:
    """Return the cosine, of the kind of thing that `x` is.

    Args:
        x: An angle in radians: a plain one, or torch's tensors, NumPy's arrays or SymPy's symbols of them.

    >>> float(cos(0.0))
    1.0
    """
    return _library_of(x).cos(x)


def sin(x: Any) -> Any:
    """Return the sine, of the kind of thing that `x` is.

    Args:
        x: An angle in radians: a plain one, or torch's tensors, NumPy's arrays or SymPy's symbols of them.

    >>> float(sin(0.0))
    0.0
    """
    return _library_of(x).sin(x)


def tan(x: Any) -> Any:
    """Return the tangent, of the kind of thing that `x` is.

    Args:
        x: An angle in radians: a plain one, or torch's tensors, NumPy's arrays or SymPy's symbols of them.

    >>> float(tan(0.0))
    0.0
    """
    return _library_of(x).tan(x)


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent, of the kind of thing that `x` is.

    Args:
        x: A number: a plain one, or torch's tensors, NumPy's arrays or SymPy's symbols of them.

    >>> float(tanh(0.0))
    0.0
    """
    return _library_of(x).tanh(x)


def sqrt(x: Any) -> Any:
    """Return the square root, of the kind of thing that `x` is.

    Args:
        x: A number: a plain one, or torch's tensors, NumPy's arrays or SymPy's symbols of them.

    >>> float(sqrt(1.0))
    1.0
    """
    return _library_of(x).sqrt(x)


def _library_of(x: Any) -> Any:
    """The library that x comes from, which is imported then; NumPy takes the rest."""
    root = type(x).__module__.partition(".")[0]
    return sys.modules[root] if root in ("torch", "sympy") else np


Function = Callable[[Any, Any], Any]
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Derivatives:
    """`slope(x, y)` is (f, ∂f/∂x, ∂f/∂y), `hessian(x, y)` is (∂²f/∂x², ∂²f/∂x∂y, ∂²f/∂y²); NaN where there is none."""

    slope: Callable[[float, float], Numbers]
    hessian: Callable[[float, float], Numbers]


@lru_cache(maxsize=64)
def derivatives_of(function: Function) -> Derivatives:
    """Differentiate a function of x and y.

    SymPy does it once where the function can be written as one formula; torch's automatic differentiation does it at
    each point, a hundred times slower, where it branches or calls torch's functions.

    Args:
        function: What takes x and y, plain numbers, torch's tensors or SymPy's symbols, and returns one of the same.

    Raises:
        TypeError: torch can't follow the function either.

    >>> derivatives_of(lambda x, y: x**2 * y).slope(3.0, 2.0)
    (18.0, 12.0, 9.0)
    """
    return _by_formula(function) or _by_autograd(function)


def _by_formula(function: Function) -> Derivatives | None:
    """Compiled formulas of plain numbers; None where the function is no formula."""
    import sympy

    try:
        x, y, first, second = formulas_of(function)
        slope, hessian = (_guarded(sympy.lambdify([x, y], part, modules="math", cse=True)) for part in (first, second))
        slope(0.5, 0.25), hessian(0.5, 0.25)  # Python's math may lack a function
    except Exception:
        return None
    return Derivatives(slope, hessian)


@lru_cache(maxsize=64)
def formulas_of(function: Function) -> tuple[Any, Any, list[Any], list[Any]]:
    """SymPy's x and y, and what `slope` and `hessian` come to in them; raises what the function does with symbols.

    Args:
        function: As for `derivatives_of`.

    >>> formulas_of(lambda x, y: x**2 * y)
    (x, y, [x**2*y, 2*x*y, x**2], [2*y, 2*x, 0])
    """
    import sympy

    x, y = sympy.symbols("x y", real=True)
    f = sympy.sympify(function(x, y))
    return x, y, [f, f.diff(x), f.diff(y)], [f.diff(x, x), f.diff(x, y), f.diff(y, y)]


def _guarded(compiled: Callable[[float, float], list[Any]]) -> Callable[[float, float], Numbers]:
    def evaluate(x: float, y: float) -> Numbers:
        try:
            return tuple(map(float, compiled(x, y)))
        except (ArithmeticError, ValueError, TypeError):  # too large, undefined, or complex
            return (math.nan,) * 3

    return evaluate


def _by_autograd(function: Function) -> Derivatives:
    import torch

    def at(point: torch.Tensor) -> torch.Tensor:
        value = function(point[0], point[1])
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"it returned {type(value).__name__}")
        return value

    def slope(x: float, y: float) -> Numbers:
        point = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
        value = at(point)
        (gradient,) = torch.autograd.grad(value, point)
        return (float(value.detach()), *gradient.tolist())

    def hessian(x: float, y: float) -> Numbers:
        point = torch.tensor([x, y], dtype=torch.float64)
        matrix = torch.autograd.functional.hessian(at, point)  # type: ignore[no-untyped-call]
        return float(matrix[0, 0]), float(matrix[0, 1]), float(matrix[1, 1])

    try:
        slope(0.5, 0.25)
    except Exception as error:
        raise TypeError(
            f"the surface's function can't be differentiated ({str(error).splitlines()[0]}); write it with +, -, *, /, "
            "** and the functions of torch, or with exp, log, cos, sin and sqrt from fallline.landscape, and let it "
            "return one number for the numbers x and y"
        ) from error
    return Derivatives(slope, hessian)
