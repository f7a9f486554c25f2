"""What an untrained model and the loss make of a few examples, and the common mistakes that this and the data tell of.

They train without an error: a problem is warned of them as it is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fallline.training.generators import seeded
from fallline.training.metrics import class_dimensions, value_of
from fallline.training.splits import Split, concatenated, shared_examples
from fallline.training.task import SplitTask, ignore_index, kind_of_loss

#: Operations, by the name of their node in the graph, that leave the numbers of an output as they are.
_RESHAPING = (
    "View", "Squeeze", "Unsqueeze", "Reshape", "UnsafeView", "Transpose", "Permute", "T", "Select", "Slice", "Alias",
    "Clone", "Expand",
)  # fmt: skip
_BOUNDS = {"Relu": (0.0, math.inf), "Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Softmax": (0.0, 1.0)}
_LOGITS: dict[Callable[..., Tensor], str] = {
    functional.cross_entropy: "cross_entropy",
    functional.binary_cross_entropy_with_logits: "binary_cross_entropy_with_logits",
}


def mistakes(problem: SplitTask, look: Look | None, ignored: Collection[float]) -> tuple[str, ...]:
    """Sentences that name them: splits that share examples, outputs that the loss can't mean, targets out of reach,
    and a metric of the user's own that counts the labels which the loss has `ignored`.

    >>> from fallline.problems import digits
    >>> mistakes(digits(), None, ())
    ()
    """
    found = shared_examples(problem.splits())
    if look is None:
        return tuple(found)
    return (*found, *_misread(problem, look), *_out_of_reach(problem, look), *_counted_anyway(problem, look, ignored))


def _misread(problem: SplitTask, look: Look) -> Iterator[str]:
    output, targets = look.output.detach(), look.targets
    places = class_dimensions(output.shape, targets.shape)
    last, loss = _last_operation(look.output), _loss_of(problem, output, targets, places)
    rows = output.movedim(places[0], -1) if len(places) == 1 else None
    if loss in _LOGITS:
        what = "softmax" if rows is not None and _sum_to_one(rows) else last if last in ("Sigmoid", "Relu") else None
        if what is not None and not (loss is functional.cross_entropy and rows is None):
            takes = "softmax" if loss is functional.cross_entropy else "sigmoid"
            bound = "can't be negative" if what == "Relu" else "lie between 0 and 1"
            yield (
                f"model: its last operation is a {what.lower()}, and {_LOGITS[loss]} takes the {takes} itself, of "
                f"scores that may be any number: those that {bound} can't say enough; leave the {what.lower()} out."
            )
    if loss is functional.cross_entropy and rows is not None and rows.shape[-1] == 1:
        yield (
            "model: it has one output, and cross_entropy of one class is 0 whatever that is; give it one output a "
            "class, or take binary_cross_entropy_with_logits."
        )
    if loss is functional.nll_loss and rows is not None and rows.logsumexp(-1).abs().max() > 1e-2:
        yield (
            "model: nll_loss takes logarithms of probabilities, and its outputs are none, since their exponentials do "
            "not sum to 1; end it with log_softmax, or take cross_entropy."
        )


def _sum_to_one(rows: Tensor) -> bool:
    return rows.shape[-1] > 1 and bool((rows >= 0).all() and ((rows.sum(-1) - 1).abs() < 1e-3).all())


def _loss_of(problem: SplitTask, output: Tensor, targets: Tensor, places: list[int]) -> Any:
    """Which of torch's losses the problem has, as its function tells or, else, its value."""
    known = kind_of_loss(problem.loss)
    if known is not None or problem.loss is None:
        return known
    rows = output.movedim(places[0], -1).flatten(0, -2) if len(places) == 1 else output
    labels = targets.flatten() if places else targets
    for candidate in (*_LOGITS, functional.nll_loss):
        try:
            value, mine = float(candidate(rows, labels)), float(problem.loss(output, targets))
        except Exception:  # torch's refuses these outputs, or the user's fails, which `Problem.check` tells of
            continue
        if math.isclose(value, mine, rel_tol=1e-5):
            return candidate
    return None


def _last_operation(output: Tensor) -> str | None:
    """The operation that made the numbers of an output, as torch's graph names it."""
    node = output.grad_fn
    while node is not None:
        name = node.name().rpartition("::")[2].partition("Backward")[0]
        if name not in _RESHAPING:
            return name
        node = node.next_functions[0][0]
    return None


def _out_of_reach(problem: SplitTask, look: Look) -> Iterator[str]:
    """Targets that are numbers which the last operation never gives."""
    operation = str(_last_operation(look.output))
    low, high = _BOUNDS.get(operation, (-math.inf, math.inf))
    targets = problem.train.targets
    if targets.shape[1:] != look.output.shape[1:] or not targets.is_floating_point():
        return
    outside = ((targets < low) | (targets > high)).double().mean().item()
    if outside > 0:
        yield (
            f"model: its last operation is a {operation.lower()}, which gives {low:g} to {high:g}, and "
            f"{100 * outside:.3g} % of the targets of train lie outside; leave it out, or scale the targets."
        )


def _counted_anyway(problem: SplitTask, look: Look, ignored: Collection[float]) -> Iterator[str]:
    places = class_dimensions(look.output.shape, look.targets.shape)
    if problem.metric_is_loss or len(places) != 1:
        return
    for label in sorted(ignored):
        where = (look.targets == label).unsqueeze(places[0])
        if not where.any() or where.all():
            continue
        output = look.output.detach()
        others = [torch.where(where, output.roll(shift, places[0]), output) for shift in range(output.shape[places[0]])]
        try:
            values = [float(value_of(problem.metric, other, look.targets)) for other in others]
        except Exception:  # what fails is told of by `Problem.check`
            return
        if any(value != values[0] and not math.isnan(value) for value in values):
            yield (
                f"metric: {problem.metric.name!r} counts examples with label {label:g}, which the loss ignores; leave "
                "them out in it, or give a name such as 'accuracy', which does."
            )


_ROWS, _SEARCHED, _MOST_KINDS = 16, 4096, 64
_MOST_NUMBERS = 2**22  # of the outputs together
_STEP_ASIDE = 0.01


@dataclass(frozen=True)
class Look:
    """A few examples that hold every label found, and the module's `output` for them, with its graph."""

    problem: SplitTask
    module: nn.Module
    inputs: Tensor
    targets: Tensor
    output: Tensor

    def slopes(self, targets: Tensor, by: float = 0.0) -> Tensor:
        """The loss's slopes by the output, were these the targets and each number moved by `by` of its size and 1."""
        problem, module, output = self.problem, self.module, self.output.detach()
        leaf = (output + by * (1 + output.abs())).requires_grad_()
        with seeded(0, libraries=True), torch.enable_grad():
            if problem.loss is not None:
                return torch.autograd.grad(problem.loss(leaf, targets), leaf)[0]
            assert problem.step is not None
            # A step is shown the outputs as a leaf of its own, from which its loss then goes on. A copy that it makes
            # of the module, as a teacher, has the hook too, and goes its own way.
            with module.register_forward_hook(lambda called, inputs, output: leaf if called is module else None):
                return torch.autograd.grad(problem.step(module, self.inputs.clone(), targets), leaf)[0]


def first_look(problem: SplitTask, module: nn.Module) -> Look | None:
    """Look at a module in evaluation mode; None where it or the loss fails, which `Problem.check` will say."""
    try:
        with seeded(0, libraries=True), torch.enable_grad():
            module.eval()
            size = module(problem.train.inputs[:1].clone()).numel()
            # Few at once where a training pass has few: activations take far more memory than outputs.
            part = _some([*problem.splits().values()], max(6, min(max(problem.batch, _ROWS), _MOST_NUMBERS // size)))
            output = module(part.inputs.clone())
            return Look(problem, module, part.inputs, part.targets, output) if isinstance(output, Tensor) else None
    except Exception:  # whatever a stranger's code does
        return None


def _some(splits: Sequence[Split], most: int) -> Split:
    """Examples of all splits: the first, those with the extreme labels, and those in which others come first."""
    found = []
    for split in splits:
        flat = split.targets[:_SEARCHED].reshape(min(len(split), _SEARCHED), -1)
        _, first = np.unique(flat.numpy(), return_index=True)
        values = split.targets.reshape(len(split), -1)
        extremes = [int(values.amin(1).argmin()), int(values.amax(1).argmax())]
        rows = [*extremes, *range(min(_ROWS, len(split))), *(first[:_MOST_KINDS] // flat.shape[1]).tolist()]
        rows = list(dict.fromkeys(rows))[: most // len(splits)]
        found.append(split.take(rows))
    return concatenated(found)


def ignored_labels(loss: object, look: Look | None) -> frozenset[float]:
    """The labels that a loss does not count, as it says or as its slopes tell: they vanish wherever such a label is.

    >>> from torch.nn import CrossEntropyLoss
    >>> ignored_labels(CrossEntropyLoss(ignore_index=0), None)
    frozenset({0})
    """
    if (said := ignore_index(loss)) is not None:
        return frozenset([said])
    if look is None:
        return frozenset()
    try:
        return _without_slope(look)
    except Exception:  # a loss that fails is told of by `Problem.check`
        return frozenset()


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

    def ever_counts(label: float) -> bool:
        """Whether the loss hangs on outputs elsewhere once this label is there, in every other place that counts."""
        places = counted.flatten().nonzero().flatten()[::2]
        changed = targets.clone().flatten()
        changed[places] = torch.tensor(label, dtype=targets.dtype)
        return bool(counts(changed.view_as(targets)).flatten()[places].any())

    return frozenset(label for label in silent if counted.any() and not ever_counts(label))
