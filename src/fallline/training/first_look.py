"""What an untrained model and the loss make of a few examples, before anything is trained."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fallline.training.metrics.decisions import IGNORED, class_dimensions
from fallline.training.randomness import seeded
from fallline.training.splits import Split

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
