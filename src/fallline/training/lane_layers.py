"""Linear layers, embeddings and cross-entropy of all lanes at once, in as few passes over memory as can be.

torch maps a linear layer to a batched product, whose results have short rows where a layer has few outputs, and
differentiates it by products of transposed operands, which leave gradients that must be copied. Cross-entropy is mapped
operation by operation, and an embedding's derivative searches all rows for each index. Here they say themselves what
they are for all lanes, and what their derivatives are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Places = tuple[int | None, ...]  # which dimension of each argument counts the lanes

_VECTOR_BYTES = 64 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 32


def is_short(length: int, tensor: Tensor) -> bool:
    """Whether rows of so many numbers fill no vector of the processor."""
    return length * tensor.element_size() < _VECTOR_BYTES


def carries_lanes(tensor: Tensor | None) -> bool:
    """Whether a tensor is mapped over lanes, once, and over nothing else."""
    functorch = torch._C._functorch
    if tensor is None or not functorch.is_batchedtensor(tensor):
        return False
    return not functorch.is_functorch_wrapped_tensor(functorch.get_unwrapped(tensor))


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    """The linear layer of each lane, whose weight and bias are its own; None for every other one."""
    own = carries_lanes(weight) and (bias is None or carries_lanes(bias))
    if (
        not own
        or torch.is_autocast_enabled(input.device.type)
        or input.ndim < 2
        or weight.ndim != 2
        or input.device.type != "cpu"
    ):
        return None
    rows = input.reshape(-1, input.shape[-1])
    output: Tensor = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return output.reshape(*input.shape[:-1], -1) if input.ndim > 2 else output


class _Linear(torch.autograd.Function):
    """A linear layer of rows that says itself how it is mapped."""

    @staticmethod
    def forward(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.nn.functional.linear(rows, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def vmap(info: Any, at: Places, rows: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, int]:
        rows = rows.expand(info.batch_size, -1, -1) if at[0] is None else rows.movedim(at[0], 0)
        weight = weight.movedim(at[1] or 0, 0)
        bias = None if bias is None else bias.movedim(at[2] or 0, 0)
        across = is_short(weight.shape[1], weight) and rows.shape[1] > weight.shape[1]
        output: Tensor = _LinearOfLanes.apply(rows, weight, bias, across)  # type: ignore[no-untyped-call]
        return output.mT if across else output, 0


class _LinearOfLanes(torch.autograd.Function):
    """Rows [K, n, in] times weights [K, out, in] plus biases [K, out]: [K, n, out], or `across` [K, out, n]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, across: bool) -> Tensor:
        ctx.across = across
        ctx.save_for_backward(rows, weight)
        if across:
            return _product(None if bias is None else bias[:, :, None], weight, rows.mT)
        return _product(None if bias is None else bias[:, None], rows, weight.mT)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad
        gradient = gradient.mT if ctx.across else gradient
        return (
            torch.bmm(gradient, weight) if needed[0] else None,
            torch.bmm(gradient.mT, rows) if needed[1] else None,
            gradient.sum(1) if needed[2] else None,
            None,
        )


def _product(added: Tensor | None, one: Tensor, other: Tensor) -> Tensor:
    return torch.bmm(one, other) if added is None else torch.baddbmm(added, one, other)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor | None:
    """The rows of each lane's own weight; None for every other form of it."""
    plain = padding_idx is None and max_norm is None and not scale_grad_by_freq and not sparse
    if not plain or not carries_lanes(weight) or input.device.type != "cpu":
        return None
    output: Tensor = _Embedding.apply(input, weight)  # type: ignore[no-untyped-call]
    return output


class _Embedding(torch.autograd.Function):
    """An embedding that says itself how it is mapped."""

    @staticmethod
    def forward(codes: Tensor, weight: Tensor) -> Tensor:
        return torch.nn.functional.embedding(codes, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def vmap(info: Any, at: Places, codes: Tensor, weight: Tensor) -> tuple[Tensor, int]:
        weight = weight.movedim(at[1] or 0, 0)
        codes = codes[None] if at[0] is None else codes.movedim(at[0], 0)
        first = torch.arange(0, weight.shape[0] * weight.shape[1], weight.shape[1], device=codes.device)
        places = codes + first.view(-1, *[1] * (codes.ndim - 1))
        return weight.flatten(0, 1).index_select(0, places.flatten()).view(*places.shape, -1), 0


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor | None:
    """The mean cross-entropy of rows [n, classes] with labels [n]; None for every other form of it."""
    labels = carries_lanes(input) and input.ndim == 2 and target.ndim == 1 and not target.is_floating_point()
    plain = size_average is None and reduce is None and weight is None and reduction == "mean" and not label_smoothing
    if not labels or not plain or torch.is_autocast_enabled(input.device.type) or input.device.type != "cpu":
        return None
    loss: Tensor = _CrossEntropy.apply(input, target, ignore_index)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    """The mean cross-entropy of rows that says itself how it is mapped."""

    @staticmethod
    def forward(logits: Tensor, labels: Tensor, ignored: int) -> Tensor:
        return torch.nn.functional.cross_entropy(logits, labels, ignore_index=ignored)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def vmap(info: Any, at: Places, logits: Tensor, labels: Tensor, ignored: int) -> tuple[Tensor, int]:
        logits = logits.movedim(at[0] or 0, 0)
        labels = labels.expand(info.batch_size, -1) if at[1] is None else labels.movedim(at[1], 0)
        # Rows that are short are taken across.
        across = is_short(logits.shape[2], logits)
        classes = 1 if across else 2
        logarithms = torch.log_softmax(logits.mT if across else logits, classes)
        counted = labels != ignored
        place = torch.where(counted, labels, 0).unsqueeze(classes)
        found = torch.where(counted, logarithms.gather(classes, place).squeeze(classes), 0)
        return found.sum(1) / -counted.sum(1), 0
