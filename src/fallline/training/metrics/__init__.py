"""How the quality of outputs is told in one number: from a name, a function or an object that a user gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor, nn

from fallline.training.errors import ProblemError
from fallline.training.metrics.metric import (
    IGNORED,
    Function,
    Metric,
    class_dimensions,
    ignoring,
    loss_of_step,
    of_probabilities,
    value_of,
)
from fallline.training.metrics.names import METRICS, find, is_of_decisions, nickname

__all__ = [
    "IGNORED",
    "METRICS",
    "Metric",
    "MetricLike",
    "as_metric",
    "class_dimensions",
    "loss_of_step",
    "value_of",
    "without_ignored",
]

#: What a problem takes for a metric.
MetricLike = str | Metric | Callable[[Tensor, Tensor], Tensor | float] | None

_HIGHER = ("accuracy", "score")
_LOWER = ("error", "loss", "deviance")


def as_metric(metric: object, loss: Callable[[Tensor, Tensor], Tensor]) -> Metric:
    """Find a metric by name, or wrap a callable(output, target).

    Whether higher is better is read from an attribute `higher_is_better`, as torchmetrics' objects have, or from the
    end of the callable's name, as scikit-learn names its functions: `_accuracy` and `_score` are better when higher,
    `_error`, `_loss` and `_deviance` when lower. An object with a method `reset` is reset before and after each call.

    Args:
        metric: A name, a callable, an object or a `Metric`; None and "loss" stand for `loss` itself.
        loss: The loss of the problem.

    Returns:
        The metric.

    Raises:
        ProblemError: An unknown name, neither a name nor a callable, a callable that does not tell its direction, or
            one of scikit-learn's, which takes its arguments in the other order.

    >>> as_metric("accuracy", nn.functional.cross_entropy).higher_is_better
    True
    """
    if metric is None or (isinstance(metric, str) and metric == "loss"):  # other objects may overload ==
        return Metric("loss", loss, higher_is_better=False)
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        found = find(metric)
        takes_probabilities = loss is nn.functional.binary_cross_entropy or isinstance(loss, nn.BCELoss)
        return of_probabilities(found) if takes_probabilities and is_of_decisions(found) else found
    if not callable(metric):
        raise ProblemError(f"metric: got {type(metric).__name__}; give a name or a callable(output, target).")
    if str(getattr(metric, "__module__", "")).startswith("sklearn."):
        raise ProblemError(_of_scikit_learn(str(getattr(metric, "__name__", "metric"))))
    if isinstance(metric, type):
        raise ProblemError(f"metric: got the class {metric.__name__}; give an instance of it, {metric.__name__}(...).")
    name = str(getattr(metric, "__name__", type(metric).__name__))
    function = _resetting(metric) if hasattr(metric, "reset") else metric
    return Metric(name, function, _direction(metric, name), bounds=_bounds(metric))


def without_ignored(given: object, metric: Metric, labels: Collection[float]) -> Metric:
    """The metric that was `given`, which by a name leaves out the decisions with `labels`, those that the loss ignores.

    >>> without_ignored("mse", find("mse"), {0}).name
    'mean_squared_error'
    """
    named = isinstance(given, str) and given != "loss" and is_of_decisions(find(given))
    return ignoring(metric, labels) if named and {*labels} - {IGNORED} else metric


def _of_scikit_learn(name: str) -> str:
    ours = nickname(name)
    remedy = (
        f"give metric={ours!r}"
        if ours
        else f"wrap it, for instance metric=fallline.Metric({name!r}, lambda output, target: "
        f"{name}(target, output.argmax(1)), higher_is_better={not name.endswith(_LOWER)})"
    )
    return (
        f"metric: scikit-learn's {name} takes (y_true, y_pred), but a metric is called with (output, target); {remedy}."
    )


def _resetting(metric: Any) -> Function:
    """An object that collects what it is called with, asked about one call at a time."""

    def function(output: Tensor, target: Tensor) -> Tensor | float:
        metric.reset()
        value: Tensor | float = metric(output, target)
        metric.reset()
        return value

    return function


def _direction(metric: object, name: str) -> bool:
    told = getattr(metric, "higher_is_better", None)
    if told is not None:
        return bool(told)
    if name.endswith(_HIGHER) or name.endswith(_LOWER):
        return name.endswith(_HIGHER)
    named = "my_metric" if name == "<lambda>" else name
    what = (
        f"the attribute higher_is_better of {name!r} is None and does not tell"
        if hasattr(metric, "higher_is_better")
        else "a lambda has no name that tells"
        if name == "<lambda>"
        else f"the name of {name!r} does not tell"
    )
    raise ProblemError(
        f"metric: {what} whether higher is better; "
        f"write metric=fallline.Metric({named!r}, function, higher_is_better=True), or False."
    )


def _bounds(metric: object) -> tuple[float, float]:
    """The lowest and highest value, as torchmetrics' objects say them for their plots."""
    lowest, highest = (getattr(metric, f"plot_{end}_bound", None) for end in ("lower", "upper"))
    return -math.inf if lowest is None else float(lowest), math.inf if highest is None else float(highest)
