"""A rule of a user's own, five lines with a reduction in them: everywhere, without another line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import fallline as fl
from fallline import arrays
from fallline.math import dot, sqrt
from fallline.problems import digits


@fl.rule
def normalised(p: Any, g: Any, m: Any, *, lr: float = 0.01, beta: float = 0.9) -> Any:
    m = beta * m + (1 - beta) * g
    return lr * m / (sqrt(dot(m, m)) + 1e-8), m


def by_hand(start: np.ndarray[Any, Any], gradients: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    p, m = start.copy(), np.zeros_like(start)
    for g in gradients:
        m = 0.9 * m + 0.1 * g
        p = p - 0.1 * m / (np.linalg.norm(m) + 1e-8)
    return p


START = np.linspace(-1.0, 1.0, 12).reshape(3, 4)
GRADIENTS = [np.cos(START * k) for k in range(1, 6)]


def in_torch() -> np.ndarray[Any, Any]:
    p = torch.tensor(START, requires_grad=True)
    optimizer = fl.Optimizer([p], normalised, lr=0.1)
    for g in GRADIENTS:
        p.grad = torch.tensor(g)
        optimizer.step()
    assert not optimizer._prepare().has_eager  # it ran in the kernel
    return p.detach().numpy()


def in_numpy() -> np.ndarray[Any, Any]:
    params = {"p": START.copy()}
    optimizer = arrays.Optimizer(normalised, lr=0.1)
    for g in GRADIENTS:
        optimizer.update(params, {"p": g})
    return params["p"]


@pytest.mark.parametrize("moved", [in_torch, in_numpy])
def test_the_formula_is_what_runs(moved: Any) -> None:
    np.testing.assert_allclose(moved(), by_hand(START, GRADIENTS), rtol=1e-12)


def test_it_races() -> None:
    result = fl.race(digits(epochs=1), ["sgd", normalised], fl.Effort(trials=2, finalists=1, seeds=2))
    assert {arm.name for arm in result.arms} == {"sgd", "normalised"}
    assert r"\lVert m_t \rVert" in normalised.latex()
