"""The judge of the drop-ins: torch's own for-loop optimizers in double precision, given the same gradients.

A `Course` is a set of parameters in chosen memory layouts, and the gradients of every step. Each parameter and
gradient lies inside a larger storage, so that a write beside it can be seen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import fallline.optim

STEPS = 20
NAMES = ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "Adamax", "NAdam", "RAdam")
FOR_LOOP = {"foreach": False, "differentiable": False}
CAN_FUSE = ("SGD", "Adagrad", "Adam", "AdamW")
TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-12}
# With L2 decay, g + λθ cancels in float32 and these magnify what is left by a division: torch itself reaches 8e-6.
MAGNIFY_L2, L2_TOLERANCE = ("Adadelta", "Adam", "Adamax", "NAdam", "RAdam"), 3e-5
MARGIN = 3  # elements before and after a tensor: an odd number, so that its address is aligned to the element only

Options = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """Where the elements of a parameter and of its gradient lie.

    The gradients of a tensor of one number need a mean: without it their average may cancel to nothing, and then no
    float32 arithmetic, torch's included, is close to the truth.
    """

    shape: tuple[int, ...]
    parameter: tuple[int, ...]
    gradient: tuple[int, ...]
    mean: float = 1.0


@dataclass(frozen=True)
class Placed:
    """A tensor and the storage around it."""

    tensor: Tensor
    storage: Tensor

    def surroundings(self) -> Tensor:
        """The elements of the storage that the tensor does not cover."""
        outside = torch.ones_like(self.storage, dtype=torch.bool)
        outside.as_strided(self.tensor.shape, self.tensor.stride(), self.tensor.storage_offset()).fill_(False)
        return self.storage[outside].clone()


@dataclass(frozen=True)
class Course:
    """Parameters by name, and for each step their gradients."""

    parameters: dict[str, Placed]
    gradients: list[dict[str, Tensor]]

    def tensors(self) -> list[Tensor]:
        """The parameters alone."""
        return [placed.tensor for placed in self.parameters.values()]

    def in_double(self) -> Course:
        """The same numbers, contiguous, in double precision."""
        doubles = {name: _double(placed.tensor) for name, placed in self.parameters.items()}
        return Course(
            {name: Placed(tensor, tensor) for name, tensor in doubles.items()},
            [{name: _double(gradient) for name, gradient in step.items()} for step in self.gradients],
        )


def dense(*shape: int, mean: float = 1.0) -> Layout:
    """Parameter and gradient both contiguous."""
    strides = contiguous(shape)
    return Layout(shape, strides, strides, mean)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a contiguous tensor."""
    return tuple(torch.empty(tuple(shape), device="meta").stride())


def draw(
    layouts: dict[str, Layout], dtype: torch.dtype, steps: int = STEPS, seed: int = 0, requires_grad: bool = True
) -> Course:
    """Random parameters and gradients: the same numbers for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    parameters = {
        name: _place(layout.shape, layout.parameter, dtype, generator, requires_grad)
        for name, layout in layouts.items()
    }
    gradients = [
        {
            name: _place(layout.shape, layout.gradient, dtype, generator, mean=layout.mean).tensor
            for name, layout in layouts.items()
        }
        for _ in range(steps)
    ]
    return Course(parameters, gradients)


def tolerance(name: str, options: Options, dtype: torch.dtype) -> float:
    """How far from torch's for-loop in double precision a class may be."""
    l2 = name in MAGNIFY_L2 and options.get("weight_decay", 0) and not options.get("decoupled_weight_decay")
    return L2_TOLERANCE if l2 and dtype is torch.float32 else TOLERANCE[dtype]


def follow(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], steps: Iterable[Iterable[Tensor]]) -> None:
    """Take a step with each set of gradients."""
    for gradients in steps:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()


def for_loop(name: str, parameters: Any, options: Options) -> torch.optim.Optimizer:
    """Torch's class, held to its plain loop over tensors, with its hyperparameters in double precision."""
    flags = FOR_LOOP | ({"fused": False} if name in CAN_FUSE else {})
    numbers = {key: in_double(value) for key, value in options.items()}
    optimizer: torch.optim.Optimizer = getattr(torch.optim, name)(parameters, **(numbers | flags))
    return optimizer


def in_double(value: Any) -> Any:
    """A tensor hyperparameter as the number that it holds: torch would round what it computes from it to float32."""
    if isinstance(value, Tensor):
        return value.item()
    return tuple(map(in_double, value)) if isinstance(value, tuple) else value


def relative(ours: Tensor, theirs: Tensor) -> float:
    """‖ours - theirs‖ / ‖theirs‖, or ‖ours‖ where theirs is zero."""
    ours, theirs = ours.detach().to(theirs.dtype), theirs.detach()
    scale = float(torch.linalg.vector_norm(theirs))
    return float(torch.linalg.vector_norm(ours - theirs)) / (scale or 1.0)


def differences(ours: torch.optim.Optimizer, theirs: torch.optim.Optimizer, names: Sequence[str]) -> dict[str, float]:
    """The relative difference of each parameter and of each of its states."""
    found = {}
    for name, mine, other in zip(names, parameters_of(ours), parameters_of(theirs), strict=True):
        found[name] = relative(mine, other)
        for key, value in theirs.state.get(other, {}).items():
            if isinstance(value, Tensor):
                found[f"{name}: {key}"] = relative(ours.state[mine][key], value)
    return found


def beyond(found: dict[str, float], tolerance: float) -> dict[str, float]:
    """What is not within the tolerance; a NaN is not."""
    return {name: difference for name, difference in found.items() if not difference <= tolerance}


def parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All parameters in the order of the groups."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def states_of(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Each parameter's states, in the order of the groups; empty where there are none."""
    return [dict(optimizer.state.get(parameter, {})) for parameter in parameters_of(optimizer)]


def outcome(action: Callable[[], Any]) -> Any:
    """What a call returns, or the type and words of what it raises."""
    try:
        return action()
    except Exception as error:
        return type(error), str(error)


def raised(result: Any) -> bool:
    """Whether `outcome` saw an exception."""
    return isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], type)


def same(ours: Any, theirs: Any, tolerance: float = 1e-9, path: str = "result") -> None:
    """Assert that two nested values agree: tensors and numbers within the relative tolerance, the rest exactly."""
    assert type(ours) is type(theirs), f"{path}: {ours!r} is not {theirs!r}"
    if isinstance(theirs, Tensor):
        assert (ours.dtype, ours.shape, ours.layout) == (theirs.dtype, theirs.shape, theirs.layout), path
        torch.testing.assert_close(
            ours, theirs, rtol=tolerance, atol=tolerance, equal_nan=True, msg=lambda words: f"{path}: {words}"
        )
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), path
        for key in theirs:
            same(ours[key], theirs[key], tolerance, f"{path}[{key!r}]")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), path
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            same(mine, other, tolerance, f"{path}[{index}]")
    elif isinstance(theirs, float):
        assert abs(ours - theirs) <= tolerance * abs(theirs), f"{path}: {ours} is not {theirs}"
    else:
        assert ours == theirs, path


Scenario = Callable[[Any, str], Any]


def play_both(scenario: Scenario, name: str, raises: bool = False, tolerance: float = 1e-9) -> None:
    """Assert that a scenario ends alike with our module and with torch's; `raises` says whether in an exception."""
    theirs = outcome(lambda: scenario(torch.optim, name))
    assert raised(theirs) is raises, theirs
    same(outcome(lambda: scenario(fallline.optim, name)), theirs, tolerance)


def journal(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """All that a step may change: parameters, states and groups."""
    return {
        "parameters": [parameter.detach().clone() for parameter in parameters_of(optimizer)],
        "states": [{key: state[key] for key in sorted(state)} for state in copy.deepcopy(states_of(optimizer))],
        "groups": [{key: group[key] for key in sorted(group) if key != "params"} for group in optimizer.param_groups],
    }


def network(seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.nn.Sequential:
    """A small network, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.Tanh(), torch.nn.Linear(9, 3)).to(dtype)


def batch(index: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Inputs and targets for that network, the same for the same index."""
    generator = torch.Generator().manual_seed(index)
    return tuple(torch.randn(8, n, generator=generator, dtype=torch.float64).to(dtype) for n in (4, 3))  # type: ignore[return-value]


def loss_of(model: torch.nn.Module, index: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The squared error of a network on one batch."""
    inputs, targets = batch(index, dtype)
    return torch.nn.functional.mse_loss(model(inputs), targets)


def teach(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: Iterable[int]) -> None:
    """A step on each of the batches."""
    for index in steps:
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(model, index))
        optimizer.step()


def _place(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: torch.dtype,
    generator: torch.Generator,
    requires_grad: bool = False,
    mean: float = 0.0,
) -> Placed:
    span = 0 if 0 in shape else 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    storage = torch.randn(span + 2 * MARGIN, dtype=torch.float64, generator=generator).add_(mean).to(dtype)
    return Placed(storage.as_strided(shape, strides, MARGIN).detach().requires_grad_(requires_grad), storage)


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.float64, memory_format=torch.contiguous_format).clone()
