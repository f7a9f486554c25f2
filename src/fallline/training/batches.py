"""Which examples each step sees: an order for each epoch that follows from the seed alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fallline.training.sampling import Sampler

_CPU = torch.device("cpu")


def epoch_order(examples: int, seed: int, epoch: int) -> Tensor:
    """Shuffle the numbers 0 to `examples` - 1, as every run with this seed does in this epoch.

    >>> torch.equal(epoch_order(100, seed=1, epoch=0), epoch_order(100, seed=1, epoch=0))
    True
    """
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(examples))


class Batches:
    """The batches of several seeds, side by side, as numbers of examples on a device.

    Every epoch goes once through all examples, and its last batch may be smaller; with `drop_last` the examples that
    don't fill a batch are left out. Without `shuffle` every seed takes them in the order in which they are given. A
    `sampler` names the `examples` of each epoch itself.

    >>> batches = Batches(examples=10, batch=4, seeds=[0, 1])
    >>> [tuple(batches.at(step).shape) for step in range(3)]
    [(2, 4), (2, 4), (2, 2)]
    >>> Batches(examples=10, batch=4, seeds=[0], shuffle=False).at(1)
    tensor([[4, 5, 6, 7]])
    """

    def __init__(
        self,
        examples: int,
        batch: int,
        seeds: Sequence[int],
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        sampler: Sampler | None = None,
        device: torch.device = _CPU,
    ) -> None:
        self.batch = batch
        self.seeds = tuple(seeds)
        self.shuffle = shuffle
        self.steps_per_epoch = examples // batch if drop_last else math.ceil(examples / batch)
        self.examples = self.steps_per_epoch * batch if drop_last else examples
        self._named = examples
        self._sampler = sampler
        self._device = device
        self._epoch = -1
        self._orders = torch.empty(0)

    def at(self, step: int) -> Tensor:
        """Return the examples [seeds, batch] that the step sees, steps counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._orders = self._orders_of(epoch).to(self._device)
            self._epoch = epoch
        return self._orders[:, place * self.batch : (place + 1) * self.batch]

    def samples(self, steps: int) -> int:
        """Count the examples seen in the first `steps` steps."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * self.examples + min(rest * self.batch, self.examples)

    def _orders_of(self, epoch: int) -> Tensor:
        if self._sampler is not None:
            return torch.stack([self._sampler.order(seed, epoch) for seed in self.seeds])
        if not self.shuffle:
            return torch.arange(self._named).expand(len(self.seeds), -1)
        return torch.stack([epoch_order(self._named, seed, epoch) for seed in self.seeds])
