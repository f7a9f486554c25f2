"""What the methods share that take a parameter as a matrix: linear algebra is torch's, the rest a rule's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from fallline.kernels import DTYPES, Kernel, SegmentTable, evaluate, host_scalars, kernel_for
from fallline.optim.engine import Engine
from fallline.optim.layout import addressable, is_dense, overlapping, same_strides
from fallline.optim.session import Group
from fallline.symbolic import Rule, make_plan


class MatrixEngine(Engine):
    """A mixin for a `torch.optim.Optimizer`: its step hands each group's parameters that have gradients to `_move`."""

    def _move(self, group: Group, params: list[Tensor]) -> None:
        raise NotImplementedError

    @torch.no_grad()
    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moving = [(group, [p for p in group["params"] if p.grad is not None]) for group in self.param_groups]
        for _, params in moving:  # all of them, before anything is written
            for p in params:
                self._check(p)
        for group, params in moving:
            if overlapping([p for p in params if addressable(p)]):
                for p in params:  # one by one, as they share memory
                    self._move(group, [p])
            else:
                self._move(group, params)
        return loss

    def _check_loaded(self) -> None:
        """What is missing is found at the step: these methods follow no single rule."""

    def _check(self, p: Tensor) -> None:
        if p.is_complex():
            raise RuntimeError(f"{type(self).__name__} does not support complex parameters")
        if gradient(p).layout != torch.strided:
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        super()._check(p)


class PreconditionedEngine(MatrixEngine):
    """For methods that torch has no class of: groups are checked, and states stay as precise as they were saved."""

    def _check(self, p: Tensor) -> None:
        super()._check(p)
        if not bool(torch.isfinite(gradient(p)).all()):
            raise ValueError(
                f"the gradient of a parameter of shape {tuple(p.shape)} is not finite, and {type(self).__name__} "
                "would remember that for good; skip the step, clip the gradient or lower the learning rate"
            )

    def _check_group(self, group: Group) -> None:
        raise NotImplementedError

    def add_param_group(self, param_group: Group) -> None:
        """Add a param group, as torch's optimizers do. Raises ValueError for a hyperparameter out of its range."""
        super().add_param_group(param_group)
        try:
            self._check_group(self.param_groups[-1])
        except Exception:
            self.param_groups.pop()
            raise

    def _keeps_type(self, group: Group, name: str) -> bool:
        return name != "step"


def gradient(p: Tensor) -> Tensor:
    """The gradient of a parameter that has one."""
    assert p.grad is not None
    return p.grad


def new_step() -> Tensor:
    """A count of steps at nought, of the type that torch's optimizers count with."""
    return torch.tensor(0.0, dtype=torch.promote_types(torch.get_default_dtype(), torch.float32))


@dataclass(frozen=True)
class Segment:
    """What a rule steps on: p, g and the states by name, and its numbers."""

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


def step_together(rule: Rule, segments: Iterable[Segment], **static: bool) -> None:
    """Step in place: what a kernel takes in one launch, the rest by the reference."""
    waiting: dict[Kernel, list[Segment]] = {}
    for segment in segments:
        p = segment.tensors["p"]
        if _kernel_takes(segment.tensors.values(), p):
            waiting.setdefault(kernel_for(rule, _name(p.dtype), static), []).append(segment)
        else:
            update, states = compute(rule, segment.tensors, **static, **segment.values)
            p.sub_(update)
            for name, value in states.items():
                segment.tensors[name].copy_(value)
    for kernel, members in waiting.items():
        _launch(kernel, members)


def compute(rule: Rule, tensors: Mapping[str, Tensor], **values: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """A rule's update and new states by the reference; `tensors` are p, g and the states, `values` the rest."""
    plan = make_plan(rule.trace(**{name: values[name] for name in rule.static}))
    host = host_scalars(plan)
    return evaluate(plan, tensors, host.values(*(float(values[name]) for name in host.names)))


def _launch(kernel: Kernel, segments: Sequence[Segment]) -> None:
    columns, names = kernel.columns, kernel.scalars.names
    table = SegmentTable(kernel, [segment.tensors["p"].numel() for segment in segments])
    table.addresses[:] = [[segment.tensors[column].data_ptr() for column in columns] for segment in segments]
    if kernel.scalars.count:
        table.scalars[:] = [
            kernel.scalars.values(*(float(segment.values[name]) for name in names)) for segment in segments
        ]
    table.run()
    increment_version([tensor for s in segments for name, tensor in s.tensors.items() if name != "g"])


def _kernel_takes(tensors: Iterable[Tensor], p: Tensor) -> bool:
    """Whether all lie as the parameter does, in one run of memory of a type that there are kernels for."""
    if not p.numel() or _name(p.dtype) not in DTYPES or not is_dense(p):
        return False
    return all(x.dtype == p.dtype and addressable(x) and same_strides(x, p) and not x.is_neg() for x in tensors)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def check_range(name: str, value: Any, low: float, high: float = math.inf) -> None:
    """Raise ValueError unless low <= value < high."""
    if not low <= float(value) < high:
        below = f" and less than {high:g}" if high < math.inf else " and finite"
        raise ValueError(f"{name} must be at least {low:g}{below}; got {value}")
