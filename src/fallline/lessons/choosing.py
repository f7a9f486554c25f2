"""Two rules for one model: one after the other, or each for its own part."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fallline import problems, rules
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import lines
from fallline.lessons.populations import lane
from fallline.lessons.tuning import Runs, trained_to_the_end, tuned
from fallline.optim.generic import Optimizer
from fallline.racing import Arm
from fallline.training import Problem, fit
from fallline.training.updates import LaneRule

Array = NDArray[np.float64]


def adam_then_sgd(*, seeds: int = 10, epochs: int | None = None, switch: float = 0.5, rates: int = 4) -> Evidence:
    """Train three problems by Adam, by SGD, and by Adam first and SGD later.

    Args:
        seeds: Runs of each method.
        epochs: How long they are; None for each problem's own.
        switch: The share of the steps after which SGD takes over.
        rates: How many learning rates of each rule are combined; a method of one rule tries the square of that many.
    """
    arm = Arm.phases("both", ["adam", "sgd"], fixed={"switch": switch})
    checks: list[Check] = []
    found: dict[str, dict[str, Runs]] = {}
    for condition, make in {
        "digits": problems.digits, "photograph": problems.photograph, "tumours": problems.breast_cancer,
    }.items():  # fmt: skip
        problem = make() if epochs is None else make(epochs=epochs)
        candidates = {
            "Adam": [lane("adam", lr=lr) for lr in _grid("adam", rates**2)],
            "SGD": [lane("sgd", lr=lr) for lr in _grid("sgd", rates**2)],
            "Adam, then SGD": [
                arm.recipe({"lr": lr, "lr_2": later}, problem).lane
                for lr, later in product(_grid("adam", rates), _grid("sgd", rates))
            ],
        }
        found[condition] = _at_their_best(problem, candidates, seeds)
        checks += _better(problem, found[condition], "Adam, then SGD", condition, of=6)
    curves = {name: runs.curves for name, runs in found["photograph"].items()}
    last = next(iter(curves.values())).steps[-1]
    return Evidence(
        f"Three bundled problems, {seeds} seeds, constant rates; the switch comes after {switch:.0%} of the steps. "
        + _tuning(rates),
        tuple(checks),
        lines(
            "A photograph learnt by one rule or by two", "step", "validation loss",
            {name: (one.steps, one.valid_loss) for name, one in curves.items()},
            log_y=True, upright=(switch * last, "the switch"),
        ),
        _ends(found),
    )  # fmt: skip


def body_and_head(*, seeds: int = 10, few: int = 10, epochs: int = 10, rates: int = 4) -> Evidence:
    """Teach a network that knows the digits 0 to 4 the digits 5 to 9, by one rule for all of it or by two.

    Args:
        seeds: Runs of each method, which differ in the new head and in the order of the examples.
        few: Training examples of each new digit where there are few.
        epochs: How long runs are.
        rates: How many learning rates of each rule are combined; a method of one rule tries the square of that many.
    """
    checks: list[Check] = []
    found: dict[str, dict[str, Runs]] = {}
    body = _pretrained()
    for condition, count in {f"{few} examples a digit": few, "all examples": None}.items():
        problem = _new_digits(body, count, epochs)
        candidates = {
            "SGD": [lane("sgd", lr=lr) for lr in _grid("sgd", rates**2)],
            "Adam": [lane("adam", lr=lr) for lr in _grid("adam", rates**2)],
            "SGD body, Adam head": [
                LaneRule(_two_rules, {"lr": lr, "head": head})
                for lr, head in product(_grid("sgd", rates), _grid("adam", rates))
            ],
        }
        found[condition] = _at_their_best(problem, candidates, seeds)
        checks += _better(problem, found[condition], "SGD body, Adam head", condition, of=4)
    return Evidence(
        f"The digits' convolutional network, trained on 0 to 4, with a new last layer for 5 to 9; {epochs} epochs, "
        f"{seeds} seeds. " + _tuning(rates),
        tuple(checks),
        lines(
            f"New digits for a trained network, {few} examples of each", "step", "validation accuracy",
            {
                name: (runs.curves.steps, runs.curves.valid_metric)
                for name, runs in found[f"{few} examples a digit"].items()
            },
        ),
        _ends(found),
    )  # fmt: skip


#: Learning rates that are tried: a decade and more on either side of what the rules are mostly used with.
_RANGES = {"adam": (1e-4, 1e-1), "sgd": (1e-2, 1e1)}


def _tuning(rates: int) -> str:
    (low, high), (lowest, highest) = _RANGES["adam"], _RANGES["sgd"]
    return (
        f"Each method takes, by validation, the best of {rates**2} settings: as many rates from {low:g} to {high:g} "
        f"for Adam and from {lowest:g} to {highest:g} for SGD, or {rates} times {rates} of them."
    )


def _grid(rule: str, count: int) -> list[float]:
    return [float(rate) for rate in np.geomspace(*_RANGES[rule], count)]


def _at_their_best(problem: Problem, candidates: Mapping[str, Sequence[LaneRule]], seeds: int) -> dict[str, Runs]:
    best = tuned(problem, candidates)
    return trained_to_the_end(problem, {name: some[best[name]] for name, some in candidates.items()}, seeds)


def _better(problem: Problem, runs: Mapping[str, Runs], both: str, condition: str, of: int) -> list[Check]:
    """Whether two rules end better on the test split than each of the others, run by run."""
    metric, sign = problem.metric.name.replace("_", " "), 1 if problem.metric.higher_is_better else -1
    return [
        measured(
            f"by how much two rules end better than {name}, in test {metric}",
            sign * (runs[both].test - one.test), above=0.0, condition=condition, of=of,
        )
        for name, one in runs.items()
        if name != both
    ]  # fmt: skip


def _ends(found: Mapping[str, Mapping[str, Runs]]) -> str:
    ends = (
        f"{condition}: " + ", ".join(f"{name} {one.test.mean():.3g}" for name, one in runs.items())
        for condition, runs in found.items()
    )
    return "Means on the test split: " + "; ".join(ends) + "."


def _pretrained() -> nn.Module:
    return fit(_of_digits(problems.digits_conv().model, range(5)), "adam", lr=0.01, progress=False).model


def _new_digits(body: nn.Module, count: int | None, epochs: int) -> Problem:
    def model() -> nn.Module:
        made = copy.deepcopy(body)
        assert isinstance(made, nn.Sequential)
        made[-1] = nn.Linear(64, 5)
        return made

    return _of_digits(model, range(5, 10), count, epochs)


def _of_digits(model: Callable[[], nn.Module], digits: range, count: int | None = None, epochs: int = 10) -> Problem:
    """The problem of telling five digits apart; of each, `count` train, or all."""
    splits: dict[str, Any] = {}
    for name, split in problems.digits_conv().splits().items():
        rows = [(split.targets == digit).nonzero()[:, 0] for digit in digits]
        chosen = torch.cat([row[:count] if name == "train" else row for row in rows])
        splits[name] = split.inputs[chosen], split.targets[chosen] - digits.start
    return Problem(
        model=model,
        loss=nn.functional.cross_entropy,
        metric="accuracy",
        batch=16,
        epochs=epochs,
        name="digits",
        **splits,
    )


def _two_rules(params: Sequence[nn.Parameter], lr: float, head: float) -> torch.optim.Optimizer:
    """SGD for all but the last layer, whose weight and bias are moved by Adam."""
    *body, weight, bias = params
    groups: list[dict[str, Any]] = [{"params": body}, {"params": [weight, bias], "rule": rules.adam, "lr": head}]
    return Optimizer(groups, rules.gradient_descent, lr=lr)


LESSONS = [
    Lesson(
        24,
        "Adam first, SGD later",
        "Adam first and SGD later ends better than either alone.",
        "Keskar and Socher, Improving generalization performance by switching from Adam to SGD, 2017",
        adam_then_sgd,
        "Set switch to 0.9, so that SGD only finishes what Adam has done.",
    ),
    Lesson(
        25,
        "A rule for the body, another for the head",
        "Different rules for a pretrained body and a new head beat one rule for both.",
        "Howard and Ruder, Universal language model fine-tuning for text classification, 2018",
        body_and_head,
        "Set few to 2 or epochs to 5: does the body then need to be spared the steps that the new head needs?",
    ),
]
