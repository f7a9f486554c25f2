"""Features, and signals inside a network, brought to one scale: what that does to the curvatures of the loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline import problems
from fallline.landscape import condition
from fallline.lessons.lesson import Evidence, Lesson, exact, measured
from fallline.lessons.pictures import intervals
from fallline.lessons.tuning import splits_of
from fallline.training import Problem, fit

Array = NDArray[np.float64]

_START, _LATER = "batch norm, at the start", "batch norm, after training"


def condition_numbers(*, seeds: int = 10, width: int = 10, epochs: int = 10, helped: bool = True) -> Evidence:
    """Measure how unlike curvatures are, before and after features are scaled and batch norm is put in.

    Args:
        seeds: Networks with batch norm, and without.
        width: Units of both hidden layers.
        epochs: How long networks are trained, by Adam, before they are measured again.
        helped: Whether features are scaled, and batch norm is put in, where the claim says that it helps.
    """
    before: dict[str, Array] = {}
    after: dict[str, Array] = {}
    for name, make in {"features, diabetes": _diabetes, "features, tumours": _tumours}.items():
        problem = make()
        model = problem.build(0)
        before[name] = np.array(condition(problem, model).number)
        after[name] = np.array(condition(problem, model, standardised=helped).number)
    plain, with_norm = (
        np.array([_spreads(_network_problem(width, norm, epochs), seed) for seed in range(seeds)])
        for norm in (False, helped)
    )
    before |= {_START: plain[:, 0], _LATER: plain[:, 1]}
    after |= {_START: with_norm[:, 0], _LATER: with_norm[:, 1]}
    checks = [
        exact(
            "condition number with scaled features, over that with raw ones",
            float(after[name] / before[name]), below=1.0, condition=name,
        )
        if before[name].ndim == 0
        else measured(
            "highest curvature over the mean one with batch norm, over that without",
            after[name] / before[name], below=1.0, condition=name, of=2, ratio=True,
        )
        for name in before
    ]  # fmt: skip
    return Evidence(
        "Diabetes by linear and tumours by logistic regression, at weights of 0, with features as they were measured "
        "and brought to mean 0 and deviation 1; and a network of two hidden layers "
        f"of {width} units for tumours, with features scaled, {seeds} seeds, with batch norm before each ReLU and "
        f"without, at the start and after {epochs} epochs of Adam. All curvatures are computed, in training mode on "
        "all training examples. A network has curvatures below 0, and so no condition number: the highest over the "
        "mean size stands for it.",
        tuple(checks),
        intervals(
            "How unlike curvatures are", "highest over lowest curvature (networks: over the mean)",
            {"before": before, "after scaling or batch norm": after}, log=True,
        ),
        "; ".join(f"{name}: {_mean(one):.3g} before, {_mean(after[name]):.3g} after" for name, one in before.items()),
    )  # fmt: skip


def _mean(values: Array) -> float:
    return float(np.exp(np.log(values).mean()))


def _spreads(problem: Problem, seed: int) -> list[float]:
    model = problem.build(seed)
    before = condition(problem, model, mode="training").spread
    after = fit(problem, "adam", lr=0.01, seed=seed, progress=False).model
    return [before, condition(problem, after, mode="training").spread]


def _regression(inputs: Array, targets: Array, loss: Callable[..., Tensor]) -> Problem:
    """A regression on features as they were measured, its weights at 0."""
    from sklearn.model_selection import train_test_split

    X, held_out, y, others = train_test_split(inputs, targets.reshape(-1, 1).astype(float), random_state=0)
    return Problem(
        model=partial(_linear, inputs.shape[1]), loss=loss, train=(X, y), valid=(held_out, others), name="raw"
    )


def _linear(inputs: int) -> nn.Module:
    model = nn.Linear(inputs, 1, dtype=torch.float64)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def _diabetes() -> Problem:
    from sklearn.datasets import load_diabetes

    inputs, targets = load_diabetes(return_X_y=True, scaled=False)
    return _regression(inputs, targets, nn.functional.mse_loss)


def _tumours() -> Problem:
    from sklearn.datasets import load_breast_cancer

    inputs, targets = load_breast_cancer(return_X_y=True)
    return _regression(inputs, targets, nn.functional.binary_cross_entropy_with_logits)


def _network_problem(width: int, norm: bool, epochs: int) -> Problem:
    data = problems.breast_cancer()
    return Problem(
        model=partial(_network, 30, width, norm), loss=data.loss, epochs=epochs, batch=32, name="tumours",
        **splits_of(data),
    )  # fmt: skip


def _network(inputs: int, width: int, norm: bool) -> nn.Module:
    layers: list[nn.Module] = []
    for size in (inputs, width):
        layers += [nn.Linear(size, width, bias=not norm), *([nn.BatchNorm1d(width)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 1)).double()


LESSONS = [
    Lesson(
        21,
        "Features and signals on one scale",
        "Scaling the features, and batch normalisation, lower the condition number of the loss's curvatures.",
        "LeCun et al., Efficient BackProp, 1998; Santurkar et al., How does batch normalization help optimization?, "
        "2018",
        condition_numbers,
        "Set epochs to 50: how far apart do networks with batch norm and without it come?",
    ),
]
