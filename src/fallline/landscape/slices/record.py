"""What a slice is: losses on a line or a grid, and all that must be known to read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fallline.landscape.surface import View

Array = NDArray[np.float64]
Axes = Literal["random", "principal"]


@dataclass(frozen=True, eq=False, repr=False)
class Slice:
    """The loss along one axis or two; NaN or infinite where the network's is.

    `offsets` [points] of each axis count filter norms from the model for random axes, distances between weights from
    the last model for principal ones. `losses` is [curves, points] in one dimension and [maps, rows, columns] in two,
    the lowest offset of the second axis first: one for each model for random axes, a single one through all models for
    principal ones. `coordinates` [models, dimensions] are the models' own places and `model_losses` [models] their own
    losses; for principal axes of more than 2 or 3 models they lie beside the line or plane, except the last. `shares`
    are the principal axes' parts of the variance of the weights, None for random ones.

    The losses are of the same `examples` examples of `split` everywhere.
    """

    problem: str
    axes: Axes
    seed: int
    split: str
    examples: int
    offsets: tuple[Array, ...]
    losses: Array
    coordinates: Array
    model_losses: Array
    shares: tuple[float, ...] | None

    @property
    def dimensions(self) -> int:
        """Number of axes, 1 or 2."""
        return len(self.offsets)

    @property
    def view(self) -> View:
        """The ends of both axes, as a surface has them; in one dimension y plays no part."""
        ends = [(float(offsets[0]), float(offsets[-1])) for offsets in self.offsets]
        return ends[0], ends[1] if self.dimensions == 2 else (-1.0, 1.0)

    @property
    def heights(self) -> Array:
        """The losses as grids [maps, rows, columns] over `view`; in one dimension all rows are the same."""
        return self.losses if self.dimensions == 2 else np.repeat(self.losses[:, None, :], 2, axis=1)

    @property
    def description(self) -> str:
        """How the slice was made, in words."""
        data = f"Loss of {self.problem!r} on {self.examples} examples of {self.split}, in evaluation mode"
        if self.shares is None:
            return (
                f"{data}; the running statistics of batch norm stay. Random axes drawn by seed {self.seed}, the same "
                "numbers for every model, each filter rescaled to the norm of the model's own; parameters of one "
                "dimension stay. Offsets count filter norms."
            )
        shares = " and ".join(f"{share:.1%}" for share in self.shares)
        return (
            f"{data}; the running statistics of batch norm move with the weights, within the models' own range. "
            f"Principal axes of {len(self.coordinates)} models, with {shares} of the variance of their weights, "
            "through the last model. Offsets are distances between weights."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is not a finite number becomes None."""
        return {
            "problem": self.problem,
            "axes": self.axes,
            "seed": self.seed,
            "split": self.split,
            "examples": self.examples,
            "offsets": [offsets.tolist() for offsets in self.offsets],
            "losses": _plain(self.losses.tolist()),
            "coordinates": self.coordinates.tolist(),
            "model_losses": _plain(self.model_losses.tolist()),
            "shares": None if self.shares is None else list(self.shares),
            "description": self.description,
        }

    def __repr__(self) -> str:
        size = " x ".join(str(len(offsets)) for offsets in self.offsets)
        return f"Slice({self.problem!r}, {self.axes} axes, {size} points, {len(self.coordinates)} models)"


def _plain(values: Any) -> Any:
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return values if math.isfinite(values) else None
