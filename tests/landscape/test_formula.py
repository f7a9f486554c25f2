"""Formulas that a person types: what they come to, what is refused and where, and that no text does anything else."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fallline.landscape import Surface, path
from fallline.landscape.calculus import derivatives_of
from fallline.landscape.formula import DEPTH, LENGTH, Formula, FormulaError

X, Y = 0.7, -1.3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", X),
        (" ( x + y ) ", X + Y),
        ("x - y - 1", X - Y - 1),
        ("x - (y - 1)", X - (Y - 1)),
        ("2*x/4*y", 2 * X / 4 * Y),
        ("-x**2", -(X**2)),
        ("2**-x", 2**-X),
        ("x**2**3", X**8),
        ("e**(-x**2)", math.exp(-(X**2))),
        ("(x*y)**3", (X * Y) ** 3),
        ("abs(y)**0.5", abs(Y) ** 0.5),
        ("+-+y", -Y),
        ("1.5e-3*x + .5 + 2.", 1.5e-3 * X + 2.5),
        ("sin(x)+cos(x)+tan(x)+tanh(x)", math.sin(X) + math.cos(X) + math.tan(X) + math.tanh(X)),
        ("exp(x)*log(x)*sqrt(x)*pi", math.exp(X) * math.log(X) * math.sqrt(X) * math.pi),
    ],
)
def test_values_are_those_of_the_same_python(text: str, expected: float) -> None:
    formula = Formula(text)
    assert float(formula(X, Y)) == pytest.approx(expected, rel=1e-14)
    assert formula(np.array([X]), np.array([Y]))[0] == pytest.approx(expected, rel=1e-14)
    tensors = (torch.tensor([value], dtype=torch.float64) for value in (X, Y))
    assert formula(*tensors).item() == pytest.approx(expected, rel=1e-14)
    assert derivatives_of(formula).slope(X, Y)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "slope", "curvatures"),
    [
        ("abs(x) + 3*abs(y)", (1, -3), (0, 0, 0)),
        ("abs(x*y)", (-Y, -X), (0, -1, 0)),
        ("abs(x)**3", (3 * X**2, 0), (6 * X, 0, 0)),
        ("tanh(x)", (1 / math.cosh(X) ** 2, 0), (-2 * math.tanh(X) / math.cosh(X) ** 2, 0, 0)),
        ("x**2*y", (2 * X * Y, X**2), (2 * Y, 2 * X, 0)),
    ],
)
def test_derivatives(text: str, slope: tuple[float, float], curvatures: tuple[float, float, float]) -> None:
    derivatives = derivatives_of(Formula(text))
    assert derivatives.slope(X, Y)[1:] == pytest.approx(slope, abs=1e-12)
    assert derivatives.hessian(X, Y) == pytest.approx(curvatures, abs=1e-12)


def test_a_surface_is_walked_on() -> None:
    bowl = Surface("bowl", Formula("x**2 + 2*abs(y)**2"), view=((-2, 2), (-2, 2)), start=(1, 1), minima=((0, 0),))
    assert path(bowl, "sgd", lr=0.1).description == "reached (0, 0) at step 14"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at character 1: a number, x, y, a function or a bracket is missing"),
        ("x +", "at character 4: a number"),
        ("x * * y", "at character 5: a number, x, y, a function or a bracket is missing before '*'"),
        ("x y", "at character 3: there is 'y' where the formula could end"),
        ("2x", "at character 2: there is 'x' where"),
        ("(x", "at character 3: a closing bracket )"),
        ("x)", "at character 2: there is ')'"),
        ("x^2", "at character 2: '^' has no meaning here; a power is written **"),
        ("sin x", "at character 5: sin must be followed by brackets, as in sin(x)"),
        ("sin()", "at character 5: a number"),
        ("sin(x, y)", "at character 6: ',' has no meaning here"),
        ("z", "at character 1: there is no 'z'; there are x, y, pi, e, sin"),
        ("x.real", "at character 2: '.' has no meaning here"),
        ("x[0]", "at character 2: '['"),
        ("__import__('os')", "at character 1: there is no '__import__'"),
        ("lambda: x", "at character 1: there is no 'lambda'"),
        ("x if y else x", "at character 3: there is 'if'"),
        ("'x'", "at character 1"),
        ("𝐱", "at character 1: '𝐱' has no meaning here"),
        ("x\x00", "at character 2"),
        ("9**9**9", "at character 2: the exponent 3.8742e+08 is too large"),
        ("x**65", "at character 2: the exponent 65 is too large; it may be at most 64"),
        ("x**y", "at character 2: the exponent must be a number, or what it stands on a positive number"),
        ("(-2)**x", "at character 5: the exponent must be a number"),
        ("1e999", "at character 1: this comes to no number of at most 1e+100"),
        ("1e60*1e60", "at character 5: this comes to no number"),
        ("(1e50)**64", "at character 7: this comes to no number"),
        ("1/0", "at character 2: this comes to no number"),
        ("(-1)**0.5", "at character 5: this comes to no number"),
        ("log(-1)", "at character 1: this comes to no number"),
        ("x" * (LENGTH + 1), "the formula has 201 characters; give one of at most 200"),
        ("(" * (DEPTH + 1) + "x" + ")" * (DEPTH + 1), "at character 7: brackets, signs and powers lie more "
         "than 6 deep in each other"),
        ("-" * 100 + "x", "at character 7: brackets"),
        ("sin(" * 30 + "x" + ")" * 30, "at character 28: brackets"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(FormulaError) as caught:
        Formula(text)
    assert words in str(caught.value)


_PIECES = ["x", "y", "pi", "e", "+", "-", "*", "/", "**", "(", ")", "sin(", "abs(", "exp(", "log(", "2", "0.5", "64",
           "1e99", " ", ",", ".", "import", "__class__", "lambda", "[", "'", "\\", "\n", "é", "9" * 50]  # fmt: skip
_TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_PIECES), max_size=60).map("".join))


def _formula(text: str) -> Formula | None:
    try:
        return Formula(text)
    except FormulaError:
        return None


@settings(max_examples=1500, deadline=None)
@given(_TEXTS)
def test_random_text_is_a_formula_or_its_own_error(text: str) -> None:
    formula = _formula(text)
    if formula is not None:
        value = torch.as_tensor(formula(*torch.full((2, 1), 0.5, dtype=torch.float64)))
        assert value.dtype in (torch.float64, torch.float32)  # of plain numbers: torch's own default


#: Texts with the level that they bind at and their values: sums 0, products 1, signs 2, powers 3, atoms 4.
_Written = tuple[str, int, float]
_ATOMS: st.SearchStrategy[_Written] = st.sampled_from(
    [("x", 4, X), ("y", 4, Y), ("2", 4, 2.0), (".5", 4, 0.5), ("1.5e0", 4, 1.5), ("pi", 4, math.pi), ("e", 4, math.e)]
)
_BINARY = {"+": (0, operator.add), " - ": (0, operator.sub), "*": (1, operator.mul), " / ": (1, operator.truediv)}
_EXPONENTS = {"2": 2, "-1": -1, "- 2": -2, "+3": 3, "2**2": 4, "-2**2": -4, ".5": 0.5}
_CALLS = {name: getattr(math, name) for name in ("sin", "cos", "tan", "exp", "log", "sqrt", "tanh")} | {"abs": abs}


def _value(function: Callable[..., Any], *values: float) -> float:
    try:
        found = function(*values)
    except (ArithmeticError, ValueError):
        return math.nan
    return math.nan if isinstance(found, complex) else float(found)


def _bracketed(written: _Written, level: int) -> str:
    return written[0] if written[1] >= level else f"({written[0]})"


def _joined(left: _Written, sign: str, right: _Written) -> _Written:
    level, function = _BINARY[sign]
    text = f"{_bracketed(left, level)}{sign}{_bracketed(right, level + 1)}"
    return text, level, _value(function, left[2], right[2])


def _raised(base: _Written, exponent: str) -> _Written:
    return f"{_bracketed(base, 4)}**{exponent}", 3, _value(operator.pow, base[2], _EXPONENTS[exponent])


_WRITTEN = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.builds(_joined, inner, st.sampled_from(list(_BINARY)), inner),
        st.builds(_raised, inner, st.sampled_from(list(_EXPONENTS))),
        inner.map(lambda one: (f"-{_bracketed(one, 2)}", 2, -one[2])),
        st.tuples(st.sampled_from(list(_CALLS)), inner).map(
            lambda pair: (f"{pair[0]}({pair[1][0]})", 4, _value(_CALLS[pair[0]], pair[1][2]))
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=1500, deadline=None)
@given(_WRITTEN)
@example(("-x**2", 2, -(X**2)))
@example(("2**-1", 3, 0.5))
@example(("2**3**2", 3, 512.0))
@example(("--x - -y", 0, X + Y))
def test_a_formula_written_with_as_few_brackets_as_can_be_has_the_value_it_was_built_with(written: _Written) -> None:
    text, _, expected = written
    formula = _formula(text)
    if formula is None or not abs(expected) < 1e30:
        return
    with np.errstate(all="ignore"):
        assert float(formula(np.float64(X), np.float64(Y))) == pytest.approx(expected, rel=1e-9, abs=1e-9)


_NUMBERS = st.sampled_from(["x", "y", "2", "0.5", "x", "y"])
_FORMULAS = st.recursive(
    _NUMBERS,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["sin", "cos", "exp", "log", "sqrt", "abs", "tanh"]), inner).map(
            "{0[0]}({0[1]})".format
        ),
        st.tuples(inner, st.sampled_from("+-*/"), inner).map("({0[0]}{0[1]}{0[2]})".format),
        st.tuples(inner, st.sampled_from(["2", "3", "0.5", "-1", "64"])).map("({0[0]})**{0[1]}".format),
    ),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(_FORMULAS)
def test_slopes_are_those_of_automatic_differentiation(text: str) -> None:
    formula = _formula(text)
    if formula is None:
        return
    point = torch.tensor([X, 1.1], dtype=torch.float64, requires_grad=True)
    value = torch.as_tensor(formula(point[0], point[1]))
    if not value.requires_grad or not value.isfinite():
        return
    (expected,) = torch.autograd.grad(value, point, allow_unused=True)
    found = derivatives_of(formula).slope(X, 1.1)
    if expected.isfinite().all() and expected.abs().max() < 1e8 and np.isfinite(found).all():
        assert found == pytest.approx([value.item(), *expected.tolist()], rel=1e-6, abs=1e-8)
