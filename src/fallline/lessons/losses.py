"""Which loss a classifier is trained on, and what its surface is like for gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline import problems, rules
from fallline.lessons.lesson import Evidence, Lesson, exact, measured
from fallline.lessons.pictures import lines
from fallline.lessons.populations import lane, trained
from fallline.lessons.tuning import splits_of, tuned
from fallline.training import Curves, Problem

Array = NDArray[np.float64]
Loss = Callable[[Tensor, Tensor], Tensor]


def squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """The squared error of the probabilities that a softmax makes of outputs [n, classes]; labels are [n]."""
    return squared_error_of_outputs(logits.softmax(-1), labels)


def squared_error_of_outputs(outputs: Tensor, labels: Tensor) -> Tensor:
    """The squared error of outputs [n, classes] themselves, which are to be 1 for the label and 0 for the others."""
    wanted = nn.functional.one_hot(labels, outputs.shape[-1])
    return (outputs - wanted).square().sum(-1).mean()


_AHEAD = 10.0  # of the right class's output, where slopes are compared


def cross_entropy(
    *,
    seeds: int = 10,
    epochs: int = 10,
    target: float = 0.9,
    confident: float = 30.0,
    kind: Loss = nn.functional.cross_entropy,
    rates: int = 10,
) -> Evidence:
    """Train the digits' network by gradient descent on each loss, each at the learning rate that suits it best.

    Args:
        seeds: Runs of each loss.
        epochs: How long they are.
        target: The validation accuracy to reach.
        confident: What the output layer's initial weights are multiplied by where the start is to be confidently wrong.
        kind: The loss that is said to be the kinder one.
        rates: How many learning rates are tried, from 0.01 to 10.
    """
    cases: dict[str, tuple[Loss, float]] = {
        "cross-entropy": (kind, 1.0),
        "squared error": (squared_error, 1.0),
        "squared error, no softmax": (squared_error_of_outputs, 1.0),
        "cross-entropy, confident start": (kind, confident),
        "squared error, confident start": (squared_error, confident),
    }
    found = {name: _at_best_rate(*case, seeds, epochs, target, rates) for name, case in cases.items()}
    steps = {name: _steps_to(target, curves) for name, (_, curves) in found.items()}
    slopes = [_slope(loss, _AHEAD) for loss in (squared_error, kind)]
    pairs = {  # the condition, and what is compared there
        "squared error behind softmax": ("squared error", "cross-entropy"),
        "squared error of the outputs themselves": ("squared error, no softmax", "cross-entropy"),
        "a start that is confidently wrong": ("squared error, confident start", "cross-entropy, confident start"),
    }
    checks = [
        measured(
            f"steps to {target:.0%} accuracy on squared error over those on cross-entropy",
            steps[other] / steps[one], above=1.0, condition=condition, of=len(pairs), ratio=True,
        )
        for condition, (other, one) in pairs.items()
    ]  # fmt: skip
    checks.append(
        exact(
            f"slope of squared error over cross-entropy's where the wrong class's output is {_AHEAD:g} ahead",
            slopes[0] / slopes[1], below=1.0, condition="a start that is confidently wrong",
        )
    )  # fmt: skip
    never = {
        name: int((one > curves.steps[-1]).sum())
        for (name, one), (_, curves) in zip(steps.items(), found.values(), strict=True)
    }
    return Evidence(
        f"The digits' network, {epochs} epochs of plain gradient descent on each loss, {seeds} seeds; of {rates} "
        f"learning rates from 0.01 to 10 each case has the one that is soonest at {target:.0%} on three other seeds. A "
        "run that never gets there counts as one step longer than it was. Confident starts have the output layer's "
        f"weights times {confident:g}.",
        tuple(checks),
        lines(
            "Accuracy on the validation split", "step", "accuracy",
            {name: (curves.steps, curves.valid_metric) for name, (_, curves) in found.items()},
        ),
        "Rates taken: " + ", ".join(f"{name} {rate:.2g}" for name, (rate, _) in found.items())
        + ". Runs that never got there: "
        + (", ".join(f"{name} {count}" for name, count in never.items() if count) or "none") + ".",
    )  # fmt: skip


def _at_best_rate(loss: Loss, start: float, seeds: int, epochs: int, target: float, count: int) -> tuple[float, Curves]:
    data = problems.digits(epochs=epochs)
    problem = Problem(
        model=partial(_network, data, start), loss=loss, metric="accuracy", epochs=epochs, name="digits",
        **splits_of(data),
    )  # fmt: skip
    rates = np.geomspace(0.01, 10, count)
    candidates = [lane(rules.gradient_descent, lr=float(rate)) for rate in rates]
    best = tuned(problem, {"": candidates}, evaluate_every=2, score=partial(_lateness, target))[""]
    return float(rates[best]), trained(problem, {"": candidates[best]}, seeds, evaluate_every=2)[""]


def _network(data: Problem, start: float) -> nn.Module:
    model = data.model()
    with torch.no_grad():
        for parameter in [*model.children()][-1].parameters():
            parameter.mul_(start)
    return model


def _steps_to(target: float, curves: Curves) -> Array:
    """The first step [seeds] with this accuracy, or one after the last where there is none."""
    reached = curves.valid_metric >= target
    return np.asarray(np.where(reached.any(1), curves.steps[reached.argmax(1)], curves.steps[-1] + 1), np.float64)


def _lateness(target: float, curves: Curves) -> Array:
    """The steps [seeds] to this accuracy; of runs that never get there, those that end nearer to it are less late."""
    return _steps_to(target, curves) + (1 - curves.valid_metric[:, -1])


def _slope(loss: Loss, ahead: float) -> float:
    """The length of the loss's gradient for two outputs, of which the wrong one is ahead."""
    outputs = torch.tensor([[0.0, ahead]], dtype=torch.float64, requires_grad=True)
    loss(outputs, torch.tensor([0])).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    return float(outputs.grad.norm())


LESSONS = [
    Lesson(
        20,
        "Cross-entropy or squared error",
        "For classification, cross-entropy gives gradient descent a kinder surface than squared error.",
        "Solla, Levin and Fleisher, Accelerated learning in layered neural networks, 1988",
        cross_entropy,
        "Set confident to 3 or to 100, and see the plateau of squared error come and go. Hui and Belkin (2021) found "
        "squared error of the outputs themselves to do as well in large networks.",
    ),
]
