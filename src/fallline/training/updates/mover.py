"""What moves some lanes of a population."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


class Mover(ABC):
    """Moves the lanes `lanes`, rows of the population's stacked parameters.

    `averages` says whether what they are evaluated at is another point than where they train, as in Schedule-Free
    learning.
    """

    averages: bool
    lanes: Indices

    @abstractmethod
    def average(self, parameters: Sequence[Tensor], mask: Mask) -> None:
        """Let the parameters hold what the lanes where `mask` [population] is true are to be evaluated at."""

    @abstractmethod
    def resume(self) -> None:
        """Train again; the parameters hold once more what they held."""

    @abstractmethod
    def keep(self, mask: Mask, position: Indices) -> bool:
        """Forget the lanes where `mask` is false; lane i becomes `position[i]`. Whether any are left."""
