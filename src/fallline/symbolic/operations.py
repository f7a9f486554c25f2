"""The table of operations: one record each, from which every form of a rule, its printing and its refusals read."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from fallline._asked import nearest


class Rank(IntEnum):
    """How often a value differs.

    Attributes:
        SCALAR: Once a step.
        SEGMENT: Once a tensor.
        CHANNEL: Once a channel of it.
        ELEMENT: At every element.
    """

    SCALAR = 0
    SEGMENT = 1
    CHANNEL = 2
    ELEMENT = 3


#: How strongly what is printed holds together. A sum sign reaches to the end of its product.
SUM, REACHING, PRODUCT, POWER, ATOM = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Operation:
    """One operation in every form; to add one is one line of `OPERATIONS`.

    Args:
        name: What nodes of the graph call it.
        arguments: Their names, between blanks.
        summary: The first line of its documentation in fallline.math; "" for an operator, or what is made there.
        compute: The operation on Python's floats: infinities and NaN where the other forms have them, never an error.
        numba, numpy, torch: Its source, with {0}, {1}, ... for the arguments, which are names or constants; a name
            alone is called with them. In Numba's, {real} is the type that the line computes in.
        latex: How it is printed: {0}, ... stand for the arguments, a name alone has them in brackets behind it; "" for
            sums, products and powers, whose parts the printer gathers. A reduction's index says what it is over.
        python: How plain Python writes it where that is quicker; unlike `compute` it may fail. By default a call.
        foreach: What stands behind `torch._foreach_` in the call that takes lists of tensors, if there is one; and
            behind a blank, where it is called otherwise, in the one that takes a number in the second place.
        jax: Its source in JAX, with `wide` for the widest type of number that JAX is set to. By default NumPy's.
        javascript: Its source in JavaScript. By default a call of Math's function of the name.
        strength, inside: How strongly what is printed holds together, and how strongly its arguments have to.
        boolean, takes_booleans: Whether it gives a truth value, and whether it is given some. `where` takes one first.
        rank: The result's, if it is a reduction; None for the highest of the arguments'.

    Raises:
        ValueError: A form is missing, or takes other arguments.
    """

    name: str
    arguments: str
    summary: str
    compute: Callable[..., float | bool]
    numba: str
    numpy: str
    torch: str
    latex: str
    python: str = ""
    jax: str = ""
    javascript: str = ""
    foreach: str = ""
    strength: int = ATOM
    inside: int = 0
    boolean: bool = False
    takes_booleans: bool = False
    rank: Rank | None = None

    def __post_init__(self) -> None:
        places = [f"{{{i}}}" for i in range(self.arity)]
        defaults = {
            "python": self.name, "jax": self.numpy.replace("np.", "jnp."), "javascript": f"Math.{self.name}"
        }  # fmt: skip
        for form in ("python", "numba", "numpy", "torch", "jax", "javascript"):
            source = getattr(self, form) or defaults.get(form)
            if source and "{" not in source:
                source = f"{source}({', '.join(places)})"
            object.__setattr__(self, form, source)
            if not source or {*re.findall(r"\{\d\}", source)} != {*places}:
                raise ValueError(f"operation '{self.name}': its source in {form} must take {' and '.join(places)}")
        if not callable(self.compute):
            raise ValueError(f"operation '{self.name}': compute must be a function of numbers; got {self.compute!r}")
        if re.search(r"\{\d\}", self.latex):
            try:
                self.latex.format(*places)
            except (IndexError, KeyError, ValueError) as error:
                raise ValueError(
                    f"operation '{self.name}': it prints by {' and '.join(places)}, and other braces are doubled; "
                    f"got {self.latex}"
                ) from error
        if self.summary and not self.latex:
            raise ValueError(f"operation '{self.name}': say how it is printed")

    @property
    def arity(self) -> int:
        """The number of arguments."""
        return len(self.arguments.split())


def _operator(
    name: str, written: str, compute: Callable[..., float | bool], latex: str = "", foreach: str = ""
) -> Operation:
    """What is written alike in Python, Numba, NumPy and torch; a relation, if it is printed by a sign of its own."""
    arguments = "a b" if "{1}" in written else "a"
    exact = {"equal": "{0} === {1}", "not_equal": "{0} !== {1}"}
    return Operation(name, arguments, "", compute, written, written, written, latex, written, foreach=foreach,
                     javascript=exact.get(name, written), strength=SUM, boolean=bool(latex))  # fmt: skip


def _logical(
    name: str, written: str, compute: Callable[..., bool], latex: str, javascript: str, strength: int
) -> Operation:
    arguments = "a b" if "{1}" in written else "a"
    return Operation(name, arguments, "", compute, written, f"np.{name}", f"torch.{name}", latex, javascript=javascript,
                     strength=strength, inside=strength, boolean=True, takes_booleans=True)  # fmt: skip


def _reduction(name: str, rank: Rank, numpy: str, torch: str, over: str) -> Operation:
    """A sum of numbers in double precision. Numba's and JavaScript's forms are what is added for each of them."""
    jax = numpy.replace("np.sum", "jnp.sum").replace("np.float64", "wide")
    return Operation(name, "x", "", float, "wide({0})", numpy, torch, over, jax=jax, javascript="{0}",
                     rank=rank)  # fmt: skip


def _divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:  # 0 to a negative power, or a root of a negative number
        return math.nan if a else math.copysign(math.inf, a) if b % 2 == 1 else math.inf


def _sqrt(x: float) -> float:
    return math.nan if x < 0 else math.sqrt(x)


def _sign(x: float) -> float:
    return x if x != x else float((x > 0) - (x < 0))


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _log(x: float) -> float:
    if x == 0:
        return -math.inf
    return math.nan if x < 0 else math.log(x)


def _minimum(a: float, b: float) -> float:
    return a if a < b or a != a else b


def _maximum(a: float, b: float) -> float:
    return a if a > b or a != a else b


def _where(condition: bool, a: float, b: float) -> float:
    return a if condition else b


# Of NumPy's power an exponent of 0.5 makes a square root, which -inf has none of; of NaN torch's sign makes 0.
_FLOAT_POWER = "np.float_power({0}, {1}).astype(np.result_type({0}, {1}))"
_NUMBA_SIGN = "{0} if {0} != {0} else ({real}(1) if {0} > 0 else ({real}(-1) if {0} < 0 else {real}(0)))"
_TORCH_SIGN = "torch.where({0} != {0}, {0}, torch.sign({0}))"
_CASES = r"\begin{{cases}} {1} & \text{{if }} {0} \\ {2} & \text{{else}} \end{{cases}}"
# All but the first of several dimensions; all of fewer, which are a single channel.
_CHANNEL_AXES = "tuple(range({0}.ndim > 1, {0}.ndim))"

_TABLE = (
    _operator("add", "{0} + {1}", operator.add),
    _operator("subtract", "{0} - {1}", operator.sub),
    _operator("multiply", "{0} * {1}", operator.mul, foreach="mul"),
    _operator("divide", "{0} / {1}", _divide, foreach="div"),
    _operator("negative", "-{0}", operator.neg),
    Operation("power", "a b", "", _power, "{0} ** {1}", _FLOAT_POWER, "torch.pow", "",
              jax="jnp.power", javascript="power", foreach="pow"),
    Operation("sqrt", "x", "Square root.", _sqrt, "math.sqrt", "np.sqrt", "torch.sqrt", r"\sqrt{{{0}}}",
              foreach="sqrt"),
    Operation("abs", "x", "Absolute value.", abs, "abs", "np.abs", "torch.abs", r"\left|{0}\right|",
              foreach="abs"),
    Operation("sign", "x", "-1, 0 or 1; NaN stays NaN.", _sign, _NUMBA_SIGN, "np.sign", _TORCH_SIGN,
              r"\operatorname{sign}"),
    Operation("exp", "x", "Exponential function.", _exp, "math.exp", "np.exp", "torch.exp", r"\exp",
              foreach="exp"),
    Operation("log", "x", "Natural logarithm.", _log, "math.log", "np.log", "torch.log", r"\log",
              foreach="log"),
    Operation("minimum", "a b", "The smaller of two; NaN if either is.", _minimum,
              "{0} if {0} < {1} or {0} != {0} else {1}", "np.minimum", "torch.minimum", r"\min",
              javascript="Math.min",
              foreach="minimum clamp_max"),
    Operation("maximum", "a b", "The larger of two; NaN if either is.", _maximum,
              "{0} if {0} > {1} or {0} != {0} else {1}", "np.maximum", "torch.maximum", r"\max",
              javascript="Math.max",
              foreach="maximum clamp_min"),
    Operation("where", "condition a b", "", _where, "{1} if {0} else {2}", "np.where", "torch.where", _CASES,
              javascript="{0} ? {1} : {2}"),
    _operator("less", "{0} < {1}", operator.lt, "{0} < {1}"),
    _operator("less_equal", "{0} <= {1}", operator.le, r"{0} \le {1}"),
    _operator("greater", "{0} > {1}", operator.gt, "{0} > {1}"),
    _operator("greater_equal", "{0} >= {1}", operator.ge, r"{0} \ge {1}"),
    _operator("equal", "{0} == {1}", operator.eq, "{0} = {1}"),
    _operator("not_equal", "{0} != {1}", operator.ne, r"{0} \ne {1}"),
    _logical("logical_and", "{0} and {1}", lambda a, b: a and b, r"{0} \wedge {1}", "{0} && {1}", SUM),
    _logical("logical_or", "{0} or {1}", lambda a, b: a or b, r"{0} \vee {1}", "{0} || {1}", SUM),
    _logical("logical_not", "not {0}", operator.not_, r"\neg {0}", "!{0}", PRODUCT),
    _reduction("sum", Rank.SEGMENT, "np.sum({0}, dtype=np.float64)", "{0}.sum(dtype=torch.float64)", ""),
    _reduction("joint_sum", Rank.SEGMENT, "np.sum({0}, dtype=np.float64)", "{0}.sum(dtype=torch.float64)",
               r"_{\mathrm{all}}"),
    _reduction("channel_sum", Rank.CHANNEL, f"np.sum({{0}}, {_CHANNEL_AXES}, np.float64, keepdims=True)",
               f"{{0}}.sum({_CHANNEL_AXES}, True, dtype=torch.float64)", r"_{\mathrm{channel}}"),
)  # fmt: skip

OPERATIONS = {one.name: one for one in _TABLE}
#: Reductions take one argument and change the rank: over the whole tensor, over all tensors,
#: or over each channel of a tensor.
REDUCTIONS = tuple(one.name for one in _TABLE if one.rank is not None)
#: What stands at the ends of the graph.
LEAVES = ("constant", "scalar", "tensor")
#: The functions of fallline.math.
NAMES = (*(one.name for one in _TABLE if one.summary), "where", "sum", "dot", "dimensions")

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

    Args:
        name: What it was called.

    >>> instead_of("norm"), instead_of("sqr")
    ('write sqrt(dot(x, x)) (all from fallline.math)', "did you mean 'sqrt'?")
    """
    if name in NAMES:
        return USE_MATH
    if name in WRITTEN:
        return f"write {WRITTEN[name]} (all from fallline.math)"
    near = nearest(name, (*NAMES, *WRITTEN), 0.7)
    if near is None:
        return USE_MATH
    return f"did you mean '{near}'?" if near in NAMES else f"'{near}' is written {WRITTEN[near]}"
