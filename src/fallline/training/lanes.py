"""A population of lanes: what its two implementations offer, and share."""

from __future__ import annotations

import itertools
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline import _asked
from fallline.training.counter_random import evaluation_keys, run_keys, step_keys
from fallline.training.errors import ProblemError, first_line
from fallline.training.evaluation import Evaluation, Score, example_losses, join_evaluations, needs_outputs
from fallline.training.generators import preserved
from fallline.training.memory import apart, joined, parts, pass_budget
from fallline.training.metrics import Metric, value_of
from fallline.training.modules import slots
from fallline.training.problem import Problem
from fallline.training.splits import Split, concatenated
from fallline.training.stack import stack, traits_of
from fallline.training.training_data import Batches

Mask = NDArray[np.bool_]
Pass = tuple[Tensor, Sequence[Tensor]]


class Lanes(ABC):
    """K training runs of one problem, side by side, each with the weights and batches of its own seed.

    `parameters` and `buffers` are contiguous tensors [K, ...], changed in place by an update and by training; `names`
    are those of the parameters in the module; `seeds` [K] may repeat, and `streams` has each seed once, in order of
    appearance. Frozen parameters and buffers that are the same for every seed, and that no pass changes, are not among
    them. Lanes can be dropped: `count` is their number at first, and `index` [K], on the CPU, says which of those each
    lane is. `first_loss` [K] is None until the first step, and `untrained_loss` [K], of the validation split, until it
    is evaluated before that. `failed` says that the user's code raised for a lane that had diverged, since lanes were
    last dropped. All else is on `device`.

    Args:
        problem: What is trained.
        seeds: One a lane [K].

    Raises:
        ValueError: There are no seeds, or one is no whole number from 0 to 2**63 - 1.
    """

    #: Lanes that a pass takes in any case.
    _fewest = 1

    def __init__(self, problem: Problem, seeds: Sequence[int]) -> None:
        self.problem = problem
        self.device = problem.training_device
        self.count = len(seeds)
        self.index = torch.arange(self.count)
        self.first_loss: Tensor | None = None
        self.untrained_loss: Tensor | None = None
        self.failed = False
        if not seeds:
            raise ValueError("seeds: give at least one, one for each lane.")
        self._seat([_asked.seed(seed, "seeds: each") for seed in seeds])
        self._moved: dict[int, tuple[Split, Split]] = {}
        self._train = self._here(problem.train)
        self._budget = pass_budget(self.device)
        self._traits = traits_of(problem, partial(self._build, self.streams[0]), self._train, self._keys[0])
        self._stack = stack(self._build, self.seeds, self._traits.constant)
        self.names, self.parameters, self.buffers = self._stack.names, self._stack.parameters, self._stack.buffers

    @abstractmethod
    def _lanes_at_once(self, examples: int) -> int:
        """How many lanes may share one pass forward and backward over so many examples each."""

    @abstractmethod
    def _pass(self, indices: Tensor, lanes: slice, keys: Tensor) -> Pass:
        """Return what `gradients` does, of some lanes; `keys` [K] are those of all lanes' masks."""

    @staticmethod
    @abstractmethod
    def _at(lane: slice) -> slice | int:
        """Where a pass of this lane alone has its rows: a slice keeps their dimension, a number does not."""

    @staticmethod
    @abstractmethod
    def _joined(rows: tuple[Tensor, ...]) -> Tensor:
        """Put the rows of several passes together."""

    @abstractmethod
    def _evaluated(self, compute: Callable[..., Tensor], lanes: slice, keys: Tensor, *data: Tensor) -> Tensor:
        """Return compute(module, *data) [k, ...] of some lanes, in evaluation mode; the data are the same for all.

        `keys` [k] are those of what they draw. The inputs come first, and are copied: a model may write into them.
        """

    @abstractmethod
    def _each(self, score: Score, outputs: Tensor, targets: Tensor, keys: Tensor) -> Tensor:
        """Return each lane's score(output, target) [k, ...], from outputs [k, n, ...] and the same targets [n, ...]."""

    @abstractmethod
    def _rebind(self) -> None:
        """Take up parameters and buffers that have moved to other tensors."""

    def __len__(self) -> int:
        return len(self.seeds)

    def batches(self) -> Batches:
        """The batches of the seeds that are left."""
        return self.problem.batches(self.streams, self.device)

    def gradients(self, indices: Tensor, step: int = 1) -> tuple[Tensor, list[Tensor]]:
        """Take one pass forward and backward in training mode.

        What a lane draws follows from its seed and `step` alone, in whatever company it is. A lane that has diverged,
        and for which the user's code raises, gets the loss NaN, and zeros.

        Args:
            indices: The examples of `train` [streams, batch] that each seed's lanes see.
            step: The update that it is for, counted from 1.

        Returns:
            The losses [K] before the update, and one contiguous gradient [K, ...] a parameter; a parameter that the
            loss does not reach gets zeros.

        Raises:
            ProblemError: The user's code raises for a lane that has not diverged.
        """
        indices = self._read_anew(indices, step)
        keys = step_keys(self._keys, step) if self._draws else self._keys

        def compute(lanes: slice) -> Pass:
            return self._pass(indices, lanes, keys)

        def stand_in(lane: slice, error: Exception) -> Pass:
            self._excuse(lane, self._own_batch(indices, lane).inputs, error, f"step {step}")
            self.failed = True
            loss, *gradients = (torch.zeros_like(each[self._at(lane)]) for each in (self._keys, *self.parameters))
            return loss * torch.nan, gradients

        widths = parts(len(self), self._lanes_at_once(indices.shape[1]))
        with preserved(self.device, libraries=self._draws_from_libraries):
            passes = [piece for lanes in widths for piece in apart(compute, lanes, stand_in)]
        losses, gradients = zip(*passes, strict=True)
        return self._joined(losses), [self._joined(pieces) for pieces in zip(*gradients, strict=True)]

    @torch.no_grad()
    def evaluate(self, split: Split, *, examples: bool = False, step: int = 0) -> Evaluation:
        """Evaluate every lane on a split, in evaluation mode, in parts that bound the memory.

        What a lane draws follows from its seed, `step` and which of the problem's splits it is. A lane that has
        diverged, and for which the user's code raises, gets NaN.

        Args:
            split: The examples.
            examples: Whether each example's share is asked for as well.
            step: The updates made by then.

        Raises:
            ProblemError: The user's code raises for a lane that has not diverged.
        """
        if not len(self):
            return Evaluation(torch.empty(0).double(), torch.empty(0).double())
        here = self._here(split)
        # What an evaluation changes must not be evaluated again where another lane fails.
        size = 1 if self._traits.state is not None else self._budget // max(1, self._traits.manner.output * len(split))

        def compute(lanes: slice) -> Evaluation:
            keys = self._keys[lanes]
            own = partial(evaluation_keys, keys, step, self.problem.name_of(split))
            return self._evaluate(lanes, here, examples, own if self._draws else lambda first: keys)

        def stand_in(lane: slice, error: Exception) -> Evaluation:
            self._excuse(lane, here.inputs, error, "an evaluation")
            nan, shares = (torch.full(shape, torch.nan, dtype=torch.float64) for shape in ((1,), (1, len(split))))
            return Evaluation(nan, nan, *((shares, shares) if examples else ()))

        with preserved(self.device, libraries=self._draws_from_libraries):
            return join_evaluations(
                [piece for lanes in parts(len(self), size) for piece in apart(compute, lanes, stand_in)]
            )

    def check(self) -> None:  # noqa: B027  # lanes that share nothing have nothing to check
        """Raise BatchingError where lanes have come to share what each should have for itself."""

    def keep(self, mask: Mask) -> None:
        """Keep some lanes, in their order, and forget the others.

        Args:
            mask: True [K] for those that are kept.

        Raises:
            ValueError: The mask has not one boolean a lane.
        """
        if mask.dtype != np.bool_ or mask.shape != (len(self),):
            raise ValueError(f"mask: must be {len(self)} booleans, got {mask.dtype} of shape {mask.shape}.")
        kept = torch.from_numpy(mask)
        self.index = self.index[kept]
        kept = kept.to(self.device)
        self.parameters = [parameter[kept] for parameter in self.parameters]
        self.buffers = [buffer[kept] for buffer in self.buffers]
        self.first_loss = None if self.first_loss is None else self.first_loss[kept]
        self.untrained_loss = None if self.untrained_loss is None else self.untrained_loss[kept]
        self._seat(list(itertools.compress(self.seeds, mask)))
        self.failed = False
        self._rebind()

    def module(self, lane: int) -> nn.Module:
        """A module of its own with the weights and buffers that a lane has now, on the CPU.

        Args:
            lane: Its place among those that are left.
        """
        module = self._build(self.seeds[lane])
        trained, rest = slots(module)
        own, _ = self._stack.part(rest)
        for slot, stacked in zip((*trained, *own), (*self.parameters, *self.buffers), strict=True):
            slot.tensor.data = stacked[lane].clone()
        return module.cpu()

    def _seat(self, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self.streams = tuple(dict.fromkeys(seeds))
        place = {seed: stream for stream, seed in enumerate(self.streams)}
        self._stream = torch.tensor([place[seed] for seed in seeds], dtype=torch.int64, device=self.device)
        self._keys = run_keys(torch.tensor(seeds, dtype=torch.int64, device=self.device))
        self._same_batches = len(self.streams) == 1 or not self.problem.data.differs_by_seed

    def _build(self, seed: int) -> nn.Module:
        return self.problem.build(seed).to(self.device).train()

    def _here(self, split: Split) -> Split:
        """The split on the device of the lanes, moved there once."""
        if id(split) not in self._moved:
            self._moved[id(split)] = split, split.to(self.device)  # with the split itself, so that its id stays its own
        return self._moved[id(split)][1]

    @property
    def _draws(self) -> bool:
        """Whether what the lanes draw takes keys."""
        return True

    @property
    def _draws_from_libraries(self) -> bool:
        """Whether Python's and NumPy's generators are to be started for each pass: one that changes may begin to."""
        return self._traits.libraries or self._traits.state is not None

    def _excuse(self, lane: slice, inputs: Tensor, error: Exception, when: str) -> None:
        """Let it pass that the user's code raised for a lane which has diverged; raise ProblemError for any other."""
        numbers = [parameter[lane] for parameter in self.parameters]
        with suppress(Exception), torch.no_grad():
            numbers.append(self._all_outputs(lane, inputs, lambda first: self._keys[lane]))
        # A loss squares them, or more.
        if not all(each.square().sum().isfinite() for each in numbers):
            return
        if isinstance(error, ProblemError):
            raise error
        source = "loss" if self.problem.step is None else "step"
        raise ProblemError(
            f"{source}: it, or the model, failed in {when} ({first_line(error)}), although the weights and the outputs "
            "were finite; make both accept every batch and every finite output."
        ) from error

    def _read_anew(self, indices: Tensor, step: int) -> Tensor:
        """Read the examples of a step, where they differ at each reading; returns their numbers among these."""
        data = self.problem.data
        if data.reader is None:
            return indices
        epoch = (step - 1) // self.problem.steps_per_epoch
        found = [data.read(rows, seed, epoch) for rows, seed in zip(indices.cpu(), self.streams, strict=True)]
        self._train = concatenated(found).to(self.device)
        return torch.arange(indices.numel(), device=self.device).view_as(indices)

    def _batch(self, indices: Tensor, lanes: slice) -> Split:
        """Gather inputs and targets of some lanes: [batch, ...] where all lanes see the same, else [k, batch, ...]."""
        rows = indices[0] if self._same_batches else indices.index_select(0, self._stream[lanes])
        return Split(_rows(self._train.inputs, rows), _rows(self._train.targets, rows))

    def _own_batch(self, indices: Tensor, lane: slice) -> Split:
        """Gather inputs and targets [batch, ...] of one lane."""
        batch = self._batch(indices, lane)
        return batch if self._same_batches else Split(batch.inputs[0], batch.targets[0])

    def _evaluate(self, lanes: slice, split: Split, examples: bool, keys: Callable[[int], Tensor]) -> Evaluation:
        problem, metric = self.problem, self.problem.metric
        outputs = self._all_outputs(lanes, split.inputs, keys) if needs_outputs(problem) else None
        share: Tensor | None = None
        if problem.loss is None or outputs is None:
            width = self._budget // (self._traits.kept * len(split))
            losses = self._by_lanes(problem.evaluation_loss, lanes, width, keys(0), split.inputs, split.targets)
            loss = losses.cpu().double()
        else:
            each = partial(self._each, keys=keys(0))
            loss = each(problem.loss, outputs, split.targets).cpu().double()
            share = example_losses(each, problem.loss, outputs, split.targets, loss) if examples else None
        if outputs is None or problem.metric_is_loss:
            return Evaluation(loss, loss, share, share)
        if metric.contributions is None:
            outputs_here, targets = outputs.cpu(), split.targets.cpu()  # whatever library computes it
            return Evaluation(loss, torch.stack([_value(metric, output, targets) for output in outputs_here]), share)
        hits = self._each(metric.contributions, outputs, split.targets, keys(0)).cpu().double()
        return Evaluation(loss, hits.mean(1), share, hits if examples else None)

    def _all_outputs(self, lanes: slice, inputs: Tensor, keys: Callable[[int], Tensor]) -> Tensor:
        """The outputs [k, n, ...] of some lanes, of as many examples at once as one lane alone would take."""
        manner = self._traits.manner
        examples = min(len(inputs), manner.examples)
        width = self._budget // (manner.kept * examples)
        outputs = (
            self._by_lanes(operator.call, lanes, width, keys(rows.start), inputs[rows])
            for rows in parts(len(inputs), examples)
        )
        return joined([*outputs], 1)

    def _by_lanes(
        self, compute: Callable[..., Tensor], lanes: slice, width: int, keys: Tensor, *data: Tensor
    ) -> Tensor:
        """What is `_evaluated` of so many lanes at once, for all of some lanes."""
        some = parts(lanes.stop - lanes.start, max(width, self._fewest))
        first = lanes.start
        return joined(
            [self._evaluated(compute, slice(first + part.start, first + part.stop), keys[part], *data) for part in some]
        )


def _value(metric: Metric, output: Tensor, targets: Tensor) -> Tensor:
    try:
        return value_of(metric, output, targets)
    except ProblemError:
        raise
    except Exception as error:
        raise ProblemError(
            f"metric: {metric.name!r} failed on a run's outputs ({first_line(error)}), although they were finite; let "
            "it return a number for all of them, NaN where it is not defined."
        ) from error


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    return values.index_select(0, rows.flatten()).view(*rows.shape, *values.shape[1:])
