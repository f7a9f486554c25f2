"""The loss of one model on fixed examples as a function of its trainable weights, with its derivatives."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fallline._asked import seed as as_seed
from fallline.landscape.measuring.copied import (
    copied,
    differentiable_twice,
    free_memory,
    has_batch_norm,
    in_bytes,
    refuse_once_differentiable,
)
from fallline.landscape.measuring.measured import Mode, Progress, Watch
from fallline.landscape.slice_losses import Model
from fallline.landscape.slices import check_choice, examples_of
from fallline.training import Problem, ProblemError, Split, draws_of, first_line, footprint, parts, trainable

Array = NDArray[np.floating[Any]]
Rows = slice | Tensor
#: Bytes that one pass may keep; the same on every machine, since what dropout draws follows from how examples are cut.
_KEPT = {"cpu": 2**28, "cuda": 2**32}
_GRAPHS = 4  # a pass that can be differentiated twice keeps about so many times what one keeps that can be once


class LossAt:
    """The loss at one point of weights, its gradient and products of its Hessian, of a copy of the user's model.

    Examples that are too many for one pass are taken in pieces. A single piece's graph is kept, so that a product is
    one backward pass through it.
    """

    def __init__(
        self,
        problem: Problem,
        model: Model,
        split: str,
        examples: int | None,
        mode: Mode,
        seed: int,
        watch: Watch | None,
        *,
        standardised: bool = False,
        double: bool = False,
    ) -> None:
        self._problem, self._mode, self._seed, self._watch = problem, mode, as_seed(seed), watch
        self._split_name = split
        part = examples_of(problem, split, examples)
        check_choice("mode", mode, get_args(Mode))
        self._split = _standardised(part) if standardised else part
        self._device = problem.training_device
        self._module = copied(problem, model).to(self._device, torch.double if double else None)
        self._weights = trainable(self._module)
        self._sizes = [weight.numel() for weight in self._weights]
        self.size = sum(self._sizes)
        self._number = functools.reduce(torch.promote_types, (weight.dtype for weight in self._weights))
        self.dtype = np.dtype(str(self._number).removeprefix("torch."))
        self._buffers = [
            (part._buffers, name, buffer)
            for part in self._module.modules()
            for name, buffer in part._buffers.items()
            if buffer is not None
        ]
        self._cost = self._expected = 0.0
        self._vectors = 0
        self._graph: list[Tensor] | None = None
        self._example = self._kept_by_an_example()
        most = max(1, _KEPT.get(self._device.type, _KEPT["cuda"]) // self._example)
        self._rows = list(parts(self.examples, most))
        if len(self._rows) > 1:
            self._check_pieces(most)
        self.here = self.loss()
        if not math.isfinite(self.here):
            raise ProblemError(f"model: its loss on {split} is {self.here} at these weights; give others.")
        if abs(self.here - (again := self.loss())) > 32 * self.rounding * abs(self.here):
            raise ProblemError(
                f"loss: two evaluations at the same weights differ, {self.here:g} and {again:g}; draw what is random "
                "from torch's, NumPy's or Python's global generators, which start from the seed here, and let nothing "
                "depend on how often it was called."
            )

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(self._split)

    @property
    def rounding(self) -> float:
        """The relative spacing of numbers of the weights' type."""
        return float(np.finfo(self.dtype).eps)

    @property
    def mixes_examples(self) -> bool:
        """Whether an example's output depends on the others, as batch norm in training mode makes it."""
        return self._mode == "training" and has_batch_norm(self._module)

    @property
    def weights(self) -> Array:
        """The weights [n]."""
        return _flat(self._weights)

    def random(self) -> np.random.Generator:
        """What draws vectors, from the seed."""
        return np.random.default_rng(self._seed)

    def measured(self) -> dict[str, Any]:
        """What every record tells."""
        return {
            "problem": self._problem.name,
            "split": self._split_name,
            "examples": self.examples,
            "mode": self._mode,
            "seed": self._seed,
            "parameters": self.size,
            "loss": self.here,
            "cost": round(self._cost, 2),
        }

    def expect(self, cost: float, vectors: int) -> None:
        """Tell what is to come: the cost in gradients, and the number of vectors as long as the weights.

        Raises ProblemError where they do not fit into memory.
        """
        self._expected, self._vectors = self._cost + cost, vectors
        needed, free = vectors * self.size * self.dtype.itemsize, free_memory()
        if needed > free:
            raise ProblemError(
                f"model: {vectors} vectors of its {self.size:,} weights need {in_bytes(needed)}, and {in_bytes(free)} "
                "are free; freeze a part of it."
            )
        self._tell()

    def loss(self, step: Array | None = None) -> float:
        """The loss, at the weights or so far from them; it costs a third of a gradient."""
        self._spend(1 / 3)
        with self._moved(step):
            return sum(float(self._piece(rows).detach()) for rows in range(len(self._rows)))

    def gradient(self, step: Array | None = None) -> Array:
        """The gradient [n], at the weights or so far from them."""
        if step is None and self._graph is not None:
            return _flat(self._graph)
        self._spend(1)
        with self._moved(step):
            pieces = (_flat(self._gradients(self._piece(rows))) for rows in range(len(self._rows)))
            return _finite("gradient", functools.reduce(np.add, pieces))

    def gradient_of(self, rows: NDArray[np.int64], draw: int) -> Array:
        """The gradient [n] of the mean over some examples; `draw` numbers what dropout draws."""
        share = len(rows) / self.examples
        self._spend(share)
        gradients = self._gradients(self._share(torch.from_numpy(rows), draw, self._mode))
        return _finite("gradient", _flat(gradients) / self.dtype.type(share))

    def product(self, vector: Array) -> Array:
        """The Hessian at the weights times a vector [n]."""
        split = torch.split(self._tensor(vector), self._sizes)
        along = [part.view_as(own).to(own) for part, own in zip(split, self._weights, strict=True)]
        if len(self._rows) > 1:
            self._spend(3)
            graphs = (self._gradients(self._piece(rows), twice=True) for rows in range(len(self._rows)))
            return _finite("Hessian", functools.reduce(np.add, (self._along(graph, along) for graph in graphs)))
        if self._graph is None:
            self._spend(1)
            self._graph = self._gradients(self._piece(0), twice=True)
            _finite("gradient", _flat(self._graph))
        self._spend(2)
        return _finite("Hessian", self._along(self._graph, along, keep=True))

    def _along(self, gradients: list[Tensor], along: list[Tensor], *, keep: bool = False) -> Array:
        """The derivative of the gradient along a direction; symmetric, so one backward pass has it."""
        curved = [(gradient, part) for gradient, part in zip(gradients, along, strict=True) if gradient.requires_grad]
        if not curved:  # the loss is linear
            return np.zeros(self.size, self.dtype)
        ends, directions = map(list, zip(*curved, strict=True))
        return _flat(self._differentiated(ends, directions, retain_graph=keep))

    def _gradients(self, loss: Tensor, *, twice: bool = False) -> list[Tensor]:
        if not loss.requires_grad:
            raise ProblemError("loss: it does not depend on what is trained; return the loss of the model's output.")
        return self._differentiated([loss], None, create_graph=twice)

    def _differentiated(self, ends: list[Tensor], directions: list[Tensor] | None, **graph: bool) -> list[Tensor]:
        try:
            found = list(torch.autograd.grad(ends, self._weights, directions, materialize_grads=True, **graph))
            if directions is None:
                refuse_once_differentiable(found)
        except RuntimeError as error:
            raise ProblemError(
                f"loss: torch can't differentiate it twice ({first_line(error)}); compute it, and the model's output, "
                "by operations that have a second derivative."
            ) from error
        return found

    def _piece(self, number: int) -> Tensor:
        return self._share(self._rows[number], number + 1, self._mode)

    def _share(self, rows: Rows, draw: int, mode: Mode) -> Tensor:
        """The loss of some of the examples, times their share of all; `draw` numbers what dropout draws."""
        inputs, targets = self._of_type(self._split.inputs[rows]), self._of_type(self._split.targets[rows])
        for holder, name, buffer in self._buffers:  # a pass may change them, and an earlier graph needs its own
            holder[name] = buffer.clone()
        self._module.train(mode == "training")
        draws = draws_of(self._seed, draw, self._split_name if mode == "evaluation" else None, self._device)
        with draws, differentiable_twice(self._device), torch.enable_grad():
            try:
                loss = self._compute(inputs, targets, mode).reshape(())
            except Exception as error:
                raise ProblemError(
                    f"model: its loss on {self._split_name} can't be computed ({first_line(error)}); give a model that "
                    "fits the problem's examples and loss."
                ) from error
        return loss * (len(inputs) / self.examples)

    def _compute(self, inputs: Tensor, targets: Tensor, mode: Mode) -> Tensor:
        problem = self._problem
        if mode == "training":
            return problem.training_loss(self._module, inputs, targets)
        if problem.loss is not None:
            return problem.loss(self._module(inputs), targets)
        assert problem.step is not None
        return problem.step(self._module, inputs, targets)

    def _of_type(self, tensor: Tensor) -> Tensor:
        """Examples where the model is, in its type of number; a copy, since a model may write into them."""
        return tensor.to(self._device, self._number if tensor.is_floating_point() else None, copy=True)

    def _kept_by_an_example(self) -> int:
        """Bytes that a pass, which is to be differentiated twice, keeps of an example."""
        inputs, targets = self._of_type(self._split.inputs[:2]), self._of_type(self._split.targets[:2])
        try:
            with draws_of(self._seed, 1, None, self._device):
                kept, _ = footprint(self._module, inputs, lambda few: self._compute(few, targets, "evaluation"))
        except Exception:  # what fails is told by the pass over all
            kept = 1
        return _GRAPHS * max(1, kept)

    def _check_pieces(self, most: int) -> None:
        """Refuse what the pieces of the examples do not add up to."""
        if self.mixes_examples:
            raise ProblemError(
                f"mode: batch norm in training mode takes all examples in one pass, which fits {most:,} of "
                f"{self.examples:,}; give examples={most}, or take mode='evaluation'."
            )
        rows = self._rows[0]
        whole = self._share(rows, 1, "evaluation").detach()
        halves = sum(
            self._share(half, 1, "evaluation").detach() for half in (slice(0, most // 2), slice(most // 2, most))
        )
        if most > 1 and abs(whole - halves) > 1e-3 * abs(whole):
            raise ProblemError(
                f"loss: it is no mean over examples, so that the {self.examples:,} of them, of which {most:,} fit into "
                f"a pass, can't be taken in pieces; give examples={most}."
            )

    def _tensor(self, vector: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(vector, self.dtype).reshape(-1)).to(self._device)

    @contextmanager
    def _moved(self, step: Array | None) -> Iterator[None]:
        """Hold the copy's weights so far from where they were."""
        if step is None:
            yield
            return
        before = [weight.detach().clone() for weight in self._weights]
        with torch.no_grad():
            for weight, part in zip(self._weights, torch.split(self._tensor(step), self._sizes), strict=True):
                weight.add_(part.view_as(weight))
        yield
        with torch.no_grad():
            for weight, old in zip(self._weights, before, strict=True):
                weight.copy_(old)

    def _spend(self, cost: float) -> None:
        self._cost += cost
        self._tell()

    def _tell(self) -> None:
        if self._watch is not None and self._expected:
            vectors = self._vectors * self.size * self.dtype.itemsize
            passes = self._example * len(self._split.inputs[self._rows[0]])
            self._watch(Progress(self._cost, max(self._cost, self._expected), vectors + passes))


def _flat(tensors: Sequence[Tensor]) -> Array:
    found: Array = torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu().numpy()
    return found


def _finite(what: str, found: Array) -> Array:
    if not np.isfinite(found).all():
        raise ProblemError(f"model: the {what} of its loss is not finite at these weights; give some where it is.")
    return found


def _standardised(split: Split) -> Split:
    """Each feature of the inputs with mean 0 and, if it is not constant, standard deviation 1."""
    if not split.inputs.is_floating_point():
        raise ProblemError("standardised: the inputs are whole numbers, which have no scale; leave it out.")
    spread, mean = torch.std_mean(split.inputs, 0, correction=0, keepdim=True)
    return Split((split.inputs - mean) / torch.where(spread > 0, spread, 1), split.targets)
