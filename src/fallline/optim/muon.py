"""Muon, as torch.optim.Muon: momentum, made orthogonal by Newton and Schulz's iteration."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fallline.optim.documented import documented
from fallline.optim.matrix import MatrixEngine, Segment, check_range, gradient, step_together
from fallline.optim.session import Group
from fallline.rules import decoupled_decay
from fallline.symbolic import rule

#: Matrices of up to so many elements are multiplied in batches of up to so many: there the cost is in the calls.
_SMALL, _BATCH = 1 << 16, 1 << 18


@documented(
    weight_decay="Strength λ of decoupled weight decay, at least 0.",
    momentum="Decay factor μ of the average of gradients, at least 0.",
    eps="The least norm by which a matrix is divided.",
    ns_coefficients="The three coefficients of the iteration.",
    ns_steps="How often it is iterated, less than 100.",
    adjust_lr_fn="How a matrix's shape scales its step, as above.",
)
class Muon(MatrixEngine, torch.optim.Muon):
    """Drop-in for torch.optim.Muon: the same arguments, groups, states and checkpoints; small matrices go in batches.

    The average of the gradients is replaced by the nearest matrix with orthonormal rows or columns, nearly, so that
    all directions are stepped along alike (Jordan et al., Muon: an optimizer for hidden layers in neural networks,
    2024). `adjust_lr_fn` scales the step of a matrix: by √max(1, rows/columns) ("original", the default), by
    0.2 √max(rows, columns) ("match_rms_adamw"; Liu et al., Muon is scalable for LLM training, 2025), with which
    learning rates found for AdamW fit, or, where torch has it, by √(rows/columns) ("spectral_unclamped"; Bernstein,
    Deriving Muon, 2025). The iteration runs in bfloat16, in which torch's class runs it too.

    It is for the matrices of hidden layers; what else there is goes to another optimizer, as below.

    Raises:
        ValueError: A parameter is not a matrix, or what else torch's class refuses, in its words.

    >>> import torch
    >>> from fallline import optim
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> matrices = [p for p in model.parameters() if p.ndim == 2]
    >>> others = [p for p in model.parameters() if p.ndim != 2]
    >>> optimizers = optim.Muon(matrices, lr=0.02), optim.AdamW(others, lr=3e-4)
    >>> model(torch.ones(1, 4)).sum().backward()
    >>> for optimizer in optimizers:
    ...     optimizer.step()
    """

    _follows = ("momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn")

    def _check_group(self, group: Group) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check_range(name, group[name], 0)
        _scale(group["adjust_lr_fn"], 1, 1)

    def _check(self, p: Tensor) -> None:
        super()._check(p)
        if p.ndim != 2:
            raise ValueError("Param gradient must be a 2D matrix")

    def _move(self, group: Group, params: list[Tensor]) -> None:
        for p in params:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(gradient(p), memory_format=torch.preserve_format)
        for batch in _batches([p for p in params if p.numel()]):
            self._move_together(group, batch)

    def _move_together(self, group: Group, batch: list[Tensor]) -> None:
        """Move matrices of one shape; their directions are [matrices, rows, columns]."""
        p = batch[0]
        directions = p.new_empty((len(batch), *p.shape), dtype=torch.promote_types(p.dtype, torch.float32))
        averages = {"momentum": group["momentum"]}
        gathering = [
            Segment({"p": p, "g": gradient(p), "b": self.state[p]["momentum_buffer"], "direction": direction}, averages)
            for p, direction in zip(batch, directions, strict=True)
        ]
        step_together(muon_momentum, gathering, nesterov=bool(group["nesterov"]))
        matrices = directions if len(batch) > 1 else directions[0]  # a product of two is faster than a batch of one
        matrices.copy_(orthogonalised(matrices, group["ns_coefficients"], group["ns_steps"], group["eps"]))
        scale = _scale(group["adjust_lr_fn"], *p.shape)
        rates = {"lr": float(group["lr"]), "scale": scale, "weight_decay": group["weight_decay"]}
        step_together(muon_step, [Segment({"p": p, "g": g}, rates) for p, g in zip(batch, directions, strict=True)])


@rule
def muon_momentum(p, g, b, direction, *, momentum=0.95, nesterov=True):  # type: ignore[no-untyped-def]
    """Average the gradients; with `nesterov`, look one step ahead. Nothing moves yet."""
    b = momentum * b + (1 - momentum) * g
    return 0.0, b, momentum * b + (1 - momentum) * g if nesterov else b


@rule
def scaled_descent(p, g, *, lr=1e-3, scale=1.0):  # type: ignore[no-untyped-def]
    """Descend with a learning rate that the matrix's shape scales, while decay goes by the plain one."""
    return lr * scale * g


muon_step = decoupled_decay(scaled_descent)


def orthogonalised(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Newton and Schulz's quintic iteration: singular values brought near 1, in bfloat16, [..., rows, columns].

    The coefficients trade exactness for speed: the values end between about 0.7 and 1.2 (Jordan et al., 2024). Raises
    ValueError for 100 steps or more, and unless there are three coefficients.
    """
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    x = matrices.to(torch.bfloat16)
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=eps)  # no singular value is above 1
    add_product = torch.addmm if x.dim() == 2 else torch.baddbmm
    for _ in range(steps):
        gram = x @ x.mT
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _scale(convention: str | None, rows: int, columns: int) -> float:
    if convention in (None, "original"):
        return math.sqrt(max(1, rows / columns))
    if convention == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    if convention == "spectral_unclamped":
        return math.sqrt(rows / columns)
    raise ValueError(f"Adjust learning rate function {convention} is not supported")


def _batches(params: list[Tensor]) -> list[list[Tensor]]:
    """Parameters in batches of one shape; a large one by itself."""
    alike: dict[tuple[Any, ...], list[list[Tensor]]] = {}
    for p in params:
        batches = alike.setdefault((p.shape, p.dtype, p.device), [[]])
        if len(batches[-1]) >= (_BATCH // p.numel() if p.numel() <= _SMALL else 1):
            batches.append([])
        batches[-1].append(p)
    return [batch for batches in alike.values() for batch in batches]
