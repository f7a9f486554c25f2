"""The learning-rate range of an optimizer on a problem: which rates train, and where runs begin to diverge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fallline._asked import number, whole
from fallline._asked import seed as as_seed
from fallline._text import counted
from fallline.landscape.diagnosis.rate_search import RateSearch, runs_between
from fallline.landscape.diagnosis.short_runs import (
    STEPS,
    Array,
    Mover,
    Optimizer,
    as_mover,
    measured_on,
)
from fallline.landscape.slice_losses import Model
from fallline.landscape.slices import plain
from fallline.rules import record_of
from fallline.symbolic import Rule
from fallline.training import Problem, Progress, seeded

_ENDS = (1e-6, 10.0)  # of a class that nothing is known of
#: What training takes off the loss at least, as a share of it: fitting the biases to the outputs takes off two
#: hundredths of a classifier's, and batches' noise less.
FALL = 0.05
_OUT = 10.0  # times the loss of an untrained model


def rate_range(
    problem: Problem,
    optimizer: Optimizer = "sgd",
    *,
    model: Model | None = None,
    seeds: int = 5,
    steps: int | None = None,
    batch: int | Literal["all"] | None = None,
    low: float | None = None,
    high: float | None = None,
    examples: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **hyperparameters: Any,
) -> RateRange:
    """Train many short runs, each at its own constant learning rate, and see which rates train and which diverge.

    The range test of Smith (Cyclical Learning Rates for Training Neural Networks, 2017) raises the rate within one run,
    so that each rate sees what the ones before left; here every rate has runs of its own, over several seeds. The rates
    stand evenly on a logarithmic axis; then each seed's edge of divergence is enclosed more closely. On a quadratic it
    is 2/λ for gradient descent, 2(1+β)/λ for momentum, and 2(1+β)/((1+2β)λ) for Nesterov's, with λ the top curvature.

    Args:
        problem: What is trained.
        optimizer: A rule, a torch optimizer class, or the name of either; it must have a learning rate.
        model: A module, or a state_dict, that all runs begin from, unless fresh weights are drawn from each seed.
        seeds: How many runs each rate has.
        steps: The steps of a run; 100, or the problem's where these are fewer, unless given.
        batch: Examples of a step, "all" for the whole split; the problem's unless given.
        low: The lowest rate; by default where searches of this optimizer begin. The grid grows beyond it where even
            this rate diverges.
        high: The highest rate, likewise.
        examples: How many examples of the training split the losses are means over, always the same; 512, or all where
            there are fewer, unless given.
        seed: The first of the seeds.
        progress: Called as progress(done, steps) with the steps of all runs, as far as they are known.
        **hyperparameters: Those of the optimizer other than lr.

    Returns:
        The rates that train, the edge of divergence with its spread over the seeds, and all losses.

    Raises:
        TypeError, ValueError, LookupError: It can't be tested; the sentence names the argument.

    >>> from fallline.problems import quadratic
    >>> found = rate_range(quadratic(condition=100.0), "sgd", low=1e-3, high=1.0)
    >>> 0.019 < found.edge < 0.021
    True
    """
    mover = as_mover(optimizer, hyperparameters)
    given = measured_on(problem, examples, batch, model)
    seeds, seed = whole("seeds", seeds), as_seed(seed)
    steps = min(STEPS, problem.steps) if steps is None else whole("steps", steps)
    ends = _ends(mover)
    low = ends[0] if low is None else number("low", low, above=0)
    high = max(ends[1], 10 * low) if high is None else number("high", high, above=low)
    with seeded(0, given.training_device):  # whatever a model or a loss draws
        search = RateSearch(given, mover, range(seed, seed + seeds), steps, progress)
        untrained = search.before if model is None else search.untrained(measured_on(problem, examples, batch))
        search.scan(low, high)
        edges = search.edges(untrained)
    rates, losses = search.grid()
    return RateRange(
        problem=problem.name,
        optimizer=mover.name,
        hyperparameters=mover.settings,
        batch=given.batch,
        steps=steps,
        examples=len(given.valid),
        seeds=tuple(search.seeds),
        rates=rates,
        losses=losses,
        first_losses=search.before,
        untrained_losses=untrained,
        edges=edges,
        gradients=search.done,
    )


def _ends(mover: Mover) -> tuple[float, float]:
    record = record_of(mover.method) if isinstance(mover.method, Rule) else None
    return _ENDS if record is None else (record.lr[0], record.lr[1])


def runs_of_a_seed(mover: Mover) -> int:
    """How many runs a range of this optimizer takes, unless its grid has to grow."""
    return runs_between(*_ends(mover))


@dataclass(frozen=True, eq=False, repr=False)
class RateRange:
    """Losses of short runs by learning rate, for S seeds and R rates.

    Attributes:
        problem: The problem's name.
        optimizer: What moved the weights.
        hyperparameters: Its hyperparameters, the rate aside.
        batch: Examples of a step.
        steps: Steps of a run.
        examples: How many examples of the training split the losses are means over, in evaluation mode.
        seeds: The seeds [S].
        rates: The rates [R] that every seed had, in order.
        losses: The losses [S, R] after the steps; NaN where a run diverged.
        first_losses: The losses [S] before.
        untrained_losses: Those [S] of an untrained model of each seed; the same, unless a model was given.
        edges: The highest rate that did not fail and the lowest that did [S, 2], of each seed; a run fails that
            diverges or ends with a higher loss than an untrained model. NaN where none did.
        gradients: How many gradients of a batch it took.
    """

    problem: str
    optimizer: str
    hyperparameters: dict[str, Any]
    batch: int
    steps: int
    examples: int
    seeds: tuple[int, ...]
    rates: Array
    losses: Array
    first_losses: Array
    untrained_losses: Array
    edges: Array
    gradients: int

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which runs [S, R] diverged or ended with a higher loss than an untrained model."""
        return ~(self.losses <= self.untrained_losses[:, None])

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Which of those [S, R] went out of bounds, or ended ten times as high as an untrained model at least."""
        limits = self.untrained_losses[:, None]
        return ~(self.losses - limits < (_OUT - 1) * np.abs(limits)) & self.failed

    @property
    def edge_by_seed(self) -> Array:
        """The edge of divergence [S] of each seed; infinite where no rate failed."""
        return np.where(np.isnan(self.edges).any(1), np.inf, np.sqrt(self.edges.prod(1)))

    @property
    def edge(self) -> float:
        """The median of the seeds' edges of divergence; infinite where most have none."""
        return float(np.median(self.edge_by_seed))

    @property
    def edge_ends(self) -> tuple[float, float]:
        """Between which two rates the edges of all seeds lie: below it no run failed, above it every run did."""
        if np.isnan(self.edges).any():
            return float(np.nanmin(self.edges[:, 0], initial=np.inf)), math.inf
        return float(self.edges[:, 0].min()), float(self.edges[:, 1].max())

    @property
    def _falls(self) -> Array:
        """By how much each run [S, R] lowered the loss; minus infinity where it diverged."""
        return np.asarray(self.first_losses[:, None] - np.nan_to_num(self.losses, nan=np.inf))

    @property
    def best_falls(self) -> Array:
        """By what share of it each seed's best rate [S] lowered the loss that its runs began with."""
        return np.asarray(self._falls.max(1) / np.maximum(np.abs(self.first_losses), np.finfo(float).tiny))

    @property
    def anything_trains(self) -> bool:
        """Whether each seed has a rate that lowered the loss by a twentieth; less may be noise, or biases alone."""
        return bool((self.best_falls >= FALL).all())

    @property
    def trained(self) -> NDArray[np.bool_]:
        """Which rates [R] train: the run of every seed made at least half of the fall that the seed's best rate made.

        None does where with some seed no rate lowers the loss by a twentieth.
        """
        most = self._falls.max(1, keepdims=True)
        return np.asarray((self._falls >= most / 2).all(0) & self.anything_trains)

    @property
    def trains(self) -> tuple[float, float] | None:
        """The lowest and the highest rate of those, side by side, that train: None where no rate does."""
        falls, most, good = self._falls, self._falls.max(1, keepdims=True), self.trained
        if not good.any():
            return None
        best = int(np.where(good, (falls / most).mean(0), -np.inf).argmax())
        first = best - int(np.argmin([*good[best::-1], False])) + 1
        last = best + int(np.argmin([*good[best:], False])) - 1
        return float(self.rates[first]), float(self.rates[last])

    @property
    def trains_told(self) -> str:
        """`trains` in words, which say where an end is that of what was tried."""
        if self.trains is None:
            return "none"
        low, high = self.trains
        lowest = ", the lowest tried," if low == self.rates[0] else ""
        highest = ", the highest tried" if high == self.rates[-1] else ""
        return f"{low:.2g}{lowest} to {high:.2g}{highest}"

    @property
    def best(self) -> float | None:
        """The rate of the lowest mean loss of those that train; None where none does."""
        if self.trains is None:
            return None
        means = np.where((self.rates >= self.trains[0]) & (self.rates <= self.trains[1]), self.losses.mean(0), np.inf)
        return float(self.rates[means.argmin()])

    @property
    def description(self) -> str:
        """How it was measured, in words."""
        settings = "".join(f", {name} {value}" for name, value in self.hyperparameters.items())
        return (
            f"Runs of {counted(self.steps, 'step')} of {self.optimizer}{settings} at constant rates, in batches of "
            f"{self.batch}, {counted(len(self.seeds), 'seed')} a rate; loss of {self.problem!r} on "
            f"{counted(self.examples, 'example')} of train, in evaluation mode. A run fails that diverges or ends with "
            "a higher loss than an untrained model. A rate trains with which every seed made at least half of the fall "
            "that its best rate made, where that is a twentieth of the loss."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is not a finite number becomes None."""
        told = {
            "edge": self.edge,
            "edge_ends": self.edge_ends,
            "trains": self.trains,
            "trains_told": self.trains_told,
            "best": self.best,
        }
        return {
            **{name: plain(value) for name, value in {**vars(self), **told}.items()},
            "description": self.description,
        }

    def __repr__(self) -> str:
        return f"RateRange({self.problem!r}, {self.optimizer!r}, trains {self.trains}, edge {self.edge:.3g})"
