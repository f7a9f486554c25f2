"""What Python or another library would do with a number, and a rule can't: refused in words."""

from __future__ import annotations

from typing import Any, NoReturn

from fallline.symbolic.errors import refuse

USE_MATH = "use the functions of fallline.math: " + ", ".join(
    ("sqrt", "abs", "sign", "exp", "log", "minimum", "maximum", "where", "sum", "dot", "dimensions")
)
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
        raise refuse(f"a traced value has no method or attribute '{name}'", USE_MATH)

    def __array_function__(self, function: Any, types: object, args: object, kwargs: object) -> NoReturn:
        raise refuse(f"unknown function numpy.{function.__name__}", USE_MATH)

    @classmethod
    def __torch_function__(cls, function: Any, types: object, args: object = (), kwargs: object = None) -> NoReturn:
        raise refuse(f"unknown function torch.{getattr(function, '__name__', function)}", USE_MATH)
