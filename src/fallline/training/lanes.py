"""A population of lanes: what its two implementations offer, and share."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline.training.batches import Batches
from fallline.training.evaluation import Evaluation, Score, example_losses, join_evaluations
from fallline.training.fit_evaluation import needs_outputs
from fallline.training.memory import Footprint, footprint, parts, pass_budget
from fallline.training.metrics import value_of
from fallline.training.modules import slots
from fallline.training.problem import Problem
from fallline.training.randomness import seeded
from fallline.training.splits import Split
from fallline.training.stack import stack

Mask = NDArray[np.bool_]


class Lanes(ABC):
    """K training runs of one problem, side by side, each with the weights and batches of its own seed.

    `parameters` and `buffers` are contiguous tensors [K, ...], changed in place by an update and by training;
    `names` are those of the parameters in the module; `seeds` [K] may repeat, and `streams` has each seed once, in
    order of appearance. Frozen parameters and buffers that are the same for every seed, and that the first pass leaves
    as they are, are shared by all lanes. Lanes can be dropped: `count` is their number at first, and `index` [K], on
    the CPU, says which of those each lane is. `first_loss` [K] is None until the first step. All else is on `device`.
    """

    def __init__(self, problem: Problem, seeds: Sequence[int]) -> None:
        self.problem = problem
        self.device = problem.training_device
        self.count = len(seeds)
        self.index = torch.arange(self.count)
        self.first_loss: Tensor | None = None
        self._seat(_checked(seeds))
        self._moved: dict[int, tuple[Split, Split]] = {}
        self._train = self._here(problem.train)
        self._budget = pass_budget(self.device)
        self._footprint = self._measured(self._build(self.streams[0]))
        self._stack = stack(self._build, self.seeds, self._first_pass)
        self.names, self.parameters, self.buffers = self._stack.names, self._stack.parameters, self._stack.buffers

    @abstractmethod
    def gradients(self, indices: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Take one pass forward and backward in training mode.

        `indices` [streams, batch] are the examples of `train` that each seed's lanes see. Returns the losses [K] before
        the step and one contiguous gradient [K, ...] a parameter; a parameter that the loss does not reach gets zeros.
        """

    @abstractmethod
    def _outputs(self, lanes: slice, inputs: Tensor) -> Tensor:
        """Return the outputs [k, n, ...] of some lanes for the same inputs [n, ...], in evaluation mode."""

    @abstractmethod
    def _step_losses(self, lanes: slice, split: Split) -> Tensor:
        """Return the losses [k] of some lanes by the problem's own step, in evaluation mode."""

    @abstractmethod
    def _each(self, score: Score, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return each lane's score(output, target) [k, ...], from outputs [k, n, ...] and the same targets [n, ...]."""

    @abstractmethod
    def _rebind(self) -> None:
        """Take up parameters and buffers that have moved to other tensors."""

    def __len__(self) -> int:
        return len(self.seeds)

    def batches(self) -> Batches:
        """The batches of the seeds that are left."""
        problem = self.problem
        return Batches(len(problem.train), problem.batch, self.streams, shuffle=problem.shuffle, device=self.device)

    @torch.no_grad()
    def evaluate(self, split: Split, *, examples: bool = False) -> Evaluation:
        """Evaluate every lane on a split, in evaluation mode, in parts that bound the memory.

        `examples` asks for each example's share as well.
        """
        if not len(self):
            return Evaluation(torch.empty(0).double(), torch.empty(0).double())
        here = self._here(split)
        size = self._budget // max(1, self._footprint.output * len(split))
        return join_evaluations([self._evaluate(lanes, here, examples) for lanes in parts(len(self), size)])

    def keep(self, mask: Mask) -> None:
        """Keep the lanes where mask [K] is true, in their order, and forget the others.

        Raises ValueError unless the mask has one boolean a lane.
        """
        if mask.dtype != np.bool_ or mask.shape != (len(self),):
            raise ValueError(f"mask: must be {len(self)} booleans, got {mask.dtype} of shape {mask.shape}.")
        kept = torch.from_numpy(mask)
        self.index = self.index[kept]
        kept = kept.to(self.device)
        self.parameters = [parameter[kept] for parameter in self.parameters]
        self.buffers = [buffer[kept] for buffer in self.buffers]
        self.first_loss = None if self.first_loss is None else self.first_loss[kept]
        self._seat(list(itertools.compress(self.seeds, mask)))
        self._rebind()

    def module(self, lane: int) -> nn.Module:
        """A module of its own with the weights and buffers that a lane has now, on the CPU."""
        module = self._build(self.seeds[lane])
        trained, rest = slots(module)
        own, _ = self._stack.share(rest)
        for slot, stacked in zip((*trained, *own), (*self.parameters, *self.buffers), strict=True):
            slot.tensor.data = stacked[lane].clone()
        return module.cpu()

    def _seat(self, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self.streams = tuple(dict.fromkeys(seeds))
        place = {seed: stream for stream, seed in enumerate(self.streams)}
        self._stream = torch.tensor([place[seed] for seed in seeds], dtype=torch.int64, device=self.device)
        self._same_batches = len(self.streams) == 1 or not self.problem.shuffle

    def _build(self, seed: int) -> nn.Module:
        return self.problem.build(seed).to(self.device).train()

    def _here(self, split: Split) -> Split:
        """The split on the device of the lanes, moved there once."""
        if id(split) not in self._moved:
            here = Split(split.inputs.to(self.device), split.targets.to(self.device))
            self._moved[id(split)] = split, here  # with the split itself, so that its id stays its own
        return self._moved[id(split)][1]

    def _measured(self, module: nn.Module) -> Footprint:
        few = Split(self._train.inputs[:2].clone(), self._train.targets[:2])
        if self.problem.step is None:
            return footprint(module, few.inputs)
        return footprint(module, few.inputs, lambda inputs: self.problem.training_loss(module, inputs, few.targets))

    def _first_pass(self, module: nn.Module) -> None:
        batch = self.problem.batch
        with seeded(0, self.device):
            self.problem.training_loss(module, self._train.inputs[:batch].clone(), self._train.targets[:batch])

    def _batch(self, indices: Tensor, lanes: slice) -> Split:
        """Gather inputs and targets of some lanes: [batch, ...] where all lanes see the same, else [k, batch, ...]."""
        rows = indices[0] if self._same_batches else indices[self._stream[lanes]]
        return Split(_rows(self._train.inputs, rows), _rows(self._train.targets, rows))

    def _evaluate(self, lanes: slice, split: Split, examples: bool) -> Evaluation:
        problem, metric = self.problem, self.problem.metric
        outputs = self._all_outputs(lanes, split) if needs_outputs(problem) else None
        share: Tensor | None = None
        if problem.loss is None or outputs is None:
            loss = self._all_step_losses(lanes, split).cpu().double()
        else:
            loss = self._each(problem.loss, outputs, split.targets).cpu().double()
            share = example_losses(self._each, problem.loss, outputs, split.targets, loss) if examples else None
        if outputs is None or problem.metric_is_loss:
            return Evaluation(loss, loss, share, share)
        if metric.contributions is None:
            apart, targets = outputs.cpu(), split.targets.cpu()  # whatever library computes it
            return Evaluation(loss, torch.stack([value_of(metric, output, targets) for output in apart]), share)
        hits = self._each(metric.contributions, outputs, split.targets).cpu().double()
        return Evaluation(loss, hits.mean(1), share, hits if examples else None)

    def _all_outputs(self, lanes: slice, split: Split) -> Tensor:
        size = self._budget // ((lanes.stop - lanes.start) * self._footprint.kept)
        # A copy of the inputs, since a model may write into them.
        return torch.cat([self._outputs(lanes, split.inputs[rows].clone()) for rows in parts(len(split), size)], 1)

    def _all_step_losses(self, lanes: slice, split: Split) -> Tensor:
        """The losses [k] of a problem whose step alone knows them, of the whole split at once."""
        size = self._budget // (self._footprint.kept * len(split))
        pieces = parts(lanes.stop - lanes.start, size)
        return torch.cat(
            [self._step_losses(slice(lanes.start + piece.start, lanes.start + piece.stop), split) for piece in pieces]
        )


def _checked(seeds: Sequence[int]) -> list[int]:
    if not seeds:
        raise ValueError("seeds: give at least one, one for each lane.")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**63:
            raise ValueError(f"seeds: must be whole numbers from 0 to 2**63 - 1, got {seed!r}.")
    return [int(seed) for seed in seeds]


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    return values.index_select(0, rows.flatten()).view(*rows.shape, *values.shape[1:])
