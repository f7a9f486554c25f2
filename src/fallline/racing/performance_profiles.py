"""Several problems at once: on what share of them an arm is nearly as fast as the fastest, as performance profiles."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fallline._text import as_page, counted, listed, table
from fallline.racing.judging import Estimate, median_estimate, performance_profile, profile_area
from fallline.racing.result import RaceResult
from fallline.racing.runs import Outcome, Reached, goal_reached

if TYPE_CHECKING:
    from rich.table import Table

#: What may be left of the way from the untrained model's loss to the best one: τ in the convergence test.
SHARE_LEFT = 0.1


@dataclass(frozen=True)
class Goal:
    """A value of `metric` on the validation split: the problem's own target where `given`, else a loss."""

    problem: str
    metric: str
    value: float
    higher_is_better: bool
    given: bool

    def reached_by(self, runs: Sequence[Outcome]) -> Reached:
        """How many runs of one configuration met it, and the median steps to the first evaluation that did."""
        values, sign = "valid_metric" if self.given else "valid_loss", 1.0 if self.higher_is_better else -1.0
        return goal_reached(self.value, runs, lambda run: sign * getattr(run, values) >= sign * self.value)


def common_goal(result: RaceResult) -> Goal:
    """The goal of a race: the problem's target, or the convergence test L ≤ L_best + τ (L_untrained - L_best).

    L is the validation loss, L_best the lowest that any arm's best configuration came to at its median seed, and τ is
    `SHARE_LEFT`. So at least one arm meets it, unless none improved on the untrained model. Source: Moré and Wild,
    Benchmarking derivative-free optimization algorithms, 2009.
    """
    protocol = result.protocol
    if protocol["target"] is not None:
        higher = protocol["higher_is_better"]
        return Goal(protocol["problem"], protocol["metric"], float(protocol["target"]), higher, given=True)
    untrained = protocol["untrained_loss"]
    lowest = [statistics.median_high(map(_lowest_loss, arm.finals[0])) for arm in result.arms]
    best = min([loss for loss in lowest if loss < math.inf], default=untrained)
    return Goal(protocol["problem"], "loss", best + SHARE_LEFT * (untrained - best), False, given=False)


def _lowest_loss(run: Outcome) -> float:
    trained = run.valid_loss[run.steps > 0]
    return math.inf if run.diverged or not len(trained) else float(trained.min())


#: Ratios to the fastest arm's cost at which profiles are read off; their area goes up to the last.
RATIOS = (1.0, 2.0, 4.0)

View = Literal["steps", "seconds"]


@dataclass(frozen=True)
class Standing:
    """How one arm did on one problem.

    `score` is its mean on the test split, None where it diverged; `leads` says that it is the problem's first arm or
    not told apart from it. `step_seconds` are the times of one step alone in each round of measuring.
    """

    score: float | None
    leads: bool
    reached: Reached
    step_seconds: Sequence[float]

    def cost(self, view: View, round_of_timing: int | None = None) -> float | None:
        """Median steps to the goal, or those steps times the time of one; None where the goal was missed.

        The time is that of one round, or the median of all.
        """
        steps = self.reached.steps
        if steps is None or view == "steps":
            return steps
        each = self.step_seconds
        return steps * float(np.median(each) if round_of_timing is None else each[round_of_timing])


@dataclass(frozen=True, repr=False)
class Profiles:
    """Several problems' races side by side. Print it for the tables.

    `goals` has one entry a problem, and so has each arm's row of `standings`: None where the arm was not in the race.
    Arms are in the order of their profiles' areas by steps.
    """

    goals: tuple[Goal, ...]
    standings: Mapping[str, tuple[Standing | None, ...]]

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms."""
        return tuple(self.standings)

    def shares(self, view: View = "steps", ratios: Sequence[float] = RATIOS) -> dict[str, list[float]]:
        """Share of the problems whose goal each arm reached at no more than each ratio of the fastest arm's cost.

        Source: Dolan and Moré, Benchmarking optimization software with performance profiles, 2002.
        """
        return dict(zip(self.arms, performance_profile(*self._costs(view), ratios).tolist(), strict=True))

    def areas(self, view: View = "steps") -> dict[str, float]:
        """Mean height of each arm's profile over ratios from 1 to the last of `RATIOS`: 1.0 is fastest everywhere."""
        return dict(zip(self.arms, profile_area(*self._costs(view), limit=RATIOS[-1]).tolist(), strict=True))

    def areas_by_seconds(self) -> dict[str, Estimate]:
        """The areas by seconds, with the 95 % interval that they have over the rounds in which steps were timed."""
        rounds = min(len(one.step_seconds) for row in self.standings.values() for one in row if one is not None)
        found = [profile_area(*self._costs("seconds", turn), limit=RATIOS[-1]) for turn in range(rounds)]
        middle = self.areas("seconds")
        return {
            name: replace(median_estimate(column), value=middle[name])
            for name, column in zip(self.arms, np.transpose(found).tolist(), strict=True)
        }

    @property
    def unsolved(self) -> tuple[str, ...]:
        """Problems whose goal no arm reached, which counts against all."""
        _, solved = self._costs("steps")
        return tuple(goal.problem for goal, by_arm in zip(self.goals, solved.T, strict=True) if not by_arm.any())

    @property
    def sentence(self) -> str:
        """What was found, with its limits."""
        problems = counted(len(self.goals), "problem")
        shares = {name: share for name, (share,) in self.shares(ratios=[2.0]).items()}
        most = max(shares.values())
        if most == 0:
            return f"Of {problems}, no arm reached the goal of any."
        leading = [name for name, share in shares.items() if share == most]
        return (
            f"Of {problems}, {listed(leading)} reached the goal of {round(most * len(self.goals))} within twice the "
            f"steps of the fastest arm there{', no other arm of as many' if len(leading) < len(shares) else ''}; so "
            "few problems, chosen by hand, allow no interval, tell nothing of others and make no arm the best over all."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; what a clock had a say in is under "occasion"."""
        return {
            "goals": [asdict(goal) for goal in self.goals],
            "arms": [
                {
                    "name": name,
                    "problems": {
                        goal.problem: None if one is None else _plain(one)
                        for goal, one in zip(self.goals, row, strict=True)
                    },
                    **self._profile(name, "steps"),
                }
                for name, row in self.standings.items()
            ],
            "unsolved": list(self.unsolved),
            "sentence": self.sentence,
            "occasion": {
                "step_seconds": {
                    name: [None if one is None else float(np.median(one.step_seconds)) for one in row]
                    for name, row in self.standings.items()
                },
                "profiles_by_seconds": {
                    name: {
                        **self._profile(name, "seconds"),
                        "area_interval": [span.low, span.high] if span.has_interval else None,
                    }
                    for name, span in self.areas_by_seconds().items()
                },
            },
        }

    def __repr__(self) -> str:
        problems = ", ".join(goal.problem for goal in self.goals)
        return f"Profiles({counted(len(self.arms), 'arm')} on {problems}; print it for the tables)"

    def __str__(self) -> str:
        return as_page(profiles_tables(self), [profiles_legend(self), self.sentence])

    def _profile(self, name: str, view: View) -> dict[str, Any]:
        within = dict(zip((f"{ratio:g}" for ratio in RATIOS), self.shares(view)[name], strict=True))
        return {"share_solved_within_ratio": within, "area": self.areas(view)[name]}

    def _costs(self, view: View, round_of_timing: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Costs and where there are any, each (arms, problems)."""
        costs = [
            [None if one is None else one.cost(view, round_of_timing) for one in row] for row in self.standings.values()
        ]
        found = np.array(costs, dtype=np.float64)  # None becomes NaN
        return found, np.isfinite(found)


def profiles(results: Sequence[RaceResult]) -> Profiles:
    """Lay several problems' races side by side: each arm's best configuration, timed to each problem's common goal.

    The goal is the problem's target or, without one, a validation loss that leaves a tenth of the way from that of the
    untrained model to the best arm's. Costs are medians over the seeds, to the first evaluation that meets the goal. An
    arm that missed it, diverged or was not in that race has not solved the problem. Where batch sizes were raced, steps
    differ in what they cost: then compare by seconds.

    Args:
        results: One race of each problem.

    Returns:
        The profiles: print them for the tables.

    Raises:
        ValueError: There are no results, or two of one problem.

    >>> from fallline.problems import quadratic
    >>> from fallline.racing import race
    >>> problems = quadratic(condition=5), quadratic(condition=50)
    >>> problems[1].name = "narrow"
    >>> results = [race(problem, ["sgd", "momentum"], "quick", storage=None) for problem in problems]
    >>> print(profiles(results).sentence)
    Of 2 problems, ...
    """
    if not results:
        raise ValueError("results is empty; give the results of at least one race.")
    names = [result.protocol["problem"] for result in results]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"results holds two races of the problem '{twice}'; give one of them another name.")
    goals = tuple(common_goal(result) for result in results)
    found = [_standings(result, goal) for result, goal in zip(results, goals, strict=True)]
    standings = {name: tuple(row.get(name) for row in found) for name in set().union(*found)}
    areas = Profiles(goals, standings).areas()
    ordered = sorted(standings, key=lambda name: (-areas[name], name))
    return Profiles(goals, {name: standings[name] for name in ordered})


def _standings(result: RaceResult, goal: Goal) -> dict[str, Standing]:
    ranking, ties = result.verdict.ranking, result.verdict.ties
    leading = next((group for group in ties if ranking[0] in group), ranking[:1])
    return {
        arm.name: Standing(
            None if arm.entry.diverged or arm.score is None else arm.score.value,
            arm.name in leading and not arm.entry.diverged,
            goal.reached_by(arm.finals[0]),
            arm.entry.step_rounds,
        )
        for arm in result.arms
    }


def _plain(standing: Standing) -> dict[str, Any]:
    return {"score": standing.score, "leads": standing.leads, "reached": asdict(standing.reached)}


def profiles_tables(profiles: Profiles) -> list[Table]:
    """Scores and steps, an arm a row and a problem a column, then the profiles read off at some ratios."""
    within = [(place, f"within\n{ratio:g} x") for place, ratio in enumerate(RATIOS)]
    shares, areas, by_seconds = profiles.shares(), profiles.areas(), profiles.areas_by_seconds()
    return [
        _problems(profiles, "Score on the test split", lambda goal: goal.problem, _score),
        _problems(profiles, "Steps to the goal", _goal, _steps),
        table(
            {
                "arm": profiles.arms,
                **{heading: [f"{shares[name][place]:.2f}" for name in profiles.arms] for place, heading in within},
                "area,\nsteps": [f"{areas[name]:.2f}" for name in profiles.arms],
                "area,\nseconds": [_span(by_seconds[name]) for name in profiles.arms],
            },
            f"Share of {counted(len(profiles.goals), 'problem')} solved within a ratio of the fastest arm's steps",
        ),
    ]


def profiles_legend(profiles: Profiles) -> str:
    """What the tables do not say by themselves."""
    sentences = [
        "*: first on the problem by its mean score, or not told apart from the first.",
        "Steps: of each arm's best configuration, to the first evaluation that meets the goal, at the median seed; "
        "missed: by half the seeds or more, or diverged.",
    ]
    if not all(goal.given for goal in profiles.goals):
        sentences.append("A goal that is a loss leaves a tenth of the way from the untrained model to the best arm.")
    sentences.append(
        f"Area: the mean height of an arm's profile from 1 to {RATIOS[-1]:g} times the fastest arm's cost; "
        "1 is fastest on every problem."
    )
    if any(area.has_interval for area in profiles.areas_by_seconds().values()):
        sentences.append("Area by seconds: with its 95 % interval over the rounds in which the steps were timed alone.")
    if profiles.unsolved:
        sentences.append(f"No arm reached the goal of {listed(profiles.unsolved)}, which counts against all.")
    return " ".join(sentences)


def _problems(profiles: Profiles, title: str, heading: Callable[[Goal], str], cell: Callable[[Standing], str]) -> Table:
    columns = {"arm": profiles.arms}
    for place, goal in enumerate(profiles.goals):
        found = (row[place] for row in profiles.standings.values())
        columns[heading(goal)] = tuple("not raced" if one is None else cell(one) for one in found)
    return table(columns, title)


def _span(area: Estimate) -> str:
    return f"{area.value:.2f}" + (f" ({area.low:.2f} to {area.high:.2f})" if area.has_interval else "")


def _score(standing: Standing) -> str:
    return "diverged" if standing.score is None else f"{standing.score:#.3g}{'*' if standing.leads else ' '}"


def _goal(goal: Goal) -> str:
    return f"{goal.problem}\n{goal.metric}\n{goal.value:.3g}"


def _steps(standing: Standing) -> str:
    return "missed" if standing.reached.steps is None else f"{standing.reached.steps:,}"
