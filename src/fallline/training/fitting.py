"""`fallline.fit`: one training run, as the plain loop that a person would write."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fallline import _asked
from fallline._bar import Steps, Tell, followed
from fallline.averaging import WeightAverage
from fallline.training.arguments import as_count, check_hyperparameters
from fallline.training.curves import Checkpoint, FitResult, Point
from fallline.training.descent import (
    Descent,
    NotFiniteError,
    Rates,
    Scheduler,
    Stepper,
    as_average,
    as_optimizer,
    warn_of_lag,
)
from fallline.training.errors import ProblemError, first_line
from fallline.training.evaluation import Evaluator
from fallline.training.generators import seeded
from fallline.training.metrics import value_of
from fallline.training.problem import Problem, StreamProblem
from fallline.training.splits import Split


def fit(
    problem: Problem | StreamProblem,
    optimizer: Descent,
    *,
    batch: int | Literal["all"] | None = None,
    epochs: int | None = None,
    model: nn.Module | None = None,
    schedule: Rates | None = None,
    averages: WeightAverage | float | None = None,
    checkpoints: int = 0,
    seed: int = 0,
    progress: bool | Steps = True,
    **hyperparameters: Any,
) -> FitResult:
    """Train one model on the problem and return it with its curves.

    A `StreamProblem` is read once, batch by batch as they come, and each batch's loss from before its update is
    recorded: online learning, evaluated prequentially (Gama, Sebastião and Rodrigues, 2013).

    Training that meets a loss which is not finite ends before that step, and Ctrl-C ends it at once; both return what
    there is, and say so in `reason`. The model comes back in evaluation mode.

    Args:
        problem: What to train, a `fallline.Problem` or a `fallline.StreamProblem`.
        optimizer: A rule, a torch optimizer class or either's name, with `hyperparameters`; a function that takes the
            parameters and returns an optimizer; or an optimizer that is made, together with its `model`.
        batch: Examples of a step: 1 is stochastic gradient descent, "all" batch gradient descent; the problem's unless
            given. The last batch of an epoch may be smaller; its gradient is the mean over its own examples.
        epochs: Passes over the examples; the problem's unless given.
        model: A module to train in place, from the weights it has; else the problem's is built.
        schedule: One of `fallline.schedules`, which count steps (`.per_epoch` counts epochs), a torch scheduler of the
            optimizer, or a function that takes the optimizer and returns one; None leaves the rates as they are.
        averages: A decay, or a `fallline.averaging.WeightAverage` of the model: the validation split is then evaluated
            with the averaged weights, as the result's `evaluated` says. An average over more than a fifth of the run is
            warned of, since it lags behind. None keeps no average.
        checkpoints: So many copies of the model are kept, from before the first step to after the last one, evenly
            spread over the steps; at least 2, or 0 for none.
        seed: From it follow the initial weights, the order of the examples and all that is drawn in a step or an
            evaluation, dropout included, as in a race: a run of a race is had again with its seed and hyperparameters.
        progress: Whether to show a bar, where there is a terminal; or a function, called as progress(step, steps) after
            each step (of a stream with None for the steps).
        **hyperparameters: Those of the rule or the class, such as lr.

    Returns:
        The model, its curves, and why training ended.

    Raises:
        TypeError: An argument is of no kind that is taken, or nobody would read it.
        ValueError: An argument is out of range, or belongs to another model; the sentence names it.
        LookupError: There is no rule or class of the name.

    >>> import fallline as fl
    >>> result = fl.fit(fl.problems.digits(), "adam", lr=0.01, batch=128, epochs=2)
    >>> [(point.epoch, point.step) for point in result.curves], result.curves[-1].metric > 0.8
    ([(0, 0), (1, 9), (2, 18)], True)
    >>> result.reason
    'All 2 epochs were trained.'
    """
    if not isinstance(problem, Problem | StreamProblem):
        raise TypeError(
            f"problem: got {type(problem).__name__}; give a fallline.Problem, or a fallline.StreamProblem for a stream."
        )
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(
            f"model: got {type(model).__name__}; give a torch.nn.Module, or leave it out for the problem's own."
        )
    seed = _asked.seed(seed, "seed:")
    check_hyperparameters(hyperparameters)
    batches, steps, points = _course(problem, batch, epochs, seed)
    kept = _kept(checkpoints, steps)
    module = problem.build(seed).to(problem.training_device) if model is None else model
    made = as_optimizer(optimizer, module, hyperparameters, model is not None)
    average = as_average(averages, module)
    run = _Run(problem, module, made, Scheduler(schedule, made, stream=steps is None), average, seed, kept)
    if steps is not None:
        warn_of_lag(average, steps)
    with seeded(seed, libraries=True), followed(progress, steps) as tell, run.training():
        finished, reason = run.train(batches, points, tell)
    if steps is None:
        warn_of_lag(average, run.steps)
    evaluated = _evaluated(run, average)
    return FitResult(
        module, made, average, run.points, problem.metric.name, finished, reason, evaluated, run.checkpoints
    )


def _course(
    problem: Problem | StreamProblem, batch: int | Literal["all"] | None, epochs: int | None, seed: int
) -> tuple[Iterable[tuple[int, Split]], int | None, Collection[int]]:
    """The batches of the run with their epochs, how many they are (None: a stream), and the steps to evaluate after."""
    if isinstance(problem, StreamProblem):
        if (batch, epochs) != (None, None):
            raise ValueError(
                f"{'batch' if epochs is None else 'epochs'}: a stream comes in its own batches and is read once; leave "
                "it out, or give a fallline.Problem."
            )
        return zip(repeat(1), problem.batches(), strict=False), None, ()
    count = problem.data.examples
    if batch is not None:
        meaning = 'the number of examples in train ("all" takes them all)'
        problem = problem.with_batch(count if batch == "all" else as_count("batch", batch, count, meaning))
    passes = problem.epochs if epochs is None else as_count("epochs", epochs)
    batches = problem.batches([seed])
    steps = passes * batches.steps_per_epoch
    return problem.data.epochs_of(batches, passes), steps, range(0, steps + 1, batches.steps_per_epoch)


def _kept(checkpoints: int, steps: int | None) -> Collection[int]:
    """The steps after which the model is kept."""
    if _asked.whole("checkpoints", checkpoints, 0) == 0:
        return ()
    if steps is None:
        raise ValueError("checkpoints: nobody knows how long a stream is; leave them out, or give a fallline.Problem.")
    if checkpoints == 1:
        raise ValueError("checkpoints: give at least 2, from before the first step and after the last, or 0 for none.")
    return {round(steps * place / (checkpoints - 1)) for place in range(checkpoints)}


class _Run:
    """What trains one model: its steps counted, its evaluations recorded."""

    def __init__(
        self,
        problem: Problem | StreamProblem,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Scheduler,
        averages: WeightAverage | None,
        seed: int,
        kept: Collection[int],
    ) -> None:
        self.points: list[Point] = []
        self.checkpoints: list[Checkpoint] = []
        self.steps = 0
        self.epoch = 0
        self._kept = kept
        self._problem = problem
        self._model = model
        self._optimizer: Any = optimizer
        self._stepper = Stepper(model, problem.training_loss, optimizer, seed)
        #: Gives loss and metric of the validation split after a step; a stream has none.
        self._evaluate = None
        if isinstance(problem, Problem):
            self._evaluate = partial(Evaluator(model, problem, seed), problem.valid)
        self._scheduler = scheduler
        self._averages = averages
        self.keeps_average = hasattr(optimizer, "train") and hasattr(optimizer, "eval")  # Schedule-Free
        self._begin_row()

    def train(self, batches: Iterable[tuple[int, Split]], points: Collection[int], tell: Tell) -> tuple[bool, str]:
        """Take a step on each batch, which comes with its epoch, and evaluate after the steps of these numbers.

        Of a stream, every step is told of by how its batch was met before the model learnt from it. Returns whether
        training went to its end, and why it ended.
        """
        try:
            self._keep()
            if 0 in points:
                self._record()
            for self.epoch, batch in batches:
                if self._evaluate is None:
                    loss, metric = self._meet(batch)
                    self._add(None, metric)
                else:
                    loss = self._step(batch)
                self._keep()
                tell(self.steps, f"epoch {self.epoch}, loss {loss:.3g}" if self._evaluate else f"loss {loss:.3g}")
                if self.steps in points:
                    self._scheduler.after_epoch(self._record())
            if self._evaluate is not None:
                return True, f"All {self.epoch} epochs were trained."
            if self.steps:
                return True, f"The stream ended after {self.steps} batches."
            reason = "The stream had no batch to train on: it is empty, or was read to its end before; give a new one."
        except KeyboardInterrupt:
            reason = f"Training was interrupted after {self.steps} steps; the weights are those it had then."
        except NotFiniteError as error:
            reason = (
                f"Training ended before step {self.steps + 1}, in epoch {self.epoch}: the loss was {error.loss:g}. The "
                "weights are those before that step; give a smaller learning rate, warm it up, or clip the gradient."
            )
        if self._examples:  # since the last row
            self._add(None, None)
        return False, reason

    def _meet(self, batch: Split) -> tuple[float, float]:
        """Take a step on a batch of a stream; its loss and metric from before."""
        outputs: list[Tensor] = []
        metric = self._problem.metric
        try:
            with self._model.register_forward_hook(lambda model, inputs, output: outputs.append(output.detach())):
                loss = self._step(batch)
            if self._problem.metric_is_loss:
                return loss, loss
            # An optimizer may have called the model more than once, first as it was before the step.
            return loss, float(value_of(metric, outputs[0], batch.targets.to(outputs[0].device)))
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ProblemError(
                f"train, batch {self.steps + 1}: the step failed ({first_line(error)}); every batch must fit the "
                "model, the loss and the metric."
            ) from error

    def _step(self, batch: Split) -> float:
        self._rate = self._learning_rate()
        loss = self._stepper.step(batch.inputs, batch.targets)
        self.steps += 1
        self._total += loss * len(batch)
        self._examples += len(batch)
        if self._averages is not None:
            self._averages.update()
        self._scheduler.after_step(loss)
        return loss

    def _keep(self) -> None:
        """Keep a copy of the model, if one is wanted after this step."""
        if self.steps in self._kept:
            state = {name: value.detach().clone() for name, value in self._model.state_dict().items()}
            self.checkpoints.append(Checkpoint(self.steps, self._learning_rate(), state))

    def _record(self) -> float:
        """Evaluate and add a row; the validation loss."""
        assert self._evaluate is not None
        with self._averaged():
            loss, metric = self._evaluate(self.steps)
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


def _evaluated(run: _Run, average: WeightAverage | None) -> str:
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
