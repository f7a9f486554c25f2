"""Short runs at a constant learning rate, many side by side: what a rate range and ways out of a saddle are seen in."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fallline._asked import did_you_mean, whole
from fallline.landscape.slice_losses import Model, with_model
from fallline.landscape.slices import examples_of
from fallline.optim import hyperparameters as of_rule
from fallline.optim.method_name import find_method
from fallline.rules import name_of
from fallline.symbolic import Rule
from fallline.training import (
    Curves,
    Problem,
    Progress,
    as_metric,
    first_line,
    lanes_that_fit,
    loss_of_step,
    make_lanes,
    obstacle_to_batching,
    parts,
    train,
    train_in_parts,
)
from fallline.training.updates import LaneRule, LaneUpdate

Array = NDArray[np.float64]
#: What moves the weights: a rule, a torch optimizer class, or either's name.
Optimizer = Rule | type[torch.optim.Optimizer] | str
#: Examples that losses are means over, unless another number is asked for.
EXAMPLES = 512
#: Steps of a short run, likewise.
STEPS = 100
_ANY_RATE = 1e-3  # to see whether the other hyperparameters will do


@dataclass(frozen=True)
class Mover:
    """An optimizer with its hyperparameters, the learning rate aside.

    Attributes:
        method: The rule or the class.
        hyperparameters: Those that were given.
    """

    method: Rule | type[torch.optim.Optimizer]
    hyperparameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What it is called."""
        return name_of(self.method) if isinstance(self.method, Rule) else self.method.__name__

    @property
    def settings(self) -> dict[str, Any]:
        """All hyperparameters of a rule but the rate; of a class those that were given."""
        known = dict(self.method.defaults) if isinstance(self.method, Rule) else {}
        return {name: value for name, value in {**known, **self.hyperparameters}.items() if name != "lr"}

    def lane(self, rate: float) -> LaneRule:
        """What moves a lane at a rate."""
        return LaneRule(self.method, {**self.settings, "lr": rate})


def as_mover(optimizer: Optimizer, hyperparameters: Mapping[str, Any]) -> Mover:
    """The optimizer that is asked for.

    Raises TypeError for what is none, and for hyperparameters that it does not have; ValueError for one without a
    learning rate, and for values that it can't have; LookupError for a name that there is none of.
    """
    method = find_method(optimizer) if isinstance(optimizer, str) else optimizer
    if not isinstance(method, Rule) and not (isinstance(method, type) and issubclass(method, torch.optim.Optimizer)):
        raise TypeError(
            f"optimizer: got {type(optimizer).__name__}; give a rule or its name, or a torch optimizer class."
        )
    known = method.hyperparameters if isinstance(method, Rule) else inspect.signature(method).parameters
    mover = Mover(method, hyperparameters)
    if "lr" not in known:
        raise ValueError(f"optimizer: '{mover.name}' has no learning rate 'lr'; give one that has.")
    for name in hyperparameters:
        if name not in known:
            raise TypeError(f"{name}: '{mover.name}' has no such hyperparameter; {did_you_mean(name, known)}")
    if "lr" in hyperparameters:
        raise TypeError("lr: the rates are what is tried; leave it out, or give 'low' and 'high'.")
    if isinstance(method, Rule):
        of_rule.check(method, {**method.hyperparameters, "lr": _ANY_RATE, **hyperparameters})
    else:
        _check_class(method, hyperparameters)
    return mover


def _check_class(method: type[torch.optim.Optimizer], hyperparameters: Mapping[str, Any]) -> None:
    """Raise ValueError for hyperparameters that torch's classes, and those like them, refuse as they are made."""
    made: Any = method
    try:
        made([torch.zeros(2, 2, requires_grad=True)], lr=_ANY_RATE, **hyperparameters)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"optimizer: '{method.__name__}' can't be made with these hyperparameters ({first_line(error)}); give "
            "others."
        ) from error


def measured_on(
    problem: Problem, examples: int | None, batch: int | Literal["all"] | None, model: Model | None = None
) -> Problem:
    """The problem as short runs train it: evaluated by its loss, on some examples of the training split.

    With a model every seed begins at that model's weights, and settles the order of the examples alone.
    """
    part = examples_of(problem, "train", examples)
    count = len(problem.train)
    if examples is None and count > EXAMPLES:
        part = examples_of(problem, "train", EXAMPLES)
    if batch is not None:
        problem = problem.with_batch(count if batch == "all" else whole("batch", batch, 1, count))
    given = copy.copy(problem) if model is None else with_model(problem, model)
    given.metric = as_metric("loss", loss_of_step if problem.loss is None else problem.loss)
    given.valid = part
    return given


@dataclass(frozen=True, eq=False)
class ShortRuns:
    """What became of K runs: the losses [K, P] after `steps` [P], NaN where a run had diverged, and which did [K]."""

    steps: NDArray[np.int64]
    losses: Array
    diverged: NDArray[np.bool_]


def run_short(
    problem: Problem,
    lanes: Sequence[tuple[int, LaneRule]],
    steps: int,
    *,
    every: int | None = None,
    batched: bool,
    progress: Progress | None = None,
) -> ShortRuns:
    """Train lanes, each a seed and what moves it, for some steps of a problem that `measured_on` made.

    They are evaluated before, after, and every so many steps. `progress` is called with the steps of all runs that are
    done, and how many there are.
    """
    found: list[Curves] = []
    all_steps = steps * len(lanes)

    def train_part(some: Sequence[tuple[int, LaneRule]], _: int) -> list[Curves]:
        first = sum(len(curves.diverged_at) for curves in found)

        def tell(step: int, _: int) -> None:
            if progress is not None:
                progress(first * steps + step * len(some), all_steps)

        made = make_lanes(problem, [seed for seed, _ in some], batched=batched)
        update = LaneUpdate(made.parameters, [rule for _, rule in some], made.seeds)
        found.append(train(made, update, steps=steps, evaluate_every=every or steps, progress=tell))
        return found[-1:]

    for part in parts(len(lanes), lanes_that_fit(problem, steps) if batched else 1):
        train_in_parts(lanes[part], train_part)
    losses = np.concatenate([curves.valid_loss for curves in found])
    return ShortRuns(found[0].steps, losses, np.concatenate([curves.diverged for curves in found]))


def can_batch(problem: Problem) -> bool:
    """Whether runs of the problem can share their operations."""
    return obstacle_to_batching(problem, 0) is None
