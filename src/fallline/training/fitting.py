"""`fallline.fit`: one training run, as the plain loop that a person would write, and what it leaves."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fallline.averaging import WeightAverage
from fallline.training.arguments import as_count, check_hyperparameters
from fallline.training.descent import Descent, NotFiniteError, Rates, Scheduler, Stepper, as_optimizer
from fallline.training.errors import ProblemError, first_line
from fallline.training.evaluation import Evaluator
from fallline.training.generators import seeded
from fallline.training.metrics import value_of
from fallline.training.problem import Problem, StreamProblem
from fallline.training.splits import Split
from fallline.training.training_data import Batches

_FIRST, _LAST = 3, 9  # rows of a long table that are shown


@dataclass(frozen=True)
class Point:
    """One row of the curves; None where there is nothing to tell.

    `step` counts the updates made by then. `training_loss` is the mean over the examples since the row before, each
    taken before the update that its batch made. `validation_loss` and `metric` are of the whole validation split; on a
    stream, `metric` is the batch's, before the update. `learning_rate` is the first param group's at the last update.
    """

    epoch: int
    step: int
    training_loss: float | None
    validation_loss: float | None
    metric: float | None
    learning_rate: float | None


@dataclass(repr=False)
class FitResult:
    """A training run that has ended.

    `model` holds the weights of the last step, or their averages if the optimizer itself keeps these (Schedule-Free).
    `averages` is the running average that `fit` was asked for; `averages.swapped()` puts it into the model. `curves`
    has a row before the first step and one an epoch, or one a batch of a stream. `finished` says whether training went
    to its end, `reason` in a sentence why it ended, and `evaluated` in another which weights the validation columns are
    of.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    averages: WeightAverage | None
    curves: list[Point]
    metric_name: str
    finished: bool
    reason: str
    evaluated: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's columns; the metric's by its own name."""
        return "epoch", "step", "training_loss", "validation_loss", self.metric_name, "learning_rate"

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the curves as a CSV file with a header; what is None is left empty.

        Raises FileNotFoundError if the file's folder is not there.
        """
        folder = Path(path).resolve().parent
        if not folder.is_dir():
            raise FileNotFoundError(f"path: there is no folder {folder}; make it first, or give a path in another one.")
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows(map(astuple, self.curves))

    def __repr__(self) -> str:
        cells = [[_shown(value) for value in astuple(point)] for point in self.curves]
        if len(cells) > _FIRST + _LAST:
            cells[_FIRST:-_LAST] = [["..." for _ in self.columns]]
        averaged = [self.evaluated] if "average" in self.evaluated else []
        return "\n".join([*_aligned([self.columns, *cells]), *averaged, self.reason])


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


@contextmanager
def progress_bar(shown: bool, steps: int | None) -> Iterator[Callable[[str], None]]:
    """Give a function to call after each of `steps` steps (None: nobody knows how many) with a word to show.

    Nothing is shown where standard error is no terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not shown or not console.is_terminal:
        yield lambda word: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=steps)
        yield lambda word: bar.update(task, advance=1, description=word)


Tell = Callable[[str], None]


class Run:
    """What trains one model, and the rows it has left so far."""

    def __init__(
        self,
        problem: Problem | StreamProblem,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Scheduler,
        averages: WeightAverage | None,
        seed: int = 0,
    ) -> None:
        self.points: list[Point] = []
        self.steps = 0
        self.epoch = 0
        self._model = model
        self._optimizer: Any = optimizer
        self._stepper = Stepper(model, problem.training_loss, optimizer, seed)
        self._evaluate = Evaluator(model, problem, seed) if isinstance(problem, Problem) else None
        self._scheduler = scheduler
        self._averages = averages
        self.keeps_average = hasattr(optimizer, "train") and hasattr(optimizer, "eval")  # Schedule-Free
        self._begin_row()

    def train(self, problem: Problem, batches: Batches, epochs: int, tell: Tell) -> None:
        """Go through the examples `epochs` times, and evaluate before the first time and after each."""
        self._record(problem)
        for self.epoch in range(1, epochs + 1):
            for _ in range(batches.steps_per_epoch):
                batch = problem.data.read(batches.at(self.steps)[0], batches.seeds[0], self.epoch - 1)
                loss = self._step(batch.inputs, batch.targets)
                tell(f"epoch {self.epoch}, loss {loss:.3g}")
            self._scheduler.after_epoch(self._record(problem))

    def follow(self, problem: StreamProblem, tell: Tell) -> None:
        """Take each batch of the stream as it comes, and record how it was met before the model learnt from it."""
        self.epoch = 1
        for batch in problem.batches():
            try:
                loss, metric = self._meet(problem, batch)
            except (IndexError, RuntimeError, TypeError, ValueError) as error:
                raise ProblemError(
                    f"train, batch {self.steps + 1}: the step failed ({first_line(error)}); every batch must fit the "
                    "model, the loss and the metric."
                ) from error
            self._add(None, metric)
            tell(f"loss {loss:.3g}")

    def _meet(self, problem: StreamProblem, batch: Split) -> tuple[float, float]:
        """Take a step on a batch; its loss and metric from before."""
        outputs: list[Tensor] = []
        with self._model.register_forward_hook(lambda model, inputs, output: outputs.append(output.detach())):
            loss = self._step(batch.inputs, batch.targets)
        if problem.metric.function is problem.loss:
            return loss, loss
        # An optimizer may have called the model more than once, first as it was before the step.
        return loss, float(value_of(problem.metric, outputs[0], batch.targets.to(outputs[0].device)))

    def close(self) -> None:
        """Record the steps since the last row, if there were any."""
        if self._examples:
            self._add(None, None)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Hold model and optimizer in training mode; leave them ready for use, with the optimizer's average if any."""
        self._model.train()
        if self.keeps_average:
            self._optimizer.train()
        try:
            yield
        finally:
            self._model.eval()
            if self.keeps_average:
                self._optimizer.eval()

    def _step(self, inputs: Tensor, targets: Tensor) -> float:
        self._rate = self._learning_rate()
        loss = self._stepper.step(inputs, targets)
        self.steps += 1
        self._total += loss * len(inputs)
        self._examples += len(inputs)
        if self._averages is not None:
            self._averages.update()
        self._scheduler.after_step(loss)
        return loss

    def _record(self, problem: Problem) -> float:
        """Evaluate and add a row; the validation loss."""
        assert self._evaluate is not None
        with self._averaged():
            loss, metric = self._evaluate(problem.valid, self.steps)
        self._add(loss, metric)
        return loss

    def _add(self, validation_loss: float | None, metric: float | None) -> None:
        mean = self._total / self._examples if self._examples else None
        self.points.append(Point(self.epoch, self.steps, mean, validation_loss, metric, self._rate))
        self._begin_row()

    def _begin_row(self) -> None:
        self._total, self._examples = 0.0, 0
        self._rate = self._learning_rate()

    def _learning_rate(self) -> float | None:
        rate = self._optimizer.param_groups[0].get("lr")
        return None if rate is None else float(rate)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The weights that are to be evaluated: averages, where there are any."""
        if self.keeps_average:
            self._optimizer.eval()
            yield
            self._optimizer.train()
        elif self._averages is not None and self._averages.count:
            with self._averages.swapped():
                yield
        else:
            yield


#: The share of a run's steps that an average may look back over.
_LONGEST_WINDOW = 0.2


def fit(
    problem: Problem | StreamProblem,
    optimizer: Descent,
    *,
    batch: int | Literal["all"] | None = None,
    epochs: int | None = None,
    model: nn.Module | None = None,
    schedule: Rates | None = None,
    averages: WeightAverage | float | None = None,
    seed: int = 0,
    progress: bool = True,
    **hyperparameters: Any,
) -> FitResult:
    """Train one model on the problem and return it with its curves.

    `optimizer` is a rule, a torch optimizer class or either's name, with `hyperparameters`; a function that takes the
    parameters and returns an optimizer; or an optimizer that is made, together with its `model`. `batch` counts the
    examples a step: 1 is stochastic gradient descent, "all" batch gradient descent; it and `epochs` are the problem's
    unless given. The last batch of an epoch may be smaller; its gradient is the mean over its own examples. A `model`
    is trained in place, from the weights it has; else the problem's is built.

    `schedule` is one of `fallline.schedules`, which count steps (`.per_epoch` counts epochs), a torch scheduler of the
    optimizer, or a function that takes the optimizer and returns one. `averages` is a decay, or a
    `fallline.averaging.WeightAverage` of the model: the validation split is then evaluated with the averaged weights,
    as the result's `evaluated` says. An average over more than a fifth of the run is warned of, since it lags behind.
    From `seed` follow the initial weights, the order of the examples and all that is drawn in a step or an evaluation,
    dropout included, as in a race: a run of a race is had again with its seed and hyperparameters. `progress=False`
    shows no bar; there is none either where there is no terminal.

    A `StreamProblem` is read once, batch by batch as they come, and each batch's loss from before its update is
    recorded: online learning, evaluated prequentially (Gama, Sebastião and Rodrigues, 2013).

    Training that meets a loss which is not finite ends before that step, and Ctrl-C ends it at once; both return what
    there is, and say so in `reason`.

    The model comes back in evaluation mode. Raises TypeError, ValueError or LookupError, in a sentence that names the
    argument.

    >>> import fallline as fl
    >>> result = fl.fit(fl.problems.digits(), "adam", lr=0.01, batch=128, epochs=2)
    >>> [(point.epoch, point.step) for point in result.curves], result.curves[-1].metric > 0.8
    ([(0, 0), (1, 9), (2, 18)], True)
    >>> result.reason
    'All 2 epochs were trained.'
    """
    _check(problem, model, seed)
    check_hyperparameters(hyperparameters)
    if isinstance(problem, StreamProblem) and (batch, epochs) != (None, None):
        raise ValueError(
            f"{'batch' if epochs is None else 'epochs'}: a stream comes in its own batches and is read once; leave it "
            "out, or give a fallline.Problem."
        )
    module = _built(problem, seed) if model is None else model
    made = as_optimizer(optimizer, module, hyperparameters, model is not None)
    average = _as_average(averages, module)
    scheduler = Scheduler(schedule, made, stream=isinstance(problem, StreamProblem))
    run = Run(problem, module, made, scheduler, average, int(seed))
    passes = None if isinstance(problem, StreamProblem) else _passes(problem, batch, epochs, seed)
    steps = None if passes is None else passes[0].steps_per_epoch * passes[1]
    if steps is not None:
        _warn_of_lag(average, steps)
    with seeded(int(seed), libraries=True), progress_bar(progress, steps) as tell, run.training():
        finished, reason = _outcome(run, problem, passes, tell)
    if steps is None:
        _warn_of_lag(average, run.steps)
    return FitResult(module, made, average, run.points, problem.metric.name, finished, reason, _evaluated(run, average))


def _built(problem: Problem | StreamProblem, seed: int) -> nn.Module:
    module = problem.build(seed)
    return module.to(problem.training_device) if isinstance(problem, Problem) else module


def _outcome(
    run: Run, problem: Problem | StreamProblem, passes: tuple[Batches, int] | None, tell: Tell
) -> tuple[bool, str]:
    """Train; whether it went to its end, and why it ended."""
    try:
        if isinstance(problem, StreamProblem):
            run.follow(problem, tell)
            if not run.steps:
                return False, (
                    "The stream had no batch to train on: it is empty, or was read to its end before; give a new one."
                )
            return True, f"The stream ended after {run.steps} batches."
        assert passes is not None
        run.train(problem, *passes, tell)
        return True, f"All {passes[1]} epochs were trained."
    except KeyboardInterrupt:
        reason = f"Training was interrupted after {run.steps} steps; the weights are those it had then."
    except NotFiniteError as error:
        reason = (
            f"Training ended before step {run.steps + 1}, in epoch {run.epoch}: the loss was {error.loss:g}. The "
            "weights are those before that step; give a smaller learning rate, warm it up, or clip the gradient."
        )
    run.close()
    return False, reason


def _check(problem: object, model: object, seed: object) -> None:
    if not isinstance(problem, Problem | StreamProblem):
        raise TypeError(
            f"problem: got {type(problem).__name__}; give a fallline.Problem, or a fallline.StreamProblem for a stream."
        )
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(
            f"model: got {type(model).__name__}; give a torch.nn.Module, or leave it out for the problem's own."
        )
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) < 2**63:
        raise ValueError(f"seed: must be a whole number from 0 to 2**63 - 1, got {seed!r}.")


def _passes(problem: Problem, batch: int | Literal["all"] | None, epochs: int | None, seed: int) -> tuple[Batches, int]:
    """The batches of the run, and how often it goes through all examples."""
    count = problem.data.examples
    if batch is not None:
        meaning = 'the number of examples in train ("all" takes them all)'
        problem = problem.with_batch(count if batch == "all" else as_count("batch", batch, count, meaning))
    return problem.batches([seed]), problem.epochs if epochs is None else as_count("epochs", epochs)


def _warn_of_lag(average: WeightAverage | None, steps: int) -> None:
    """Warn of an average that looks back over much of its run, and so hangs behind the weights to its end."""
    if average is None or average.decay is None or average.window <= _LONGEST_WINDOW * (average.count + steps):
        return
    fitting = 1 - 1 / max(2.0, _LONGEST_WINDOW * steps)
    warnings.warn(
        f"averages: a decay of {average.decay:g} averages about the last {average.window:.0f} steps, and the run has "
        f"{steps}, so that the average, which is what is evaluated, lags behind the weights; give at most "
        f"{fitting:.2g}, train for longer, or leave averages out.",
        stacklevel=3,
    )


def _evaluated(run: Run, average: WeightAverage | None) -> str:
    """Which weights the validation columns are of."""
    if run.keeps_average:
        return (
            "The validation split was evaluated with the optimizer's average of the weights, which the model has now."
        )
    if average is not None:
        return (
            "The validation split was evaluated with the averaged weights, which result.averages.swapped() puts into "
            "the model; it has those of the last step."
        )
    return "The validation split was evaluated with the weights of each row's step."


def _as_average(averages: WeightAverage | float | None, model: nn.Module) -> WeightAverage | None:
    if averages is None:
        return None
    if not isinstance(averages, WeightAverage):
        return WeightAverage(model, averages)
    if averages.model is not model:
        raise ValueError(
            "averages: the WeightAverage is of another model than the one that is trained; give that one as model=, "
            "or give a decay, such as averages=0.99."
        )
    return averages
