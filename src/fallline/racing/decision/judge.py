"""Judging runs that were made anywhere: is the difference noise?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from fallline.racing.decision.decide import decide
from fallline.racing.decision.lines import with_lines
from fallline.racing.decision.record import Decision
from fallline.racing.decision.records import Entrant
from fallline.racing.decision.tables import Columns, Table, entrants


def judge(
    runs: Table | Sequence[Entrant],
    *,
    higher_is_better: bool,
    arm: str = "arm",
    configuration: str | Sequence[str] = "configuration",
    seed: str = "seed",
    validation: str = "validation",
    test: str = "test",
    margin: float = 0.0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    untrained: float | None = None,
    look: int | None = None,
) -> Decision:
    """Say which of several methods to take, how far it may be from the best, and which are behind for certain.

    For runs that you have: a CSV file, a frame of pandas or polars, a mapping of columns, an export of runs from
    Weights & Biases or `mlflow.search_runs()`. One row is one run, of one arm (a method, such as an optimizer) in one
    configuration on one seed, with its validation and its test score. Runs without a test score are trials of a search.
    Each arm takes the configuration that is best in validation; test scores choose nothing. Seeds are paired: give the
    same to all arms. A run that diverged has the score inf; a cell left empty is a score that is not known, which is
    left out and said so, never filled in.

    The names of columns may be given without the words that exports put before them, such as `params.`; runs whose
    column State or status says that they did not finish are left out. Where scores of single test examples are known
    as well, give `fallline.racing.decision.Entrant` records instead of a table.

    Args:
        runs: The runs, one a row, or the records of arms.
        higher_is_better: Whether scores are better the higher they are, as with accuracy.
        arm: The column that names what is compared.
        configuration: The column, or columns, that tell an arm's configurations apart; [] where each arm has one.
        seed: The column of the seed.
        validation: The column of the validation score.
        test: The column of the test score.
        margin: A difference that does not matter to you.
        bounds: The ends of the score, such as (0, 1) of accuracy, beyond which no distance reaches.
        untrained: The test score of an untrained model, which a run that diverged counts for; without it, arms that
            take a configuration with such runs are not compared.
        look: The number of this look at one comparison that you add runs to until it is decided: 1, 2, ...; the looks
            share the level, so that going on does not buy winners.

    Returns:
        The decision; print it, or read its fields.

    Raises:
        ValueError: If the table lacks a column, a run is there twice, scores are no numbers, the arms share no seed, or
            the configuration could only be chosen by test scores.

    >>> runs = {"arm": ["adam"] * 4 + ["sgd"] * 4, "seed": [0, 1, 2, 3] * 2,
    ...         "validation": [0.91, 0.92, 0.90, 0.93, 0.81, 0.83, 0.80, 0.84],
    ...         "test": [0.90, 0.92, 0.91, 0.93, 0.80, 0.83, 0.81, 0.83]}
    >>> made = judge(runs, configuration=[], higher_is_better=True)
    >>> made.winner, round(made.behind["sgd"], 3)
    ('adam', 0.09)
    """
    if isinstance(runs, Sequence) and not isinstance(runs, str):
        arms, notes = list(runs), list[str]()
    else:
        names = [configuration] if isinstance(configuration, str) else list(configuration)
        arms, notes = entrants(runs, Columns(arm, names, seed, validation, test))
    made = decide(
        arms,
        higher_is_better=higher_is_better,
        untrained=untrained,
        margin=margin,
        bounds=bounds,
        look=look,
        metric=test,
    )
    return with_lines(replace(made, notes=(*notes, *made.notes)))
