"""A diagnosis on the terminal: how far it is, and its findings."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from fallline.cli.console import Beat

if TYPE_CHECKING:
    from rich.console import Console

    from fallline.landscape import Diagnosis
    from fallline.landscape.diagnosis import Stage


class ShownStages:
    """The cost, then a bar with the time left; plain lines now and then where standard output is no terminal."""

    def __init__(self, out: Console) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._out = out
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=out,
            transient=True, disable=not out.is_terminal,
        )  # fmt: skip
        self._beat = nullcontext() if out.is_terminal else Beat(self._line, out)
        self._stage: Stage | None = None

    def __enter__(self) -> ShownStages:
        self._task = self._bar.add_task("checking the problem", total=None)
        self._bar.start()
        self._beat.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._beat.__exit__(None, None, None)
        self._bar.stop()

    def __call__(self, stage: Stage) -> None:
        """So far it is; the first time nothing is done yet."""
        if self._stage is None:
            self._out.print(stage.cost, markup=False, highlight=False)
        self._stage = stage
        self._bar.update(self._task, description=stage.doing, completed=stage.done, total=stage.expected)

    def _line(self) -> str:
        if self._stage is None:
            return "the problem is being read and checked"
        return f"{self._stage.doing} ({self._stage.done / self._stage.expected:.0%} of all)"


def show_findings(found: Diagnosis, out: Console) -> None:
    """The findings, each with its evidence below, and what was left out.

    Args:
        found: The diagnosis.
        out: Where to.
    """
    from rich.padding import Padding
    from rich.text import Text

    for finding in found.findings:
        out.print(Text(f"- {finding.sentence}"))
        out.print(Padding(Text(finding.evidence, style="dim"), (0, 0, 0, 2), expand=False))
    for sentence in found.left_out:
        out.print(Text(f"- {sentence}", style="dim"))
