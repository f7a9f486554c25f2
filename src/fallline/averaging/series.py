"""The exponential moving average of numbers: mₜ = β·mₜ₋₁ + (1-β)·xₜ from m₀ = 0, divided by 1 - βᵗ.

Without the division the average starts near 0 and takes some 1/(1-β) values to forget it; see Kingma and Ba, *Adam*,
2015, section 3.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


class ExponentialAverage:
    """The exponential moving average of a stream of numbers, or of arrays or tensors of one shape.

    `beta` from 0 to 1, 1 excluded: the older a value, the less it counts, by this factor for each later one; so about
    the last `window` = 1/(1-beta) values count. With `bias_correction` the first average is the first value.

    Raises TypeError or ValueError for any other `beta`.

    >>> loss = ExponentialAverage(beta=0.5)
    >>> [loss.update(value) for value in (3.0, 0.0, 3.0)]
    [3.0, 1.0, 2.142857142857143]
    >>> loss.window
    2.0
    """

    def __init__(self, beta: float = 0.9, bias_correction: bool = True) -> None:
        self.beta = as_share("beta", beta)
        self.bias_correction = bias_correction
        self._sum: Any = 0.0
        self._weight = 0.0  # 1 - βᵗ, summed like the values: for β near 1 the power would lose digits

    @property
    def window(self) -> float:
        """About how many of the last values count."""
        return 1 / (1 - self.beta)

    @property
    def value(self) -> Any:
        """The average of the values so far; raises ValueError before the first."""
        if self._weight == 0.0:
            raise ValueError("the average has no value yet: call update first")
        return self._sum / self._weight if self.bias_correction else self._sum

    def update(self, value: Any) -> Any:
        """Take one more value in and return the average; a tensor is taken without its graph."""
        if isinstance(value, Tensor):
            value = value.detach()
        self._sum = self.beta * self._sum + (1 - self.beta) * value
        self._weight = self.beta * self._weight + (1 - self.beta)
        return self.value


def ema(values: ArrayLike, beta: float = 0.9, bias_correction: bool = True) -> NDArray[Any]:
    """Return the exponential moving average [T, ...] of `values` [T, ...] up to each time, in double precision.

    `beta` and `bias_correction` as in `ExponentialAverage`. A NaN stays in every average after it.

    Raises TypeError or ValueError for a `beta` out of 0 to 1 (1 excluded) and for values without a time axis.

    >>> ema([3.0, 0.0, 3.0], beta=0.5, bias_correction=False).tolist()
    [1.5, 0.75, 1.875]
    """
    series = np.asarray(values)
    if series.ndim == 0:
        raise ValueError("values must have time as their first axis; got a single number")
    average = ExponentialAverage(beta, bias_correction)
    averages = np.empty(series.shape, dtype=np.result_type(series, np.float64))
    for place, value in enumerate(series.astype(averages.dtype)):
        averages[place] = average.update(value)
    return averages


def as_share(name: str, value: Any) -> float:
    """Return a number from 0 to 1, 1 excluded; raises TypeError or ValueError.

    >>> as_share("beta", 0.9)
    0.9
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number from 0 to 1, 1 excluded; got {value!r}")
    share = float(value)
    if not 0 <= share < 1:
        raise ValueError(f"{name} must be a number from 0 to 1, 1 excluded; got {value}")
    return share
