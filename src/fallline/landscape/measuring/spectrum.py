"""All curvatures of a loss: their sum, and how they are spread, from products with random vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fallline._asked import number, whole
from fallline._text import counted
from fallline.landscape.measuring.loss_at import Array, LossAt
from fallline.landscape.measuring.measured import Measured, Mode, Watch
from fallline.landscape.slice_losses import Model
from fallline.training import Problem

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Trace(Measured):
    """The trace of the Hessian, estimated.

    Attributes:
        value: The estimate.
        error: Its standard error.
        probes: How many random vectors it is of.
    """

    value: float
    error: float
    probes: int

    @property
    def told(self) -> str:
        """The sum of all curvatures, with its standard error."""
        return f"trace {self.value:.3g} ± {self.error:.2g} (standard error of {counted(self.probes, 'random vector')})"


def trace(
    problem: Problem,
    model: Model,
    *,
    probes: int = 30,
    split: str = "train",
    examples: int | None = None,
    mode: Mode = "evaluation",
    seed: int = 0,
    progress: Watch | None = None,
) -> Trace:
    """Estimate the trace of the Hessian, which is the sum of all curvatures.

    It is the mean of zᵀHz over vectors z of random signs (Hutchinson, A stochastic estimator of the trace of the
    influence matrix, 1989).

    Args:
        problem: The problem whose loss it is.
        model: A module, or the state_dict of one that the problem's model function builds. A copy is measured.
        probes: How many vectors, at least 2; the error goes with one over the root of it.
        split: The split that the examples are of.
        examples: How many of them are taken, always the same; all unless given.
        mode: "evaluation" or "training", for dropout and batch norm.
        seed: What draws the vectors, and the masks of dropout.
        progress: A function that is told a `Progress`, before the first product and after each.

    Returns:
        The estimate, its standard error, and what they hold for.

    Raises:
        TypeError, ValueError: It can't be measured; the sentence names the argument.

    >>> from fallline.problems import quadratic
    >>> problem = quadratic(condition=100, dimensions=20)
    >>> round(trace(problem, problem.build(0)).value, 6)
    460.951618
    """
    probes = whole("probes", probes, 2)
    at = LossAt(problem, model, split, examples, mode, seed, progress)
    at.expect(2 * probes + 1, 3)
    value, error = mean_of(np.array([signs @ at.product(signs) for signs in _signs(at, probes)]))
    return Trace(value=value, error=error, probes=probes, **at.measured())


@dataclass(frozen=True, eq=False)
class Spectrum(Measured):
    """How the curvatures are spread: for each random vector a quadrature of the spectral density.

    Attributes:
        nodes: Curvatures [probes, steps]; the outermost are close to eigenvalues.
        weights: The share of all curvatures at each node [probes, steps]; each row adds up to 1.
    """

    nodes: Numbers
    weights: Numbers

    @property
    def told(self) -> str:
        """Between which curvatures the nodes lie, and from how many vectors."""
        return (
            f"curvatures from {self.nodes.min():.3g} to {self.nodes.max():.3g} and {self.mean:.3g} on average, from "
            f"{counted(len(self.nodes), 'random vector')}"
        )

    @property
    def mean(self) -> float:
        """The mean of all curvatures."""
        return float((self.weights * self.nodes).sum(1).mean())

    def density(self, places: ArrayLike, *, width: float | None = None) -> Numbers:
        """The density of curvatures, each spread by a normal distribution; it integrates to 1.

        Args:
            places: Curvatures, of any shape.
            width: The standard deviation of that distribution; a hundredth of the spectrum's width unless given.

        Returns:
            The density at the places.
        """
        if width is None:
            width = float(np.ptp(self.nodes)) / 100 or 1e-3 * (abs(float(self.nodes.max())) or 1.0)
        width = number("width", width, above=0)
        distances = (np.asarray(places, np.float64)[..., None, None] - self.nodes) / width
        heights = np.exp(-(distances**2) / 2) * self.weights / (math.sqrt(2 * math.pi) * width)
        found: Numbers = heights.sum((-1, -2)) / len(self.nodes)
        return found

    def share_below(self, curvature: float) -> tuple[float, float]:
        """The share of all curvatures that are below one, and the standard error of it.

        Args:
            curvature: The bound. Rounding puts nodes that should be zero to either side of it.
        """
        return mean_of((self.weights * (self.nodes < curvature)).sum(1))


def spectrum(
    problem: Problem,
    model: Model,
    *,
    probes: int = 4,
    steps: int = 40,
    split: str = "train",
    examples: int | None = None,
    mode: Mode = "evaluation",
    seed: int = 0,
    progress: Watch | None = None,
) -> Spectrum:
    """Estimate how the curvatures are spread, by Lanczos quadrature from vectors of random signs.

    (Ubaru, Chen and Saad, Fast estimation of tr(f(A)) via stochastic Lanczos quadrature, 2017; Ghorbani, Krishnan and
    Xiao, An investigation into neural net optimization via Hessian eigenvalue density, 2019.)

    Args:
        problem: The problem whose loss it is.
        model: A module, or the state_dict of one that the problem's model function builds. A copy is measured.
        probes: How many random vectors, at least 2.
        steps: How many products with each, and so nodes; fewer where there are fewer parameters.
        split: The split that the examples are of.
        examples: How many of them are taken, always the same; all unless given.
        mode: "evaluation" or "training", for dropout and batch norm.
        seed: What draws the vectors, and the masks of dropout.
        progress: A function that is told a `Progress`, before the first product and after each.

    Returns:
        Nodes and weights of the density, and what they hold for.

    Raises:
        TypeError, ValueError: It can't be measured; the sentence names the argument.

    >>> from fallline.problems import quadratic
    >>> problem = quadratic(condition=100, dimensions=20)
    >>> found = spectrum(problem, problem.build(0))
    >>> float(found.nodes.max().round(6)), found.share_below(0.5)
    (100.0, (0.0, 0.0))
    """
    probes, steps = whole("probes", probes, 2), whole("steps", steps)
    at = LossAt(problem, model, split, examples, mode, seed, progress)
    nodes, weights = quadrature(at, probes, steps)
    return Spectrum(nodes=nodes, weights=weights, **at.measured())


def quadrature(at: LossAt, probes: int, steps: int) -> tuple[Numbers, Numbers]:
    """Nodes and weights [probes, steps] of the spectral density."""
    steps = min(steps, at.size)
    at.expect(2 * probes * steps + 1, 2 * steps + 3)
    found = [_gauss(at.product, signs, steps, at.rounding) for signs in _signs(at, probes)]
    nodes, weights = np.transpose(found, (1, 0, 2))
    return nodes, weights


def _gauss(product: Callable[[Array], Array], start: Array, steps: int, rounding: float) -> tuple[Numbers, Numbers]:
    """Gauss quadrature of the Hessian's spectrum as a vector sees it, by Lanczos, orthogonalised twice in full."""
    from scipy.linalg import eigh_tridiagonal

    basis = np.zeros((steps, len(start)))
    diagonal, beside = np.zeros(steps), np.zeros(steps)
    vector, reached = start / np.linalg.norm(start), 0
    for step in range(steps):
        basis[step], reached = vector, step + 1
        vector = product(vector).astype(np.float64)
        size = float(np.linalg.norm(vector))
        diagonal[step] = basis[step] @ vector
        for _ in range(2):
            vector -= basis[:reached].T @ (basis[:reached] @ vector)
        beside[step] = np.linalg.norm(vector)
        if beside[step] <= 10 * rounding * size:  # all that this vector reaches: the quadrature is exact
            break
        vector = vector / beside[step]
    nodes, vectors = eigh_tridiagonal(diagonal[:reached], beside[: reached - 1])
    missing = (0, steps - reached)
    return np.pad(nodes, missing, "edge"), np.pad(vectors[0] ** 2, missing)


def _signs(at: LossAt, probes: int) -> Iterator[Numbers]:
    """Vectors [n] of random signs."""
    generator = at.random()
    for _ in range(probes):
        yield generator.choice([-1.0, 1.0], at.size)


def mean_of(values: Numbers) -> tuple[float, float]:
    """The mean, and its standard error."""
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
