"""What the methods share that take a parameter as a matrix: linear algebra is torch's, the rest a rule's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from fallline._text import dtype_name
from fallline.kernels import KERNEL_TYPES, Given, Kernel, Section, TableHost, evaluate, host_scalars, kernel_for
from fallline.optim.engine import Engine, evaluated
from fallline.optim.hyperparameters import SCHEDULE_ROUNDING
from fallline.optim.layout import addressable, check_whole, is_dense, overlapping, same_strides
from fallline.optim.session import Group
from fallline.symbolic import Rule, make_plan


class MatrixEngine(Engine):
    """A mixin for a `torch.optim.Optimizer`: its step hands each group's parameters that have gradients to `_move`."""

    #: How many parameters there were when none was found to be a shard.
    _known_whole = -1

    def _move(self, group: Group, params: list[Tensor]) -> None:
        raise NotImplementedError

    @torch.no_grad()
    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None if closure is None else evaluated(closure)
        for group in self.param_groups:
            self._check_group(group)
        self._check_whole()
        moving = [(group, [p for p in group["params"] if p.grad is not None]) for group in self.param_groups]
        for _, params in moving:  # all of them, before anything is written
            for p in params:
                self._check(p)
        with without_autocast(p.device for _, params in moving for p in params):
            for group, params in moving:
                if overlapping([p for p in params if addressable(p)]):
                    for p in params:  # one by one, as they share memory
                        self._move(group, [p])
                else:
                    self._move(group, params)
        return loss

    def _check_whole(self) -> None:
        params = [p for group in self.param_groups for p in group["params"]]
        if len(params) != self._known_whole:
            check_whole(params, type(self).__name__)
            self._known_whole = len(params)

    def _check_loaded(self) -> None:
        """What is missing is found at the step: these methods follow no single rule."""

    def _check(self, p: Tensor) -> None:
        if p.is_complex():
            raise RuntimeError(f"{type(self).__name__} does not support complex parameters")
        if gradient(p).layout != torch.strided:
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        super()._check(p)


class PreconditionedEngine(MatrixEngine):
    """For methods that torch has no class of: gradients are checked, and states stay as precise as they were saved."""

    #: The type, or a wider one, in which products of gradients are kept.
    _kept_in = torch.float32

    def _check(self, p: Tensor) -> None:
        super()._check(p)
        size = float(torch.linalg.vector_norm(gradient(p), dtype=torch.float64))
        kept_in = torch.promote_types(p.dtype, self._kept_in)
        if not size * size < torch.finfo(kept_in).max:
            largest = float(gradient(p).abs().max())
            large = f"so large (up to {largest:.3g}) that {dtype_name(kept_in)} does not hold the sum of its squares"
            raise ValueError(
                f"the gradient of a parameter of shape {tuple(p.shape)} is "
                f"{large if largest < math.inf else 'not finite'}, and {type(self).__name__} would remember that "
                "for good; skip the step, clip the gradient or lower the learning rate"
            )

    def _keeps_type(self, group: Group, name: str) -> bool:
        return name != "step"


def gradient(p: Tensor) -> Tensor:
    """The gradient of a parameter that has one."""
    assert p.grad is not None
    return p.grad


def new_step() -> Tensor:
    """A count of steps at nought, of the type that torch's optimizers count with."""
    return torch.tensor(0.0, dtype=torch.promote_types(torch.get_default_dtype(), torch.float32), device="cpu")


@dataclass(frozen=True)
class Segment:
    """What a rule steps on: p, g and the states by name, and its numbers."""

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


def step_together(rule: Rule, segments: Iterable[Segment], **static: bool) -> None:
    """Step in place: what a kernel takes in one launch, the rest by the reference; as if all tensors were contiguous.

    So that a layout changes nothing, not even rounding, what lies otherwise is stepped in copies.
    """
    waiting: dict[Kernel, list[Segment]] = {}
    copied: list[tuple[Segment, Segment]] = []
    for segment in segments:
        p = segment.tensors["p"]
        if _has_kernels(segment.tensors.values(), p):
            kernel = kernel_for(rule, KERNEL_TYPES[p.dtype], static)
            if not _lies_for(kernel, segment.tensors.values(), p):
                copied.append((segment, Segment(_contiguous(segment.tensors), segment.values)))
                segment = copied[-1][1]
            waiting.setdefault(kernel, []).append(segment)
        else:
            update, states = compute(rule, _contiguous(segment.tensors), **static, **segment.values)
            p.sub_(update)
            for name, value in states.items():
                segment.tensors[name].copy_(value)
    for kernel, members in waiting.items():
        _launch(kernel, members)
    for segment, copy in copied:
        for name, tensor in segment.tensors.items():
            if name != "g" and copy.tensors[name] is not tensor:
                tensor.copy_(copy.tensors[name])


def compute(rule: Rule, tensors: Mapping[str, Tensor], **values: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """A rule's update and new states by the reference; `tensors` are p, g and the states, `values` the rest."""
    plan = make_plan(rule.trace(**{name: values[name] for name in rule.static}))
    host = host_scalars(plan)
    return evaluate(plan, tensors, host.values(*(float(values[name]) for name in host.names)))


def _launch(kernel: Kernel, segments: Sequence[Segment]) -> None:
    sections: list[Section] = []
    for i, segment in enumerate(segments):
        if not i or segment.values is not segments[i - 1].values:
            values = {name: float(segment.values[name]) for name in kernel.scalars.names}
            sections.append(Section(i, i, values))
        sections[-1].stop = i + 1
    addresses = [[segment.tensors[column].data_ptr() for column in kernel.columns] for segment in segments]
    host = TableHost(kernel, [segment.tensors["p"] for segment in segments], addresses, Given(sections))
    host.numbers.prepare()
    host.run()
    increment_version([tensor for s in segments for name, tensor in s.tensors.items() if name != "g"])


def contiguous(tensor: Tensor) -> Tensor:
    """The tensor itself, or the same numbers in the order of its indices: the one layout that products begin with."""
    return tensor.resolve_neg().contiguous()


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: contiguous(tensor) for name, tensor in tensors.items()}


def _has_kernels(tensors: Iterable[Tensor], p: Tensor) -> bool:
    """Whether there are kernels for tensors of this type, here."""
    return bool(p.numel()) and p.dtype in KERNEL_TYPES and all(x.dtype == p.dtype and addressable(x) for x in tensors)


def _lies_for(kernel: Kernel, tensors: Iterable[Tensor], p: Tensor) -> bool:
    """Whether all lie alike in one run of memory; in the order of the indices, if sums would follow another."""
    in_order = p.is_contiguous() or (is_dense(p) and not kernel.plan.totals)
    return in_order and all(same_strides(x, p) and not x.is_neg() for x in tensors)


def check_range(name: str, value: Any, low: float, high: float = math.inf) -> None:
    """Raise ValueError unless low <= value < high; a rate may end below 0 by a schedule's rounding."""
    if not low - (SCHEDULE_ROUNDING if name == "lr" else 0) <= float(value) < high:
        below = f" and less than {high:g}" if high < math.inf else " and finite"
        raise ValueError(f"{name} must be at least {low:g}{below}; got {value}")


Result = TypeVar("Result")


@contextmanager
def without_autocast(devices: Iterable[torch.device]) -> Iterator[None]:
    """Let products be of the type of what is multiplied, also where the caller's model runs in another."""
    with ExitStack() as stack:
        for kind in _enabled({device.type for device in devices}):
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def as_called(closure: Callable[[], Result]) -> Callable[[], Result]:
    """The closure, to run under the autocast that is on now, wherever it is called.

    Without its cache, which would go on with the weights of the first call when they have moved.
    """
    accelerator = torch.accelerator.current_accelerator()
    kinds = {"cpu", "cuda", *([accelerator.type] if accelerator is not None else [])}
    settings = [(kind, torch.get_autocast_dtype(kind)) for kind in _enabled(kinds)]

    def run() -> Result:
        with ExitStack() as stack:
            for kind, dtype in settings:
                stack.enter_context(torch.autocast(kind, dtype=dtype, cache_enabled=False))
            return closure()

    return run if settings else closure


def _enabled(kinds: Iterable[str]) -> list[str]:
    return [k for k in kinds if torch.amp.is_autocast_available(k) and torch.is_autocast_enabled(k)]


#: Rounding in a matrix of n rows is taken to be so many times its unit, times n for eigenvalues and √n for a product.
_ROUNDINGS = 32


def eigenvectors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues in ascending order and orthonormal eigenvectors of a symmetric matrix [n, n], as `torch.linalg.eigh`.

    Eigenvalues that agree to rounding, as those of a null space do, have a space of eigenvectors, of which any basis is
    as good; which one LAPACK finds hangs on rounding. There the basis is the one that diagonalises diag(√1, ..., √n)
    within that space: along the axes if the space lies along some. Of the entries of a vector the largest in size, the
    first of several, is positive.

    >>> eigenvectors(torch.ones(2, 2) - 3 * torch.eye(2))[0].tolist()
    [-3.0, -1.0]
    >>> eigenvectors(torch.zeros(2, 2))[1].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    values, vectors = torch.linalg.eigh(matrix)
    n = len(values)
    if n == 0:
        return values, vectors
    rounding = _ROUNDINGS * n * torch.finfo(values.dtype).eps * values.abs().max()
    apart = (values.diff() > rounding).nonzero().flatten() + 1
    starts = [0, *apart.tolist(), n]
    weights = torch.arange(1, n + 1, dtype=values.dtype, device=values.device).sqrt_().unsqueeze(1)
    for start, stop in pairwise(starts):
        if stop - start > 1:
            space = vectors[:, start:stop]
            vectors[:, start:stop] = space @ torch.linalg.eigh(space.mT @ (weights * space))[1]
    sizes = vectors.abs()
    rows = torch.arange(n, device=values.device).unsqueeze(1)
    # Entries that agree to a thousandth count as equal, so that rounding does not choose between them.
    leading = torch.where(sizes >= 0.999 * sizes.amax(0), rows, n).amin(0, keepdim=True)
    return values, vectors * vectors.gather(0, leading).sign()


def turned_on(products: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """One power iteration with a symmetric matrix [n, n]: the basis that follows, and the order that it took.

    The basis [n, n] is taken in descending order of its Rayleigh quotients, multiplied, and made orthonormal. A vector
    of which nothing but rounding would be left is kept as it was, and comes last.
    """
    images = products @ basis
    order = torch.argsort((basis * images).sum(0), descending=True, stable=True)
    found, upper = torch.linalg.qr(images[:, order])
    sizes = upper.diagonal().abs()
    lost = sizes <= _ROUNDINGS * len(sizes) ** 0.5 * torch.finfo(sizes.dtype).eps * sizes.amax()
    if not bool(lost.any()):
        return found, order
    kept, still = order[~lost], order[lost]
    found = torch.linalg.qr(torch.cat([images[:, kept], basis[:, still]], dim=1)).Q
    return found, torch.cat([kept, still])
