"""The noise of mini-batch gradients, and the size of batch beyond which there is little left to gain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline._asked import whole
from fallline.landscape.measuring.loss_at import Array, LossAt
from fallline.landscape.measuring.measured import Measured, Mode, Watch
from fallline.landscape.slice_losses import Model
from fallline.training import Problem, ProblemError

_FEWEST = 4  # batches
_WIDEST = 4.0  # interval, upper end over lower
_GROUPS = 20  # of small batches, each left out in turn: so many gradients are kept


@dataclass(frozen=True)
class NoiseScale(Measured):
    """How noisy the gradients of single examples are, beside the gradient that they share.

    Attributes:
        scale: The examples of a batch whose noise is as large as the gradient, tr(Σ)/|G|²; infinite where the gradient
            can't be told from zero.
        low: The lower end of its 95 % interval.
        high: The upper end, infinite where the gradient can't be told from zero on these examples.
        noise: tr(Σ), the variance of an example's gradient, summed over the parameters.
        signal: |G|², the square of the length of the mean gradient, without the part of it that is noise.
        noise_error: The standard error of `noise`.
        signal_error: The standard error of `signal`.
        batch: Examples of the small batches it was measured with.
    """

    scale: float
    low: float
    high: float
    noise: float
    signal: float
    noise_error: float
    signal_error: float
    batch: int

    @property
    def told(self) -> str:
        """The scale in examples, with its interval."""
        return (
            f"noise scale {self.scale:.3g} examples, with 95 % confidence {self.low:.3g} to {self.high:.3g}, from "
            f"batches of {self.batch}"
        )

    @property
    def is_known(self) -> bool:
        """Whether the upper end of the interval is at most 4 times the lower: a wider one tells no batch size."""
        return self.low > 0 and self.high <= _WIDEST * self.low

    @property
    def suggested(self) -> int | None:
        """The power of two nearest to the scale; None where the interval is too wide, as `is_known` says.

        At a batch of the scale, descent at its best rate takes twice the steps that the whole gradient would, and twice
        the examples that single ones would; doubling it saves a quarter of the steps, at half as many examples again.
        """
        if not self.is_known:
            return None
        return int(2 ** round(math.log2(max(self.scale, 1))))


def noise_scale(
    problem: Problem,
    model: Model,
    *,
    batch: int | None = None,
    split: str = "train",
    examples: int | None = None,
    mode: Mode = "evaluation",
    seed: int = 0,
    progress: Watch | None = None,
) -> NoiseScale:
    """Measure how noisy gradients are at a model's weights, which says what batches pay.

    The gradients of disjoint batches are compared with that of all of them together; the parts of the ratio are
    averaged apart (McCandlish and others, An empirical model of large-batch training, 2018). The interval is Fieller's,
    by a jackknife over groups of batches.

    Args:
        problem: The problem whose loss it is, a mean over examples.
        model: A module, or the state_dict of one that the problem's model function builds. A copy is measured.
        batch: Examples of each batch; the problem's batch, or a twentieth of all if that is less,
            unless given; at most a quarter of all.
        split: The split that the examples are of.
        examples: How many of them are taken, always the same; all unless given.
        mode: "evaluation" or "training", for dropout. Batch norm in training mode is refused, as a batch's gradient
            then is no mean over examples.
        seed: What draws the batches, and the masks of dropout.
        progress: A function that is told a `Progress`, before the first batch and after each.

    Returns:
        The scale, its interval, both parts, and what they hold for.

    Raises:
        TypeError, ValueError: It can't be measured; the sentence names the argument.

    >>> from fallline.problems import digits
    >>> problem = digits()
    >>> noise = noise_scale(problem, problem.build(0))
    >>> noise.low < noise.scale < noise.high, noise.suggested
    (True, 128)
    """
    at = LossAt(problem, model, split, examples, mode, seed, progress)
    if at.mixes_examples:
        raise ProblemError(
            "mode: batch norm in training mode lets examples change each other's gradients, and the noise scale is of "
            "examples that do not; take mode='evaluation', or a model with group or layer norm."
        )
    if at.examples < _FEWEST:
        raise ProblemError(f"examples: noise is told from {_FEWEST} at least; got {at.examples} of {split}.")
    most = at.examples // _FEWEST
    batch = max(1, min(problem.batch, at.examples // _GROUPS)) if batch is None else whole("batch", batch, 1, most)
    count = at.examples // batch
    groups = np.arange(count) * min(_GROUPS, count) // count
    at.expect(count * batch / at.examples, min(_GROUPS, count) + 3)
    order = at.random().permutation(at.examples)
    sums = np.zeros((groups[-1] + 1, at.size), at.dtype)
    squares = np.zeros(len(sums))
    for number, rows in enumerate(order[: count * batch].reshape(count, batch)):
        gradient = at.gradient_of(np.sort(rows), number + 1)
        sums[groups[number]] += gradient
        squares[groups[number]] += float(gradient.astype(np.float64) @ gradient)
    return NoiseScale(**_ratio(batch, np.bincount(groups), sums, squares), batch=batch, **at.measured())


def _ratio(batch: int, counts: NDArray[np.int64], sums: Array, squares: NDArray[np.float64]) -> dict[str, Any]:
    """Variance, gradient and their ratio, from sums of batches' gradients and of their squares in groups."""
    whole_sum = sums.sum(0, dtype=np.float64)

    def parts(kept: int, total: NDArray[np.float64], square: float) -> tuple[float, float]:
        mean = float(total @ total) / kept**2
        large, small = kept * batch, batch
        noise = (square / kept - mean) / (1 / small - 1 / large)
        return noise, (large * mean - small * square / kept) / (large - small)

    noise, signal = parts(int(counts.sum()), whole_sum, float(squares.sum()))
    left = [
        parts(int(counts.sum() - count), whole_sum - own, float(squares.sum() - square))
        for count, own, square in zip(counts, sums, squares, strict=True)
    ]
    number = len(counts)
    spread = (number - 1) ** 2 / number * np.cov(np.transpose(left))
    from scipy.special import stdtrit

    low, high = _fieller(noise, signal, spread, float(stdtrit(number - 1, 0.975)))
    return {
        "scale": max(noise, 0.0) / signal if signal > 0 else math.inf,
        "low": low,
        "high": high,
        "noise": noise,
        "signal": signal,
        "noise_error": math.sqrt(spread[0, 0]),
        "signal_error": math.sqrt(spread[1, 1]),
    }


def _fieller(upper: float, lower: float, spread: NDArray[np.float64], quantile: float) -> tuple[float, float]:
    """The ratios that two estimates do not contradict: those r for which `upper - r * lower` may be zero (1954)."""
    a = lower**2 - quantile**2 * float(spread[1, 1])
    b = upper * lower - quantile**2 * float(spread[0, 1])
    c = upper**2 - quantile**2 * float(spread[0, 0])
    root = math.sqrt(max(b * b - a * c, 0.0))
    low = max(c, 0.0) / (b + root) if b + root > 0 else 0.0
    return low, (b + root) / a if a > 0 and lower > 0 else math.inf
