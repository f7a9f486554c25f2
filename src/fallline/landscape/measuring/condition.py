"""How unlike the curvatures of a loss are: the condition number, and what standardising the inputs does to it."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from fallline.landscape.measuring.eigenvalues import spectrum_ends, whole_spectrum
from fallline.landscape.measuring.loss_at import LossAt
from fallline.landscape.measuring.measured import Measured, Mode, Watch
from fallline.landscape.measuring.spectrum import mean_of, quadrature
from fallline.landscape.slice_losses import Model
from fallline.training import Problem, ProblemError

_WHOLE = 500  # parameters up to which all curvatures are computed
_PROBES, _STEPS, _TOLERANCE = 4, 40, 1e-3


@dataclass(frozen=True)
class Condition(Measured):
    """How unlike the curvatures are.

    Attributes:
        number: The condition number, highest over lowest curvature; infinite where the lowest is negative, zero, or too
            small to be told from zero. Gradient descent takes steps in proportion to it.
        spread: The highest curvature over the mean of all curvatures' sizes, which networks have as well, though their
            number be infinite. Along an average direction, descent at its largest rate takes off 2 / spread a step.
        number_error: How far `number` may be off, by the residuals of both ends; infinite where it is.
        spread_error: The standard error of `spread`; 0 where all curvatures were computed.
        probes: How many random vectors `spread` is of; 0 where all curvatures were computed.
        top: The highest curvature.
        bottom: The lowest.
        bottom_error: How far it may be off, by its residual or by rounding.
        standardised: Whether the features were brought to mean 0 and standard deviation 1.
    """

    number: float
    number_error: float
    spread: float
    spread_error: float
    probes: int
    top: float
    bottom: float
    bottom_error: float
    standardised: bool

    @property
    def at_least(self) -> float:
        """What the condition number is at least, where the lowest curvature can't be told from zero; 0 if negative."""
        if math.isfinite(self.number):
            return self.number
        return self.top / (abs(self.bottom) + self.bottom_error) if self.bottom > -self.bottom_error else 0.0

    @property
    def told(self) -> str:
        """The condition number, and the highest curvature over the mean size of all."""
        scaled = " of standardised features" if self.standardised else ""
        bound = math.isinf(self.number) and self.at_least > 0
        number = f"at least {self.at_least:.2g}" if bound else f"{self.number:.3g}"
        return (
            f"condition number {number}{scaled}, curvatures {self.bottom:.3g} to {self.top:.3g}; the highest is "
            f"{self.spread:.3g} ± {self.spread_error:.1g} times the mean size of all"
        )

    @property
    def spread_doubt(self) -> float:
        """Half the width of the 95 % interval of `spread`, which for few probes is wider than two standard errors."""
        from scipy.special import stdtrit

        return float(stdtrit(self.probes - 1, 0.975)) * self.spread_error if self.probes else 0.0


def condition(
    problem: Problem,
    model: Model,
    *,
    standardised: bool = False,
    split: str = "train",
    examples: int | None = None,
    mode: Mode = "evaluation",
    seed: int = 0,
    progress: Watch | None = None,
) -> Condition:
    """Measure how unlike the curvatures of the loss are, which is what makes gradient descent slow.

    Called twice it tells what a change is worth: with and without `standardised` that of scaling the features; with a
    model and with one that has batch norm, in mode="training", that of batch norm (LeCun, Bottou, Orr and Müller,
    Efficient backprop, 1998; Santurkar and others, How does batch normalization help optimization?, 2018).

    Up to 500 parameters all curvatures are computed; beyond, the ends and the mean are estimated.

    Args:
        problem: The problem whose loss it is.
        model: A module, or the state_dict of one that the problem's model function builds. A copy is measured.
        standardised: Whether each feature of the inputs is brought to mean 0 and standard deviation 1 first, as
            measured on the examples.
        split: The split that the examples are of.
        examples: How many of them are taken, always the same; all unless given.
        mode: "evaluation" or "training", for dropout and batch norm.
        seed: What draws vectors to start from, and the masks of dropout.
        progress: A function that is told a `Progress`, before the first product and after each.

    Returns:
        The condition number, the spread, both ends, and what they hold for.

    Raises:
        TypeError, ValueError: It can't be measured; the sentence names the argument.

    >>> from fallline.problems import quadratic
    >>> problem = quadratic(condition=100, dimensions=20)
    >>> found = condition(problem, problem.build(0))
    >>> round(found.number, 6), round(found.spread, 3)
    (100.0, 4.339)
    """
    look = partial(LossAt, problem, model, split, examples, mode, seed, progress, standardised=standardised)
    at = look()
    if at.size <= _WHOLE:
        with suppress(ProblemError):  # of unscaled features single precision can't tell the lowest curvature from zero
            at = look(double=True)
        values, _ = whole_spectrum(at)
        top, bottom, mean, error, probes = float(values[-1]), float(values[0]), float(np.abs(values).mean()), 0.0, 0
        doubt = above = at.size * at.rounding * max(abs(top), abs(bottom))
    else:
        high, low = spectrum_ends(at, 1, _TOLERANCE, bottom=True)
        top, bottom, probes = float(high.values[0]), float(low.values[0]), _PROBES
        above, doubt = float(high.residuals[0]), float(low.residuals[0])
        nodes, weights = quadrature(at, probes, _STEPS)
        mean, error = mean_of((weights * np.abs(nodes)).sum(1))
    if mean == 0:
        raise ProblemError(f"model: its loss on {split} has no curvature at these weights, and so no condition.")
    return Condition(
        number=top / bottom if bottom > doubt else math.inf,
        number_error=(top + above) / (bottom - doubt) - top / bottom if bottom > doubt else math.inf,
        spread=top / mean,
        spread_error=abs(top) * error / mean**2,
        probes=probes,
        top=top,
        bottom=bottom,
        bottom_error=doubt,
        standardised=standardised,
        **at.measured(),
    )
