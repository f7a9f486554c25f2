"""What a metric is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fallline.training.errors import ProblemError, is_text

Function = Callable[[Tensor, Tensor], Tensor | float]


@dataclass(frozen=True)
class Metric:
    """A quality of outputs [n, ...] for targets [n, ...].

    `function(output, target)` returns one number. `contributions`, where the metric is a mean over examples, returns
    each example's share [n]. `bounds` are the lowest and the highest value that it can take.

    >>> Metric("median_error", lambda output, target: (output - target).abs().median(), higher_is_better=False).name
    'median_error'
    """

    name: str
    function: Function
    higher_is_better: bool
    contributions: Callable[[Tensor, Tensor], Tensor] | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if not is_text(self.name):
            raise ProblemError(f"metric: its name must be a text without lone surrogates; got {self.name!r}.")


def mean_of(
    name: str, contributions: Callable[[Tensor, Tensor], Tensor], *, higher_is_better: bool, highest: float
) -> Metric:
    """A mean over examples of what lies between 0 and `highest`."""

    def function(output: Tensor, target: Tensor) -> Tensor:
        return contributions(output, target).mean()

    return Metric(name, function, higher_is_better, contributions, (0.0, highest))


def value_of(metric: Metric, output: Tensor, target: Tensor) -> Tensor:
    """Compute the metric of one lane's outputs [n, ...] as a float64 number.

    Raises ProblemError where a callable does not return one number.
    """
    found = metric.function(output, target)
    value = found.detach() if isinstance(found, Tensor) else torch.as_tensor(found, dtype=torch.float64)
    if value.numel() != 1:
        raise ProblemError(
            f"metric: {metric.name!r} returned {value.numel()} numbers of shape {tuple(value.shape)}; "
            "it must return one, for instance their mean."
        )
    return value.reshape(()).to(torch.float64)
