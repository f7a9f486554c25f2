"""Signals by depth: what activations and gradients are like, layer by layer, on one batch of examples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fallline._asked import seed as as_seed
from fallline.landscape.diagnosis.short_runs import EXAMPLES
from fallline.landscape.slice_losses import Model, with_model
from fallline.landscape.slices import check_choice, examples_of
from fallline.training import Problem, ProblemError, Split, Watch, draws_of

#: Activations by torch's own operations, however they are written, each with its steepest slope.
_STEEPEST = {
    "relu": 1.0, "threshold": 1.0, "leaky_relu": 1.0, "hardtanh": 1.0, "elu": 1.0, "celu": 1.0, "tanh": 1.0,
    "sigmoid": 0.25, "hardsigmoid": 1 / 6, "gelu": 1.13, "silu": 1.1, "mish": 1.09, "hardswish": 1.5, "softplus": 1.0,
}  # fmt: skip
#: A unit passes no gradient on where its slope is below this share of the steepest: zero, or saturated.
_FLAT = 0.005
_STEP = 1e-5
_NUDGE = 1e-3  # the length of a step from zero
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Layer:
    """A layer with trained weights.

    Attributes:
        name: As the model names it.
        kind: Its class.
        weight_norm: The length of all its trained weights.
        gradient_norm: The length of the loss's gradient by them.
        behind_zeros: Whether this is 0 because weights after the layer are all zero: they get a gradient, and as soon
            as they have followed it the layer gets one too, as behind a head that begins at zero.
    """

    name: str
    kind: str
    weight_norm: float
    gradient_norm: float
    behind_zeros: bool = False


@dataclass(frozen=True)
class Activation:
    """What an activation gave, over all examples and places.

    Attributes:
        kind: The function, as torch calls it.
        after: The last layer with weights before it; empty where there is none.
        mean: The mean of its outputs.
        spread: Their standard deviation.
        units: How many units there are: channels after a convolution, else features.
        dead: How many of them pass no gradient on, being zero or saturated, for any example.
    """

    kind: str
    after: str
    mean: float
    spread: float
    units: int
    dead: int


@dataclass(frozen=True)
class Signals:
    """The layers and activations of a model in the order in which they are computed.

    Attributes:
        problem: The problem's name.
        split: The split that the examples are of.
        examples: How many of them there are.
        mode: "evaluation" or "training": how dropout and batch norm compute.
        loss: Their loss.
        layers: The layers with weights.
        activations: The activations.
        cost: What it took, in gradients of all the examples.
    """

    problem: str
    split: str
    examples: int
    mode: str
    loss: float
    layers: tuple[Layer, ...]
    activations: tuple[Activation, ...]
    cost: float = 1.0

    @property
    def gradient_norm(self) -> float:
        """The length of the gradient by all trained weights."""
        return float(sum(layer.gradient_norm**2 for layer in self.layers) ** 0.5)


def signals(
    problem: Problem,
    model: Model,
    *,
    split: str = "train",
    examples: int | None = None,
    mode: str = "evaluation",
    seed: int = 0,
) -> Signals:
    """Look into a model on one batch of examples: its activations, dead units and gradients by depth.

    A unit is dead that passes no gradient on for any of the examples: one of ReLU that is always zero (Glorot, Bordes
    and Bengio, 2011), one of a sigmoid that is always at its end. Activations count that the model computes by torch's
    own functions, as modules or not, beside those inside fused recurrent layers.

    Args:
        problem: The problem whose loss it is.
        model: A module that the problem's model function builds, or its state_dict; it is only read.
        split: The split that the examples are of.
        examples: How many of them are taken, always the same; 512, or all where there are fewer, unless given.
        mode: "evaluation" or "training", which says how dropout and batch norm compute.
        seed: What draws the masks of dropout, and whatever else is random.

    Returns:
        The layers and activations.

    Raises:
        TypeError, ValueError: It can't be looked into; the sentence names the argument.

    >>> from fallline.problems import digits
    >>> problem = digits()
    >>> found = signals(problem, problem.build(0), examples=100)
    >>> [(one.kind, one.units) for one in found.activations]
    [('relu', 32)]
    """
    check_choice("mode", mode, ("evaluation", "training"))
    seed = as_seed(seed)
    part = examples_of(problem, split, examples)
    if examples is None and len(part) > EXAMPLES:
        part = examples_of(problem, split, EXAMPLES)
    device = problem.training_device
    module = with_model(problem, model).build(0).to(device).train(mode == "training")
    watched = _Watched(module)
    weights = {layer: _own(layer) for layer in watched.layers}

    def pass_through() -> tuple[float, dict[nn.Module, list[Tensor]]]:
        """The loss, and its gradients by the weights of each layer."""
        with draws_of(seed, 1, None if mode == "training" else split, device), torch.enable_grad():
            loss = _loss(problem, module, part.to(device), training=mode == "training")
        if not loss.requires_grad:
            raise ProblemError("loss: it does not depend on what is trained; return the loss of the model's output.")
        every = [weight for own in weights.values() for weight in own]
        found = iter(torch.autograd.grad(loss, every, materialize_grads=True))
        return float(loss.detach()), {layer: [next(found).to_dense() for _ in own] for layer, own in weights.items()}

    with watched.recording():
        loss, gradients = pass_through()
    sizes = {layer: (_norm(own), _norm(gradients[layer])) for layer, own in weights.items()}
    late = [layer for layer, (_, gradient) in sizes.items() if gradient == 0]
    if late:
        moved = _step_from_zero(weights, gradients)
        then = pass_through()[1] if moved else gradients
        late = [layer for layer in late if _norm(then[layer]) > 0]
    return Signals(
        problem=problem.name,
        split=split,
        examples=len(part),
        mode=mode,
        loss=loss,
        layers=tuple(
            Layer(watched.layers[layer], type(layer).__name__, *own, behind_zeros=layer in late)
            for layer, own in sizes.items()
        ),
        activations=tuple(one.told() for one in watched.used.values()),
    )


def _loss(problem: Problem, module: nn.Module, part: Split, *, training: bool) -> Tensor:
    if training:
        return problem.training_loss(module, part.inputs.clone(), part.targets)
    if problem.loss is not None:
        return problem.loss(module(part.inputs.clone()), part.targets)
    assert problem.step is not None
    return problem.step(module, part.inputs.clone(), part.targets)


def _step_from_zero(weights: dict[nn.Module, list[nn.Parameter]], gradients: dict[nn.Module, list[Tensor]]) -> bool:
    """Move weights that are all zero a little against their gradient; whether there are some that have one."""
    pairs = [pair for layer, own in weights.items() for pair in zip(own, gradients[layer], strict=True)]
    zeros = [(weight, slope) for weight, slope in pairs if slope.any() and not weight.any()]
    with torch.no_grad():
        for weight, slope in zeros:
            weight.copy_(-_NUDGE * slope / slope.norm())
    return bool(zeros)


def _own(layer: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in layer.parameters(recurse=False) if weight.requires_grad]


def _norm(tensors: list[Any]) -> float:
    return float(sum(float(tensor.detach().double().square().sum()) for tensor in tensors) ** 0.5)


@dataclass
class _Use:
    """What an activation gave until now: how many numbers, their sum, that of their squares, and which units pass."""

    kind: str
    after: str
    passing: Tensor  # [units]: whether a unit passes a gradient on for any example
    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def told(self) -> Activation:
        mean = self.total / self.count
        spread = math.sqrt(max(0.0, self.squares / self.count - mean**2))
        units = len(self.passing)
        return Activation(self.kind, self.after, mean, spread, units, units - int(self.passing.sum()))


class _Watched(Watch):  # type: ignore[no-untyped-call]  # torch has no types for it
    """Sees the activations that a module computes, and after which layer."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = module
        own = {part: name for name, part in module.named_modules() if _own(part)}
        #: The layers that have weights of their own to train.
        self.layers: dict[nn.Module, str] = {part: name or type(part).__name__ for part, name in own.items()}
        self.used: dict[tuple[str, str, int], _Use] = {}
        self._depth = 0
        self._after: nn.Module | None = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        with ExitStack() as stack:
            for part in self._module.modules():
                stack.callback(part.register_forward_pre_hook(self._enter).remove)
                stack.callback(part.register_forward_hook(self._leave).remove)
            stack.enter_context(self)
            yield

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self._depth += 1

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._depth -= 1
        if module in self.layers:
            self._after = module

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind = function._schema.name.removeprefix("aten::").removesuffix("_")
        if not self._depth or kind not in _STEEPEST or args[0].dim() < 2:  # outside of the model, or no units
            return function(*args, **(kwargs or {}))
        inputs = args[0].detach().double()
        # The operations are elementwise, so that a difference on both sides gives every slope.
        ends = [function(inputs + side * _STEP, *args[1:], **(kwargs or {})) for side in (1, -1)]
        output = function(*args, **(kwargs or {}))
        self._record(kind, output.detach().double(), (ends[0] - ends[1]) / (2 * _STEP * _STEEPEST[kind]))
        return output

    def _record(self, kind: str, output: Tensor, slope: Tensor) -> None:
        after = self._after
        where = 1 if isinstance(after, _CONVOLUTIONS) or output.dim() > 3 else output.dim() - 1
        name, units = "" if after is None else self.layers[after], output.shape[where]
        none = torch.zeros(units, dtype=torch.bool, device=output.device)
        use = self.used.setdefault((kind, name, units), _Use(kind, name, none))
        use.passing |= (slope.abs() >= _FLAT).movedim(where, 0).reshape(units, -1).any(1)
        use.count += output.numel()
        use.total += float(output.sum())
        use.squares += float(output.square().sum())
