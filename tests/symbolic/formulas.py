"""Random formulas: trees of the dialect's operations, to be traced as rules and to be computed by plain NumPy."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

import fallline.math as dialect
from fallline.symbolic.expression import wrap

#: (operation, arguments...); the leaves are ("tensor" or "scalar", name) and ("constant", number).
Tree = tuple[Any, ...]
Array = NDArray[np.float64]

TENSORS = ("p", "g", "m", "v")
SCALARS = ("lr", "mu", "t")
#: Near 1 and away from it, whole and not, of both signs.
CONSTANTS = (-2.0, -1.0, -0.3, 0.0, 0.5, 1.0, 2.0, 3.0, 0.1)
COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "negative": operator.neg,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "logical_and": operator.and_,
    "logical_or": operator.or_,
    "logical_not": operator.invert,
}
#: How a formula grows: an operation, and what stands below it (a number, a condition, or a tree that is given).
GROWTH: tuple[Tree, ...] = (
    ("add", "number", "number"),
    ("add", "number", "number"),
    ("subtract", "number", "number"),
    ("subtract", "number", "number"),
    ("multiply", "number", "number"),
    ("multiply", "number", "number"),
    ("divide", "number", "number"),
    ("divide", "number", "number"),
    ("negative", "number"),
    ("power", "number", ("constant", 2.0)),
    ("power", "number", ("constant", 0.3)),
    ("power", "number", ("constant", -1.0)),
    ("power", "number", ("scalar", "t")),
    ("power", ("abs", "number"), "number"),
    ("abs", "number"),
    ("sign", "number"),
    ("sqrt", "number"),
    ("sqrt", ("abs", "number")),
    ("exp", ("negative", ("abs", "number"))),
    ("exp", ("minimum", "number", ("constant", 3.0))),
    ("log", ("abs", "number")),
    ("minimum", "number", "number"),
    ("maximum", "number", "number"),
    ("where", "condition", "number", "number"),
    ("where", "condition", "number", "number"),
    ("dot", "number"),
    ("channel_dot", "number"),
    ("norm", "number"),
)
LEAVES: tuple[Tree, ...] = (
    *(("tensor", name) for name in TENSORS * 4),
    *(("scalar", name) for name in SCALARS * 2),
    *(("constant", value) for value in CONSTANTS),
)
CONDITIONS: tuple[Tree, ...] = (
    *((name, "number", "number") for name in COMPARISONS),
    *(("logical_and", "condition", "condition"), ("logical_or", "condition", "condition")) * 2,
    *(("logical_not", "condition"),) * 2,
)


def formulas(size: int, count: int) -> st.SearchStrategy[tuple[Tree, ...]]:
    """So many formulas of about so many operations. Hypothesis draws the seed only: its own trees are mostly twigs."""

    def grown(seed: int) -> tuple[Tree, ...]:
        chance = random.Random(seed)
        return tuple(_grown("number", chance, size) for _ in range(count))

    return st.integers(0, 2**63).map(grown)


def _grown(pattern: Any, chance: random.Random, size: int) -> Tree:
    if pattern == "number":
        return _grown(chance.choice(GROWTH), chance, size - 1) if size > 0 else chance.choice(LEAVES)
    if pattern == "condition":
        return _grown(chance.choice(CONDITIONS if size > 1 else CONDITIONS[: len(COMPARISONS)]), chance, size - 1)
    kind, *rest = pattern
    if kind in ("tensor", "scalar", "constant"):
        return (kind, *rest)
    shares = [chance.random() for _ in rest]
    return (kind, *(_grown(part, chance, int(size * x / sum(shares))) for part, x in zip(rest, shares, strict=True)))


def traced(tree: Tree, names: Mapping[str, Any]) -> Any:
    """The formula on a rule's arguments, in the dialect that rules are written in."""
    kind, *rest = tree
    if kind in ("tensor", "scalar"):
        return names[rest[0]]
    if kind == "constant":
        return wrap(rest[0])  # Python would work out an operation on two plain numbers before we see it
    arguments = [traced(branch, names) for branch in rest]
    if kind in ("dot", "channel_dot"):
        return dialect.dot(arguments[0], names["g"], channels=kind == "channel_dot")
    if kind == "norm":
        return dialect.sqrt(dialect.sum((arguments[0] * names["p"]) ** 2))
    return OPERATORS[kind](*arguments) if kind in OPERATORS else getattr(dialect, kind)(*arguments)


def computed(tree: Tree, values: Mapping[str, Any], noise: np.random.Generator | None = None) -> Any:
    """The formula in double precision; with `noise`, each result is off by about a rounding error more."""
    kind, *rest = tree
    if kind in ("tensor", "scalar"):
        return np.asarray(values[rest[0]], np.float64)
    if kind == "constant":
        return np.float64(rest[0])
    result = _applied(kind, [computed(branch, values, noise) for branch in rest], values)
    if noise is None or result.dtype == bool:
        return result
    return result * (1 + 2.0**-52 * noise.standard_normal(result.shape))


def _applied(kind: str, arguments: list[Any], values: Mapping[str, Any]) -> Any:
    if kind in ("dot", "channel_dot"):
        product = arguments[0] * values["g"]
        return np.sum(product) if kind == "dot" else _channel_sums(product)
    if kind == "norm":
        return np.sqrt(np.sum((arguments[0] * values["p"]) ** 2))
    return OPERATORS[kind](*arguments) if kind in OPERATORS else getattr(np, kind)(*arguments)


def _channel_sums(array: Array) -> Any:
    """Sums over all but the first dimension; a tensor of one dimension or none is one channel."""
    return np.sum(array) if array.ndim < 2 else np.sum(array, axis=tuple(range(1, array.ndim)), keepdims=True)


@dataclass(frozen=True)
class Truth:
    """What a formula comes to at every element, and how far rounding may take it: anywhere, where that decides."""

    exact: Array
    margin: Array

    def denied_by(self, found: Any) -> str:
        """Which elements are off by more than rounding, in words; nothing if none is."""
        found = np.asarray(found, np.float64)
        with np.errstate(invalid="ignore"):
            close = np.abs(found - self.exact) <= self.margin
        both = (np.isnan(found) & np.isnan(self.exact)) | (np.isinf(found) & np.isinf(self.exact))  # zeros have no sign
        wrong = ~(close | both | np.isnan(self.margin))
        if not wrong.any():
            return ""
        return f"{found[wrong][:3]} instead of {self.exact[wrong][:3]} within {self.margin[wrong][:3]}"


def truth(tree: Tree, values: Mapping[str, Any]) -> Truth:
    """Compute the formula, and again with noise in every operation."""
    shape = np.shape(values["p"])
    noise = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        exact = np.broadcast_to(computed(tree, values), shape)
        margin = np.where(np.isfinite(exact), 1e-13 * np.abs(exact) + 1e-300, 0.0)
        for _ in range(5):
            shaken = np.broadcast_to(computed(tree, values, noise), shape)
            apart = 100 * np.abs(shaken - exact)
            same = (shaken == exact) | (np.isnan(shaken) & np.isnan(exact))
            unsure = np.maximum(margin, np.where(np.isfinite(apart), apart, np.nan))
            margin = np.where(same, margin, unsure)
    return Truth(exact, margin)
