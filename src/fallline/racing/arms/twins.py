"""Arms that are one optimizer under two names: found by what they do to some weights, and raced once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fallline.racing.arms.arm import Arm
from fallline.racing.arms.methods import hyperparameters
from fallline.racing.arms.phases import Phases
from fallline.racing.arms.settings import offered

#: Steps that tell methods apart, and how large their gradients are: RAdam's forms part after five steps, AMSGrad and
#: Adam where large gradients come again after a long time of small ones.
_SIZES = (*[1.0] * 8, *[1e-3] * 150, *[1.0] * 4, *[1e4] * 3)
_FIRST = _SIZES[:8]  # which tell most apart
_SLOWER = 4  # the step from which the rate is halved: a schedule tells a sum of gradients from one of steps
#: Where in its space an arm is tried, and at which rate at least where that is fixed: steps are long beside rounding.
_PLACE, _RATE = 0.75, 0.1
_RELATIVE_TOLERANCE, _ROUNDING = 1e-3, 3e-5
_LEAST = 30 * _ROUNDING  # that a weight has to move for its path to tell methods apart


def raced_once(arms: Sequence[Arm]) -> tuple[tuple[Arm, ...], tuple[str, ...]]:
    """The arms without those that repeat an earlier one, and a sentence on each of these.

    >>> from fallline import rules
    >>> given = {"space": {"lr": (1e-4, 1e-1)}, "fixed": {"weight_decay": 0.01}}
    >>> left, told = raced_once([Arm("a", rules.adamw, **given), Arm("b", torch.optim.AdamW, **given)])
    >>> [arm.name for arm in left], told
    (['a'], ('b is a under another name: raced once, as a.',))
    """
    repeated = {second: first for first, second in twins(arms)}
    told = (f"{second} is {first} under another name: raced once, as {first}." for second, first in repeated.items())
    return tuple(arm for arm in arms if arm.name not in repeated), tuple(told)


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


def _alike(first: Arm, second: Arm) -> bool:
    """Whether two arms are searched alike, their runs told the same, and no setting that both have is another."""
    one, other = _told(first), _told(second)
    settings = {name for name in one.keys() & other.keys() if name not in first.space}
    return (
        first.space == second.space
        and _of_run(first) == _of_run(second)
        and all(one[name] == other[name] for name in settings)
    )


def _of_run(arm: Arm) -> Mapping[str, Any]:
    return {name: value for name, value in arm.fixed.items() if name in offered(arm.method)}


def _told(arm: Arm) -> dict[str, Any]:
    """Settings that can be compared; without weight decay it is 0."""
    told = {"weight_decay": 0, **hyperparameters(arm.method), **arm.fixed}
    return {name: value for name, value in told.items() if isinstance(value, (bool, int, float, str, tuple))}


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
        optimizer = arm.make(params, _tried(arm))
        path = []
        for step, size in enumerate(sizes):
            if step == _SLOWER:
                for group in (one for one in optimizer.param_groups if "lr" in one):
                    group["lr"] = group["lr"] / 2
            for param, scale in zip(params, scales, strict=True):
                param.grad = torch.randn(param.shape, generator=generator) * scale * size
            optimizer.step()
            path += [(param.detach() - start).flatten() for param, start in zip(params, begin, strict=True)]
    except Exception:  # what needs another network than this one is tried on the race's own
        return None
    moved = torch.cat(path)
    return moved if bool(moved.isfinite().all()) and float(moved.abs().max()) >= _LEAST else None


def _tried(arm: Arm) -> dict[str, Any]:
    """A configuration whose steps are long, at one rate for all whose rates are fixed alike."""
    rate = arm.fixed.get("lr")
    long = {"lr": max(rate, _RATE)} if isinstance(rate, (int, float)) else {}
    return {**long, **{name: dimension.at(_PLACE) for name, dimension in arm.space.items()}}
