"""How a race would go on to settle what it left open: the command, the runs that it adds, and how long they take."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from fallline.racing.arms import DEFAULT_SCHEDULE, setting_name
from fallline.racing.decision import Decision, Next
from fallline.racing.effort import EFFORTS, Effort
from fallline.rules import DEFAULT_ARMS

_OPTIONS = {"schedule": DEFAULT_SCHEDULE, "warm_up": None, "seed": 0, "margin": 0.0, "training": "auto"}
"""What else a command line can be told, with what it is without a word."""


def going_on(
    decision: Decision,
    command: Mapping[str, Any],
    effort: Effort,
    fixed: Set[str],
    *,
    seconds: float,
    slots: int,
    storage: str | None = None,
) -> Next | None:
    """What would settle the best two of a decision; None where nothing is open, or no more runs would.

    Arms that are behind, or can't be compared, are left out: what is kept of the others is not trained again.

    Args:
        decision: What the race came to.
        command: How it was asked.
        effort: What it spent.
        fixed: The arms of which nothing is searched.
        seconds: What a run takes.
        slots: How many are trained at a time.
        storage: Where runs are kept, unless that is where they are without a word.
    """
    settling = decision.settling
    if settling is None or (settling.seeds is None and settling.limited_by != "trials"):
        return None
    left = [name for name in decision.distances if name not in decision.behind and name not in decision.apart]
    alone = len(fixed & set(left))
    searched = len(left) - alone
    if settling.seeds is not None:
        more = replace(effort, seeds=settling.seeds)
        runs = (searched * effort.finalists + alone) * (settling.seeds - effort.seeds)
    else:
        more = replace(effort, trials=2 * effort.trials)
        runs = searched * (more.trials + effort.finalists * effort.seeds)
    arms = left if len(left) < len(decision.distances) else None
    typed = _typed(command, more, arms)
    where = "" if storage is None else f" --storage {shlex.quote(storage)}"
    return Next(f"{typed}{where}" if typed else _called(more, arms), runs, runs * seconds / slots)


def _typed(command: Mapping[str, Any], effort: Effort, arms: Sequence[str] | None) -> str | None:
    """The command line; None where only a program has the arms or the problem."""
    if command.get("arms") is None or command.get("problem") is None:
        return None
    given = [command["arms"]] if isinstance(command["arms"], str) else command["arms"]
    settings = {name: text for text in given if (name := setting_name(text)) and name in (arms or [name])}
    names = [setting_name(one) or one for one in given] if arms is None else arms
    words = ["fallline", "race", str(command["problem"])]
    words += [] if names == list(DEFAULT_ARMS) else ["--arms", ",".join(names)]
    words += [word for text in settings.values() for word in ("--mine", text)]
    usual = EFFORTS["standard"]
    words += [word for name, value in _other(effort, usual).items() for word in (f"--{name}", str(value))]
    if more := [name for name in command.get("search", ()) if name != "lr"]:
        words += ["--search", ",".join(more)]
    for name, usually in _OPTIONS.items():
        if (value := command.get(name, usually)) != usually:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _other(effort: Effort, than: Effort) -> dict[str, Any]:
    return {name: value for name, value in vars(effort).items() if value != getattr(than, name)}


def _called(effort: Effort, arms: Sequence[str] | None) -> str:
    """The arguments of a call that are other than they were."""
    counts = ", ".join(f"{name}={value}" for name, value in _other(effort, Effort()).items())
    among = "" if arms is None else f" and of the arms {', '.join(arms)} alone"
    return f"the same call of fallline.race with effort=fallline.Effort({counts}){among}"
