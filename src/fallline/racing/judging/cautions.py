"""What to be wary of in a race: each caution is one function that gives no, one or several sentences."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fallline.racing.arms.dimensions import Range
from fallline.racing.judging.records import Entry
from fallline.racing.judging.statistics import LEVEL, budget_curve
from fallline.racing.wording import counted, listed


def all_cautions(
    entries: Sequence[Entry],
    *,
    higher_is_better: bool,
    untrained: float,
    smallest_difference: float,
    names_winner: bool = True,
) -> tuple[str, ...]:
    """Every caution that the entries alone can raise; `missed_target` needs counts and is called apart.

    A race that names no winner anyway needs no word on too few seeds for one.
    """
    crossing = crossing_budgets(
        entries, higher_is_better=higher_is_better, untrained=untrained, smallest_difference=smallest_difference
    )
    seeds = few_seeds(entries) if names_winner else ()
    return (
        *best_at_edge(entries), *seeds, *diverged_runs(entries), *crossing,
        *many_dimensions(entries), *unsplit_metric(entries),
    )  # fmt: skip


def best_at_edge(entries: Sequence[Entry]) -> tuple[str, ...]:
    """An arm whose best trial is the outermost one tried, or within a twentieth of its range's end.

    Little or nothing brackets it, so the optimum may lie beyond. A trial further out that diverged does bracket it, and
    beyond 0 there is nothing. Options have no edges.
    """
    found = []
    for entry in entries:
        best = entry.trials[entry.finals[0].trial].configuration
        for name, dimension in entry.space.items():
            tried = {trial.configuration[name] for trial in entry.trials}
            if entry.diverged or len(tried) < 3 or not isinstance(dimension, Range):
                continue
            side = _side(entry, name, dimension)
            if side is None:
                continue
            high, end = side == "high", dimension.high if side == "high" else dimension.low
            outermost = best[name] == (max(tried) if high else min(tried))
            where = (
                f"is the {side}est of the {len(tried)} tried"
                if outermost
                else f"lies at the {'upper' if high else 'lower'} end of its space"
            )
            move = "raise its upper end above" if high else "lower its lower end below"
            found.append(
                f"The best {name} of {entry.name}, {best[name]:.3g}, {where}: the best may lie outside the space, so "
                f"{move} {end:g} and race again."
            )
    return tuple(found)


def _side(entry: Entry, name: str, dimension: Range) -> str | None:
    """On which side the best trial is not bracketed, "low" or "high"."""
    best = entry.trials[entry.finals[0].trial].configuration[name]
    beyond = {"low": [t for t in entry.trials if t.configuration[name] < best],
              "high": [t for t in entry.trials if t.configuration[name] > best]}  # fmt: skip
    for side in ("low", "high"):
        near = not beyond[side] or dimension.edge(best) == side
        if near and all(trial.usable for trial in beyond[side]) and not (side == "low" and dimension.low == 0):
            return side
    return None


def few_seeds(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Fewer seeds than a winner among that many arms needs: ten for up to 20 arms, twelve or more beyond.

    With s seeds the permutation's smallest p is 2 / 2**s, and Holm multiplies it by the number of other arms.
    """
    arms = sum(not entry.diverged for entry in entries)
    if arms < 2:
        return ()
    seeds = len(entries[0].finals[0].scores)
    needed = max(10 if arms <= 20 else 12, math.floor(math.log2((arms - 1) / LEVEL)) + 2)
    if seeds >= needed:
        return ()
    smallest = min(1.0, (arms - 1) * 2.0 ** (1 - seeds))
    outcome = "no winner can be named" if smallest >= LEVEL else "only a lead in nearly every seed can win"
    return (
        f"With {counted(seeds, 'seed')} and {arms} arms the smallest p-value within reach is {smallest:.2g}, "
        f"so {outcome}: take {needed} seeds.",
    )


def missed_target(reached: Mapping[str, int], *, runs: int) -> tuple[str, ...]:
    """A target that most final runs missed; `reached` counts, for each arm, its runs of `runs` that got there.

    >>> missed_target({"adam": 3, "sgd": 1}, runs=10)
    ('Only 4 of 20 final runs reached the target: ease the target or give each run more steps.',)
    """
    hits, total = sum(reached.values()), runs * len(reached)
    if not all(0 <= count <= runs for count in reached.values()):
        raise ValueError(f"reached must count runs of each arm, from 0 to {runs}; it is {dict(reached)}.")
    if 2 * hits >= total:
        return ()
    count = f"Only {hits}" if hits else "None"
    return (
        f"{count} of {counted(total, 'final run')} reached the target: ease the target or give each run more steps.",
    )


def diverged_runs(entries: Sequence[Entry]) -> tuple[str, ...]:
    """How many trials and final runs diverged, arm by arm; arms that did so as a whole are told apart."""
    counts = [text for entry in entries if not entry.diverged and (text := _diverged_count(entry))]
    fallen = [entry.name for entry in entries if entry.diverged]
    partly = (f"Runs diverged: {'; '.join(counts)}.",) if counts else ()
    if not fallen or len(fallen) == len(entries):  # where all did, the verdict says so
        return partly
    its = "its" if len(fallen) == 1 else "their"
    return f"{listed(fallen)} diverged as a whole: lower {its} learning rates and race again.", *partly


def _diverged_count(entry: Entry) -> str:
    runs = np.concatenate([final.usable for final in entry.finals])
    trials = sum(not trial.usable for trial in entry.trials)
    parts = [f"{trials} of {counted(len(entry.trials), 'trial')}"] if trials else []
    parts += [f"{(~runs).sum()} of {counted(len(runs), 'final run')}"] if not runs.all() else []
    return f"{entry.name} in {listed(parts)}" if parts else ""


def crossing_budgets(
    entries: Sequence[Entry], *, higher_is_better: bool, untrained: float, smallest_difference: float
) -> tuple[str, ...]:
    """Budget curves that cross: which arm is best depends on how many trials one can afford.

    Told with the fewest changes of arm that stay within `smallest_difference` of the best expected validation score at
    every number of trials, so that curves lying on each other do not cross. A trial that diverged, or ended worse than
    the untrained model, counts as untrained.
    """
    if not smallest_difference >= 0:
        raise ValueError(f"smallest_difference must be at least 0, not {smallest_difference}.")
    entries = sorted((entry for entry in entries if not entry.diverged), key=lambda entry: entry.name)
    if not entries:
        return ()
    sign = -1.0 if higher_is_better else 1.0
    curves = np.stack([budget_curve(_trial_losses(entry, sign, untrained)) for entry in entries])
    changes = _fewest_changes(curves - curves.min(axis=0), smallest_difference)
    if len(changes) < 2:
        return ()
    starts, arms = zip(*changes, strict=True)
    ends = [start - 1 for start in starts[1:]]
    spans = [f"{a}" if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=False)]
    spans += [f"{starts[-1]} or more"]
    told = [f"{entries[arm].name} with {span}" for arm, span in zip(arms, spans, strict=True)]
    return (f"Who leads in validation depends on how many trials each arm is given: {listed(told)}.",)


def _trial_losses(entry: Entry, sign: float, untrained: float) -> list[float]:
    scores = [trial.comparable for trial in entry.trials]
    return [sign * untrained if score is None else min(sign * score, sign * untrained) for score in scores]


def _fewest_changes(excess: NDArray[np.float64], margin: float) -> list[tuple[int, int]]:
    """(first number of trials, arm) of each stretch, taking the arm whose excess stays within the margin longest."""
    changes: list[tuple[int, int]] = []
    start, budgets = 0, excess.shape[1]
    while start < budgets:
        beyond = np.concatenate([excess[:, start:] > margin, np.ones((len(excess), 1), dtype=bool)], axis=1)
        lengths = beyond.argmax(axis=1)
        arm = int(np.lexsort((excess[:, start], -lengths))[0])
        changes.append((start + 1, arm))
        start += int(lengths[arm])
    return changes


def many_dimensions(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Two or more searched dimensions: the same trials cover them more thinly and real gaps are missed more often."""
    wide = [entry.name for entry in entries if len(entry.space) > 1]
    if not wide:
        return ()
    return (
        f"Two or more dimensions are searched for {listed(wide)} with {counted(len(entries[0].trials), 'trial')}: "
        "real gaps are found far less often than with one, so take more trials.",
    )


def unsplit_metric(entries: Sequence[Entry]) -> tuple[str, ...]:
    """A metric that is no mean over examples: nothing tells how much hangs on this test split.

    Where every arm diverged there is nothing to split.
    """
    if all(entry.diverged for entry in entries) or entries[0].finals[0].examples is not None:
        return ()
    return ("The metric does not split by example, so how much hangs on this test split could not be judged.",)


def proposed_trials(rounds: int) -> tuple[str, ...]:
    """Later rounds of trials, which were proposed from earlier ones, are no independent draws.

    >>> proposed_trials(1)
    ()
    """
    if rounds == 1:
        return ()
    return (
        "Later trials were proposed from earlier ones, so another draw of trials could differ more than the interval "
        "that the verdict uses, which takes them as drawn alike.",
    )


def unequal_budgets(samples: Mapping[str, int]) -> tuple[str, ...]:
    """Arms that were granted different numbers of examples to train on.

    >>> unequal_budgets({"adam": 640, "sgd": 640})
    ()
    """
    if len(set(samples.values())) <= 1:
        return ()
    low, high = (pick(samples, key=samples.__getitem__) for pick in (min, max))
    return (
        f"The arms were not granted the same: {low} saw {samples[low]:,} samples and {high} {samples[high]:,}, since "
        "batches of different sizes do not end alike.",
    )
