"""What to be wary of in a race: each caution is one function that gives no, one or several sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fallline._text import counted, listed
from fallline.racing.arms import Range
from fallline.racing.judging.pairs import ROUNDING
from fallline.racing.judging.records import Entry, Final
from fallline.racing.judging.statistics import LEVEL, Floats, budget_curve, drawn_trials


def all_cautions(
    entries: Sequence[Entry],
    *,
    higher_is_better: bool,
    untrained: float | None,
    smallest_difference: float,
    names_winner: bool = True,
) -> tuple[str, ...]:
    """Every caution that the entries alone can raise; `missed_target` needs counts and is called apart.

    A race that names no winner anyway needs no word on too few seeds or finalists for one.
    """
    return (
        *best_at_edge(entries, higher_is_better=higher_is_better),
        *((*few_seeds(entries), *one_finalist(entries)) if names_winner else ()),
        *diverged_runs(entries),
        *crossing_budgets(entries, higher_is_better, untrained, smallest_difference),
        *many_dimensions(entries),
        *unsplit_metric(entries),
    )


def best_at_edge(entries: Sequence[Entry], *, higher_is_better: bool) -> tuple[str, ...]:
    """An arm whose trials still improve towards an end of its space, so that the best may lie beyond."""
    found = []
    for entry in entries:
        best = entry.trials[entry.finals[0].trial].configuration
        for name, dimension in entry.space.items():
            side = edge_of(entry, name, higher_is_better=higher_is_better)
            if side is None or not isinstance(dimension, Range):
                continue
            end, move = ("upper", "raise") if side == "high" else ("lower", "lower")
            beyond = f"above {dimension.high:g}" if side == "high" else f"below {dimension.low:g}"
            found.append(
                f"The best {name} of {entry.name}, {best[name]:.3g}, lies at the {end} end of its space, towards which "
                f"the trials still improve: the best may lie outside, so {move} its {end} end {beyond} and race again."
            )
    return tuple(found)


def few_seeds(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Fewer seeds than a winner needs: ten for up to 20 arms, twelve beyond.

    With s seeds the smallest p of sign flips is 2 / 2**s, of one pair and of all pairs alike (`all_pairs_p`).
    """
    arms = sum(not entry.diverged for entry in entries)
    seeds = len(entries[0].finals[0].scores)
    needed = 10 if arms <= 20 else 12
    if arms < 2 or seeds >= needed:
        return ()
    smallest = 2.0 ** (1 - seeds)
    outcome = "no winner can be named" if smallest >= LEVEL else "only a lead in nearly every seed can win"
    return (
        f"With {counted(seeds, 'seed')} and {arms} arms the smallest p-value within reach is {smallest:.2g}, "
        f"so {outcome}: take {needed} seeds.",
    )


def one_finalist(entries: Sequence[Entry]) -> tuple[str, ...]:
    """One finalist an arm: nothing tells how much hangs on the draw of trials, whatever the seeds say."""
    standing = [entry for entry in entries if not entry.diverged]
    if len(standing) < 2 or all(entry.judges_trials is not False for entry in standing):
        return ()
    return (
        "With one finalist an arm nothing tells how much hangs on the draw of trials, so no winner can be named: run "
        "the finals of several.",
    )


def missed_target(reached: Mapping[str, int], *, runs: int) -> tuple[str, ...]:
    """A target that most final runs missed; `reached` counts, for each sound arm, its runs of `runs` that got there.

    >>> missed_target({"adam": 3, "sgd": 1}, runs=10)
    ('Only 4 of 20 final runs reached the target: ease the target or give each run more steps.',)
    """
    hits, total = sum(reached.values()), runs * len(reached)
    if not all(0 <= count <= runs for count in reached.values()):
        raise ValueError(f"reached must count runs of each arm, from 0 to {runs}; it is {dict(reached)}.")
    if 2 * hits >= total:
        return ()
    if total == 1:
        return ("The only final run missed the target: ease the target or give the run more steps.",)
    count = f"Only {hits}" if hits else "None"
    return (
        f"{count} of {counted(total, 'final run')} reached the target: ease the target or give each run more steps.",
    )


def diverged_runs(entries: Sequence[Entry]) -> tuple[str, ...]:
    """How many trials and final runs diverged, arm by arm; arms of which nothing is left to judge are told apart."""
    counts = [text for entry in entries if not entry.diverged and (text := _diverged_count(entry))]
    fallen = [entry.name for entry in entries if entry.diverged]
    partly = (f"Runs diverged: {'; '.join(counts)}.",) if counts else ()
    if not fallen or len(fallen) == len(entries):  # where all did, the verdict says so
        return partly
    rates = all("lr" in entry.space for entry in entries if entry.diverged)
    its, what = "its" if len(fallen) == 1 else "their", "learning rates" if rates else "settings"
    remedy = f"lower {its} {what}" if rates else f"change {its} {what}"
    return f"{listed(fallen)} diverged as a whole: {remedy} and race again.", *partly


def _diverged_count(entry: Entry) -> str:
    runs = np.concatenate([final.usable for final in entry.finals])
    trials = sum(not trial.usable for trial in entry.trials)
    parts = [f"{trials} of {counted(len(entry.trials), 'trial')}"] if trials else []
    parts += [f"{(~runs).sum()} of {counted(len(runs), 'final run')}"] if not runs.all() else []
    return f"{entry.name} in {listed(parts)}" if parts else ""


def crossing_budgets(
    entries: Sequence[Entry], higher_is_better: bool, untrained: float | None, smallest_difference: float
) -> tuple[str, ...]:
    """Budget curves that cross: which arm is best depends on how many trials one can afford.

    Told with the fewest changes of arm that stay within `smallest_difference` of the best expected validation score at
    every number of trials, so that curves lying on each other do not cross; and only if each arm that takes a turn is
    better there than the one before or after it in nearly all other draws of trials, corrected for all pairs of arms. A
    trial that diverged, or ended worse than the untrained model, counts as untrained; where that is not known, a trial
    that diverged counts as the worst of all.
    """
    if not smallest_difference >= 0:
        raise ValueError(f"smallest_difference must be at least 0, not {smallest_difference}.")
    entries = sorted((entry for entry in entries if not entry.diverged), key=lambda entry: entry.name)
    if not entries:
        return ()
    sign = -1.0 if higher_is_better else 1.0
    losses = _trial_losses(entries, sign, untrained)
    curves = np.stack([budget_curve(one) for one in losses])
    changes = _fewest_changes(curves - curves.min(axis=0), smallest_difference)
    if len(changes) < 2 or not _stands(losses, changes):
        return ()
    starts, arms = zip(*changes, strict=True)
    ends = [start - 1 for start in starts[1:]]
    spans = [f"{a}" if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=False)]
    spans += [f"{starts[-1]} or more"]
    told = [f"{entries[arm].name} with {span}" for arm, span in zip(arms, spans, strict=True)]
    return (f"Who leads in validation depends on how many trials each arm is given: {listed(told)}.",)


def _trial_losses(entries: Sequence[Entry], sign: float, untrained: float | None) -> NDArray[np.float64]:
    scores = [[trial.comparable for trial in entry.trials] for entry in entries]
    losses = [[math.inf if score is None else sign * score for score in some] for some in scores]
    found = np.array(losses)
    worst = found[np.isfinite(found)].max(initial=-math.inf) if untrained is None else sign * untrained
    return np.asarray(np.minimum(found, worst))


def _stands(losses: NDArray[np.float64], changes: Sequence[tuple[int, int]]) -> bool:
    """Whether of any two arms that follow each other each is the better one where it leads, had trials been redrawn."""
    arms, trials = losses.shape
    # The curve is linear in the sorted losses: with w_i that of losses 0 up to the i-th and 1 from there on, the i-th
    # loss has the weights w_i - w_{i+1}.
    sums = np.stack([budget_curve(np.arange(trials) >= i) for i in range(trials)] + [np.zeros(trials)])
    drawn = [one[drawn_trials(trials, rng=np.random.default_rng(place))] for place, one in enumerate(losses)]
    curves = np.sort(np.stack(drawn), axis=2) @ (sums[:-1] - sums[1:])
    least = 1 - LEVEL / (arms * (arms - 1))
    lasts = [start - 2 for start, _ in changes[1:]] + [trials - 1]
    turns = [(arm, start - 1, last) for (start, arm), last in zip(changes, lasts, strict=True)]
    return all(
        (curves[arm, :, first] < curves[other, :, first]).mean() >= least
        and (curves[other, :, last] < curves[arm, :, last]).mean() >= least
        for (arm, first, _), (other, _, last) in pairwise(turns)
    )


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
    """Two or more searched dimensions: the same trials cover them more thinly and real gaps are missed more often.

    Where fewer than two arms can be compared there are no gaps.
    """
    wide = [entry.name for entry in entries if len(entry.space) > 1]
    if not wide or sum(not entry.diverged for entry in entries) < 2:
        return ()
    return (
        f"Two or more dimensions are searched for {listed(wide)} with {counted(len(entries[0].trials), 'trial')}: "
        "real gaps are found far less often than with one, so take more trials.",
    )


def unsplit_metric(entries: Sequence[Entry]) -> tuple[str, ...]:
    """A score that is no mean over several examples: nothing tells how much hangs on this test split.

    Where every arm diverged there is nothing to split.
    """
    if all(entry.diverged for entry in entries) or entries[0].finals[0].examples is not None:
        return ()
    return (
        "The score does not split by example, as of a metric that is no mean over them or of one example alone, so how "
        "much hangs on this test split could not be judged.",
    )


def proposed_trials(rounds: int | None) -> tuple[str, ...]:
    """Later rounds of trials, which were proposed from earlier ones, are no independent draws.

    >>> proposed_trials(1)
    ()
    """
    if rounds in (None, 1):
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


def edge_of(entry: Entry, name: str, *, higher_is_better: bool) -> str | None:
    """At which end of a dimension, "low" or "high", the best may lie beyond what was searched; None for neither.

    There the best trial is within half a spacing of the end, on the dimension's own scale, nothing further out
    diverged, and the quality still improves towards the end: the best is better than all trials further in by more than
    the seeds of the finals explain, and no finalist further in did as well in the finals. Where more than this was
    searched, another dimension may have done it, so Kendall's rank correlation with the place must tell as much, too,
    among the trials in the end's half. Options have no ends, and there is nothing beyond 0.
    """
    dimension, first = entry.space[name], entry.finals[0].trial
    if entry.diverged or not isinstance(dimension, Range):
        return None
    values = [float(trial.configuration[name]) for trial in entry.trials]
    if dimension.open and any(not dimension.low <= value <= dimension.high for value in values):
        return None  # the search went on beyond the end
    side = dimension.edge(values[first], within=1 / (2 * len(values)))
    if side is None or (side == "low" and dimension.low == 0):
        return None
    places = np.array([dimension.place(value) for value in values])
    inward = places if side == "low" else 1 - places  # how far from that end
    sign = -1.0 if higher_is_better else 1.0
    losses = np.array([sign * trial.score if trial.usable else math.inf for trial in entry.trials])
    further_in = inward > inward[first]
    if np.isinf(losses[inward < inward[first]]).any() or not np.isfinite(losses[further_in]).any():
        return None
    lead = losses[further_in].min() - losses[first]
    best, *others = entry.finals
    rivals = [_mean_loss(final, sign) for final in others if further_in[final.trial]]
    alone = len(entry.space) == 1
    improves = lead > _noise(entry, losses[first]) and all(_mean_loss(best, sign) < loss for loss in rivals)
    return side if improves and (alone or _rises(inward, losses)) else None


def _noise(entry: Entry, loss: float) -> float:
    """The largest difference between two runs that the seeds explain, at 95 %; infinite where too few seeds tell."""
    from scipy.special import stdtrit

    scores = entry.finals[0].scores[entry.finals[0].usable]
    if len(scores) < 2:
        return math.inf
    reach = float(stdtrit(len(scores) - 1, 1 - LEVEL / 2)) * math.sqrt(2) * float(scores.std(ddof=1))
    return max(reach, ROUNDING * abs(loss))


def _mean_loss(final: Final, sign: float) -> float:
    """The mean loss of a finalist; infinite where no run of it is usable."""
    return sign * float(final.scores[final.usable].mean()) if final.usable.any() else math.inf


def _rises(inward: Floats, losses: Floats) -> bool:
    """Whether losses rise with the distance from the end, over the half of the range that is nearer to it."""
    from scipy.stats import kendalltau

    half: NDArray[np.bool_] = (inward < 0.5) & np.isfinite(losses)
    if len(set(losses[half].tolist())) < 2:
        return False
    return bool(kendalltau(inward[half], losses[half], alternative="greater").pvalue < LEVEL)
