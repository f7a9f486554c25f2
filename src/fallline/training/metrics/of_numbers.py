"""Metrics of outputs that are compared with targets as numbers, and are means over the examples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fallline.training.errors import ProblemError
from fallline.training.metrics.metric import mean_of


def check_same_shape(output: Tensor, target: Tensor) -> None:
    """Raise ProblemError where output and target would be broadcast."""
    if output.shape != target.shape:
        raise ProblemError(
            f"metric: the output has shape {tuple(output.shape)} and the targets {tuple(target.shape)}, which must be "
            "equal for this metric; reshape one of them or give a callable(output, target)."
        )


def _mean_by_example(errors: Tensor) -> Tensor:
    return errors.reshape(len(errors), -1).mean(1)


def _squared_errors(output: Tensor, target: Tensor) -> Tensor:
    check_same_shape(output, target)
    return _mean_by_example((output - target).square())


def _absolute_errors(output: Tensor, target: Tensor) -> Tensor:
    check_same_shape(output, target)
    return _mean_by_example((output - target).abs())


def _relative_errors(output: Tensor, target: Tensor) -> Tensor:
    check_same_shape(output, target)
    least = torch.finfo(torch.float64).eps  # as scikit-learn takes it
    return _mean_by_example((output - target).double().abs() / target.double().abs().clamp_min(least))


MEAN_SQUARED_ERROR = mean_of("mean_squared_error", _squared_errors, higher_is_better=False, highest=math.inf)
MEAN_ABSOLUTE_ERROR = mean_of("mean_absolute_error", _absolute_errors, higher_is_better=False, highest=math.inf)
MEAN_ABSOLUTE_PERCENTAGE_ERROR = mean_of(
    "mean_absolute_percentage_error", _relative_errors, higher_is_better=False, highest=math.inf
)
