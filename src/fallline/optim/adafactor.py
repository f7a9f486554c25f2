"""Adafactor, as torch.optim.Adafactor: a second moment of which only row and column means are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from fallline.math import dot, maximum, minimum, sqrt
from fallline.optim.documented import documented
from fallline.optim.matrix import MatrixEngine, Segment, check_range, contiguous, gradient, new_step, step_together
from fallline.optim.session import Group
from fallline.optim.states import StateOf
from fallline.rules import maximize
from fallline.symbolic import rule

#: Tensors share a launch until they have so many elements: what is made of their factors lives until then.
_BATCH = 1 << 20
#: Elements squared at a time: they stay in a core's cache between the row sums and the column sums.
_BLOCK = 1 << 18


@documented(
    lr="The most that a step may be, relative to the weights; at least 0.",
    weight_decay="Strength λ of decoupled weight decay, at least 0.",
    beta2_decay="The exponent by which the second moment forgets ever less; at most 0.",
    eps="(ε₁, ε₂): the least root of the second moment (None: the type's own ε), and the least size of weights.",
    d="The most that a step's root mean square may be before it is scaled down; at least 1.",
)
class Adafactor(MatrixEngine, torch.optim.Adafactor):
    """Drop-in for torch.optim.Adafactor: the same arguments, groups, states and checkpoints; few launches a step.

    The second moment of a matrix is estimated from its rows' and columns' means, so that n + m numbers are kept and not
    n·m (Shazeer and Stern, 2018); of tensors with more dimensions the last two are rows and columns. Conventions are
    torch's: means for the paper's sums, and ε₁ under the root of the estimate, not in its factors.

    Raises:
        ValueError: A hyperparameter is out of its range.
        RuntimeError: A gradient is sparse, or a parameter complex; in torch's words.

    >>> p = torch.nn.Parameter(torch.ones(2, 3))
    >>> optimizer = Adafactor([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); p.tolist()
    [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
    """

    _follows = ("beta2_decay", "eps", "d")

    def _check_group(self, group: Group) -> None:
        for name in ("lr", "weight_decay"):
            check_range(name, group[name], 0)
        check_range("d", group["d"], 1)
        check_range("-beta2_decay", -group["beta2_decay"], 0)
        for i, eps in enumerate(group["eps"]):
            if eps is not None:
                check_range(f"eps[{i}]", eps, 0)

    def _move(self, group: Group, params: list[Tensor]) -> None:
        formula = maximize(adafactor) if group["maximize"] else adafactor
        vectors = [p for p in params if p.dim() < 2]
        for batch, factored in ((vectors, False), *((b, True) for b in _batches([p for p in params if p.dim() > 1]))):
            for p in batch:
                self._begin(p)
            step_together(formula, [self._segment(group, p) for p in batch], factored=factored)
            for p in batch:
                self.state[p]["step"] += 1

    def _segment(self, group: Group, p: Tensor) -> Segment:
        """What the formula needs; the second moment of a matrix is made for it, and held no longer."""
        state = self.state[p]
        values = _values(group, p, state)
        v = state["variance"] if p.dim() < 2 else _estimate(p, state, values)
        return Segment({"p": p, "g": gradient(p), "v": v}, values)

    def _begin(self, p: Tensor) -> None:
        state = self.state[p]
        if not state:
            state["step"] = new_step()
            if p.dim() > 1:
                state["row_var"] = p.new_zeros((*p.shape[:-1], 1))
                state["col_var"] = p.new_zeros((*p.shape[:-2], 1, p.shape[-1]))
            else:
                state["variance"] = torch.zeros_like(p, memory_format=torch.preserve_format)


@rule
def adafactor(  # type: ignore[no-untyped-def]
    p, g, v, *, lr=1e-2, beta2_decay=-0.8, eps1=1e-7, eps2=1e-3, d=1.0, weight_decay=0.0, elements=1.0, factored=True, t
):
    """Step in proportion to the weights' own size, by gradients over the root of their second moment v.

    With `factored` v was made of its factors, and is only read.
    """
    if not factored:
        v = (1 - t**beta2_decay) * v + t**beta2_decay * g * g
    update = g / maximum(sqrt(v), eps1)
    clipped = update / maximum(1.0, sqrt(dot(update, update) / elements) / d)
    step_size = maximum(eps2, sqrt(dot(p, p) / elements)) * minimum(lr, 1 / sqrt(t))
    return step_size * clipped + lr * weight_decay * p, v


def _values(group: Group, p: Tensor, state: StateOf) -> dict[str, float]:
    eps1, eps2 = group["eps"]
    return {
        "lr": float(group["lr"]),
        "beta2_decay": group["beta2_decay"],
        "eps1": torch.finfo(p.dtype).eps if eps1 is None else eps1,
        "eps2": eps2,
        "d": group["d"],
        "weight_decay": group["weight_decay"],
        "elements": float(p.numel()),
        "t": float(state["step"]) + 1,
    }


def _estimate(p: Tensor, state: StateOf, values: Mapping[str, float]) -> Tensor:
    """Update the factors; the second moment that they stand for, laid out as the parameter."""
    weight = values["t"] ** values["beta2_decay"]
    for key, mean in zip(("row_var", "col_var"), _mean_squares(gradient(p)), strict=True):
        state[key].add_(mean - state[key], alpha=weight)
    rows = state["row_var"]
    rows = rows / rows.mean(-2, keepdim=True).clamp_(min=values["eps1"])
    return torch.mul(rows, state["col_var"], out=torch.empty_like(p))


def _mean_squares(g: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the squares of every row, [..., n, 1], and every column, [..., 1, m], in one walk through memory."""
    g = contiguous(g.to(torch.promote_types(g.dtype, torch.float32)))
    n = g.shape[-2]
    if g.numel() <= _BLOCK:
        squares = g.square()
        return squares.mean(-1, keepdim=True), squares.mean(-2, keepdim=True)
    rows = []
    columns = g.new_zeros((*g.shape[:-2], 1, g.shape[-1]))
    for block in torch.split(g, max(1, _BLOCK * n // g.numel()), dim=-2):
        squares = block.square()
        rows.append(squares.mean(-1, keepdim=True))
        columns += squares.sum(-2, keepdim=True)
    return torch.cat(rows, dim=-2), columns / n


def _batches(params: list[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors that share a launch."""
    elements = 0
    batch: list[Tensor] = []
    for p in params:
        batch.append(p)
        elements += p.numel()
        if elements >= _BATCH:
            yield batch
            elements, batch = 0, []
    yield batch
