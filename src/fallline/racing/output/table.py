"""A race as text: the table, the verdict, the warnings."""

from __future__ import annotations

import shutil
import textwrap

from rich import box
from rich.console import Console
from rich.table import Table

from fallline.racing.progress_to_target import Reached
from fallline.racing.result import ArmResult, RaceResult
from fallline.racing.wording import counted, duration


def as_table(result: RaceResult) -> Table:
    """The leaderboard, one arm a row in the verdict's ranking; with the default arms it fits 80 columns."""
    table = Table(
        title=title_of(result), title_justify="left", header_style="bold",
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip
    columns = columns_of(result)
    for heading in columns:
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def legend(result: RaceResult) -> str:
    """What the table's columns do not say by themselves."""
    p, goal = result.protocol, _goal(result)
    best = "the best one" if p["finalists"] == 1 else f"the {p['finalists']} best"
    sentences = [
        f"{counted(p['trials_per_arm'], 'trial')} an arm, {best} by validation run again on "
        f"{counted(p['seeds'], 'fresh seed')}; the score is the mean of the best one's runs, with its 95 % interval."
    ]
    if goal is not None:
        times = "once" if (halvings := _shown(result) + 1) == 1 else f"{halvings} times"
        what = (
            f"the target, a validation {p['metric']} of {goal:.3g}"
            if p["target"] is not None
            else f"a validation loss of {goal:.3g}, the untrained model's halved {times}, the lowest of six such goals "
            "that at least half of the arms reached"
        )
        sentences.append(f"Steps: to {what}, at the median seed; missed: by half the seeds or more.")
    sentences.append("Time: a step of one run alone.")
    if _diverged(result):
        sentences.append("Diverged: trials + final runs.")
    return " ".join(sentences)


def as_text(result: RaceResult) -> str:
    """Table, legend, verdict and warnings, without colour, in 80 to 120 columns as the terminal allows."""
    width = min(120, max(80, shutil.get_terminal_size(fallback=(120, 24)).columns))
    console = Console(width=width, no_color=True, highlight=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(as_table(result))
    lines = [line.rstrip() for line in capture.get().rstrip().splitlines()]
    lines += ["", *textwrap.wrap(legend(result), width), "", *textwrap.wrap(result.verdict.sentence, width)]
    lines += [bullet(warning, width) for warning in result.verdict.warnings]
    kept = result.occasion["storage"]
    return "\n".join(lines if kept is None else [*lines, f"Every run is kept in {kept['where']}."])


def bullet(text: str, width: int) -> str:
    """A sentence as an item of a list.

    >>> bullet("too few seeds", width=10)
    '- too few\\n  seeds'
    """
    return textwrap.fill(f"- {text}", width, subsequent_indent="  ")


def title_of(result: RaceResult) -> str:
    """Which problem, and how long a run is."""
    p = result.protocol
    return f"{p['problem']}: {counted(p['steps'], 'step')} of batch {p['batch']} a run"


def columns_of(result: RaceResult) -> dict[str, list[str]]:
    """The cells of each column by its heading."""
    arms, goal = result.arms, _goal(result)
    searched = sorted({name for arm in arms for name in arm.arm.space})
    columns = {
        "arm": [arm.name for arm in arms],
        f"test {result.protocol['metric']}\n(95 % interval)": [_score(arm) for arm in arms],
        **{f"best\n{name}": [_best(arm, name) for arm in arms] for name in searched},
    }
    if goal is not None:
        columns[f"steps to\n{goal:.3g}"] = [_steps(arm.reached[_shown(result)]) for arm in arms]
    columns["time\na step"] = [duration(arm.entry.step_seconds) for arm in arms]
    columns["bytes/\nparam"] = [_bytes(arm) for arm in arms]
    if _diverged(result):
        columns["diverged"] = [f"{arm.diverged_trials} + {arm.diverged_finals}" for arm in arms]
    return columns


def _diverged(result: RaceResult) -> bool:
    return any(arm.diverged_trials or arm.diverged_finals for arm in result.arms)


def _shown(result: RaceResult) -> int:
    """The last goal, of those that get harder and harder, that at least half of the arms reached; else the first."""
    arms = result.arms
    goals = zip(*(arm.reached for arm in arms), strict=True)
    there = [sum(one.steps is not None for one in goal) for goal in goals]
    return max((place for place, count in enumerate(there) if 2 * count >= len(arms)), default=0)


def _goal(result: RaceResult) -> float | None:
    goals = result.arms[0].reached
    return goals[_shown(result)].goal if goals else None


def _score(arm: ArmResult) -> str:
    score = None if arm.entry.diverged else arm.score
    return "diverged" if score is None else f"{score.value:#.4g} ({score.low:#.4g} to {score.high:#.4g})"


def _best(arm: ArmResult, name: str) -> str:
    if arm.entry.diverged or name not in arm.configuration:
        return ""
    value = arm.configuration[name]
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _steps(goal: Reached) -> str:
    return "missed" if goal.steps is None else f"{goal.steps}"


def _bytes(arm: ArmResult) -> str:
    known = arm.entry.bytes_per_parameter
    return "" if known != known else f"{known:.0f}"
