"""What a problem's model does in its passes, learnt from a module that is not trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fallline.training.lane_masks import LaneMasks
from fallline.training.memory import footprint, pass_budget
from fallline.training.modules import slots, trainable, unchanged_by
from fallline.training.python_state import differing, python_state
from fallline.training.randomness import draws, preserved, seeded
from fallline.training.splits import Split

if TYPE_CHECKING:
    from fallline.training.problem import Problem


_ALL = 2**62
_CLOSE = 1e-2  # coarse, for models in half precision


@dataclass(frozen=True)
class Manner:
    """How a model is evaluated: so many `examples` at once, and with `gradients` where it differentiates itself.

    The number of examples follows from the model alone, so that what it draws is the same in any company; it is
    unbounded where an output depends on the other examples, or a pass changes the model. `kept` and `output` count the
    bytes of an example, in a pass and in its output.
    """

    examples: int
    gradients: bool
    kept: int
    output: int


@dataclass(frozen=True)
class Traits:
    """What the passes of a model do.

    `kept` counts the bytes that an example needs in a pass forward and backward. `replaced` says that there are random
    numbers that `LaneMasks` replaces, `others` that torch's generator is drawn from, `libraries` that Python's or
    NumPy's is. `state` names an attribute, no registered tensor, that a pass changes. `constant` says of each untrained
    tensor whether no pass changed it.
    """

    manner: Manner
    kept: int
    replaced: bool
    others: bool
    libraries: bool
    state: str | None
    constant: list[bool]


def manner_of(module: nn.Module, inputs: Tensor, device: torch.device) -> Manner:
    """How to evaluate a model that takes these few inputs; the module itself takes passes for it.

    >>> manner_of(nn.Linear(3, 4), torch.randn(2, 3), torch.device("cpu"))
    Manner(examples=1048576, gradients=False, kept=32, output=16)
    """
    needed = needs_gradients(module, inputs)
    before = python_state(module)
    with LaneMasks(torch.zeros((), dtype=torch.int64, device=device), count()):
        found = footprint(module, inputs.clone())
    if differing(before, python_state(module)) is not None or not _each_alone(module, inputs, needed):
        return Manner(_ALL, needed, found.kept, found.output)
    # A power of two, so that some bytes more or less are no other number.
    fitting = max(1, pass_budget(device) // max(1, found.kept))
    return Manner(1 << (fitting.bit_length() - 1), needed, found.kept, found.output)


def _each_alone(module: nn.Module, inputs: Tensor, gradients: bool) -> bool:
    """Whether the output of an example is the same without another one beside it."""

    def output(inputs: Tensor) -> Tensor:
        with seeded(0, inputs.device), LaneMasks(torch.zeros((), dtype=torch.int64, device=inputs.device), count()):
            found: Tensor = module(inputs.clone()).detach()[0].double()
        return found

    module.eval()
    try:
        with torch.set_grad_enabled(gradients):
            beside, alone = output(inputs), output(inputs[:1])
    except Exception:
        return False
    finally:
        module.train()
    return bool((beside - alone).abs().max() <= _CLOSE * beside.abs().max()) if beside.numel() else True


def needs_gradients(module: nn.Module, inputs: Tensor) -> bool:
    """Whether a model can be evaluated only where gradients are recorded, as it differentiates by its inputs.

    >>> needs_gradients(nn.Linear(3, 4), torch.randn(2, 3))
    False
    """
    module.eval()
    try:
        with torch.no_grad():
            module(inputs.clone())
        return False
    except Exception:
        try:
            with torch.enable_grad():
                module(inputs.clone())
            return True
        except Exception:
            return False  # what fails anyway is told by whoever evaluates it
    finally:
        module.train()


def spare(model: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
    """A copy of a model to evaluate, which shares what is trained with it; a fresh one where it can't be copied."""
    try:
        return copy.deepcopy(model, {id(parameter): parameter for parameter in trainable(model)})
    except Exception:
        return build()


def traits_of(problem: Problem, build: Callable[[], nn.Module], train: Split, key: Tensor) -> Traits:
    """Take a pass of every kind: in training, on the smaller batch that ends an epoch, and in evaluation."""
    with preserved(key.device, libraries=True):
        return _traits(problem, build, train, key)


def _traits(problem: Problem, build: Callable[[], nn.Module], train: Split, key: Tensor) -> Traits:
    first, batch = build(), problem.batch
    few = Split(train.inputs[:2].clone(), train.targets[:2])
    manner = manner_of(first, few.inputs, key.device)
    kept = manner.kept
    if problem.step is not None:
        kept = footprint(first, few.inputs, lambda inputs: problem.training_loss(first, inputs, few.targets)).kept
    module, last = build(), len(train) % batch
    rest = slots(module)[1]

    def passes() -> None:
        problem.training_loss(module, train.inputs[:batch].clone(), train.targets[:batch])
        if last:
            with suppress(Exception):  # it is told where it is met
                problem.training_loss(module, train.inputs[:last].clone(), train.targets[:last])
        module.eval()
        with suppress(Exception), torch.set_grad_enabled(manner.gradients):
            if problem.loss is None:
                problem.evaluation_loss(module, few.inputs.clone(), few.targets)
            if problem.loss is not None or not problem.metric_is_loss:
                module(few.inputs.clone())
        module.train()

    calls, before, drawn = count(), python_state(module), (False, False)

    def watched() -> None:
        nonlocal drawn
        with LaneMasks(key, calls):
            drawn = draws(passes, key.device)

    constant = unchanged_by(watched, rest)
    return Traits(manner, kept, next(calls) > 0, *drawn, differing(before, python_state(module)), constant)
