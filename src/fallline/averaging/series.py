"""The exponential moving average of numbers: mₜ = β·mₜ₋₁ + (1-β)·xₜ from m₀ = 0, divided by 1 - βᵗ.

Without the division the average starts near 0 and takes some 1/(1-β) values to forget it; see Kingma and Ba, *Adam*,
2015, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Complex
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from fallline._asked import number

_NUMERIC = tuple("biufc")  # NumPy's kinds of number


class ExponentialAverage:
    """The exponential moving average of a stream of numbers, or of arrays or tensors of one shape.

    Args:
        beta: From 0 to 1, 1 excluded: the older a value, the less it counts, by this factor for each later one; so
            about the last `window` = 1/(1-beta) values count.
        bias_correction: Whether the first average is the first value, or near 0.

    Raises:
        TypeError, ValueError: `beta` is no such number.

    >>> loss = ExponentialAverage(beta=0.5)
    >>> [loss.update(value) for value in (3.0, 0.0, 3.0)]
    [3.0, 1.0, 2.142857142857143]
    >>> loss.window
    2.0
    """

    def __init__(self, beta: float = 0.9, bias_correction: bool = True) -> None:
        self.beta = number("beta", beta, below=1)
        self.bias_correction = bias_correction
        self._sum: Any = 0.0
        self._shape: tuple[int, ...] | None = None
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
        return self._sum / (self._weight if self.bias_correction else 1.0)  # never the sum itself, which goes on

    def update(self, value: Any) -> Any:
        """Take one more value in and return the average.

        Args:
            value: A number, an array or a tensor, which is taken without its graph.

        Raises:
            TypeError: It is none of these.
            ValueError: It has another shape than the first one.
        """
        if isinstance(value, Tensor):
            value = value.detach()
        elif not isinstance(value, Complex) and getattr(getattr(value, "dtype", None), "kind", "O") not in _NUMERIC:
            raise TypeError(
                f"value must be a number, or an array or a tensor of numbers; got {value!r}. Give one value a call; "
                "fallline.averaging.ema takes a whole series"
            )
        shape = tuple(getattr(value, "shape", ()))
        if self._shape not in (None, shape):
            raise ValueError(f"value must have the shape of the first one, {self._shape}; got the shape {shape}")
        self._shape = shape
        self._sum = self.beta * self._sum + (1 - self.beta) * value
        self._weight = self.beta * self._weight + (1 - self.beta)
        return self.value


def ema(values: ArrayLike | Iterable[Any], beta: float = 0.9, bias_correction: bool = True) -> NDArray[Any]:
    """Return the exponential moving average [T, ...] of `values` [T, ...] up to each time, in double precision.

    For averages while values still come, use `ExponentialAverage`. A NaN stays in every average after it.

    Args:
        values: An array, or any iterable of numbers, or of arrays or tensors of one shape, which is read to its end.
        beta: What an average keeps of the one before, from 0 to 1, 1 excluded.
        bias_correction: Whether the first average is the first value, or near 0.

    Raises:
        TypeError, ValueError: `beta` is no such number; the values have no time axis, or are not numbers of one shape.

    >>> ema([3.0, 0.0, 3.0], beta=0.5, bias_correction=False).tolist()
    [1.5, 0.75, 1.875]
    """
    series = _as_array(values)
    if series.ndim == 0:
        raise ValueError("values must have time as their first axis; got a single number")
    average = ExponentialAverage(beta, bias_correction)
    averages = np.empty(series.shape, dtype=np.result_type(series, np.float64))
    for place, value in enumerate(series.astype(averages.dtype)):
        averages[place] = average.update(value)
    return averages


def _as_array(values: Any) -> NDArray[Any]:
    """Values [T, ...] as one array of numbers."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    elif isinstance(values, Iterable) and not isinstance(values, (np.ndarray, str, bytes, Mapping)):
        values = [value.detach().cpu().numpy() if isinstance(value, Tensor) else value for value in values]
    try:
        series = np.asarray(values)
    except ValueError as error:
        raise ValueError("values must all have one shape, that of the first one") from error
    if series.dtype.kind not in _NUMERIC:
        raise TypeError(
            f"values must be numbers, or arrays or tensors of one shape; got {type(values).__name__} with "
            f"{series.dtype} in it. For values that come one by one, use ExponentialAverage"
        )
    return series
