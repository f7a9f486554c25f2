"""How a model is evaluated: when, in which manner, on how many examples at once, and what comes of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fallline.training.counter_random import evaluation_keys, run_keys
from fallline.training.drawing import LaneMasks, drawing, replaceable
from fallline.training.errors import parts, pass_budget
from fallline.training.generators import preserved, seeded
from fallline.training.metrics import value_of
from fallline.training.modules import differing, python_state, trainable
from fallline.training.splits import Split
from fallline.training.task import SplitTask

_MOST_IN_ONE_EPOCH = 20


def evaluation_points(problem: SplitTask, steps: int, start: int = 0, every: int | None = None) -> list[int]:
    """The steps after which to evaluate, of a run of `steps` that goes on from step `start`.

    That is before the first step, after every epoch, or `every` so many steps, and at the end. Where one epoch is all,
    as with a stream, there are 20 intervals of equal length instead. Problems that differ in their batch size alone
    have equally many points, so a step may be given more than once.

    >>> from fallline.problems import digits
    >>> evaluation_points(digits(epochs=3), 51)
    [0, 17, 34, 51]
    >>> evaluation_points(digits(epochs=3), 40, start=17)
    [34, 40]
    >>> evaluation_points(digits(epochs=1), 17)
    [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 14, 14, 15, 16, 17]
    """
    if every is None and problem.epochs == 1:
        points = [round(steps * point / _MOST_IN_ONE_EPOCH) for point in range(_MOST_IN_ONE_EPOCH + 1)]
    else:
        points = [*range(0, steps, every or problem.steps_per_epoch), steps]
    return [point for point in points if point > start or start == 0]


_ALL = 2**62
_CLOSE = 1e-2  # coarse, for models in half precision


@dataclass(frozen=True)
class Manner:
    """How a model is evaluated: so many `examples` at once, and with `gradients` where it differentiates itself.

    The number of examples follows from the model alone, so that what it draws is the same in any company; it is
    unbounded where an output depends on the other examples, where a pass changes the model, and where a step alone
    knows how to call it. `kept` and `output` count the bytes of an example, in a pass and in its output.
    """

    examples: int
    gradients: bool
    kept: int
    output: int


def manner_of(module: nn.Module, inputs: Tensor, device: torch.device) -> Manner:
    """How to evaluate a model that takes these few inputs; the module itself takes passes for it.

    >>> manner_of(nn.Linear(3, 4), torch.randn(2, 3), torch.device("cpu"))
    Manner(examples=1048576, gradients=False, kept=32, output=16)
    """
    needed = needs_gradients(module, inputs)
    before = python_state(module)
    with LaneMasks(torch.zeros((), dtype=torch.int64, device=device), count()):
        try:
            found = footprint(module, inputs.clone())
        except Exception:  # a step may call the model otherwise; what fails anyway is told by whoever evaluates it
            return Manner(_ALL, needed, 1, 1)
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


class Evaluator:
    """Evaluates one model, again and again; what it draws follows from the seed, the step and the split.

    >>> from fallline.problems import digits
    >>> problem = digits()
    >>> loss, accuracy = Evaluator(problem.build(0), problem, seed=0)(problem.valid, step=0)
    >>> 2.2 < loss < 2.5, 0 <= accuracy <= 1
    (True, True)
    """

    def __init__(self, model: nn.Module, problem: SplitTask, seed: int) -> None:
        self._model = model
        self._problem = problem
        self._device = next(model.parameters()).device
        self._keys = run_keys(torch.tensor([seed], dtype=torch.int64, device=self._device))
        self._replaced = replaceable(model)
        self._manner: Manner | None = None

    def __call__(self, split: Split, step: int) -> tuple[float, float]:
        """The problem's loss and metric of the whole split, in evaluation mode; the model is left in training mode."""
        problem = self._problem
        name = next((name for name, own in problem.splits().items() if own is split), "")
        keys = partial(evaluation_keys, self._keys, step, name)
        with preserved(self._device, libraries=True), torch.no_grad():
            manner = self._manner = self._manner or self._learnt(split)
            self._model.eval()
            try:
                output = self._outputs(split, manner, keys) if needs_outputs(problem) else None
                with self._drawing(keys(0)):
                    loss = float(loss_of(problem, self._model, split, output))
            finally:
                self._model.train()
            if output is None or problem.metric_is_loss:
                return loss, loss
            return loss, float(value_of(problem.metric, output, split.targets.to(output.device)))

    def _learnt(self, split: Split) -> Manner:
        model = spare(self._model, lambda: self._problem.build(0).to(self._device))
        return manner_of(model, self._problem.train.inputs[:2].to(self._device), self._device)

    def _outputs(self, split: Split, manner: Manner, keys: Callable[[int], Tensor]) -> Tensor:
        return outputs_of(self._model, split, manner, lambda first: self._drawing(keys(first)))

    def _drawing(self, keys: Tensor) -> AbstractContextManager[object]:
        return drawing(keys[0], self._device, libraries=True, replaced=self._replaced)


def needs_outputs(problem: SplitTask) -> bool:
    """Whether an evaluation takes the model's outputs, as all do but for the loss of a step."""
    return problem.loss is not None or not problem.metric_is_loss


def outputs_of(
    model: nn.Module,
    split: Split,
    manner: Manner,
    drawing: Callable[[int], AbstractContextManager[object]] | None = None,
) -> Tensor:
    """The outputs [n, ...] for all examples, in parts that bound the memory, where the model is.

    `drawing(first)` is entered for the part that begins with the example `first`.
    """
    device = next(model.parameters()).device
    found = []
    for rows in parts(len(split), manner.examples):
        with drawing(rows.start) if drawing else nullcontext(), torch.set_grad_enabled(manner.gradients):
            # A copy of the inputs, since a model may write into them.
            found.append(model(split.inputs[rows].to(device, copy=True)).detach())
    return torch.cat(found)


def loss_of(problem: SplitTask, model: nn.Module, split: Split, output: Tensor | None) -> Tensor:
    """The loss of all examples, from their outputs, or by the step where the problem has no loss."""
    device = next(model.parameters()).device
    targets = split.targets.to(device)
    if problem.loss is not None and output is not None:
        return problem.loss(output, targets)
    return problem.evaluation_loss(model, split.inputs.to(device, copy=True), targets)


Score = Callable[[Tensor, Tensor], Tensor]
Each = Callable[[Score, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """The quality of K lanes on n examples, in float64, on the CPU.

    `loss` and `metric` are [K]. `example_loss` and `example_metric` are [K, n], each example's share, whose mean they
    are; None where there is no such share, or where it was not asked for.
    """

    loss: Tensor
    metric: Tensor
    example_loss: Tensor | None = None
    example_metric: Tensor | None = None


def join_evaluations(parts: list[Evaluation]) -> Evaluation:
    """The evaluation of all lanes, from those of some each.

    >>> join_evaluations([Evaluation(torch.zeros(2), torch.ones(2)), Evaluation(torch.zeros(1), torch.ones(1))]).metric
    tensor([1., 1., 1.])
    """
    return Evaluation(
        torch.cat([part.loss for part in parts]),
        torch.cat([part.metric for part in parts]),
        _joined([part.example_loss for part in parts]),
        _joined([part.example_metric for part in parts]),
    )


def _joined(shares: list[Tensor | None]) -> Tensor | None:
    present = [share for share in shares if share is not None]
    return torch.cat(present) if len(present) == len(shares) else None


def example_losses(each: Each, loss: Score, outputs: Tensor, targets: Tensor, whole: Tensor) -> Tensor | None:
    """The loss of each example alone [K, n]; None where the loss of the `whole` [K] is not their mean.

    `each` applies a score to every lane's outputs [K, n, ...] and the same targets [n, ...].
    """
    alone = torch.func.vmap(lambda output, target: loss(output[None], target[None]))
    try:
        share = each(alone, outputs, targets).cpu().double()
    except (RuntimeError, ValueError, IndexError, TypeError):
        return None
    tolerance = 1e3 * torch.finfo(outputs.dtype).eps
    return share if torch.allclose(share.mean(1), whole, rtol=tolerance, atol=tolerance, equal_nan=True) else None


@dataclass(frozen=True)
class Footprint:
    """Bytes that one example needs in one lane: at once in a pass forward and backward, and in the output."""

    kept: int
    output: int


class _Largest(TorchFunctionMode):
    """Notes the size of the largest tensor that is computed, and of all together."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.total = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.bytes = max(self.bytes, _bytes(result))
            self.total += _bytes(result)
        return result


def footprint(module: nn.Module, inputs: Tensor, compute: Callable[[Tensor], Tensor] | None = None) -> Footprint:
    """Measure a pass on a few examples: of the module, or of `compute`, which calls it.

    A frozen body keeps nothing for the backward pass, but its largest tensor is there while the next is computed.

    >>> footprint(nn.Linear(3, 4), torch.randn(2, 3))
    Footprint(kept=32, output=16)
    """
    known = {_address(parameter) for parameter in module.parameters()}
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        if _address(tensor) not in known:
            known.add(_address(tensor))
            kept += _bytes(tensor)
        return tensor

    module.eval()
    compute = module if compute is None else compute
    with torch.enable_grad(), _Largest() as top:
        try:
            with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
                output = compute(inputs.clone())
        except RuntimeError:  # torch.func can't be watched so; what it computes is an upper bound of what it keeps
            output = compute(inputs.clone())
            kept = top.total
    module.train()
    examples = len(inputs)
    return Footprint(max(kept + output.nbytes, 2 * top.bytes) // examples, output.nbytes // examples)


def _address(tensor: Tensor) -> int:
    return tensor.data_ptr() if tensor.layout == torch.strided else id(tensor)


def _bytes(tensor: Tensor) -> int:
    """Bytes of a tensor, of a sparse one as if it held all its elements."""
    return tensor.numel() * tensor.element_size()
