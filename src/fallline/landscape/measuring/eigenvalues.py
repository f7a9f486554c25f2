"""The highest and the lowest curvatures of a loss: the ends of its Hessian's spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fallline._asked import number, whole
from fallline.landscape.measuring.loss_at import Array, LossAt
from fallline.landscape.measuring.measured import Measured, Mode, Watch
from fallline.landscape.slice_losses import Model
from fallline.landscape.slices import check_choice
from fallline.training import Problem

Ends = Literal["both", "top"]
#: Lanczos vectors for one eigenvalue. The top one of a network stands clear of the rest and converges within a dozen;
#: the lowest, with many near it, takes twice as many.
_TOP_BASIS, _BOTTOM_BASIS = 12, 24
_LARGEST_BASIS, _RESTARTS = 96, 40
#: So many times the largest curvature in size is the most that one is after the shift.
_SHIFTED = 3


@dataclass(frozen=True)
class Curvature(Measured):
    """Curvatures at both ends: eigenvalues of the Hessian, each with the length of its residual, |Hv - λv|.

    The Hessian has an eigenvalue within the residual of each number; its highest is never below `top[0]`, its lowest
    never above `bottom[0]`, but for rounding. So what is told as negative curvature is there.

    Attributes:
        top: The highest eigenvalues, descending.
        bottom: The lowest ones, ascending; empty where only the top was asked for.
        top_residuals: Those of `top`.
        bottom_residuals: Those of `bottom`.
        converged: Whether all residuals are within the tolerance, or within what rounding allows.
        gradient: The length of the gradient.
    """

    top: tuple[float, ...]
    bottom: tuple[float, ...]
    top_residuals: tuple[float, ...]
    bottom_residuals: tuple[float, ...]
    converged: bool
    gradient: float

    @property
    def told(self) -> str:
        """The curvatures of either end, each with the length of its residual, and the gradient's length."""
        ends = {"highest": (self.top, self.top_residuals), "lowest": (self.bottom, self.bottom_residuals)}
        parts = [
            f"{name} curvature{'s' if len(values) > 1 else ''} "
            + ", ".join(f"{value:.3g} ± {error:.1g}" for value, error in zip(values, errors, strict=True))
            for name, (values, errors) in ends.items()
            if values
        ]
        doubt = "" if self.converged else " (not exact to the tolerance)"
        return f"{'; '.join(parts)}{doubt}; gradient of length {self.gradient:.3g}"


def curvature(
    problem: Problem,
    model: Model,
    *,
    count: int = 1,
    ends: Ends = "both",
    tolerance: float = 1e-3,
    split: str = "train",
    examples: int | None = None,
    mode: Mode = "evaluation",
    seed: int = 0,
    progress: Watch | None = None,
) -> Curvature:
    """Find the highest and the lowest curvatures of the loss at a model's weights.

    They are eigenvalues of the Hessian, by SciPy's `eigsh`: Lanczos with restarts (Lehoucq, Sorensen and Yang, ARPACK
    users' guide, 1998) on Hessian-vector products (Pearlmutter, Fast exact multiplication by the Hessian, 1994).

    Args:
        problem: The problem whose loss it is.
        model: A module, or the state_dict of one that the problem's model function builds. A copy is measured.
        count: How many eigenvalues at each end.
        ends: "both", or "top" alone, which takes fewer products.
        tolerance: How long residuals may be, as a share of three times the size of the largest curvature; no less is
            asked for than rounding allows. Eigenvalues that stand clear of others are far more exact than that: their
            errors go with its square.
        split: The split that the examples are of.
        examples: How many of them are taken, always the same; all unless given.
        mode: "evaluation" or "training", for dropout and batch norm.
        seed: What draws the masks of dropout, and the vector to start from.
        progress: A function that is told a `Progress`, before the first product and after each.

    Returns:
        The eigenvalues, their residuals, and what they hold for.

    Raises:
        TypeError, ValueError: It can't be measured; the sentence names the argument.

    >>> from fallline.problems import quadratic
    >>> problem = quadratic(condition=100, dimensions=20)
    >>> found = curvature(problem, problem.build(0))
    >>> round(found.top[0], 6), round(found.bottom[0], 6)
    (100.0, 1.0)
    """
    count = whole("count", count)
    check_choice("ends", ends, get_args(Ends))
    tolerance = number("tolerance", tolerance, above=0, below=1)
    at = LossAt(problem, model, split, examples, mode, seed, progress)
    top, bottom = spectrum_ends(at, min(count, at.size), tolerance, bottom=ends == "both")
    return Curvature(
        top=tuple(top.values.tolist()),
        bottom=tuple(bottom.values.tolist()),
        top_residuals=tuple(top.residuals.tolist()),
        bottom_residuals=tuple(bottom.residuals.tolist()),
        converged=top.converged and bottom.converged,
        gradient=float(np.linalg.norm(at.gradient())),
        **at.measured(),
    )


@dataclass(frozen=True)
class Pairs:
    """Eigenvalues, the lengths of their residuals, and whether these are short enough."""

    values: NDArray[np.float64]
    residuals: NDArray[np.float64]
    converged: bool = True


_NONE = Pairs(np.zeros(0), np.zeros(0))


def spectrum_ends(at: LossAt, count: int, tolerance: float, *, bottom: bool) -> tuple[Pairs, Pairs]:
    """So many eigenvalues of either end, the outermost first; none of the bottom unless it is wanted."""
    top_basis, bottom_basis = (max(least, 2 * count + 2) for least in (_TOP_BASIS, _BOTTOM_BASIS))
    if at.size <= bottom_basis:
        values, residuals = whole_spectrum(at)
        high = Pairs(values[::-1][:count], residuals[::-1][:count])
        return high, Pairs(values[:count], residuals[:count]) if bottom else _NONE
    products = top_basis + count + (bottom_basis + count if bottom else 0)
    at.expect(2 * products + 1, (bottom_basis if bottom else top_basis) + count + 3)
    start = at.random().standard_normal(at.size).astype(at.dtype)
    start /= np.linalg.norm(start)
    first = at.product(start)
    size = float(np.linalg.norm(first))
    if size == 0:  # of a vector drawn at random: the Hessian is zero
        return (zeros := Pairs(np.zeros(count), np.zeros(count))), zeros if bottom else _NONE
    # ARPACK is exact relative to each eigenvalue. Shifted, none is near zero, as the one asked for may be.
    high = _extreme(at, 1, 2 * size, count, top_basis, (start, first), tolerance, size)
    if not bottom:
        return high, _NONE
    top = max(float(high.values[0]), 0)
    return high, _extreme(at, -1, top + size, count, bottom_basis, (start, first), tolerance, max(top, size))


def _extreme(
    at: LossAt,
    sign: int,
    shift: float,
    count: int,
    basis: int,
    start: tuple[Array, Array],
    tolerance: float,
    largest: float,
) -> Pairs:
    """The highest eigenvalues of the Hessian, or of its negative, as the Hessian has them.

    Its largest in size is known to be `largest` at least, and the shift to be twice that at most.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    given, product = start
    known = [product]

    def shifted(vector: Array) -> Array:
        vector = vector.ravel()
        # ARPACK begins with the vector that it was given, whose product is known.
        first = known.pop() if known and np.allclose(vector, given, rtol=0, atol=4 * at.rounding) else None
        found: Array = sign * (at.product(vector) if first is None else first) + at.dtype.type(shift) * vector
        return found

    operator = LinearOperator((at.size, at.size), matvec=shifted, dtype=at.dtype)
    exact = wanted = max(tolerance, 8 * at.rounding)
    while True:
        try:
            _, vectors = eigsh(operator, count, which="LA", ncv=basis, v0=given, tol=exact, maxiter=_RESTARTS)
            break
        except ArpackNoConvergence:  # many eigenvalues are near: more vectors, then less exactly, as residuals tell
            exact *= 1 if basis < _LARGEST_BASIS else 10
            basis = min(2 * basis, at.size, max(_LARGEST_BASIS, basis))
            at.expect(2 * (basis + count), basis + count + 3)
    products = np.stack([at.product(vector) for vector in vectors.T], 1).astype(np.float64)
    values = (vectors * products).sum(0) / (vectors.astype(np.float64) ** 2).sum(0)
    residuals = np.linalg.norm(products - values * vectors, axis=0)
    order = np.argsort(-sign * values)
    converged = bool((residuals <= _SHIFTED * wanted * max(largest, float(np.abs(values).max()))).all())
    return Pairs(values[order], residuals[order], converged)


def whole_spectrum(at: LossAt) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All eigenvalues, ascending, and the lengths of their residuals, of the Hessian column by column."""
    at.expect(2 * at.size + 1, 3 * at.size)
    columns = np.stack([at.product(column) for column in np.eye(at.size, dtype=at.dtype)], 1).astype(np.float64)
    values, vectors = np.linalg.eigh((columns + columns.T) / 2)
    return values, np.linalg.norm(columns @ vectors - vectors * values, axis=0)
