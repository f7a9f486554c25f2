"""The arms of a race from what a person gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fallline import rules
from fallline._asked import did_you_mean
from fallline.racing.arms.arm import Arm
from fallline.racing.arms.methods import all_names
from fallline.racing.arms.phases import Phases, as_arm
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
    told; an arm of which nothing is searched stays so. Batch sizes follow from the `problem`; of "all", what can't take
    its parameters is left out.

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
    return tuple(arm.further(search, problem) if arm.searched else arm for arm in arms)


def found_by_name(entrants: Any) -> tuple[Arm, ...]:
    """The arms of a file, from what `as_arms` takes, which a command line finds again by their names.

    >>> [arm.origin for arm in found_by_name(["sgd", "adam"])]
    ['sgd', 'adam']
    """
    arms = as_arms(entrants)
    for arm in arms:
        arm._set(origin=arm.name)
    return arms


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
    searched = [arm for arm in arms if arm.searched]
    known = list(dict.fromkeys(["lr", *(name for arm in searched for name in (*arm.searchable, *arm.space))]))
    for name in search:
        if name not in known and not searched:
            raise ValueError(f"search: nothing is searched of these arms, which are fixed, so leave '{name}' out")
        if name not in known:
            raise ValueError(f"search: no arm has '{name}'; {did_you_mean(str(name), known)}")


def by_family(arms: Iterable[Arm]) -> dict[str, list[str]]:
    """The names of the arms of each family, both in the order in which they come.

    >>> by_family(as_arms(["sgd", "adam", "momentum", "adamw"]))
    {'Adam': ['adam', 'adamw'], 'momentum': ['momentum']}
    """
    found: dict[str, list[str]] = {}
    for arm in arms:
        if arm.family is not None:
            found.setdefault(arm.family, []).append(arm.name)
    return found
