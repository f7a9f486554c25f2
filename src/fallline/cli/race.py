"""`fallline race`: on a bundled data set, or on the user's own problem."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fallline.cli.fail import fail


def race(
    problem: Annotated[
        Path | None, typer.Argument(help="A Python file that defines `problem`. Without one: handwritten digits.")
    ] = None,
    arms: Annotated[
        str | None, typer.Option(help="Who races, separated by commas, such as sgd,adam. Default: all seven.")
    ] = None,
    effort: Annotated[str, typer.Option(help="quick (a ranking), standard or thorough.")] = "standard",
    seed: Annotated[int, typer.Option(min=0, help="Settles everything that is drawn.")] = 0,
    json: Annotated[
        Path | None, typer.Option(help="Write the protocol, all arms and the verdict to this file.")
    ] = None,
    storage: Annotated[
        Path, typer.Option(help="SQLite file that keeps every run; Optuna's dashboard opens it.")
    ] = Path("fallline-races.db"),
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Race optimizers under an equal budget and give a verdict that says "tie" when it is a tie."""
    from fallline.cli.console import Bars, console
    from fallline.cli.problem_file import read_problem
    from fallline.racing.protocol import race as run_race
    from fallline.racing.table import as_table
    from fallline.racing.watch import Silence
    from fallline.training import ProblemError, digits

    if json is not None and not json.resolve().parent.is_dir():
        fail(f"--json {json}: there is no folder {json.resolve().parent}")
    if json is not None and json.is_dir():
        fail(f"--json {json}: that is a folder; give a file")
    names = None if arms is None else [name.strip() for name in arms.split(",") if name.strip()]
    try:
        chosen = digits() if problem is None else read_problem(problem)
        if quiet:
            result = run_race(chosen, names, effort, seed=seed, storage=storage, watcher=Silence())
        else:
            with Bars() as bars:
                result = run_race(chosen, names, effort, seed=seed, storage=storage, watcher=bars)
    except (ProblemError, ValueError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(f"stopped. The runs that a finished stage left are in {storage}; start again to race anew.", 130)
    out = console()
    out.print(as_table(result))
    out.print()
    out.print(result.verdict.sentence, style="bold", highlight=False)
    for warning in result.verdict.warnings:
        out.print(f"- {warning}", highlight=False)
    out.print(f"\nEvery run is kept in {storage} ({result.protocol['seconds']:.1f} s in all).", highlight=False)
    if json is not None:
        result.write_json(json)
        out.print(f"All of it is written to {json}.", highlight=False)
