"""Single arguments of a slice, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

from fallline.training import Problem, Split
from fallline.training.arguments import as_count


def examples_of(problem: Problem, name: str, count: int | None) -> Split:
    """A split, or so many examples of it, always the same."""
    splits = problem.splits()
    check_choice("split", name, tuple(splits))
    whole = splits[name]
    if count is None:
        return whole
    count = as_count("examples", count, len(whole), f"as many as {name} has")
    # Drawn by a seed of their own, so that other directions are measured on the same examples.
    rows = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))[:count].sort().values
    return Split(whole.inputs[rows], whole.targets[rows])


def check_problem(problem: object) -> None:
    """Refuse what is no problem, and streams, which can be seen only once."""
    if not isinstance(problem, Problem):
        raise TypeError(
            f"problem: must be a fallline.Problem, whose examples can be evaluated again; got {type(problem).__name__}."
        )


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse what is not among the choices."""
    if value not in choices or isinstance(value, bool):
        raise ValueError(f"{name}: must be {' or '.join(map(repr, choices))}; got {value!r}.")


def as_points(points: object) -> int:
    """Return an odd number of at least 3."""
    count = as_count("points", points)
    if count < 3 or count % 2 == 0:
        raise ValueError(f"points: must be an odd number of at least 3, so that one is in the middle; got {count}.")
    return count


def as_reach(reach: object) -> float:
    """Return a finite number above 0."""
    value = float(reach) if isinstance(reach, Real) and not isinstance(reach, bool) else math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"reach: must be a finite number above 0; got {reach!r}.")
    return value


def as_seed(seed: object) -> int:
    """Return a whole number that torch's generators start from."""
    value = int(seed) if isinstance(seed, Integral) and not isinstance(seed, bool) else -1
    if not 0 <= value < 2**63:
        raise ValueError(f"seed: must be a whole number from 0 to 2**63 - 1; got {seed!r}.")
    return value


def check_finite(weights: Sequence[Tensor]) -> None:
    """Refuse models, stacked [models, ...] tensor by tensor, that have diverged."""
    finite = torch.stack([stacked.isfinite().reshape(len(stacked), -1).all(1) for stacked in weights]).all(0)
    if not finite.all():
        place = int(finite.logical_not().nonzero()[0])
        raise ValueError(
            f"models: number {place}, counted from 0, has weights that are NaN or infinite; give one from before its "
            "run diverged."
        )
