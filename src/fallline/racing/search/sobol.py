"""Points drawn evenly: scrambled Sobol sequences."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from fallline.racing.arms.dimensions import Value

if TYPE_CHECKING:
    from fallline.racing.arms.arm import Arm


def sobol_points(arm: Arm, count: int, seed: int) -> list[dict[str, Value]]:
    """Scrambled Sobol points of an arm's space, a draw of its own that follows from its name and the seed.

    (Sobol, 1967; a random linear scramble and digital shift, Matoušek, 1998.) Fewer points are the first of more.
    Raises ValueError unless `count` is at least 1.

    >>> from fallline.racing import Arm
    >>> from fallline.rules import adam
    >>> points = sobol_points(Arm("adam", adam), 16, seed=0)
    >>> sum(point["lr"] < 1e-4 for point in points)  # two fifths of the five decades, as evenly as 16 points can be
    6
    """
    from scipy.stats import qmc

    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")
    sampler = qmc.Sobol(len(arm.space), scramble=True, rng=own_generator(arm, seed))
    # The sequence is balanced at powers of two; the first points of one are taken.
    unit = sampler.random_base2(max(1, (count - 1).bit_length()))[:count]
    return [
        {name: dimension.at(float(place)) for (name, dimension), place in zip(arm.space.items(), row, strict=True)}
        for row in unit
    ]


def own_generator(arm: Arm, *seeds: int) -> np.random.Generator:
    """Random numbers of an arm's own, which follow from its name and the seeds."""
    return np.random.default_rng([*seeds, zlib.crc32(arm.name.encode())])
