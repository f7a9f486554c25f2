"""The loss of one model on fixed examples as a function of its trainable weights, with its derivatives."""

from __future__ import annotations

import copy
import functools
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fallline._asked import seed as as_seed
from fallline.landscape.measuring.measured import Mode, Progress, Watch
from fallline.landscape.slice_losses import Model, states_of, with_models
from fallline.landscape.slices import check_choice, examples_of
from fallline.training import Problem, ProblemError, draws_of, first_line, footprint, parts, trainable

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
    ) -> None:
        if not isinstance(problem, Problem):  # a stream, for one, can be seen only once
            raise TypeError(
                f"problem: must be a fallline.Problem, whose examples can be evaluated again; got "
                f"{type(problem).__name__}."
            )
        check_choice("mode", mode, get_args(Mode))
        self._problem, self._mode, self.seed = problem, mode, as_seed(seed)
        self._split_name, self._split = split, examples_of(problem, split, examples)
        self._device = problem.training_device
        self._module = _copied(problem, model).to(self._device)
        self._weights = trainable(self._module)
        _check_weights(self._weights)
        if any(weight.dtype.itemsize < 4 for weight in self._weights):  # half precision can't tell curvatures
            self._module.float()
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
        self._rows = self._cut()
        self._watch, self._cost, self._expected, self._vectors = watch, 0.0, 0.0, 0
        self._kept: list[Tensor] | None = None
        first, again = self.loss(), self.loss()
        if not math.isfinite(first):
            raise ProblemError(
                f"model: its loss is {first} on these examples of {split}; give weights where it is finite."
            )
        if abs(first - again) > 1e3 * float(np.finfo(self.dtype).eps) * max(1.0, abs(first)):
            raise ProblemError(
                f"loss: two evaluations at the same weights differ, {first:g} and {again:g}; draw what is random from "
                "torch's, NumPy's or Python's own generators, which start from the seed, and keep no count of calls."
            )

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(self._split)

    @property
    def batch_norm(self) -> bool:
        """Whether an example's output in training mode depends on the others."""
        return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in self._module.modules())

    def measured(self) -> dict[str, Any]:
        """What every record tells."""
        return {
            "problem": self._problem.name,
            "split": self._split_name,
            "examples": len(self._split),
            "mode": self._mode,
            "seed": self.seed,
            "parameters": self.size,
            "cost": round(self._cost, 2),
        }

    def expect(self, cost: float, vectors: int) -> None:
        """Tell what is to come: the cost in gradients, and the number of vectors as long as the weights.

        Raises ProblemError where the vectors do not fit into memory.
        """
        self._expected, self._vectors = self._cost + cost, vectors
        needed, free = vectors * self.size * self.dtype.itemsize, free_memory()
        if needed > free:
            raise ProblemError(
                f"model: {vectors} vectors as long as its {self.size:,} parameters need {needed / 2**30:,.1f} GiB, "
                f"and {free / 2**30:,.1f} GiB are free; ask for fewer at once, or freeze a part of the model."
            )
        self._tell()

    def loss(self, step: Array | None = None) -> float:
        """The loss, at the weights or so far from them; it costs a third of a gradient."""
        self._spend(1 / 3)
        with torch.no_grad(), self._moved(step):
            return sum(float(self._piece(place)) for place in range(len(self._rows)))

    def gradient(self, step: Array | None = None) -> Array:
        """The gradient [n], at the weights or so far from them."""
        self._spend(1)
        with self._moved(step):
            pieces = (self._gradient_of(self._piece(place), twice=False) for place in range(len(self._rows)))
            return self._finite("gradient", functools.reduce(np.add, map(_flat, pieces)))

    def gradient_of(self, rows: NDArray[np.int64], draw: int) -> Array:
        """The gradient [n] of the mean over some examples; `draw` numbers what dropout draws."""
        share = len(rows) / len(self._split)
        self._spend(share)
        found = self._gradient_of(self._share(torch.from_numpy(rows), draw), twice=False)
        return self._finite("gradient", _flat(found) / self.dtype.type(share))

    def product(self, vector: Array) -> Array:
        """The Hessian at the weights times a vector [n]."""
        alone = len(self._rows) == 1
        self._spend(2 if alone else 3)
        tensor = self._tensor(vector)
        along = [
            part.view_as(own).to(own) for part, own in zip(torch.split(tensor, self._sizes), self._weights, strict=True)
        ]
        if not alone:
            pieces = (
                self._product_of(self._gradient_of(self._piece(place), twice=True), along)
                for place in range(len(self._rows))
            )
            return self._finite("Hessian", functools.reduce(np.add, pieces))
        if self._kept is None:
            self._spend(1)
            self._kept = self._gradient_of(self._piece(0), twice=True)
        return self._finite("Hessian", self._product_of(self._kept, along, keep=True))

    def _product_of(self, gradients: list[Tensor], along: list[Tensor], *, keep: bool = False) -> Array:
        curved = [(gradient, part) for gradient, part in zip(gradients, along, strict=True) if gradient.requires_grad]
        if not curved:  # the loss is linear
            return np.zeros(self.size, self.dtype)
        try:
            with _double_backward(self._device):
                return _flat(
                    torch.autograd.grad(
                        [gradient for gradient, _ in curved],
                        self._weights,
                        [part for _, part in curved],
                        retain_graph=keep,
                        materialize_grads=True,
                    )
                )
        except RuntimeError as error:
            raise _no_second_derivative(error) from error

    def _piece(self, place: int) -> Tensor:
        return self._share(self._rows[place], place + 1)

    def _gradient_of(self, loss: Tensor, *, twice: bool) -> list[Tensor]:
        if not loss.requires_grad:
            raise ProblemError("loss: it does not depend on what is trained; return the loss of the model's output.")
        try:
            with _double_backward(self._device):
                found = torch.autograd.grad(loss, self._weights, create_graph=twice, materialize_grads=True)
        except RuntimeError as error:
            raise _no_second_derivative(error) from error
        return list(found)

    def _share(self, rows: Rows, draw: int) -> Tensor:
        """The loss of some of the examples, times their share; `draw` numbers what dropout draws."""
        inputs, targets = (self._of_type(tensor[rows]) for tensor in (self._split.inputs, self._split.targets))
        for holder, name, buffer in self._buffers:  # a pass may change them, and an earlier graph needs its own
            holder[name] = buffer.clone()
        training = self._mode == "training"
        self._module.train(training)
        draws = draws_of(self.seed, draw, None if training else self._split_name, self._device)
        with draws, _double_backward(self._device):
            try:
                loss = self._compute(self._module, inputs, targets)
            except Exception as error:
                raise ProblemError(
                    f"model: the loss of its output can't be computed for {self._split_name} ({first_line(error)}); "
                    "give a model that fits the problem's examples and loss."
                ) from error
        return loss * (len(inputs) / len(self._split))

    def _compute(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        problem = self._problem
        if self._mode == "training":
            return problem.training_loss(module, inputs, targets)
        if problem.loss is not None:
            return problem.loss(module(inputs), targets)
        assert problem.step is not None
        return problem.step(module, inputs, targets)

    def _of_type(self, tensor: Tensor) -> Tensor:
        """Examples where the model is, in its type of number; a copy, since a model may write into them."""
        return tensor.to(self._device, self._number if tensor.is_floating_point() else None, copy=True)

    def _cut(self) -> list[slice]:
        """The examples in pieces whose passes fit into memory."""
        inputs, targets = self._of_type(self._split.inputs[:2]), self._of_type(self._split.targets[:2])
        try:
            with draws_of(self.seed, 1, None, self._device):
                kept, _ = footprint(self._module, inputs, lambda few: self._compute(self._module, few, targets))
        except Exception:  # what fails is told by the pass over all
            kept = 1
        self._example = _GRAPHS * kept
        most = max(1, _KEPT.get(self._device.type, _KEPT["cuda"]) // max(1, self._example))
        return list(parts(len(self._split), most))

    def _tensor(self, vector: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(vector, self.dtype).reshape(-1)).to(self._device)

    @contextmanager
    def _moved(self, step: Array | None) -> Iterator[None]:
        if step is None:
            yield
            return
        before = [weight.detach().clone() for weight in self._weights]
        there = torch.split(self._tensor(step), self._sizes)
        try:
            with torch.no_grad():
                for weight, part in zip(self._weights, there, strict=True):
                    weight.add_(part.view_as(weight))
            yield
        finally:
            with torch.no_grad():
                for weight, old in zip(self._weights, before, strict=True):
                    weight.copy_(old)

    def _finite(self, what: str, found: Array) -> Array:
        if not np.isfinite(found).all():
            raise ProblemError(f"model: the {what} of its loss is not finite at these weights; give some where it is.")
        return found

    def _spend(self, cost: float) -> None:
        self._cost += cost
        self._tell()

    def _tell(self) -> None:
        if self._watch is not None and self._expected:
            memory = self._vectors * self.size * self.dtype.itemsize + self._example * (
                self._rows[0].stop - self._rows[0].start
            )
            self._watch(Progress(self._cost, max(self._cost, self._expected), memory))


def _flat(tensors: tuple[Tensor, ...] | list[Tensor]) -> Array:
    flat = [
        tensor.detach().to_dense().reshape(-1) if tensor.is_sparse else tensor.detach().reshape(-1)
        for tensor in tensors
    ]
    found: Array = torch.cat(flat).cpu().numpy()
    return found


def _copied(problem: Problem, model: Model) -> nn.Module:
    """A copy of the user's model, or the problem's own model with the weights given."""
    (state,) = states_of(model)
    if isinstance(model, Mapping):
        copied = with_models(problem, [state]).build(0)
    else:
        try:
            copied = copy.deepcopy(model)
        except Exception:  # torch copies no tensors that were computed, as some modules keep
            copied = with_models(problem, [state]).build(0)
            for own, given in zip(copied.parameters(), model.parameters(), strict=True):
                own.requires_grad_(given.requires_grad)
    for part in copied.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            part.sparse = False  # sparse gradients can't be differentiated
    return copied


def _check_weights(weights: list[nn.Parameter]) -> None:
    if not weights:
        raise ProblemError("model: nothing in it is trainable; set requires_grad on a parameter at least.")
    if not all(weight.isfinite().all() for weight in weights):
        raise ProblemError("model: it has weights that are NaN or infinite; give one from before its run diverged.")


def _no_second_derivative(error: RuntimeError) -> ProblemError:
    return ProblemError(
        f"loss: torch can't differentiate it twice ({first_line(error)}); compute it, and the model's output, from "
        "operations that have a second derivative."
    )


@contextmanager
def _double_backward(device: torch.device) -> Iterator[None]:
    """Let torch take the kernels of attention and of recurrent layers that have a second derivative."""
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if device.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield


def free_memory() -> int:
    """Bytes that the machine has free, as far as it tells."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**62
