"""A formula of x and y as a person types it, read by a small grammar of its own: nothing of it ever runs as Python.

sum     = product {("+" | "-") product}
product = signed {("*" | "/") signed}
signed  = ("+" | "-") signed | power
power   = atom ["**" signed]
atom    = number | "x" | "y" | "pi" | "e" | function "(" sum ")" | "(" sum ")"
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

import numpy as np

from fallline.landscape import calculus

#: How long a formula may be, in characters, how deep its brackets, signs and powers may lie in each other (its second
#: derivatives grow with the depth: six levels take seconds, eleven minutes), and how large its numbers and exponents.
LENGTH, DEPTH, LARGEST, EXPONENT = 200, 6, 1e100, 64

#: A part of a formula: a number, or a function of x and y.
_Part = float | Callable[[Any, Any], Any]
_TOKEN = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[A-Za-z_][A-Za-z_0-9]*|\*\*|[-+*/()]")
_SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_NUMBERS = {"pi": math.pi, "e": math.e}
_COORDINATES: dict[str, _Part] = {"x": lambda x, y: x, "y": lambda x, y: y}


def _absolute(value: Any) -> Any:
    return value * _side()(value) if type(value).__module__.startswith("sympy") else abs(value)


@cache
def _side() -> Any:
    """SymPy's function that is 1 above 0 and -1 below: its own sign has no derivative that a number can be put in."""
    import sympy

    class Side(sympy.Function):  # type: ignore[misc]
        def fdiff(self, argindex: int = 1) -> Any:
            return sympy.Integer(0)

        def _pythoncode(self, printer: Any) -> str:
            return f"{printer._module_format('math.copysign')}(1.0, {printer._print(self.args[0])})"

    return Side


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(calculus, name) for name in ("sin", "cos", "tan", "exp", "log", "sqrt", "tanh")},
    "abs": _absolute,
}


class FormulaError(ValueError):
    """What is wrong with a formula, in a sentence that says where."""


@dataclass(frozen=True)
class Formula:
    """A function of x and y, read from `text`: of torch tensors, NumPy arrays, numbers or SymPy's symbols.

    There are + - * / ** and brackets, sin cos tan exp log sqrt abs tanh, pi and e. An exponent is a number, or stands
    on a positive one. Formulas with the same text are equal.

    Raises FormulaError for what can't be read, with the place.

    >>> formula = Formula("x**2 + 3*abs(y)")
    >>> formula(2.0, -1.0), sorted(formula.uses)
    (7.0, ['x', 'y'])
    >>> Formula("x + import")
    Traceback (most recent call last):
    fallline.landscape.formula.FormulaError: at character 5: there is no 'import'; ...
    """

    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reader", _Reader(self.text))

    @property
    def uses(self) -> frozenset[str]:
        """Which of x and y it names."""
        return frozenset(self._reader.named)  # type: ignore[attr-defined]

    def __call__(self, x: Any, y: Any) -> Any:
        """The formula's value at (x, y)."""
        return _at(self._reader.value, x, y)  # type: ignore[attr-defined]


def _at(part: _Part, x: Any, y: Any) -> Any:
    return part(x, y) if callable(part) else part


class _Reader:
    """Reads one text, token by token; numbers among themselves are reckoned at once."""

    def __init__(self, text: str) -> None:
        if len(text) > LENGTH:
            raise FormulaError(f"the formula has {len(text):,} characters; give one of at most {LENGTH}")
        self.named: set[str] = set()
        self._text, self._end, self._depth = text, 0, 0
        self._advance()
        self.value = self._sum()
        if self._token:
            self._refuse(f"there is {self._token!r} where the formula could end; an operator is missing before it")

    def _advance(self) -> None:
        """Go to the next token; it is empty at the end."""
        rest = self._text[self._end :]
        blank = len(rest) - len(rest.lstrip(" \t\r\n"))
        self._place = self._end + blank
        found = _TOKEN.match(self._text, self._place)
        self._token = found.group() if found else ""
        self._end = self._place + len(self._token)
        if not found and self._place < len(self._text):
            power = "; a power is written **" if self._text[self._place] == "^" else ""
            self._refuse(f"{self._text[self._place]!r} has no meaning here{power}")

    def _refuse(self, what: str, place: int | None = None) -> NoReturn:
        raise FormulaError(f"at character {(self._place if place is None else place) + 1}: {what}")

    def _sum(self) -> _Part:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> _Part:
        return self._chain(("*", "/"), self._signed)

    def _chain(self, signs: tuple[str, ...], read: Callable[[], _Part]) -> _Part:
        left = read()
        while self._token in signs:
            sign, place = self._token, self._place
            self._advance()
            left = self._joined(_SIGNS[sign], (left, read()), place)
        return left

    def _signed(self) -> _Part:
        if self._token not in ("+", "-"):
            return self._power()
        sign, place = self._token, self._place
        value = self._inner(self._signed)
        return value if sign == "+" else self._joined(operator.neg, (value,), place)

    def _power(self) -> _Part:
        base = self._atom()
        if self._token != "**":
            return base
        place = self._place
        exponent = self._inner(self._signed)
        if callable(exponent):
            if callable(base) or base <= 0:
                self._refuse("the exponent must be a number, or what it stands on a positive number", place)
            # a**b for a number a: SymPy knows the derivatives of exp best.
            return self._joined(calculus.exp, (self._joined(operator.mul, (math.log(base), exponent), place),), place)
        if abs(exponent) > EXPONENT:
            self._refuse(f"the exponent {exponent:g} is too large; it may be at most {EXPONENT}", place)
        whole = int(exponent) if exponent == int(exponent) else exponent
        return self._joined(operator.pow, (base, whole), place)

    def _atom(self) -> _Part:
        token, place = self._token, self._place
        if token in _FUNCTIONS:
            self._advance()
            if self._token != "(":
                self._refuse(f"{token} must be followed by brackets, as in {token}(x)")
            return self._joined(_FUNCTIONS[token], (self._bracket(),), place)
        if token == "(":
            return self._bracket()
        if token in _COORDINATES:
            self.named.add(token)
            self._advance()
            return _COORDINATES[token]
        if token in _NUMBERS:
            self._advance()
            return _NUMBERS[token]
        if token[:1].isalpha() or token[:1] == "_":
            self._refuse(f"there is no {token!r}; there are x, y, {', '.join((*_NUMBERS, *_FUNCTIONS))}")
        if not token[:1].isdigit() and token[:1] != ".":
            self._refuse(f"a number, x, y, a function or a bracket is missing{f' before {token!r}' if token else ''}")
        self._advance()
        return self._checked(float(token), place)

    def _bracket(self) -> _Part:
        value = self._inner(self._sum)
        if self._token != ")":
            self._refuse("a closing bracket ) is missing")
        self._advance()
        return value

    def _inner(self, read: Callable[[], _Part]) -> _Part:
        """Read on past this token, one level deeper."""
        self._depth += 1
        if self._depth > DEPTH:
            self._refuse(f"brackets, signs and powers lie more than {DEPTH} deep in each other")
        self._advance()
        value = read()
        self._depth -= 1
        return value

    def _joined(self, function: Callable[..., Any], parts: tuple[_Part, ...], place: int) -> _Part:
        """A function of parts: of numbers a number, reckoned in doubles, so that no number ever grows long."""
        if any(map(callable, parts)):
            return lambda x, y: function(*(_at(part, x, y) for part in parts))
        try:
            with np.errstate(all="ignore"):
                value = function(*parts)
        except ArithmeticError:
            value = math.nan
        return self._checked(value, place)

    def _checked(self, value: Any, place: int) -> float:
        if isinstance(value, complex) or not abs(value) <= LARGEST:
            self._refuse(f"this comes to no number of at most {LARGEST:g}", place)
        return float(value)
