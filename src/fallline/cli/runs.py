"""The runs that a storage keeps: `fallline runs` lists and forgets them, `fallline export` gives a race to Optuna."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fallline._text import counted, printable, rough_duration, table
from fallline.cli.console import console, fail
from fallline.cli.races import Given, Named, storage_of

if TYPE_CHECKING:
    from fallline.racing.storage import KeptRun


def runs(
    given: Given = None,
    named: Named = None,
    problem: Annotated[
        str | None, typer.Option(help="Only runs on the problem of this name, and each of them on a line.")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="Only runs of the arm of this name.")] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget these runs: a race that needs them trains them anew.")
    ] = False,
) -> None:
    """List the runs that a storage keeps: how many of each problem and arm, or, of one problem, each run."""
    from fallline.racing.storage import forget_runs, kept_runs, shown

    storage = storage_of(given, named)
    if forget and problem is None and arm is None:
        fail("--forget needs --problem or --arm, to say which runs; to forget all of them, delete the file")
    try:
        if forget:
            gone = forget_runs(storage, problem, arm)
            print(f"{counted(gone, 'run')} forgotten; what races concluded from them stays.")
            return
        found = kept_runs(storage, problem, arm)
    except (ValueError, OSError, ImportError) as error:
        fail(str(error))
    if not found:
        print(f"There are no such runs in {shown(storage)}.")
    elif problem is None:
        console().print(table(_by_arm(found), left={"problem", "arm"}))
    else:
        console().print(table(_each(found), left={"run", "arm", "configuration"}))


def _by_arm(found: list[KeptRun]) -> dict[str, list[str]]:
    groups: dict[tuple[str, str], list[KeptRun]] = {}
    for run in found:
        groups.setdefault((run.problem, run.arm), []).append(run)
    columns: dict[str, list[str]] = {name: [] for name in ("problem", "arm", "trials", "finals", "diverged")}
    for (problem, arm), some in groups.items():
        finals = sum(run.scored for run in some)
        cells = (problem, arm, len(some) - finals, finals, sum(run.value is None for run in some))
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append(printable(str(cell)))
    return columns


def _each(found: list[KeptRun]) -> dict[str, list[str]]:
    return {
        "run": [run.key[:12] for run in found],
        "arm": [printable(run.arm) for run in found],
        "configuration": [printable(_told(run)) for run in found],
        "seed": [str(run.seed) for run in found],
        "steps": [f"{run.steps:,}" for run in found],
        "validation": ["" if run.scored else _value(run) for run in found],
        "test": [_value(run) if run.scored else "" for run in found],
        "kept": [f"{rough_duration(run.seconds_ago)} ago" for run in found],
    }


def _told(run: KeptRun) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in run.configuration.items()
    )


def _value(run: KeptRun) -> str:
    return "diverged" if run.value is None else f"{run.value:.4g}"


def export(
    given: Given = None,
    named: Named = None,
    race: Annotated[
        str | None, typer.Option(help="Which race, as `fallline races` names it. Default: all of them.")
    ] = None,
    optuna: Annotated[
        Path, typer.Option(help="Write the races as studies of Optuna, a trial a run, into this SQLite file.")
    ] = Path("optuna.db"),
) -> None:
    """Write races for another program: as studies of Optuna, which its dashboard opens."""
    from fallline.racing.storage import export_to_optuna

    storage = storage_of(given, named)
    try:
        races, runs = export_to_optuna(storage, optuna, race)
    except LookupError as error:
        fail(str(error.args[0]))
    except (ValueError, OSError, ImportError) as error:
        fail(str(error))
    print(f"{counted(races, 'race')} with the {counted(runs, 'run')} that are kept written to {optuna.resolve()}.")
