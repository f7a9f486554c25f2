"""A run of `fallline.fit`: its steps counted, its evaluations recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fallline.averaging import WeightAverage
from fallline.training.batches import Batches
from fallline.training.errors import ProblemError, first_line
from fallline.training.fit_evaluation import Evaluator
from fallline.training.fit_result import Point
from fallline.training.fit_schedule import Scheduler
from fallline.training.fit_step import Stepper
from fallline.training.metrics import value_of
from fallline.training.problem import Problem
from fallline.training.splits import Split
from fallline.training.streams import StreamProblem

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
