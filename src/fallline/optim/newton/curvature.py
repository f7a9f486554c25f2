"""A closure's loss to second order where its parameters stand, and the directions that follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fallline.optim.matrix import eigenvectors

Closure = Callable[[], Tensor]


def evaluate(closure: Closure) -> Tensor:
    """Call the closure with autograd on; its loss is a real tensor of one number with a graph.

    Raises TypeError if it is no such tensor, ValueError if it has no graph.
    """
    with torch.enable_grad():
        loss = closure()
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"the closure must return the loss as a tensor; it returned a {type(loss).__name__}. "
            "End it with `return loss`, without .item()"
        )
    if loss.numel() != 1 or loss.is_complex():
        raise TypeError(
            f"the closure must return the loss as one real number; it returned a {loss.dtype} tensor of shape "
            f"{tuple(loss.shape)}. Reduce it, by .mean() or .sum()"
        )
    if not loss.requires_grad:
        raise ValueError(
            "the loss that the closure returned has no graph, so it can't be differentiated. Return the loss itself, "
            "not .detach() or .data of it, compute it outside torch.no_grad(), and check that the parameters require "
            "gradients"
        )
    return loss


def gradients_of(loss: Tensor, params: Sequence[Tensor], create_graph: bool = False) -> tuple[Tensor | None, ...]:
    """The loss's gradient for each parameter, None where it does not depend on it.

    Raises ValueError if the graph is gone because the closure called backward, or if a gradient is sparse.
    """
    try:
        found = torch.autograd.grad(loss, params, create_graph=create_graph, allow_unused=True)
    except RuntimeError as error:
        if "second time" not in str(error):
            raise
        raise ValueError(
            "the graph of the loss that the closure returned was freed: Newton differentiates the loss itself, twice. "
            "Take loss.backward() out of the closure, and return the loss"
        ) from error
    if any(gradient is not None and gradient.layout != torch.strided for gradient in found):
        raise ValueError("Newton takes dense gradients only; one is sparse. Build the embedding with sparse=False")
    return found


#: Rows of the Hessian computed at once: more are no faster for small models on a CPU and take so many times the memory.
_ROWS = 16


class LocalModel:
    """Loss, gradient and Hessian over one flat vector of n numbers: the parameters that the loss depends on.

    The loss is evaluated once; every Hessian product runs backward through the graph of that one gradient.
    """

    def __init__(self, closure: Closure, params: Sequence[Tensor]) -> None:
        loss = evaluate(closure)
        gradients = gradients_of(loss, params, create_graph=True)
        pairs = [(p, g) for p, g in zip(params, gradients, strict=True) if g is not None]
        if not pairs:
            raise ValueError(
                "the loss that the closure returned depends on none of the optimizer's parameters; "
                "pass Newton the parameters of the model that the closure evaluates"
            )
        self.params = [p for p, _ in pairs]
        with torch.enable_grad():
            self._gradient = torch.cat([g.reshape(-1) for _, g in pairs])
        self.loss = loss.detach().clone()
        self.gradient = self._gradient.detach()
        _check_finite("loss", self.loss)
        _check_finite("gradient", self.gradient)

    def product(self, vector: Tensor) -> Tensor:
        """The Hessian times a flat vector: both of shape (n,)."""
        found = self._rows(vector.unsqueeze(0), batched=False).squeeze(0)
        _check_finite("Hessian", found)
        return found

    def hessian(self) -> Tensor:
        """The Hessian, of shape (n, n)."""
        identity = torch.eye(len(self.gradient), dtype=self.gradient.dtype, device=self.gradient.device)
        try:
            found = torch.cat([self._rows(rows, batched=True) for rows in torch.split(identity, _ROWS)])
        except RuntimeError:  # an operation that can't be batched, or no memory for it
            found = torch.cat([self._rows(row, batched=False) for row in torch.split(identity, 1)])
        _check_finite("Hessian", found)
        return found

    def _rows(self, vectors: Tensor, batched: bool) -> Tensor:
        """The Hessian times each row of `vectors`; not batched there is one."""
        if not self._gradient.requires_grad:  # the loss is linear
            return torch.zeros_like(vectors)
        images = torch.autograd.grad(
            self._gradient,
            self.params,
            vectors if batched else vectors.squeeze(0),
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=batched,
        )
        return torch.cat(
            [
                vectors.new_zeros(len(vectors), p.numel()) if image is None else image.reshape(len(vectors), p.numel())
                for p, image in zip(self.params, images, strict=True)
            ],
            dim=1,
        )


def _check_finite(name: str, values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise ValueError(
            f"the {name} is not finite where the step begins, so none can be taken; the parameters are as before. "
            "Look for a division by zero, a logarithm or root of zero or an overflow in the loss, or start elsewhere"
        )


@dataclass(frozen=True)
class Direction:
    """A flat vector that does not lead uphill, and what was learnt about the Hessian on the way to it.

    `escape` is the curvature along the vector if it leads out of a stationary point, and 0 otherwise.
    """

    vector: Tensor
    negative_curvature: bool
    smallest_eigenvalue: float | None = None
    cg_iterations: int | None = None
    escape: float = 0.0


def saddle_free(gradient: Tensor, hessian: Tensor, stationary: bool) -> Direction:
    """Solve |H| d = -g by the eigenvectors of H (Dauphin et al., 2014; Nocedal and Wright, 2006, section 3.4).

    `gradient` has shape (n,), `hessian` (n, n). Along an eigenvector whose eigenvalue is nought to rounding the model
    has no minimum: there the step is the gradient's own part, which is nought if the system has a solution, and then
    the step is the least-norm one. At a `stationary` point with negative curvature the direction is the eigenvector of
    the smallest eigenvalue, of unit length (Moré and Sorensen, 1979).

    >>> saddle_free(torch.tensor([2.0, 2.0]), torch.diag(torch.tensor([4.0, -1.0])), stationary=False).vector.tolist()
    [-0.5, -2.0]
    """
    values, vectors = torch.linalg.eigh(hessian)
    sizes = values.abs()
    flat = sizes <= len(values) * torch.finfo(values.dtype).eps * sizes.max()
    smallest = float(values[0])
    negative = smallest < 0 and not bool(flat[0])
    if stationary and negative:
        lowest = eigenvectors(hessian)[1][:, 0]  # the same one on every machine
        uphill = float(lowest @ gradient) > 0
        return Direction(-lowest if uphill else lowest, negative, smallest, escape=smallest)
    divisors = torch.where(flat, torch.ones_like(sizes), sizes)
    return Direction(-(vectors @ (vectors.T @ gradient / divisors)), negative, smallest)


#: Curvature below so many roundings of the largest met is none.
_FLAT = 10


def conjugate_gradients(
    gradient: Tensor, product: Callable[[Tensor], Tensor], tolerance: float | None, limit: int
) -> Direction:
    """Solve H d = -g until the residual is `tolerance` of the gradient, or for `limit` products.

    With None for a tolerance, min(1/2, √‖g‖), which makes Newton's method converge superlinearly (Dembo and Steihaug,
    1983; Nocedal and Wright, 2006, algorithm 7.1). Where a search direction has negative curvature the solution follows
    it and ends, as Steihaug's (1983) does at the edge of his trust region; there is none here, so it goes as far as the
    curvature's size says, as in saddle-free Newton (Dauphin et al., 2014). A direction without curvature is followed
    for its own length.

    >>> H = torch.diag(torch.tensor([4.0, 1.0]))
    >>> conjugate_gradients(torch.tensor([2.0, 2.0]), lambda v: H @ v, 1e-6, 10).vector
    tensor([-0.5000, -2.0000])
    """
    solution = torch.zeros_like(gradient)
    residual = gradient.clone()
    search = -residual
    squared = float(residual @ residual)
    size = math.sqrt(squared)
    goal = size * (min(0.5, math.sqrt(size)) if tolerance is None else tolerance)
    rounding = _FLAT * torch.finfo(gradient.dtype).eps
    largest = 0.0
    iterations, negative = 0, False
    while iterations < limit and math.sqrt(squared) > goal:
        iterations += 1
        image = product(search)
        curvature, length = float(search @ image), float(search @ search)
        largest = max(largest, abs(curvature) / length)
        flat = abs(curvature) <= rounding * largest * length
        if flat or curvature < 0:
            solution.add_(search, alpha=1.0 if flat else squared / -curvature)
            negative = not flat
            break
        solution.add_(search, alpha=squared / curvature)
        residual.add_(image, alpha=squared / curvature)
        before, squared = squared, float(residual @ residual)
        search = search * (squared / before) - residual
    return Direction(solution, negative, cg_iterations=iterations)
