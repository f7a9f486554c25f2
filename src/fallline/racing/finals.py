"""The finals of a race, what they will tell as soon as the first show it, and which look at them it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fallline.racing.arms import Arm
from fallline.racing.decision import FIRST_SEEDS, foreseen, in_words
from fallline.racing.evidence import Chosen, as_entrants
from fallline.racing.looks import number_of_look
from fallline.racing.runs import run_of
from fallline.racing.stages import Stages
from fallline.racing.tuning import Finals, Tuned, final_runs, run_finals


def all_finals(
    stages: Stages, arms: Sequence[Arm], tuned: Mapping[str, Tuned], chosen: Chosen, seeds: Sequence[int]
) -> Finals:
    """Run the chosen configurations on every seed; the first seeds before the others, to tell what all will tell."""
    if len(arms) < 2 or len(seeds) <= FIRST_SEEDS:
        return run_finals(stages, arms, tuned, chosen, seeds)
    first = run_finals(stages, arms, tuned, chosen, seeds[:FIRST_SEEDS], "first finals")
    known, metric = as_entrants(arms, tuned, chosen, first), stages.problem.metric
    if (told := foreseen(known, len(seeds), higher_is_better=metric.higher_is_better)) is not None:
        examples = None if known[0].examples is None else known[0].examples.shape[2]
        stages.watcher.note(in_words(told, seeds=len(seeds), examples=examples, metric=metric.name))
    rest = run_finals(stages, arms, tuned, chosen, seeds[FIRST_SEEDS:])
    return {
        name: tuple(before + after for before, after in zip(runs, rest[name], strict=True))
        for name, runs in first.items()
    }


def look_at(
    stages: Stages,
    arms: Sequence[Arm],
    tuned: Mapping[str, Tuned],
    chosen: Chosen,
    seeds: Sequence[int],
    race_seed: int,
) -> int:
    """Which look at these finals this is, from 1."""
    points = {name: [tuned[name].points[index] for index in indices] for name, indices in chosen.items()}
    runs = final_runs(stages.problem, arms, points, seeds)
    keys = {stages.keys.of(run, batched=False, scored=True) for run in runs}
    known = [_known(stages, arm) for arm in arms]
    return number_of_look(stages.store, stages.keys.problem, race_seed, known, keys)


def _known(stages: Stages, arm: Arm) -> str:
    """What an arm is known by: a run of its own in the middle of its space, with its schedule."""
    middle = {name: dimension.at(0.5) for name, dimension in arm.space.items()}
    return stages.keys.of(run_of(arm, middle, stages.problem, 0), batched=False, scored=False)
