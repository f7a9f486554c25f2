"""How a finished race is printed."""

from __future__ import annotations

from rich.markup import escape

from fallline.cli.console import console
from fallline.racing.output.table import as_table, bullet, further_tables, legend
from fallline.racing.result import RaceResult


def show_result(result: RaceResult) -> None:
    """The table, the verdict, the warnings, and the best one's code."""
    out = console()
    out.print()
    for table in (as_table(result), *further_tables(result)):
        out.print(table)
        out.print()
    out.print(escape(legend(result)), style="dim", highlight=False)
    out.print()
    out.print(escape(result.verdict.sentence), style="bold", highlight=False)
    for warning in result.verdict.warnings:
        out.print(escape(bullet(warning, out.width)), highlight=False)
    if not result.best.entry.diverged:
        out.print(f"\nThe first of the table, {escape(result.best.name)}, in your own program:\n", highlight=False)
        out.print(escape(result.best.code()), style="cyan", highlight=False, soft_wrap=True)
    kept, seconds = result.occasion["storage"], f"{result.occasion['seconds']:.1f} s in all"
    where = f"Every run is kept in {kept['where']} ({seconds})." if kept else f"{seconds}."
    out.print(f"\n{escape(where)}", highlight=False, soft_wrap=True)
