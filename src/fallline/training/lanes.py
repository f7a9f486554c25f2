"""A population of lanes: what its two implementations offer, and share."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline.training.memory import BUDGET, footprint, parts
from fallline.training.metrics import value_of
from fallline.training.modules import slots
from fallline.training.problem import Problem
from fallline.training.splits import Split

Mask = NDArray[np.bool_]
Score = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """The quality of K lanes on n examples, in float64.

    `loss` and `metric` are [K]. `example_loss` and `example_metric` are [K, n], each example's share, whose mean they
    are; None where there is no such share, or where it was not asked for.
    """

    loss: Tensor
    metric: Tensor
    example_loss: Tensor | None = None
    example_metric: Tensor | None = None


class Lanes(ABC):
    """K training runs of one problem, side by side, each with the weights and batches of its own seed.

    `parameters` and `buffers` are contiguous tensors [K, ...], changed in place by an update and by training;
    `names` are those of the parameters in the module; `seeds` [K] may repeat, and `streams` has each seed once, in
    order of appearance. Lanes can be dropped: `count` is their number at first, and `index` [K] says which of those
    each lane is. `first_loss` [K] is None until the first step.
    """

    def __init__(self, problem: Problem, seeds: Sequence[int]) -> None:
        self.problem = problem
        self.count = len(seeds)
        self.index = torch.arange(self.count)
        self.first_loss: Tensor | None = None
        self._seat(_checked(seeds))
        modules = {seed: problem.build(seed) for seed in self.streams}
        self._footprint = footprint(modules[self.streams[0]], problem.train.inputs[:2].clone())
        self.parameters, self.buffers = self._stack(modules)

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
    def _each(self, score: Score, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return each lane's score(output, target) [k, ...], from outputs [k, n, ...] and the same targets [n, ...]."""

    @abstractmethod
    def _rebind(self) -> None:
        """Take up parameters and buffers that have moved to other tensors."""

    def __len__(self) -> int:
        return len(self.seeds)

    @torch.no_grad()
    def evaluate(self, split: Split, *, examples: bool = False) -> Evaluation:
        """Evaluate every lane on a split, in evaluation mode, in parts that bound the memory.

        `examples` asks for each example's share as well.
        """
        if not len(self):
            return Evaluation(torch.empty(0).double(), torch.empty(0).double())
        size = BUDGET // max(1, self._footprint.output * len(split))
        scored = [self._evaluate(lanes, split, examples) for lanes in parts(len(self), size)]
        return Evaluation(
            torch.cat([part.loss for part in scored]),
            torch.cat([part.metric for part in scored]),
            _joined([part.example_loss for part in scored]),
            _joined([part.example_metric for part in scored]),
        )

    def keep(self, mask: Mask) -> None:
        """Keep the lanes where mask [K] is true, in their order, and forget the others.

        Raises ValueError unless the mask has one boolean a lane.
        """
        if mask.dtype != np.bool_ or mask.shape != (len(self),):
            raise ValueError(f"mask: must be {len(self)} booleans, got {mask.dtype} of shape {mask.shape}.")
        kept = torch.from_numpy(mask)
        self.parameters = [parameter[kept] for parameter in self.parameters]
        self.buffers = [buffer[kept] for buffer in self.buffers]
        self.index = self.index[kept]
        self.first_loss = None if self.first_loss is None else self.first_loss[kept]
        self._seat(list(itertools.compress(self.seeds, mask)))
        self._rebind()

    def _seat(self, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self.streams = tuple(dict.fromkeys(seeds))
        place = {seed: stream for stream, seed in enumerate(self.streams)}
        self._stream = torch.tensor([place[seed] for seed in seeds], dtype=torch.int64)

    def _stack(self, modules: dict[int, nn.Module]) -> tuple[list[Tensor], list[Tensor]]:
        """Stack the tensors of the modules, one row a lane."""
        found = {seed: slots(module) for seed, module in modules.items()}
        self.names = [slot.name for slot in found[self.seeds[0]][0]]
        trained, rest = (
            [
                torch.stack([slot.tensor.detach() for slot in row])
                for row in zip(*(found[seed][kind] for seed in self.seeds), strict=True)
            ]
            for kind in (0, 1)
        )
        return trained, rest

    def _batch(self, indices: Tensor, lanes: slice) -> tuple[Tensor, Tensor]:
        """Gather inputs and targets of some lanes: [batch, ...] where all lanes see the same, else [k, batch, ...]."""
        rows = indices[0] if self._shared else indices[self._stream[lanes]]
        train = self.problem.train
        return _rows(train.inputs, rows), _rows(train.targets, rows)

    @property
    def _shared(self) -> bool:
        return len(self.streams) == 1

    def _evaluate(self, lanes: slice, split: Split, examples: bool) -> Evaluation:
        size = BUDGET // ((lanes.stop - lanes.start) * self._footprint.kept)
        # A copy of the inputs, since a model may write into them.
        outputs = torch.cat([self._outputs(lanes, split.inputs[rows].clone()) for rows in parts(len(split), size)], 1)
        loss = self._each(self.problem.loss, outputs, split.targets).double()
        share = self._example_loss(outputs, split.targets, loss) if examples else None
        metric = self.problem.metric
        if metric.function is self.problem.loss:
            return Evaluation(loss, loss, share, share)
        if metric.contributions is None:
            values = torch.stack([value_of(metric, output, split.targets) for output in outputs])
            return Evaluation(loss, values, share)
        hits = self._each(metric.contributions, outputs, split.targets).double()
        return Evaluation(loss, hits.mean(1), share, hits if examples else None)

    def _example_loss(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> Tensor | None:
        """Return the loss of each example alone [k, n]; None where the loss of all is not their mean."""
        alone = torch.func.vmap(lambda output, target: self.problem.loss(output[None], target[None]))
        try:
            share = self._each(alone, outputs, targets).double()
        except (RuntimeError, ValueError, IndexError, TypeError):
            return None
        tolerance = 1e3 * torch.finfo(outputs.dtype).eps
        return share if torch.allclose(share.mean(1), loss, rtol=tolerance, atol=tolerance, equal_nan=True) else None


def _checked(seeds: Sequence[int]) -> list[int]:
    if not seeds:
        raise ValueError("seeds: give at least one, one for each lane.")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**63:
            raise ValueError(f"seeds: must be whole numbers from 0 to 2**63 - 1, got {seed!r}.")
    return [int(seed) for seed in seeds]


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    return values.index_select(0, rows.flatten()).view(*rows.shape, *values.shape[1:])


def _joined(shares: list[Tensor | None]) -> Tensor | None:
    present = [share for share in shares if share is not None]
    return torch.cat(present) if len(present) == len(shares) else None
