"""Adagrad as its paper has it before the diagonal: the matrix of all the gradients' outer products."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fallline.math import sqrt, where
from fallline.optim.matrix import PreconditionedEngine, check_range, compute, contiguous, gradient
from fallline.optim.session import Group
from fallline.symbolic import rule


class FullMatrixAdagrad(PreconditionedEngine, torch.optim.Optimizer):
    """Adagrad with the full matrix (Duchi, Hazan and Singer, 2011): θ ← θ - η (G^{1/2} + εI)⁻¹ g, G = Σ g gᵀ.

    A tensor of n elements is one vector g. ε stands outside the root, as in the paper and as in the diagonal form of
    torch.optim.Adagrad, which this equals while every gradient lies along an axis. Unlike the diagonal form it does not
    depend on the axes: turn the coordinates, and the path turns with them.

    G is kept in float64 under `outer_products`, and its eigenvalues are found at every step: 8 n² bytes and about
    10 n³ operations, so `max_elements` limits n. Eigenvalues below rounding, n·2⁻⁵² of the largest, are directions in
    which no gradient has been yet, and there is no step along them.

    Raises ValueError for a tensor that is too large, and for lr < 0 or eps < 0; at a step ValueError for a
    gradient that is not finite or whose squares are not, RuntimeError for sparse gradients and complex parameters.

    >>> p = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = FullMatrixAdagrad([p], lr=1.0)
    >>> p.grad = torch.tensor([3.0, 4.0])
    >>> optimizer.step(); [round(x, 6) for x in p.tolist()]
    [-0.6, -0.8]
    """

    def __init__(self, params: ParamsT, lr: float = 1e-2, *, eps: float = 1e-10, max_elements: int = 1024) -> None:
        super().__init__(params, {"lr": lr, "eps": eps, "max_elements": max_elements})

    _kept_in = torch.float64

    def _check_group(self, group: Group) -> None:
        check_range("lr", group["lr"], 0)
        check_range("eps", group["eps"], 0)
        for p in group["params"]:
            n = p.numel()
            if n > group["max_elements"]:
                raise ValueError(
                    f"a parameter of shape {tuple(p.shape)} has {n:,} elements, of which the matrix would take "
                    f"{8 * n * n / 2**20:,.0f} MiB; FullMatrixAdagrad takes up to max_elements={group['max_elements']}"
                    ". Use the diagonal form, fallline.optim.Adagrad, for this parameter, or raise max_elements"
                )

    def _move(self, group: Group, params: list[Tensor]) -> None:
        for p in params:
            g = contiguous(gradient(p)).reshape(-1).to(torch.float64)
            state = self.state[p]
            if "outer_products" not in state:
                state["outer_products"] = g.new_zeros(g.numel(), g.numel())
            products = state["outer_products"].addr_(g, g)
            eigenvalues, basis = torch.linalg.eigh(products)
            floor = g.numel() * torch.finfo(torch.float64).eps * float(eigenvalues[-1:].sum())
            turned = {"p": eigenvalues, "g": basis.mT @ g, "s": eigenvalues}
            update, _ = compute(adagrad_in_eigenbasis, turned, lr=group["lr"], eps=group["eps"], floor=floor)
            p.sub_((basis @ update).reshape(p.shape))


@rule
def adagrad_in_eigenbasis(p, g, s, *, lr=1e-2, eps=1e-10, floor=0.0):  # type: ignore[no-untyped-def]
    """Adagrad along the eigenvectors of G, where its matrix is diagonal; s are the eigenvalues."""
    return where(s > floor, lr * g / (sqrt(s) + eps), 0.0), s
