"""A race that goes on until it is decided, or its time is spent: more seeds for the arms still in question."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from fallline import _asked
from fallline._text import counted, rough_duration
from fallline.racing.arms import as_arms
from fallline.racing.decision import Decision, with_lines
from fallline.racing.effort import Effort, as_effort
from fallline.racing.protocol import DEFAULT_STORAGE, race
from fallline.racing.result import RaceResult
from fallline.racing.stages import Watcher
from fallline.rules import DEFAULT_ARMS
from fallline.training import Problem

_TIMES = 2
"""So many times the seeds in every stage: each look at the data spends some of the level, so there are to be few."""


_MORE = 1.5
"""So many times what its steps take is what a stage takes, with evaluations."""


def race_until(
    problem: Problem,
    seconds: float,
    arms: Iterable[Any] | str | None = None,
    effort: str | Effort = "standard",
    *,
    storage: str | Path | None = DEFAULT_STORAGE,
    slices: bool = False,
    watcher: Watcher | None = None,
    **settings: Any,
) -> RaceResult:
    """Race, and go on with twice the seeds for the arms still in question, until decided or the time is spent.

    Arms that are behind for certain are left out of what follows and keep what was found of them. The looks at the
    data share the level, so that going on buys no winners: all that is said holds together with 95 % confidence. It
    ends early where more seeds would not settle it, as where the test examples limit it. The storage keeps each stage
    as a race of its own.

    Args:
        problem: What is trained.
        seconds: How long it may take; the first stage is run whatever it takes, a further one if it should fit.
        arms: Who races, as `race` takes them.
        effort: That of the first stage.
        storage: As `race` takes it.
        slices: As `race` takes it.
        watcher: As `race` takes it.
        settings: Whatever else `race` takes.

    Returns:
        The result of the last stage, with the arms that were left out before.

    Raises:
        ValueError: As `race` does.

    >>> from fallline.problems import digits
    >>> result = race_until(digits(epochs=1), 0, ["sgd", "adam"], "quick", storage=None)  # no time but for the first
    >>> result.protocol["seeds"]
    5
    """
    seconds = _asked.number("seconds", seconds)
    watcher = watcher or Watcher()
    begun, spent = time.monotonic(), as_effort(effort, rounds=settings.pop("rounds", None))
    left: Any = arms if arms is None or isinstance(arms, (str, Mapping)) else list(arms)
    with ExitStack() as stack:
        if storage is None:  # what the stages share, and how often the data were looked at, has to be known
            storage = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "runs.db"
        whole = race(problem, left, spent, storage=storage, watcher=watcher, **settings)
        settings["fresh"] = False
        while (open_ := _in_question(whole.decision)) is not None:
            more = replace(spent, seeds=_TIMES * spent.seeds)
            needed = _seconds_of(whole.decision, spent.seeds)
            if time.monotonic() - begun + needed > seconds:
                watcher.note(f"The next stage would take {rough_duration(needed)}, which is more than is left.")
                break
            watcher.note(f"Still in question: {counted(len(open_), 'arm')}. They go on to {more.seeds} seeds.")
            left, spent = _left(left, open_, problem), more
            whole = _joined(race(problem, left, spent, storage=storage, watcher=watcher, **settings), whole)
    if (settling := whole.decision.settling) is not None and settling.seeds is None:
        watcher.note("It ends here, undecided: more seeds would not settle it.")
    return whole.with_slices() if slices else whole


def _in_question(decision: Decision) -> set[str] | None:
    """The arms that more seeds may tell apart; None where it is decided, or seeds do not limit it."""
    settling = decision.settling
    if settling is None or settling.seeds is None:
        return None
    return {name for name in decision.tied if name not in decision.apart}


def _seconds_of(decision: Decision, seeds: int) -> float:
    """About what so many further seeds take; none is known to take time where none was trained."""
    further, settling = decision.next, decision.settling
    if further is None or settling is None or settling.seeds is None:
        return 0.0
    return _MORE * further.seconds * (_TIMES - 1) * seeds / max(1, settling.seeds - seeds)


def _left(arms: Any, names: set[str], problem: Problem) -> Any:
    """Of arms as they were given those of these names: names stay names, which a command can be made of."""
    if isinstance(arms, Mapping):
        return {name: one for name, one in arms.items() if name in names}
    left: list[Any] = []
    for one in DEFAULT_ARMS if arms is None else [arms] if isinstance(arms, str) else arms:
        own = [arm.name for arm in as_arms([one], problem=problem) if arm.name in names]
        left += [one] if len(own) == 1 else own
    return left


def _joined(later: RaceResult, earlier: RaceResult) -> RaceResult:
    """The later stage's result with the arms that it left out, as far from the best as they were found to be."""
    out = [arm for arm in earlier.arms if arm.name not in later.decision.distances]

    def both(of: str) -> Mapping[str, Any]:
        before, now = getattr(earlier.decision, of), getattr(later.decision, of)
        return {**{arm.name: before[arm.name] for arm in out if arm.name in before}, **now}

    joined = replace(
        later.decision,
        distances=both("distances"),
        behind=both("behind"),
        scores=both("scores"),
        gains=both("gains"),
        families=both("families"),
        winner=None if earlier.decision.apart else later.decision.winner,
        apart=(*later.decision.apart, *(arm.name for arm in out if arm.name in earlier.decision.apart)),
    )
    arms = {arm.name: arm for arm in (*later.arms, *out)}
    decision = with_lines(joined)
    return replace(later, arms=tuple(arms[name] for name in decision.ranking), decision=decision)
