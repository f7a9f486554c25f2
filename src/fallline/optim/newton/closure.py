"""The loss that a closure returns, checked, and its gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

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
