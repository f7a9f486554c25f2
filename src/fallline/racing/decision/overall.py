"""The decision over several problems as a record, its lines and its table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from fallline._text import as_page, counted, listed, table
from fallline.racing.decision.lines import MOST_NAMES, WHY, names_of, times_of
from fallline.racing.decision.record import plain, ratios
from fallline.racing.decision.records import LEVEL
from fallline.racing.decision.speed import Speeds

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Without:
    """The decision without one of the problems; `behind`: the arm that all of them say to take is so for certain."""

    take: str
    at_most_below_best: float | None
    behind: bool


@dataclass(frozen=True, repr=False)
class OverProblems:
    """What to take over several problems. Print it for the decision and the table.

    Distances are shares of the gain, from 0 for the best arm upwards: each problem's scores are shifted and scaled so
    that the best arm there is at 0 and the untrained model at 1, and averaged over the problems, of equal weight.

    Attributes:
        problems: The problems that count.
        left_out: Those that don't, with the reason.
        take: The arm to take; None where nothing can be told.
        decided_by: What decided for it, as in `Take`.
        configurations: Its configuration on each problem, None where that is not known.
        at_most_below_best: The most that it is below whichever arm is best; None where that can't be told.
        winner: The only arm whose distance is within the margin for certain; None where there is none, or where an arm
            was not in every race.
        distances: Every arm's least and greatest distance from the best; None for arms that are not compared.
        behind: The arms that are behind for certain, with the least distance.
        tied: The arms that are neither the winner nor behind.
        shares: Each compared arm's mean distance on each problem.
        speeds: Steps to each problem's shared level against those of `take`, as geometric means over `speed_problems`.
        speed_problems: The problems whose races tell of speed.
        without: The decision with each of the problems left out.
        diverged: Arms that diverged as a whole on some problems, where they count as untrained.
        apart: Arms that are not compared, as they were not in every race.
        level: The share of cases in which some interval may fail.
        margin: The difference that does not matter.
        lines: All of it in short sentences.
    """

    problems: tuple[str, ...]
    left_out: Mapping[str, str]
    take: str | None
    decided_by: str
    configurations: Mapping[str, Mapping[str, Any] | None]
    at_most_below_best: float | None
    winner: str | None
    distances: Mapping[str, tuple[float, float] | None]
    behind: Mapping[str, float]
    tied: tuple[str, ...]
    shares: Mapping[str, Mapping[str, float]]
    speeds: Speeds | None
    speed_problems: tuple[str, ...]
    without: Mapping[str, Without]
    diverged: Mapping[str, tuple[str, ...]]
    apart: tuple[str, ...]
    level: float
    margin: float
    lines: tuple[str, ...] = ()

    @property
    def ranking(self) -> tuple[str, ...]:
        """The arms: the one to take, then by how far each may be from the best; those that are not compared last."""

        def rank(name: str) -> tuple[bool, float, float]:
            ends, own = self.distances[name], self.shares.get(name, {})
            return name != self.take, math.inf if ends is None else ends[1], sum(own.values()) if own else math.inf

        return tuple(sorted(self.distances, key=rank))

    def __repr__(self) -> str:
        return f"OverProblems({listed(self.problems) or 'none'}, take {self.take!r}; print it for the table)"

    def __str__(self) -> str:
        page = as_page([self.table()], [self.legend]) if self.shares else ""
        return "\n".join([*self.lines, *(["", page] if page else [])])

    def table(self) -> Table:
        """The arms, one a row: between which two each is from the best, how fast, and the mean on each problem."""
        names = [name for name in self.ranking if name in self.shares]
        columns = {"arm": names, "below\nthe best": [self._ends(name) for name in names]}
        if self.speeds is not None:
            columns["steps,\nratio"] = [self._ratio(name) for name in names]
        for problem in self.problems:
            columns[problem.replace("-", "-\n")] = [_percent(self.shares[name][problem]) for name in names]
        return table(columns, f"Over {counted(len(self.problems), 'problem')}: below the best, in % of the gain")

    @property
    def legend(self) -> str:
        """What the table does not say by itself."""
        sentences = [
            "The gain: of the best arm over the untrained model, which is at 100 %, as is any run that ends worse.",
        ]
        if any(self.distances.values()):
            sentences.append("Below the best: between which two the arm is on average, for all arms together with 95 % "
                             "confidence. By problem: as it was measured, chance included.")  # fmt: skip
        if self.speeds is not None:
            sentences.append(f"Steps: over those of {self.take}, likewise, {self._over}.")
        return " ".join(sentences)

    def to_json(self) -> dict[str, Any]:
        """The record in what JSON knows; open ends are None. No clock has a say in it."""
        found = {name: value for name, value in asdict(self).items() if name not in ("speeds", "lines")}
        missed = {} if self.speeds is None else {name: one.missed for name, one in self.speeds.of.items()}
        found |= {"speed": ratios(self.speeds), "speed_missed": missed, "ranking": self.ranking, "lines": self.lines}
        return {name: plain(value) for name, value in found.items()}

    @property
    def _over(self) -> str:
        """Over which problems steps are averaged."""
        few = len(self.speed_problems) < len(self.problems)
        return f"as a geometric mean over {listed(self.speed_problems) if few else 'the problems'}"

    def _ends(self, name: str) -> str:
        ends = self.distances[name]
        return "" if ends is None else f"{_percent(ends[0])} to {_percent(ends[1])}"

    def _ratio(self, name: str) -> str:
        speed = None if self.speeds is None else self.speeds.of[name]
        if speed is None or name == self.take:
            return "1"
        if math.isinf(speed.high):
            return f"over {speed.low:.2f}" if speed.low > 0 else "missed"
        return f"{speed.low:.2f} to {speed.high:.2f}"


def with_lines(found: OverProblems) -> OverProblems:
    """The decision with what it says: what was found, and no more."""
    parts = (_take, _cost, _speed, _behind, _tied, _settings, _without, _limits)
    return replace(found, lines=tuple(line for part in parts for line in part(found)))


def _take(found: OverProblems) -> Iterator[str]:
    if found.take is None:
        yield "Nothing can be taken over these problems."
    else:
        yield f"Take {found.take}{WHY.get(found.decided_by, '')}."


def _cost(found: OverProblems) -> Iterator[str]:
    most = found.at_most_below_best
    if most is None:
        return
    sure, over = f"With {100 * (1 - LEVEL):.3g} % confidence", f"over {counted(len(found.problems), 'problem')}"
    if found.winner == found.take and len(found.behind) == len(found.shares) - 1:
        yield f"{sure} it is the best {over}: every other arm is behind it on average."
    elif most <= found.margin:
        matters = f" by more than {_percent(most)} % of the gain, which does not matter" if most else ""
        yield f"{sure} no arm that is compared is better {over}{matters}."
    else:
        yield f"{sure} it ends at most {_percent(most)} % of the gain below whichever arm is best {over}, on average."


def _speed(found: OverProblems) -> Iterator[str]:
    if found.speeds is None:
        return
    others = {name: one for name, one in found.speeds.of.items() if name != found.take}
    for what, group in (
        ("more", {name: one for name, one in others.items() if one.low > 1}),
        ("fewer", {name: one for name, one in others.items() if one.high < 1}),
    ):
        told = "; ".join(f"{name} {times_of(one)}" for name, one in group.items())
        if group:
            yield (
                f"For certain {what} steps, at their settings, {found._over}: {told}."
                if len(group) <= MOST_NAMES
                else f"For certain {what} steps, at their settings, {found._over}: {len(group)} arms."
            )


def _behind(found: OverProblems) -> Iterator[str]:
    if found.behind:
        told = [f"{name} by at least {_percent(least)} %" for name, least in found.behind.items()]
        yield f"Behind for certain on average: {names_of(told, 'arms')}."


def _tied(found: OverProblems) -> Iterator[str]:
    if found.tied:
        begin = "Not told apart"
        if found.winner is not None:
            begin = f"Not worse than {found.winner} for certain by more than {_percent(found.margin)} % of the gain"
        yield f"{begin}: {names_of(found.tied, 'arms')}."


def _settings(found: OverProblems) -> Iterator[str]:
    """The one number that its configurations differ in."""
    known = [one for one in found.configurations.values() if one is not None]
    names = {name for one in known for name in one}
    if len(known) > 1 and len(names) == 1:
        (name,) = names
        values = [one[name] for one in known]
        if all(isinstance(value, float) for value in values):
            yield f"Its {name} was tuned on each: from {min(values):.3g} to {max(values):.3g}."


def _without(found: OverProblems) -> Iterator[str]:
    if not found.without:
        return
    other = {problem: one for problem, one in found.without.items() if one.take != found.take}
    if not other:
        yield "It would be taken as well with any one of the problems left out."
    for problem, one in other.items():
        then = f", and {found.take} be behind for certain" if one.behind else ""
        yield f"Without {problem}, {one.take} would be taken{then}."


def _limits(found: OverProblems) -> Iterator[str]:
    for name, problems in found.diverged.items():
        yield f"{name} diverged as a whole on {listed(problems)}, and counts as untrained there."
    if found.apart:
        yield f"Not compared, as not in every race: {names_of(found.apart)}."
    if len(found.speed_problems) == 0 and len(found.shares) > 1:
        yield "How fast the arms are is not told by these races."
    for problem, reason in found.left_out.items():
        yield f"{problem} is left out: {reason}."
    if found.problems:
        yield (
            f"This holds for {listed(found.problems)} as {'it is' if len(found.problems) == 1 else 'they are'}, of "
            "equal weight, and tells nothing of other problems."
        )


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if abs(share) < 0.995 else f"{100 * share:.0f}"
