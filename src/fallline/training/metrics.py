"""How the quality of a model's outputs is told in one number."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fallline.training.errors import ProblemError, dtype_name

_HIGHER = ("accuracy", "score")
_LOWER = ("error", "loss", "deviance")
#: What others call the metrics, for the hint.
_CALLED = {
    "acc": "accuracy",
    "accuracy_score": "accuracy",
    "mse": "mean_squared_error",
    "l2": "mean_squared_error",
    "mae": "mean_absolute_error",
    "l1": "mean_absolute_error",
    "r2": "r2_score",
}


@dataclass(frozen=True)
class Metric:
    """A quality of outputs [n, ...] for targets [n, ...].

    `function(output, target)` returns one number. `contributions`, where the metric is a mean over examples, returns
    each example's share [n]. `bounds` are the lowest and the highest value that it can take.

    >>> Metric("median_error", lambda output, target: (output - target).abs().median(), higher_is_better=False).name
    'median_error'
    """

    name: str
    function: Callable[[Tensor, Tensor], Tensor | float]
    higher_is_better: bool
    contributions: Callable[[Tensor, Tensor], Tensor] | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)


def _hits(output: Tensor, target: Tensor) -> Tensor:
    if output.ndim < 2 or target.ndim != output.ndim - 1 or target.is_floating_point():
        raise ProblemError(
            f"metric: 'accuracy' needs integer labels and one output a class, [n, classes], but the output has shape "
            f"{tuple(output.shape)} and the targets {tuple(target.shape)} of type {dtype_name(target)}; give integer "
            "labels, or, where the output is one logit an example, "
            "metric=fallline.Metric('accuracy', lambda output, y: ((output > 0) == (y > 0.5)).float().mean(), "
            "higher_is_better=True)."
        )
    return (output.argmax(1) == target).to(output.dtype).reshape(len(target), -1).mean(1)


def _same_shape(output: Tensor, target: Tensor) -> None:
    if output.shape != target.shape:
        raise ProblemError(
            f"metric: the output has shape {tuple(output.shape)} and the targets {tuple(target.shape)}, which must be "
            "equal for this metric; reshape one of them or give a callable(output, target)."
        )


def _squared_errors(output: Tensor, target: Tensor) -> Tensor:
    _same_shape(output, target)
    return (output - target).square().reshape(len(target), -1).mean(1)


def _absolute_errors(output: Tensor, target: Tensor) -> Tensor:
    _same_shape(output, target)
    return (output - target).abs().reshape(len(target), -1).mean(1)


def _determination(output: Tensor, target: Tensor) -> Tensor:
    _same_shape(output, target)
    target = target.to(output.dtype)
    spread = (target - target.mean(0)).square().sum()
    return 1 - (output - target).square().sum() / spread


def _mean_of(
    name: str, contributions: Callable[[Tensor, Tensor], Tensor], *, higher_is_better: bool, highest: float
) -> Metric:
    """A mean over examples of what lies between 0 and `highest`."""

    def function(output: Tensor, target: Tensor) -> Tensor:
        return contributions(output, target).mean()

    return Metric(name, function, higher_is_better, contributions, (0.0, highest))


METRICS = {
    metric.name: metric
    for metric in (
        _mean_of("accuracy", _hits, higher_is_better=True, highest=1.0),
        _mean_of("mean_squared_error", _squared_errors, higher_is_better=False, highest=math.inf),
        _mean_of("mean_absolute_error", _absolute_errors, higher_is_better=False, highest=math.inf),
        Metric("r2_score", _determination, higher_is_better=True, bounds=(-math.inf, 1.0)),
    )
}


def as_metric(metric: object, loss: Callable[[Tensor, Tensor], Tensor]) -> Metric:
    """Find a metric by name, or wrap a callable(output, target); None and "loss" stand for `loss` itself.

    Whether higher is better is read from the end of a callable's name, as scikit-learn names its functions:
    `_accuracy` and `_score` are better when higher, `_error`, `_loss` and `_deviance` when lower.

    Raises ProblemError: an unknown name, neither a name nor a callable, a callable whose name does not tell, or one of
    scikit-learn's, which takes its arguments in the other order.

    >>> as_metric("accuracy", torch.nn.functional.cross_entropy).higher_is_better
    True
    """
    if metric is None or (isinstance(metric, str) and metric == "loss"):
        return Metric("loss", loss, higher_is_better=False)
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        return _named(metric)
    if callable(metric):
        if str(getattr(metric, "__module__", "")).startswith("sklearn."):
            raise ProblemError(_of_scikit_learn(str(getattr(metric, "__name__", "metric"))))
        return _wrapped(metric)
    raise ProblemError(f"metric: got {type(metric).__name__}; give a name or a callable(output, target).")


def _named(name: str) -> Metric:
    if name in METRICS:
        return METRICS[name]
    known = ["loss", *METRICS]
    plain = name.lower().replace(" ", "_").replace("-", "_")
    near = [_CALLED[plain]] if plain in _CALLED else difflib.get_close_matches(plain, known, n=1)
    choice = f"choose one of {', '.join(known)}, or give a callable(output, target)."
    raise ProblemError(f"metric: {name!r} is unknown; {f'did you mean {near[0]!r}?' if near else choice}")


def _of_scikit_learn(name: str) -> str:
    ours = _CALLED.get(name, name)
    remedy = (
        f"give metric={ours!r}"
        if ours in METRICS
        else f"wrap it, for instance metric=fallline.Metric({name!r}, lambda output, target: "
        f"{name}(target, output.argmax(1)), higher_is_better={not name.endswith(_LOWER)})"
    )
    return (
        f"metric: scikit-learn's {name} takes (y_true, y_pred), but a metric is called with (output, target); {remedy}."
    )


def _wrapped(function: Callable[[Tensor, Tensor], Tensor | float]) -> Metric:
    name = str(getattr(function, "__name__", type(function).__name__))
    if name.endswith(_HIGHER):
        return Metric(name, function, higher_is_better=True)
    if name.endswith(_LOWER):
        return Metric(name, function, higher_is_better=False)
    named = "my_metric" if name == "<lambda>" else name
    what = "a lambda has no name that tells" if name == "<lambda>" else f"the name of {name!r} does not tell"
    raise ProblemError(
        f"metric: {what} whether higher is better; "
        f"write metric=fallline.Metric({named!r}, function, higher_is_better=True), or False."
    )


def value_of(metric: Metric, output: Tensor, target: Tensor) -> Tensor:
    """Compute the metric of one lane's outputs [n, ...] as a float64 number.

    Raises ProblemError where a callable does not return one number.
    """
    value = torch.as_tensor(metric.function(output, target)).detach()
    if value.numel() != 1:
        raise ProblemError(
            f"metric: {metric.name!r} returned {value.numel()} numbers of shape {tuple(value.shape)}; "
            "it must return one, for instance their mean."
        )
    return value.reshape(()).to(torch.float64)
