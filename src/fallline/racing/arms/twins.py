"""Arms that are one optimizer under two names: they take the same steps and search the same space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fallline.racing.arms.arm import Arm
from fallline.racing.arms.phases import Phases
from fallline.racing.arms.shared_dimensions import offered

#: Steps that tell methods apart, and how large their gradients are: RAdam's forms part after five steps, AMSGrad and
#: Adam where large gradients come again after a long time of small ones.
_SIZES = (*[1.0] * 8, *[1e-3] * 150, *[1.0] * 4)
_FIRST = _SIZES[:8]  # which tell most apart
#: Where in its space an arm is tried: high up, so that steps are long beside rounding.
_PLACE = 0.75
_RELATIVE_TOLERANCE, _ROUNDING = 1e-3, 3e-5


def twins(arms: Sequence[Arm]) -> tuple[tuple[str, str], ...]:
    """Pairs of arms that do the same, to rounding, and are searched alike: each with the first that it repeats.

    >>> from fallline import rules
    >>> given = {"space": {"lr": (1e-4, 1e-1)}, "fixed": {"weight_decay": 0.01}}
    >>> twins([Arm("a", rules.adam, **given), Arm("b", rules.momentum, **given), Arm("c", rules.adamw, **given)])
    (('a', 'c'),)
    """
    firsts: list[tuple[Arm, torch.Tensor]] = []
    found = []
    for arm in arms:
        path = _path(arm, _FIRST)
        if path is None:
            continue
        near = (first for first, its in firsts if _alike(first, arm) and _close(its, path))
        same = next((first for first in near if _close(_path(first, _SIZES), _path(arm, _SIZES))), None)
        if same is None:
            firsts.append((arm, path))
        else:
            found.append((same.name, arm.name))
    return tuple(found)


def one_optimizer_twice(pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """A sentence on each pair of arms.

    >>> one_optimizer_twice([])
    ()
    """
    return tuple(
        f"{first} and {second} are one optimizer under two names, with the same steps and the same space: what sets "
        "them apart is chance, so leave one out."
        for first, second in pairs
    )


def _alike(first: Arm, second: Arm) -> bool:
    """Whether two arms are searched alike, and their runs told the same beside the optimizer's own settings."""
    return first.space == second.space and _of_run(first) == _of_run(second)


def _of_run(arm: Arm) -> Mapping[str, Any]:
    return {name: value for name, value in arm.fixed.items() if name in offered(arm.method)}


def _close(first: torch.Tensor | None, second: torch.Tensor | None) -> bool:
    """Whether every step of every weight is the same, but for the rounding of weights near 1."""
    if first is None or second is None:
        return False
    return bool(((first - second).abs() <= _RELATIVE_TOLERANCE * first.abs() + _ROUNDING).all())


def _path(arm: Arm, sizes: Sequence[float]) -> torch.Tensor | None:
    """How far some weights are moved from where they begin, step by step; None where the arm can't be tried so."""
    if isinstance(arm, Phases):
        return None
    generator = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 4), (4,))]
    scales = [torch.ones(3, 4), torch.logspace(0, -9, 4)]  # small gradients show where an ε stands
    begin = [param.detach().clone() for param in params]
    try:
        optimizer = arm.make(params, {name: dimension.at(_PLACE) for name, dimension in arm.space.items()})
        path = []
        for size in sizes:
            for param, scale in zip(params, scales, strict=True):
                param.grad = torch.randn(param.shape, generator=generator) * scale * size
            optimizer.step()
            path += [(param.detach() - start).flatten() for param, start in zip(params, begin, strict=True)]
    except Exception:  # what needs another network than this one is tried on the race's own
        return None
    moved = torch.cat(path)
    return moved if bool(moved.isfinite().all()) and bool(moved.any()) else None
