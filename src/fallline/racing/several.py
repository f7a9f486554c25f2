"""Several problems' races as one decision: which arm to take over all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fallline.racing.decision import OverProblems, ProblemRuns, decide_over
from fallline.racing.result import RaceResult


def over_problems(results: Sequence[RaceResult]) -> OverProblems:
    """Decide between arms over several problems, from a race of each.

    How far each arm is from the best is averaged over the problems as a share of the gain: of the problem's best arm
    over the untrained model. The intervals hold for all arms at once, and take in each problem's seeds, test examples
    and draws of trials; problems are taken as they are, and left out in turn to see whether what is taken hangs on one.
    Arms are known by their names, and compared if they were in every race. One that diverged as a whole on a problem
    counts as untrained there. Races of one seed try the same points and may share their luck with them, so that bounds
    are wider than those of races that have a seed each, as `fallline race --problems` gives them. How fast the arms are
    comes as geometric means over those problems whose races tell it.

    Args:
        results: One race of each problem.

    Returns:
        The decision: print it for the table.

    Raises:
        ValueError: There are no results, or two of one problem.

    >>> from fallline.problems import quadratic
    >>> from fallline.racing import race
    >>> problems = quadratic(condition=5), quadratic(condition=50)
    >>> problems[1].name = "narrow"
    >>> results = [
    ...     race(problem, ["sgd", "momentum"], "quick", storage=None, seed=seed)
    ...     for seed, problem in enumerate(problems)
    ... ]
    >>> over_problems(results).problems
    ('quadratic', 'narrow')
    """
    if not results:
        raise ValueError("results is empty; give the results of at least one race.")
    names = [result.protocol["problem"] for result in results]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"results holds two races of the problem '{twice}'; give one of them another name.")
    for result in results:
        if len({arm.entrant.seeds for arm in result.arms}) > 1:
            raise ValueError(
                f"the arms of the race on '{result.protocol['problem']}' ran on different numbers of seeds, as where a "
                "race goes on until it is decided; give one in which all ran on the same"
            )
    level = min(result.decision.level for result in results)  # less where a race has been looked at before
    return decide_over([_runs(result) for result in results], level)


def seed_for(problem: str, seed: int) -> int:
    """The seed of the race on one of several problems, so that its draws have nothing to do with the others'.

    Args:
        problem: The problem's name.
        seed: What all of them follow from.

    >>> seed_for("digits", 0) == seed_for("digits", 0), seed_for("digits", 0) == seed_for("diabetes", 0)
    (True, False)
    """
    return int(np.random.SeedSequence([seed, *problem.encode()]).generate_state(1, np.uint64)[0] >> 1)


def _runs(result: RaceResult) -> ProblemRuns:
    """A race's runs; how fast they were only where its own decision tells it, which is not where rates decay."""
    steps = result.protocol["speed_steps"] if result.decision.speeds is not None else None
    return ProblemRuns(
        result.protocol["problem"],
        [arm.entrant for arm in result.arms],
        result.protocol["higher_is_better"],
        result.protocol["untrained_score"],
        steps=None if steps is None else np.array(steps),
        margin=result.decision.margin,
        seed=result.protocol["seed"],
    )
