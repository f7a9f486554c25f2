"""A formula of x and y as a person types it, read by Python's grammar and reckoned here: nothing of it ever runs."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn

import numpy as np

from fallline.landscape import calculus

#: How long a formula may be, in characters, how deep its brackets, signs and powers may lie in each other (its second
#: derivatives grow with the depth: six levels take seconds, eleven minutes), and how large its numbers and exponents.
LENGTH, DEPTH, LARGEST, EXPONENT = 200, 6, 1e100, 64

#: A part of a formula: a number, or a function of x and y.
_Part = float | Callable[[Any, Any], Any]
_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<sign>\*\*|[-+*/()])|(?P<other>.))",
    re.DOTALL,
)
_BLANKS = " \t\r\n"
_SIGNS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
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

        def _javascript(self, printer: Any) -> str:
            return f"(1 / ({printer._print(self.args[0])}) < 0 ? -1 : 1)"  # of two zeros, too

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
    on a positive one. Formulas with the same text are equal; `uses` says which of x and y is named.

    Args:
        text: The formula, of at most 200 characters.

    Raises:
        FormulaError: It can't be read; the sentence says where.

    >>> formula = Formula("x**2 + 3*abs(y)")
    >>> formula(2.0, -1.0), sorted(formula.uses)
    (7.0, ['x', 'y'])
    >>> Formula("x + import")
    Traceback (most recent call last):
    fallline.landscape.formula.FormulaError: at character 5: there is no 'import'; ...
    """

    text: str
    uses: frozenset[str] = field(init=False, repr=False, compare=False)
    _value: _Part = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.text) > LENGTH:
            raise FormulaError(f"the formula has {len(self.text):,} characters; give one of at most {LENGTH}")
        names = _checked_names(self.text)
        # In brackets a formula may begin with blanks, and columns count from 1. Python knows no number such as 007.
        plain = re.sub(r"(?<![\w.])0+(?=[0-9])", lambda zeros: " " * len(zeros[0]), re.sub(r"[\t\r\n]", " ", self.text))
        tree = ast.parse(f"({plain})", mode="eval")
        object.__setattr__(self, "uses", frozenset(names & _COORDINATES.keys()))
        object.__setattr__(self, "_value", _part(tree.body, f"({plain})"))

    def __call__(self, x: Any, y: Any) -> Any:
        """The formula's value at (x, y)."""
        return _at(self._value, x, y)


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and place, from 1, of each token; at the end an empty one."""
    for found in _TOKEN.finditer(text.rstrip(_BLANKS)):
        kind = str(found.lastgroup)
        token, place = found[kind], found.start(kind) + 1
        if kind == "other":
            power = "; a power is written **" if token == "^" else ""
            _refuse(place, f"{token!r} has no meaning here{power}")
        yield kind, token, place
    yield "", "", len(text) + 1


def _checked_names(text: str) -> set[str]:
    """The names of a formula. Refuses, with the place, what is none, so that Python can read whatever is left."""
    levels: list[str] = []  # the brackets, signs and powers that are open
    names, before, wanted = set(), "", True  # whether a number, a name, a sign or a bracket must come
    for kind, token, place in _tokens(text):
        if before in _FUNCTIONS and token != "(":
            _refuse(place, f"{before} must be followed by brackets, as in {before}(x)")
        if wanted and kind == "name" and token not in (known := (*_COORDINATES, *_NUMBERS, *_FUNCTIONS)):
            _refuse(place, f"there is no {token!r}; there are {', '.join(known)}")
        if wanted and not (kind in ("number", "name") or token in ("(", "+", "-")):
            _refuse(place, f"a number, x, y, a function or a bracket is missing{f' before {token!r}' if token else ''}")
        if not wanted and token != "**":  # signs and powers end with what they stand at
            while levels and levels[-1] != "(":
                levels.pop()
            if token == ")" and levels:
                levels.pop()
            elif levels and (not token or token == "(" or kind in ("number", "name")):
                _refuse(place, "a closing bracket ) is missing")
            elif token and (token in ("(", ")") or kind in ("number", "name")):
                _refuse(place, f"there is {token!r} where the formula could end; an operator is missing before it")
        if token == "**" or (wanted and token in ("(", "+", "-")):
            levels.append(token)
            if len(levels) > DEPTH:
                _refuse(place, f"brackets, signs and powers lie more than {DEPTH} deep in each other")
        names |= {token} if kind == "name" else set()
        wanted = (kind == "sign" and token != ")") or token in _FUNCTIONS
        before = token
    return names


def _part(node: ast.expr, text: str) -> _Part:
    """What a node of the tree comes to; numbers among themselves are reckoned at once."""
    place = node.col_offset
    match node:
        case ast.Constant(value=int() | float() as number):
            return _checked(float(number), place)
        case ast.Name(id=name):
            return _COORDINATES[name] if name in _COORDINATES else _NUMBERS[name]
        case ast.Call(func=ast.Name(id=name), args=[inner]):
            return _joined(_FUNCTIONS[name], (_part(inner, text),), place)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return _joined(operator.neg, (_part(inner, text),), place)
        case ast.UnaryOp(operand=inner):
            return _part(inner, text)
        case ast.BinOp(left=left, op=sign, right=right):
            parts = _part(left, text), _part(right, text)
            place = next(at for at in range(left.end_col_offset or 0, len(text)) if text[at] in "+-*/")
            return _power(*parts, place) if isinstance(sign, ast.Pow) else _joined(_SIGNS[type(sign)], parts, place)
    raise AssertionError(f"{ast.dump(node)} is none of the language")


def _power(base: _Part, exponent: _Part, place: int) -> _Part:
    if callable(exponent):
        if callable(base) or base <= 0:
            _refuse(place, "the exponent must be a number, or what it stands on a positive number")
        # a**b for a number a: SymPy knows the derivatives of exp best.
        return _joined(calculus.exp, (_joined(operator.mul, (math.log(base), exponent), place),), place)
    if abs(exponent) > EXPONENT:
        _refuse(place, f"the exponent {exponent:g} is too large; it may be at most {EXPONENT}")
    whole = int(exponent) if exponent == int(exponent) else exponent
    return _joined(operator.pow, (base, whole), place)


def _joined(function: Callable[..., Any], parts: tuple[_Part, ...], place: int) -> _Part:
    """A function of parts: of numbers a number, reckoned in doubles, so that no number ever grows long."""
    if any(map(callable, parts)):
        return lambda x, y: function(*(_at(part, x, y) for part in parts))
    try:
        with np.errstate(all="ignore"):
            value = function(*parts)
    except ArithmeticError:
        value = math.nan
    return _checked(value, place)


def _at(part: _Part, x: Any, y: Any) -> Any:
    return part(x, y) if callable(part) else part


def _checked(value: Any, place: int) -> float:
    if isinstance(value, complex) or not abs(value) <= LARGEST:
        _refuse(place, f"this comes to no number of at most {LARGEST:g}")
    return float(value)


def _refuse(place: int, what: str) -> NoReturn:
    raise FormulaError(f"at character {place}: {what}")
