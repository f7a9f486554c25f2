"""What Python or another library would do with a number, and a rule can't: refused in words."""

from __future__ import annotations

import difflib
from typing import Any, NoReturn

from fallline.symbolic.errors import refuse

NAMES = ("sqrt", "abs", "sign", "exp", "log", "minimum", "maximum", "where", "sum", "dot", "dimensions")
USE_MATH = f"use the functions of fallline.math: {', '.join(NAMES)}"
_COUNT = "sum(where(x == x, 1.0, 1.0))"
_MEAN = f"sum(x) / {_COUNT}"
#: What people look for in fallline.math, written with what there is.
WRITTEN = {
    "absolute": "abs(x)",
    "cbrt": "sign(x) * abs(x)**(1/3)",
    "clamp": "minimum(maximum(x, low), high)",
    "clip": "minimum(maximum(x, low), high)",
    "count": _COUNT,
    "cosh": "(exp(x) + exp(-x)) / 2",
    "expm1": "exp(x) - 1",
    "fabs": "abs(x)",
    "heaviside": "where(x > 0, 1.0, 0.0)",
    "hypot": "sqrt(x * x + y * y)",
    "isfinite": "x - x == 0",
    "isnan": "x != x",
    "lerp": "x + weight * (y - x)",
    "ln": "log(x)",
    "log10": "log(x) / log(10.0)",
    "log1p": "log(1 + x)",
    "log2": "log(x) / log(2.0)",
    "logsumexp": "log(sum(exp(x)))",
    "max": "maximum(x, y)",
    "mean": _MEAN,
    "min": "minimum(x, y)",
    "norm": "sqrt(dot(x, x))",
    "numel": _COUNT,
    "pow": "x**y",
    "power": "x**y",
    "reciprocal": "1 / x",
    "relu": "maximum(x, 0.0)",
    "rms": f"sqrt(dot(x, x) / {_COUNT})",
    "rsqrt": "1 / sqrt(x)",
    "sigmoid": "1 / (1 + exp(-x))",
    "sinh": "(exp(x) - exp(-x)) / 2",
    "size": _COUNT,
    "softmax": "exp(x) / sum(exp(x))",
    "softplus": "log(1 + exp(x))",
    "softsign": "x / (1 + abs(x))",
    "square": "x * x",
    "std": f"sqrt(dot(x - mean, x - mean) / {_COUNT}), with mean = {_MEAN}",
    "tanh": "1 - 2 / (exp(2 * x) + 1)",
    "var": f"dot(x - mean, x - mean) / {_COUNT}, with mean = {_MEAN}",
    "vdot": "dot(x, y)",
}


def instead_of(name: str) -> str:
    """What to write for a function that fallline.math does not have.

    >>> instead_of("norm"), instead_of("sqr")
    ('write sqrt(dot(x, x)) (all from fallline.math)', "did you mean 'sqrt'?")
    """
    if name in WRITTEN:
        return f"write {WRITTEN[name]} (all from fallline.math)"
    if name in NAMES:
        return USE_MATH
    near = difflib.get_close_matches(name, (*NAMES, *WRITTEN), 1, cutoff=0.7)
    if near and near[0] in WRITTEN:
        return f"'{near[0]}' is written {WRITTEN[near[0]]}"
    return f"did you mean '{near[0]}'?" if near else USE_MATH


_USE_OPERATORS = "write the formula with +, -, *, /, ** and the functions of fallline.math"
_EACH_ALIKE = "a rule sees each element alike; reduce with sum or dot"


class Refusals:
    """The methods that an expression has only to say what to write instead."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise refuse(
            "a rule can't branch on a traced value (`if`, `and`, `or`, `not`, `min`, `max` need a truth value now)",
            "write where(condition, a, b), minimum(a, b) or maximum(a, b) from fallline.math",
        )

    def __float__(self) -> NoReturn:
        raise refuse("this function needs a plain number and got a traced value", USE_MATH)

    __int__ = __index__ = __complex__ = __float__

    def __round__(self, digits: object = None) -> NoReturn:
        raise refuse("a traced value can't be rounded (round needs a plain number)", _USE_OPERATORS)

    def __mod__(self, other: object) -> NoReturn:
        raise refuse("a rule has no remainder (%)", _USE_OPERATORS)

    __rmod__ = __divmod__ = __rdivmod__ = __mod__

    def __floordiv__(self, other: object) -> NoReturn:
        raise refuse("a rule has no integer division (//)", _USE_OPERATORS)

    __rfloordiv__ = __floordiv__

    def __matmul__(self, other: object) -> NoReturn:
        raise refuse("a rule has no matrix product (@)", "write dot(a, b) from fallline.math for an inner product")

    __rmatmul__ = __matmul__

    def __len__(self) -> NoReturn:
        raise refuse("a traced value has no length (len)", _EACH_ALIKE)

    def __iter__(self) -> NoReturn:
        raise refuse("a traced value can't be iterated or unpacked", "treat the tensor as one value")

    def __getitem__(self, index: object) -> NoReturn:
        raise refuse("a traced value can't be indexed", _EACH_ALIKE)

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise refuse("a traced value can't be indexed, nor assigned to", _EACH_ALIKE)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise refuse(f"a traced value has no method or attribute '{name}'", instead_of(name))

    def __array_function__(self, function: Any, types: object, args: object, kwargs: object) -> NoReturn:
        raise refuse(f"unknown function numpy.{function.__name__}", instead_of(function.__name__))

    @classmethod
    def __torch_function__(cls, function: Any, types: object, args: object = (), kwargs: object = None) -> NoReturn:
        name = getattr(function, "__name__", str(function))
        raise refuse(f"unknown function torch.{name}", instead_of(name))
