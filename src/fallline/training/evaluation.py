"""How a model is evaluated: when, in which manner, on how many examples at once, and what comes of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fallline.training.counter_random import evaluation_keys, run_keys
from fallline.training.drawing import LaneMasks, drawing, replaceable
from fallline.training.generators import preserved, seeded
from fallline.training.memory import parts, pass_budget
from fallline.training.metrics import value_of
from fallline.training.modules import address, bytes_of, differing, python_state, trainable
from fallline.training.splits import Split
from fallline.training.task import SplitTask

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
            kept, output = footprint(module, inputs.clone())
        except Exception:  # a step may call the model otherwise; what fails anyway is told by whoever evaluates it
            return Manner(_ALL, needed, 1, 1)
    if differing(before, python_state(module)) is not None or not _each_alone(module, inputs, needed):
        return Manner(_ALL, needed, kept, output)
    # A power of two, so that some bytes more or less are no other number.
    fitting = max(1, pass_budget(device) // max(1, kept))
    return Manner(1 << (fitting.bit_length() - 1), needed, kept, output)


def _each_alone(module: nn.Module, inputs: Tensor, gradients: bool) -> bool:
    """Whether the output of an example is the same without another one beside it."""

    def output(inputs: Tensor) -> Tensor:
        with seeded(0, inputs.device), LaneMasks(torch.zeros((), dtype=torch.int64, device=inputs.device), count()):
            found: Tensor = module(inputs.clone()).detach()[0].double()
        return found

    try:
        with evaluating(module, gradients=gradients):
            beside, alone = output(inputs), output(inputs[:1])
    except Exception:
        return False
    return bool((beside - alone).abs().max() <= _CLOSE * beside.abs().max()) if beside.numel() else True


def needs_gradients(module: nn.Module, inputs: Tensor) -> bool:
    """Whether a model can be evaluated only where gradients are recorded, as it differentiates by its inputs.

    >>> needs_gradients(nn.Linear(3, 4), torch.randn(2, 3))
    False
    """
    for gradients in (False, True):
        with suppress(Exception), evaluating(module, gradients=gradients):
            module(inputs.clone())
            return gradients
    return False  # what fails anyway is told by whoever evaluates it


@contextmanager
def evaluating(module: nn.Module, *, gradients: bool = False) -> Iterator[None]:
    """Hold a module in evaluation mode, recording gradients only where it needs them; then in training mode again."""
    module.eval()
    try:
        with torch.set_grad_enabled(gradients):
            yield
    finally:
        module.train()


def _spare(model: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
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
        problem, model, device = self._problem, self._model, self._device
        keys = partial(evaluation_keys, self._keys, step, problem.name_of(split))
        draws = partial(drawing, device=device, libraries=True, replaced=self._replaced)
        with preserved(device, libraries=True), torch.no_grad():
            if self._manner is None:
                spare = _spare(model, lambda: problem.build(0).to(device))
                self._manner = manner_of(spare, problem.train.inputs[:2].to(device), device)
            with evaluating(model):
                output = None
                if needs_outputs(problem):
                    output = outputs_of(model, split, self._manner, lambda first: draws(keys(first)[0]))
                with draws(keys(0)[0]):
                    loss = float(loss_of(problem, model, split, output))
            if output is None or problem.metric_is_loss:
                return loss, loss
            return loss, float(value_of(problem.metric, output, split.targets.to(output.device)))


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

    Attributes:
        loss: The loss [K].
        metric: The metric [K].
        example_loss: Each example's share [K, n], whose mean the loss is; None where there is no such share, or where
            it was not asked for.
        example_metric: The same of the metric.
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
            self.bytes = max(self.bytes, bytes_of(result))
            self.total += bytes_of(result)
        return result


def footprint(module: nn.Module, inputs: Tensor, compute: Callable[[Tensor], Tensor] | None = None) -> tuple[int, int]:
    """Bytes that one example needs in one lane: at once in a pass forward and backward, and in the output.

    They are measured of a pass on a few examples, of the module or of `compute`, which calls it. A frozen body keeps
    nothing for the backward pass, but its largest tensor is there while the next is computed.

    Args:
        module: The module, which is in training mode afterwards.
        inputs: The examples' inputs [n, ...], where the module is.
        compute: A function of the inputs that calls the module.

    >>> footprint(nn.Linear(3, 4), torch.randn(2, 3))
    (32, 16)
    """
    known = {address(parameter) for parameter in module.parameters()}
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        if address(tensor) not in known:
            known.add(address(tensor))
            kept += bytes_of(tensor)
        return tensor

    module.eval()
    compute = compute or module
    with torch.enable_grad(), _Largest() as top:
        try:
            with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
                output = compute(inputs.clone())
        except RuntimeError:  # torch.func can't be watched so; what it computes is an upper bound of what it keeps
            output = compute(inputs.clone())
            kept = top.total
    module.train()
    return max(kept + output.nbytes, 2 * top.bytes) // len(inputs), output.nbytes // len(inputs)
