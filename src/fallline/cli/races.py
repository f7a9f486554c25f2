"""`fallline races`: what a storage holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallline.cli.fail import fail
from fallline.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from fallline.racing.storage.past import PastRace


def races(
    storage: Annotated[
        str, typer.Option(help="SQLite file, or URL of an Optuna storage, that races were kept in.")
    ] = "fallline-races.db",
) -> None:
    """List the races of a storage, newest first, with how far they came and what came of them."""
    from fallline.cli.console import console
    from fallline.racing.storage.database import shown
    from fallline.racing.storage.past import past_races

    try:
        found = past_races(storage)
    except (ValueError, OSError, ImportError) as error:
        fail(str(error))
    if found:
        console().print(_table(found))
    else:
        print(f"There are no races in {shown(storage)}; `fallline race` runs one and keeps it there.")


def _table(found: list[PastRace]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("race", "problem", "arms", "effort", "runs", "outcome"):
        table.add_column(heading, justify="right" if heading == "runs" else "left", overflow="fold")
    for race in found:
        texts = (race.name, race.problem, ", ".join(race.arms), _effort(race.effort), _runs(race), _outcome(race))
        table.add_row(*(escape(printable(text)) for text in texts))  # which was written by anybody
    return table


def _effort(effort: Mapping[str, Any]) -> str:
    """An effort's name, or what it counts."""
    from fallline.racing.effort import EFFORTS

    named = next((name for name, one in EFFORTS.items() if asdict(one) == effort), None)
    trials, finalists, seeds = (effort.get(name, "?") for name in ("trials", "finalists", "seeds"))
    return named or f"{trials} trials, {finalists} x {seeds} finals"


def _runs(race: PastRace) -> str:
    return f"{race.kept:,}" if race.finished else f"{race.kept:,} of {race.planned:,}"


def _outcome(race: PastRace) -> str:
    if not race.finished:
        return "running" if race.running else "stopped; the same command goes on with it"
    if race.winner is not None:
        return f"{race.winner} wins"
    return f"no winner, {race.ranking[0]} comes first" if race.ranking else "finished"
