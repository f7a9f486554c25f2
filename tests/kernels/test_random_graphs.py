"""Random rules give the same numbers from the kernel, from the reference and from plain NumPy."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from fallline.symbolic import Rule, rule
from tests.kernels.runner import Arrays, drawn, in_torch, kernel_step, numbers, reference
from tests.symbolic.formulas import Tree, Truth, formulas, traced, truth

SHAPES: tuple[tuple[int, ...], ...] = ((5, 7), (13,), (), (2, 3, 4))
STATES = ("m", "v", "a", "b", "c", "d")
#: The hyperparameters of each tensor: near 1, negative, large.
HYPERPARAMETERS = ({"lr": 0.1, "mu": 0.9}, {"lr": -1.5, "mu": 0.25}, {"lr": 3.0, "mu": -0.5}, {"lr": 30.0, "mu": 1.0})


def rule_of(formulas: tuple[Tree, ...]) -> Rule:
    """A rule whose update and new states are these formulas."""

    def formula(
        p: Any, g: Any, m: Any, v: Any, a: Any, b: Any, c: Any, d: Any, *, lr: float = 0.1, mu: float = 0.9, t: Any
    ) -> Any:
        names = {"p": p, "g": g, "m": m, "v": v, "lr": lr, "mu": mu, "t": t}
        return tuple(traced(tree, names) for tree in formulas)

    return rule(formula)


def truths(formulas: tuple[Tree, ...], arrays: Arrays, scalars: Mapping[str, float]) -> dict[str, Truth]:
    """What the step must leave: the parameter less the update, and the new states."""
    update, *states = (truth(tree, {**arrays, **scalars}) for tree in formulas)
    with np.errstate(all="ignore"):
        size = np.abs(arrays["p"]) + np.abs(update.exact)
        margin = update.margin + np.where(np.isfinite(size), 1e-13 * size, 0.0)
        return {"p": Truth(arrays["p"] - update.exact, margin), **dict(zip(STATES, states, strict=True))}


def by_kernel(made: Rule, tensors: list[Arrays], scalars: list[dict[str, float]]) -> list[Arrays]:
    moved = [{name: array.copy() for name, array in arrays.items()} for arrays in tensors]
    kernel_step(made, "float64", moved, scalars)
    return moved


def by_numpy(made: Rule, tensors: list[Arrays], scalars: list[dict[str, float]]) -> list[Arrays]:
    moved = []
    for arrays, values in zip(tensors, scalars, strict=True):
        update, states = reference(made, arrays, values)
        with np.errstate(all="ignore"):
            moved.append({"p": arrays["p"] - update, **states})
    return moved


def by_torch(made: Rule, tensors: list[Arrays], scalars: list[dict[str, float]]) -> list[Arrays]:
    moved = []
    for arrays, values in zip(tensors, scalars, strict=True):
        update, states = reference(made, in_torch(arrays), values)
        states = {name: value.numpy() for name, value in states.items()}
        with np.errstate(all="ignore"):
            moved.append({"p": arrays["p"] - update.numpy(), **states})
    return moved


BACKENDS: dict[str, Callable[..., list[Arrays]]] = {"kernel": by_kernel, "numpy": by_numpy, "torch": by_torch}


@pytest.fixture(scope="module", autouse=True)
def throwaway_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FALLLINE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@settings(
    max_examples=6,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # to shrink a failure would compile for minutes
    suppress_health_check=list(HealthCheck),
)
@given(formulas(9, 1 + len(STATES)), st.integers(1, 5))
def test_random_rules(drawn_formulas: tuple[Tree, ...], t: int) -> None:
    made = rule_of(drawn_formulas)
    tensors = [drawn(made, shape, "float64") for shape in SHAPES]
    scalars = [numbers(made, t, **hyperparameters) for hyperparameters in HYPERPARAMETERS]
    expected = [truths(drawn_formulas, *pair) for pair in zip(tensors, scalars, strict=True)]
    wrong: dict[tuple[Any, ...], str] = {}
    for backend, run in BACKENDS.items():
        for shape, found, true in zip(SHAPES, run(made, tensors, scalars), expected, strict=True):
            wrong |= {(backend, shape, name): words for name in true if (words := true[name].denied_by(found[name]))}
    guilty = {name for _, _, name in wrong}
    note(str([pair for pair in zip(("p", *STATES), drawn_formulas, strict=True) if pair[0] in guilty]))
    assert wrong == {}
