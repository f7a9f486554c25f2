"""A race as text: the table, the verdict, the warnings."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.table import Table

from fallline.racing.result import ArmResult, RaceResult


def as_table(result: RaceResult) -> Table:
    """The leaderboard, one arm a row in the verdict's ranking."""
    protocol = result.protocol
    table = Table(title=_title(result), title_justify="left", header_style="bold")
    table.add_column("arm")
    table.add_column(f"test {protocol['metric']}", justify="right")
    table.add_column("95 % interval", justify="right")
    for name in sorted({name for arm in result.arms for name in arm.arm.space}):
        table.add_column(f"best {name}", justify="right")
    table.add_column(_goal_title(result), justify="right")
    table.add_column("step alone", justify="right")
    table.add_column("bytes/param", justify="right")
    table.add_column("diverged", justify="right")
    for arm in result.arms:
        table.add_row(*_row(result, arm))
    return table


def as_text(result: RaceResult, width: int = 120) -> str:
    """Table, verdict and warnings, without colour."""
    console = Console(width=width, no_color=True, highlight=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(as_table(result))
    lines = [capture.get().rstrip(), "", *textwrap.wrap(result.verdict.sentence, width)]
    for warning in result.verdict.warnings:
        lines += textwrap.wrap(f"- {warning}", width, subsequent_indent="  ")
    return "\n".join(lines)


def _title(result: RaceResult) -> str:
    p = result.protocol
    return (
        f"{p['problem']}: {p['trials_per_arm']} trials an arm, finals of {p['finalists']} x {p['seeds']} fresh seeds, "
        f"{p['steps']} steps of batch {p['batch']} each"
    )


def _goal_title(result: RaceResult) -> str:
    goal = next((goals[_shown(arm)] for arm in result.arms if (goals := arm.reached)), None)
    if goal is None:
        return "steps"
    return f"steps to {goal.goal:.3g}" + ("" if result.protocol["target"] is not None else " valid loss")


def _shown(arm: ArmResult) -> int:
    return min(2, len(arm.reached) - 1)  # an eighth of the untrained loss, where there is a ladder


def _row(result: RaceResult, arm: ArmResult) -> list[str]:
    score, goal = arm.score, arm.reached[_shown(arm)] if arm.reached else None
    names = sorted({name for other in result.arms for name in other.arm.space})
    trials, finals = len(arm.entry.trials), sum(len(final.scores) for final in arm.entry.finals)
    per_parameter = arm.entry.bytes_per_parameter
    return [
        arm.name,
        "diverged" if score is None else f"{score.value:.4f}",
        "" if score is None else f"{score.low:.4f} to {score.high:.4f}",
        *(f"{arm.configuration[name]:.3g}" if name in arm.configuration else "" for name in names),
        "" if goal is None else "missed" if goal.steps is None else f"{goal.steps}",
        f"{arm.entry.step_seconds * 1e6:.0f} us",
        "" if per_parameter != per_parameter else f"{per_parameter:.0f}",
        f"{arm.diverged_trials}/{trials} + {arm.diverged_finals}/{finals}",
    ]
