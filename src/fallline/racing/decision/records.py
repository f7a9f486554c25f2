"""What is judged: the runs of each arm as plain arrays, from a race or from anywhere else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fallline._text import counted, listed

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVEL = 0.05
SPEED_SHARE = 0.2
"""Of the level, which what is said of speed spends, so that all that is said holds together."""
LARGEST_SCORE = 1e100
"""A score further from zero than this counts as diverged: its square would leave the range of a double."""


@dataclass(frozen=True, eq=False)
class Entrant:
    """One arm's runs. A score of a run that diverged is NaN, or anything that is not finite.

    A fixed arm has one configuration and no trials: `fixed` makes one.

    Args:
        name: The arm's name.
        trials: Validation scores (trials,) of the tuning runs, all on one seed.
        finals: Which trials (finalists,) ran again on fresh seeds.
        validation: Validation scores (finalists, seeds) of these runs; column s is the same seed for every arm.
        test: Test scores (finalists, seeds).
        examples: What each test example adds to a test score (finalists, seeds, examples), so that the score is the
            mean; None where the metric does not split by example.
        places: Where the trials (trials,) lie on the one dimension that was searched, evenly, such as the logarithm of
            the learning rate; None where they were drawn at random or in several dimensions.
        stages: In which stage of the search each trial (trials,) was drawn; None for one stage.
        curves: Validation losses (finalists, seeds, evaluations) on the way; None where none were kept.
        configurations: What each trial was run with; None where that is not known.
        searched: Whether another search could have given another configuration.
        bytes: Bytes a parameter that a step moves, NaN where not known.

    >>> sgd = Entrant("sgd", [0.4, 0.3], [1], [[0.3, 0.4]], [[0.35, 0.45]])
    >>> sgd.seeds, sgd.searched
    (2, True)
    """

    name: str
    trials: Floats
    finals: Integers
    validation: Floats
    test: Floats
    examples: Floats | None = None
    places: Floats | None = None
    stages: Integers | None = None
    curves: Floats | None = None
    configurations: Sequence[Mapping[str, Any]] | None = None
    searched: bool = True
    bytes: float = math.nan

    def __post_init__(self) -> None:
        for name in ("trials", "validation", "test", "examples", "places", "curves"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.asarray(value, dtype=np.float64))
        for name in ("finals", "stages"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.asarray(value, dtype=np.int64))
        self._check()

    def _check(self) -> None:
        shape = self.test.shape
        if len(shape) != 2 or 0 in shape or self.validation.shape != shape or self.finals.shape != shape[:1]:
            raise ValueError(
                f"validation and test of arm {self.name!r} must be (finalists, seeds), at least one of each, and "
                f"finals (finalists,); they are {self.validation.shape}, {shape} and {self.finals.shape}."
            )
        known = set(range(self.trials.size))
        if self.trials.ndim != 1 or len(set(self.finals.tolist())) < shape[0] or not set(self.finals.tolist()) <= known:
            raise ValueError(
                f"finals of arm {self.name!r} must name different trials of its {self.trials.size}; "
                f"they are {self.finals.tolist()}."
            )
        for name, whole in (("examples", shape), ("curves", shape), ("places", self.trials.shape),
                            ("stages", self.trials.shape)):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value.shape[: len(whole)] != whole:
                raise ValueError(f"{name} of arm {self.name!r} must begin with the shape {whole}, not {value.shape}.")
        if self.configurations is not None and len(self.configurations) != self.trials.size:
            raise ValueError(
                f"configurations of arm {self.name!r} must be one for each of its {self.trials.size} trials, "
                f"not {len(self.configurations)}."
            )
        if self.places is not None and not np.isfinite(self.places).all():
            raise ValueError(f"places of arm {self.name!r} must be finite numbers.")

        if self.examples is not None and self.usable.any():
            shares, scores = self.examples[self.usable], self.test[self.usable]
            if (np.abs(shares.mean(axis=1) - scores) > 1e-3 * np.abs(shares).max(axis=1)).any():
                raise ValueError(f"examples of arm {self.name!r} must average to the test score of their run.")

    @property
    def seeds(self) -> int:
        """How many fresh seeds each finalist ran on."""
        return int(self.test.shape[1])

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which runs (finalists, seeds) ended with numbers that can be judged."""
        sound = sane(self.test) & sane(self.validation)
        return sound if self.examples is None else sound & sane(self.examples).all(axis=2)


def fixed(
    name: str,
    validation: ArrayLike,
    test: ArrayLike,
    examples: ArrayLike | None = None,
    *,
    curves: ArrayLike | None = None,
    configuration: Mapping[str, Any] | None = None,
    bytes: float = math.nan,
) -> Entrant:
    """An arm whose one configuration was given and not searched: scores (seeds,), examples (seeds, examples).

    >>> fixed("mine", [0.3, 0.4], [0.35, 0.45]).searched
    False
    """
    rows = [None if one is None else np.asarray(one, dtype=np.float64)[None] for one in (examples, curves)]
    return Entrant(
        name, np.array([math.nan]), np.array([0]), np.asarray(validation, dtype=np.float64)[None],
        np.asarray(test, dtype=np.float64)[None], rows[0], curves=rows[1],
        configurations=None if configuration is None else [configuration], searched=False, bytes=bytes,
    )  # fmt: skip


def sane(scores: Floats) -> NDArray[np.bool_]:
    """Which scores may enter a statistic: finite and of a size whose square is.

    >>> sane(np.array([0.5, np.nan, -np.inf, 1e200])).tolist()
    [True, False, False, False]
    """
    return np.asarray(np.abs(scores) <= LARGEST_SCORE)


def check_comparable(entrants: Sequence[Entrant]) -> None:
    """Raise ValueError unless there are entrants, each with a name of its own, with the same seeds and examples."""
    if not entrants:
        raise ValueError("entrants must hold at least one arm; it is empty.")
    names = [one.name for one in entrants]
    if len(set(names)) < len(names):
        raise ValueError(f"Every arm must have a name of its own; they are {names}.")
    shapes = {(one.seeds, None if one.examples is None else one.examples.shape[2]) for one in entrants}
    if len(shapes) > 1:
        raise ValueError(
            "All arms must have run on the same seeds and test examples; they have "
            f"{listed([_told(*shape) for shape in sorted(shapes, key=str)])}."
        )


def _told(seeds: int, examples: int | None) -> str:
    return counted(seeds, "seed") + ("" if examples is None else f" with {counted(examples, 'example')}")
