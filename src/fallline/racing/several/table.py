"""Several problems' races as text: scores, steps to the goals, profiles."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fallline.racing.judging.records import Estimate
from fallline.racing.several.goals import Goal
from fallline.racing.several.profiles import RATIOS, Profiles, Standing
from fallline.racing.wording import counted, listed


def as_tables(profiles: Profiles) -> list[Table]:
    """Scores and steps, an arm a row and a problem a column, then the profiles read off at some ratios."""
    within = [f"within\n{ratio:g} x" for ratio in RATIOS]
    shares, areas, by_seconds = profiles.shares(), profiles.areas(), profiles.areas_by_seconds()
    return [
        _problems(profiles, "Score on the test split", lambda goal: goal.problem, _score),
        _problems(profiles, "Steps to the goal", _goal, _steps),
        _table(
            f"Share of {counted(len(profiles.goals), 'problem')} solved within a ratio of the fastest arm's steps",
            ["arm", *within, "area,\nsteps", "area,\nseconds"],
            [
                [name, *(f"{share:.2f}" for share in shares[name]), f"{areas[name]:.2f}", _span(by_seconds[name])]
                for name in profiles.arms
            ],
        ),
    ]


def legend(profiles: Profiles) -> str:
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


def as_text(profiles: Profiles) -> str:
    """Tables, legend and sentence, without colour, in 80 to 120 columns as the terminal allows."""
    width = min(120, max(80, shutil.get_terminal_size(fallback=(120, 24)).columns))
    console = Console(width=width, no_color=True, highlight=False, legacy_windows=False)
    with console.capture() as capture:
        for table in as_tables(profiles):
            console.print(table)
            console.print()
    lines = [line.rstrip() for line in capture.get().rstrip().splitlines()]
    return "\n".join(
        [*lines, "", *textwrap.wrap(legend(profiles), width), "", *textwrap.wrap(profiles.sentence, width)]
    )


def _problems(profiles: Profiles, title: str, heading: Callable[[Goal], str], cell: Callable[[Standing], str]) -> Table:
    rows = [
        [name, *("not raced" if one is None else cell(one) for one in row)] for name, row in profiles.standings.items()
    ]
    return _table(title, ["arm", *map(heading, profiles.goals)], rows)


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Names are a user's own text, so nothing is read as markup."""
    table = Table(
        title=title, title_justify="left", header_style="bold",
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip
    for heading in headings:
        table.add_column(Text(heading), justify="left" if heading == "arm" else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _span(area: Estimate) -> str:
    return f"{area.value:.2f}" + (f" ({area.low:.2f} to {area.high:.2f})" if area.has_interval else "")


def _score(standing: Standing) -> str:
    return "diverged" if standing.score is None else f"{standing.score:#.3g}{'*' if standing.leads else ' '}"


def _goal(goal: Goal) -> str:
    return f"{goal.problem}\n{goal.metric}\n{goal.value:.3g}"


def _steps(standing: Standing) -> str:
    return "missed" if standing.reached.steps is None else f"{standing.reached.steps:,}"
