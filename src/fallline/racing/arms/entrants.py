"""The arms of a race from what a person gives, and those among them that are one optimizer under two names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from fallline import rules
from fallline._asked import did_you_mean
from fallline.racing.arms.arm import Arm
from fallline.racing.arms.methods import all_names
from fallline.racing.arms.phases import Phases, as_arm
from fallline.racing.arms.settings import offered
from fallline.rules import DEFAULT_ARMS
from fallline.symbolic import Rule
from fallline.training import Problem


def as_arms(
    entrants: Iterable[Any] | str | None, search: Sequence[str] = (), problem: Problem | None = None
) -> tuple[Arm, ...]:
    """Arms from names, rules, classes, functions and arms; the default ones for None, all there are for "all".

    Capital letters and hyphens in names do not matter, `gd` is `sgd`, and `muon` and the like, which are no rules, are
    the classes of `fallline.optim`. `search` names further dimensions, beside the learning rate: hyperparameters, which
    an arm that lacks them goes without, and "batch", "schedule", "warm_up" and "weight_decay", which most arms can be
    told. Batch sizes follow from the `problem`; of "all", what can't take its parameters is left out.

    Raises ValueError for a name that is not there (with the nearest), one that comes twice, a dimension that no arm
    has, or no arm at all; TypeError for what is none of these.

    >>> [list(arm.space) for arm in as_arms(["sgd", "adam"], search=["beta1", "schedule"])]
    [['lr', 'schedule'], ['lr', 'beta1', 'schedule']]
    """
    one = isinstance(entrants, (str, Rule, Arm)) or not isinstance(entrants, Iterable)
    if entrants is not None and one and entrants != "all":
        raise ValueError("arms must be a list, such as arms=['sgd', 'adam'], or 'all'")
    if entrants is None:
        arms = list(map(as_arm, DEFAULT_ARMS))
    elif isinstance(entrants, Mapping):
        arms = [_named(str(name), entrant) for name, entrant in entrants.items()]
    else:
        arms = [arm for one in (["all"] if entrants == "all" else entrants) for arm in _entered(one, problem)]
    if not arms:
        raise ValueError("arms is empty; give at least one, such as arms=['sgd', 'adam']")
    names = [arm.name for arm in arms]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two arms are called '{twice}'; give one of them another name: Arm('name', optimizer)")
    _check_search(arms, search)
    return tuple(arm.further(search, problem) for arm in arms)


def _named(name: str, entrant: Any) -> Arm:
    """An arm by a name of its own."""
    arm = as_arm(entrant)
    if isinstance(arm, Phases):
        raise ValueError(f"arms: the phases '{arm.name}' have a name of their own; give the arms in a list")
    return Arm(name, arm.method, arm.space, arm.fixed)


def _entered(entrant: Any, problem: Problem | None) -> list[Arm]:
    if not (isinstance(entrant, str) and rules.plain_name(entrant) == "all"):
        return [as_arm(entrant)]
    return [arm for arm in map(as_arm, all_names()) if problem is None or _takes(arm, problem)]


def _takes(arm: Arm, problem: Problem) -> bool:
    """Whether the arm can be made for the problem's parameters: Muon is for matrices alone, say."""
    try:
        arm.make(problem.build(0).parameters(), {name: dimension.at(0.5) for name, dimension in arm.space.items()})
    except ValueError:
        return False
    return True


def _check_search(arms: Sequence[Arm], search: Sequence[str]) -> None:
    if isinstance(search, str):
        raise ValueError(f"search must be a list of names, such as search=['{search}']")
    known = list(dict.fromkeys(name for arm in arms for name in (*arm.searchable, *arm.space)))
    for name in search:
        if name not in known:
            raise ValueError(f"search: no arm has '{name}'; {did_you_mean(str(name), known)}")


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


def one_optimizer_twice(arms: Sequence[Arm]) -> tuple[str, ...]:
    """A sentence on each pair of arms that do the same.

    >>> one_optimizer_twice(as_arms(["sgd", "adam"]))
    ()
    """
    return tuple(
        f"{first} and {second} are one optimizer under two names, with the same steps and the same space: what sets "
        "them apart is chance, so leave one out."
        for first, second in twins(arms)
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
