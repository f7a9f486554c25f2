"""What an untrained model and the loss make of a few examples, before anything is trained; failures as sentences."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fallline.training.errors import ProblemError, dtype_name, first_line
from fallline.training.generators import seeded
from fallline.training.metrics.metric import IGNORED, class_dimensions
from fallline.training.splits import PACK, Split

if TYPE_CHECKING:
    from fallline.training.problem import Problem


_ROWS, _SEARCHED, _MOST_KINDS = 16, 4096, 64
_MOST_NUMBERS = 2**22  # of the outputs together
_STEP_ASIDE = 0.01


@dataclass(frozen=True)
class Look:
    """A few examples that hold every label found, the model's `output` for them, with its graph, and the loss's slope.

    `slopes(targets, by)` are the derivatives of the loss by each number of the output, were these the targets and every
    number moved by the share `by` of its size and 1.
    """

    output: Tensor
    targets: Tensor
    slopes: Callable[..., Tensor]


def first_look(problem: Problem, module: nn.Module) -> Look | None:
    """Look at a module in evaluation mode; None where it or the loss fails, which `Problem.check` will say."""
    try:
        with seeded(0, libraries=True), torch.enable_grad():
            module.eval()
            size = module(problem.train.inputs[:1].clone()).numel()
            # Few at once where a training pass has few: activations take far more memory than outputs.
            part = _some([*problem.splits().values()], max(6, min(max(problem.batch, _ROWS), _MOST_NUMBERS // size)))
            output = module(part.inputs.clone())
            slopes = functools.partial(_slopes, problem, module, part.inputs, output)
            return Look(output, part.targets, slopes) if isinstance(output, Tensor) else None
    except Exception:  # whatever a stranger's code does
        return None


def _some(splits: Sequence[Split], most: int) -> Split:
    """Examples of all splits: the first, those with the extreme labels, and those in which others come first."""
    inputs, targets = [], []
    for split in splits:
        flat = split.targets[:_SEARCHED].reshape(min(len(split), _SEARCHED), -1)
        _, first = np.unique(flat.numpy(), return_index=True)
        values = split.targets.reshape(len(split), -1)
        extremes = [int(values.amin(1).argmin()), int(values.amax(1).argmax())]
        rows = [*extremes, *range(min(_ROWS, len(split))), *(first[:_MOST_KINDS] // flat.shape[1]).tolist()]
        rows = list(dict.fromkeys(rows))[: most // len(splits)]
        inputs.append(split.inputs[rows])
        targets.append(split.targets[rows])
    return Split(torch.cat(inputs), torch.cat(targets))


def _slopes(
    problem: Problem, module: nn.Module, inputs: Tensor, output: Tensor, targets: Tensor, by: float = 0.0
) -> Tensor:
    leaf = (output.detach() + by * (1 + output.detach().abs())).requires_grad_()
    if problem.loss is not None:
        with seeded(0, libraries=True), torch.enable_grad():
            return torch.autograd.grad(problem.loss(leaf, targets), leaf)[0]
    assert problem.step is not None
    # A step is shown the outputs as a leaf of its own, from which its loss then goes on. A copy that it makes of the
    # module, as a teacher, has the hook too, and goes its own way.
    with (
        module.register_forward_hook(lambda called, inputs, output: leaf if called is module else None),
        seeded(0, libraries=True),
        torch.enable_grad(),
    ):
        return torch.autograd.grad(problem.step(module, inputs.clone(), targets), leaf)[0]


def ignored_labels(loss: object, look: Look | None) -> frozenset[float]:
    """The labels that a loss does not count, as it says or as its slopes tell: they vanish wherever such a label is.

    >>> from torch.nn import CrossEntropyLoss
    >>> ignored_labels(CrossEntropyLoss(ignore_index=0), None)
    frozenset({0})
    """
    said = ignore_index(loss)
    if said is not None:
        return frozenset([said])
    if look is None:
        return frozenset()
    try:
        return _without_slope(look)
    except Exception:  # a loss that fails is told of by `Problem.check`
        return frozenset()


def kind_of_loss(loss: Any) -> Callable[..., Tensor] | None:
    """The function of torch that a loss is one form of: one that is given settings, or its module.

    >>> kind_of_loss(nn.CrossEntropyLoss()) is functional.cross_entropy
    True
    """
    if isinstance(loss, functools.partial):
        return kind_of_loss(loss.func)
    if isinstance(loss, MethodType):
        return kind_of_loss(loss.__self__)
    if isinstance(loss, nn.Module):
        return _FUNCTIONS.get(type(loss))
    return loss if loss in _FUNCTIONS.values() else None


_FUNCTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.CrossEntropyLoss: functional.cross_entropy,
    nn.NLLLoss: functional.nll_loss,
    nn.BCEWithLogitsLoss: functional.binary_cross_entropy_with_logits,
    nn.BCELoss: functional.binary_cross_entropy,
}


def ignore_index(loss: Any) -> int | None:
    """The label that a loss of torch's says it ignores; None where it is none that can say."""
    if kind_of_loss(loss) not in (functional.cross_entropy, functional.nll_loss):
        return _said_inside(loss) if isinstance(loss, nn.Module) else None
    if isinstance(loss, functools.partial):
        return int(loss.keywords["ignore_index"]) if "ignore_index" in loss.keywords else ignore_index(loss.func)
    if isinstance(loss, MethodType):
        return ignore_index(loss.__self__)
    return int(getattr(loss, "ignore_index", IGNORED))


def _said_inside(loss: nn.Module) -> int | None:
    """What the one loss of torch's inside a module of the user's own says."""
    said = {part.ignore_index for part in loss.modules() if isinstance(part, nn.CrossEntropyLoss | nn.NLLLoss)}
    return said.pop() if len(said) == 1 else None


def _without_slope(look: Look) -> frozenset[float]:
    targets = look.targets
    places = class_dimensions(look.output.shape, targets.shape)

    def counts(targets: Tensor) -> Tensor:
        """Where the loss hangs on the output, in the shape of the targets."""
        moved = look.slopes(targets) != 0
        with suppress(Exception):  # a loss of probabilities may refuse others; a slope may vanish at one place alone
            moved |= look.slopes(targets, _STEP_ASIDE) != 0
        return moved.any(places[0]) if places else moved.reshape(targets.shape)

    if len(places) > 1 or (not places and look.output.numel() != targets.numel()):
        return frozenset()
    counted = counts(targets)
    labels: Tensor = targets.unique()  # type: ignore[no-untyped-call]
    silent = [float(label) for label in labels[:_MOST_KINDS] if not counted[targets == label].any()]
    return frozenset(label for label in silent if counted.any() and not _ever_counts(label, targets, counted, counts))


def _ever_counts(label: float, targets: Tensor, counted: Tensor, counts: Callable[[Tensor], Tensor]) -> bool:
    """Whether a loss hangs on outputs elsewhere once this is the label there, in every other place that counts."""
    places = counted.flatten().nonzero().flatten()[::2]
    changed = targets.clone().flatten()
    changed[places] = torch.tensor(label, dtype=targets.dtype)
    return bool(counts(changed.view_as(targets)).flatten()[places].any())


def attempt(problem: Problem, module: nn.Module, part: Split, name: str, *, training: bool) -> Tensor:
    """The loss of examples of the split `name`, as training or evaluation takes it.

    Raises ProblemError: the model, the loss or the step failed, or did not return what is needed.
    """
    compute = problem.training_loss if training else problem.evaluation_loss
    source = "step" if problem.step is not None and (training or problem.loss is None) else "loss"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if source == "loss" or not problem.metric_is_loss:
            output = _output(module, part, name)
        try:
            loss: object = compute(module, part.inputs.clone(), part.targets)
        except Exception as error:
            sentence = (
                _step_failed(part, name, error)
                if source == "step"
                else _misfit(problem, output, part.targets, name, error)
            )
            raise ProblemError(sentence) from error
    if source == "loss" and any("target size" in str(warning.message) for warning in caught):
        raise ProblemError(
            f"loss: the output has shape {shape(output)} and the targets of {name} {shape(part.targets)}, which would "
            "be broadcast; reshape one of them, for instance y.reshape(-1, 1)."
        )
    if not isinstance(loss, Tensor) or loss.ndim:
        what = (
            f"a tensor of shape {shape(loss)}" if isinstance(loss, Tensor) else f"a value of type {type(loss).__name__}"
        )
        raise ProblemError(
            f"{source}: it returned {what}; make it return one number as a tensor, the mean over the batch."
        )
    return loss


def _output(module: nn.Module, part: Split, name: str) -> Tensor:
    try:
        output: object = module(part.inputs.clone())
    except Exception as error:
        if isinstance(error, TypeError) and "required positional argument" in str(error):
            raise ProblemError(f"model: it takes more than one input ({first_line(error)}); {PACK}.") from error
        whole = "" if part.inputs.is_floating_point() else ", or give X as floating-point numbers, X.astype('float32')"
        raise ProblemError(
            f"model: it failed on inputs of {name} of shape {shape(part.inputs)} and type {dtype_name(part.inputs)} "
            f"({first_line(error)}); make the model fit the inputs{whole}."
        ) from error
    if not isinstance(output, Tensor):
        raise ProblemError(
            f"model: its output is of type {type(output).__name__}; make it return one tensor, "
            "or compute the loss in a step(model, inputs, targets)."
        )
    return output


def _step_failed(part: Split, name: str, error: Exception) -> str:
    return (
        f"step: it failed on inputs of {name} of shape {shape(part.inputs)} and type {dtype_name(part.inputs)} and "
        f"targets of shape {shape(part.targets)} and type {dtype_name(part.targets)} ({first_line(error)}); "
        "it is called as step(model, inputs, targets)."
    )


def _misfit(problem: Problem, output: Tensor, targets: Tensor, name: str, error: Exception) -> str:
    """Why a loss failed, as far as shapes and labels tell."""
    places = [] if targets.is_floating_point() else class_dimensions(output.shape, targets.shape)
    classes = output.shape[places[0]] if places else 1
    counted = targets[targets != ignore_index(problem.loss)]
    if classes > 1 and len(counted) and (counted.max() >= classes or counted.min() < 0):
        return (
            f"{name}: its labels run from {int(counted.min())} to {int(counted.max())}, but the model has {classes} "
            f"outputs, for the labels 0 to {classes - 1}; give the model more outputs or renumber the labels."
        )
    remedy = _remedy(output, targets, str(error))
    return (
        f"loss: it failed on outputs of shape {shape(output)} and type {dtype_name(output)} and targets of {name} of "
        f"shape {shape(targets)} and type {dtype_name(targets)} ({first_line(error)}); {remedy}."
    )


def _remedy(output: Tensor, targets: Tensor, error: str) -> str:
    """What most likely makes targets fit a loss that failed on them."""
    whole = not targets.is_floating_point()
    if output.ndim == 2 and output.shape[1] == 1 and targets.ndim == 1:
        return (
            "give the model one output a class, or, if the loss compares numbers, give y the output's shape and type, "
            "y.astype('float32').reshape(-1, 1)"
        )
    if "between 0 and 1" in error:
        return "end the model with a sigmoid, or take binary_cross_entropy_with_logits"
    if not whole and targets.ndim == output.ndim - 1 and torch.equal(targets, targets.round()):
        return "if y holds class labels, give them as integers, y.astype('int64')"
    if whole and targets.shape == output.shape:
        return "if the loss compares numbers, give y as floating-point numbers, y.astype('float32')"
    if whole and targets.ndim == output.ndim == 2 and targets.shape[1] == 1:
        return "if y holds class labels, give them in one dimension, y.reshape(-1)"
    if whole and output.ndim == 3 and class_dimensions(output.shape, targets.shape) == [2]:
        return (
            "if the classes are its last dimension, let the loss flatten the tokens, "
            "lambda output, y: cross_entropy(output.flatten(0, 1), y.flatten())"
        )
    return "make the model's output and y fit the loss, which is called as loss(output, y)"


def shape(tensor: Tensor) -> str:
    """The shape of a tensor, to be quoted inside a sentence.

    >>> shape(torch.zeros(2, 3))
    '(2, 3)'
    """
    return str(tuple(tensor.shape))
