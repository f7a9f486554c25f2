"""`fallline.fit`: one training run, as the plain loop that a person would write."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, Literal

from torch import nn

from fallline.averaging import WeightAverage
from fallline.training.arguments import as_count, check_hyperparameters
from fallline.training.batches import Batches
from fallline.training.fit_optimizer import Descent, as_optimizer
from fallline.training.fit_progress import progress_bar
from fallline.training.fit_result import FitResult
from fallline.training.fit_run import Run, Tell
from fallline.training.fit_schedule import Rates, Scheduler
from fallline.training.fit_step import NotFiniteError
from fallline.training.problem import Problem
from fallline.training.randomness import seeded
from fallline.training.streams import StreamProblem

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
