"""A race at several lengths of a run: who is best at which budget."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fallline._text import as_page, counted, listed, table
from fallline.racing.decision import Decision
from fallline.racing.protocol import race
from fallline.racing.result import RaceResult
from fallline.training import Problem, ProblemError

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Lengths:
    """Races on one problem at several lengths of a run. Print it for the decisions and the table.

    Args:
        name: The problem's.
        results: The races, the shortest first.
    """

    name: str
    results: tuple[RaceResult, ...]

    @property
    def lengths(self) -> tuple[str, ...]:
        """How long a run was in each: its epochs, or the steps of a single one."""
        found = [result.protocol for result in self.results]
        several = any(one["epochs"] > 1 for one in found)
        return tuple(counted(one["epochs"], "epoch") if several else counted(one["steps"], "step") for one in found)

    @property
    def changes(self) -> tuple[tuple[int, int], ...]:
        """Places of lengths, one after the other, between which the best arm changes for certain.

        None that may be best at the one may be so at the other; arms that can't be compared may be.
        """
        able = [set(one.decision.distances) - set(one.decision.behind) for one in self.results]
        found: list[tuple[int, int]] = []
        for first, second in itertools.combinations(range(len(able)), 2):
            inner = any(first <= one[0] and one[1] <= second for one in found)
            if not inner and not able[first] & able[second]:
                found.append((first, second))
        return tuple(found)

    @property
    def lines(self) -> tuple[str, ...]:
        """What to take at each length, and where the best arm changes for certain."""
        races = zip(self.lengths, self.results, strict=True)
        told = [f"{length}: {' '.join(one.decision.lines[:2])}" for length, one in races]  # what to take, at what cost
        for first, second in self.changes:
            best, then = (_able(self.results[place].decision) for place in (first, second))
            told.append(
                f"Between {self.lengths[first]} and {self.lengths[second]} the best arm changes for certain: first it "
                f"is {best}, then {then}."
            )
        if len(self.results) > 1 and not self.changes:
            told.append("That the best arm changes with the length is not certain.")
        told.append("What is said of a length holds with 95 % confidence for all of its arms, at that length alone.")
        return tuple(told)

    def table(self) -> Table:
        """The arms, one a row, and at each length the mean test score and between which two the arm is from the best.

        In the order of the longest.
        """
        names = [arm.name for arm in self.results[-1].arms]
        columns = {"arm": names}
        for length, one in zip(self.lengths, self.results, strict=True):
            columns[length] = [_cell(one.decision, name) for name in names]
        p = self.results[0].protocol
        side = "below" if p["higher_is_better"] else "above"
        return table(columns, f"{self.name}: test {p['metric']} ({side} the best) by length of a run")

    @property
    def legend(self) -> str:
        """What the table does not say by itself."""
        return (
            "The mean test score of the configuration taken, and between which two the arm is from the best at that "
            "length, for all arms together. Each length is a race of its own, with schedules laid over it."
        )

    def to_json(self) -> dict[str, Any]:
        """What each length comes to, as plain data; the races themselves have their own."""
        return {
            "lengths": [
                {
                    "problem": one.protocol["problem"],
                    "epochs": one.protocol["epochs"],
                    "steps": one.protocol["steps"],
                    **{key: value for key, value in one.decision.to_json().items() if key in _KEPT},
                }
                for one in self.results
            ],
            "changes": [[self.lengths[place] for place in pair] for pair in self.changes],
            "lines": list(self.lines),
        }

    def __repr__(self) -> str:
        return f"Lengths('{self.name}', {listed(self.lengths)}; print it for the decisions and the table)"

    def __str__(self) -> str:
        return "\n".join([*self.lines, "", as_page([self.table()], [self.legend])])


_KEPT = ("take", "at_most_below_best", "winner", "distances", "behind", "tied", "apart", "scores")


def race_lengths(
    problem: Problem, *given: Any, lengths: Sequence[float] = (0.25, 0.5, 1.0), **asked: Any
) -> Lengths:  # fmt: skip
    """Race at several lengths of a run, each a race of its own, with schedules laid over its own length.

    Where learning rates decay to zero, the way to the end of a run says little of a shorter one; this does. Runs are
    kept as those of any race, those of the whole length among them.

    Args:
        problem: What is trained, with a test split.
        given: The arms and the effort, as for `fallline.race`.
        lengths: The shares of the problem's epochs, or of the steps of a single one; above 0 and at most 1.
        asked: All else, as for `fallline.race`.

    Returns:
        The races: print them for the decisions and the table.

    Raises:
        ProblemError: The problem can't be raced, or at one of these lengths.
        ValueError: Two lengths are the same, or there are none; or what `fallline.race` raises.

    >>> from fallline.problems import digits
    >>> found = race_lengths(digits(epochs=4), ["sgd", "adam"], "quick", lengths=(0.5, 1), storage=None)
    >>> found.lengths
    ('2 epochs', '4 epochs')
    """
    results = tuple(race(one, *given, **asked) for one in at_lengths(problem, lengths))
    return Lengths(problem.name, results)


def at_lengths(problem: Problem, lengths: Sequence[float]) -> list[Problem]:
    """The problem at each of several lengths, the shortest first.

    Raises:
        ValueError: There are no lengths, two are the same, or one is no share or less than an epoch or step.
    """
    if not isinstance(problem, Problem):
        raise ProblemError(f"problem: must be a fallline.Problem, got {type(problem).__name__}.")
    made = sorted((problem.shortened(share) for share in lengths), key=lambda one: one.steps)
    if not made:
        raise ValueError("lengths is empty; give shares of the problem's length, such as 0.25, 0.5 and 1.")
    for first, second in itertools.pairwise(made):
        if first.steps == second.steps:
            raise ValueError(f"lengths: two of them come to {counted(first.steps, 'step')}; give each once.")
    return made


def _able(decision: Decision) -> str:
    """The arms that may be best, in their order."""
    return listed([name for name in decision.ranking if name not in decision.behind], "or")


def _cell(decision: Decision, name: str) -> str:
    score, ends = decision.scores.get(name), decision.distances.get(name)
    if score is None:
        return "diverged" if name in decision.distances else "not raced"
    return f"{score:#.4g}" + ("" if ends is None else f" ({ends[0]:.2g} to {ends[1]:.2g})")
