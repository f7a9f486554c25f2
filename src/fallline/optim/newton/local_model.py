"""The loss where its parameters stand, to second order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fallline.optim.newton.closure import Closure, evaluate, gradients_of

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
