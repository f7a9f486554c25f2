"""`fallline race`: on a bundled data set, or on the user's own problem."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fallline.cli.fail import fail
from fallline.racing.arms.default_arms import DEFAULT_ARMS

if TYPE_CHECKING:
    from fallline.racing import RaceResult

#: What the storage holds after so many stages began: each is stored as it ends, before the next begins.
_KEPT = (
    "no run had begun, and none is kept",
    "tuning had not finished, so no run of this race is kept",
    "the tuning runs are kept, the finals had not finished and are not,",
    "the tuning runs and the finals are kept",
)


def race(
    problem: Annotated[
        Path | None,
        typer.Argument(
            help="A Python file that sets a variable `problem`, as shown above. Without one: handwritten digits.",
            show_default=False,
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Who races, separated by commas, such as sgd,momentum,adam: any rule that `fallline show` knows. "
            f"Default: {', '.join(DEFAULT_ARMS)}.",
            show_default=False,
        ),
    ] = None,
    effort: Annotated[
        str,
        typer.Option(
            help="quick: 8 trials an arm, the best one run on 5 fresh seeds, a ranking without a winner. "
            "standard: 16 trials, the 5 best on 10 seeds. thorough: 48 trials, the 8 best on 12 seeds."
        ),
    ] = "standard",
    seed: Annotated[int, typer.Option(min=0, help="Settles everything that is drawn.")] = 0,
    json: Annotated[
        Path | None, typer.Option(help="Write the protocol, all arms and the verdict to this file.")
    ] = None,
    storage: Annotated[
        Path,
        typer.Option(
            help="SQLite file that keeps every run of every race; made in the current folder if it is not there. "
            "Optuna's dashboard opens it."
        ),
    ] = Path("fallline-races.db"),
    quiet: Annotated[bool, typer.Option("--quiet", help="The result only: no estimate, no progress bars.")] = False,
) -> None:
    """Race optimizers under an equal budget and give a verdict that says "tie" when it is a tie.

    A problem file is Python and sets the variable `problem`:

    \b
    import fallline
    from torch import nn
    X, y, X_valid, y_valid, X_test, y_test = ...  # tensors or NumPy arrays
    problem = fallline.Problem(
        model=lambda: nn.Linear(30, 2),
        loss=nn.functional.cross_entropy,
        train=(X, y), valid=(X_valid, y_valid), test=(X_test, y_test),
        metric="accuracy", batch=32, epochs=20,
    )
    """
    # Read when torch is loaded, which nothing has done yet. By default torch's threads wait for each other in a loop
    # for milliseconds, which on a machine that does other work too makes a race take two to four times as long.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    from fallline.cli.console import Bars
    from fallline.cli.problem_file import read_problem
    from fallline.problems import digits
    from fallline.racing.protocol import race as run_race

    _check_output(json)
    names = None if arms is None else [name.strip() for name in arms.split(",") if name.strip()]
    bars = Bars(quiet=quiet)
    try:
        chosen = digits() if problem is None else read_problem(problem)
        with bars:
            result = run_race(chosen, names, effort, seed=seed, storage=storage, watcher=bars)
    except (ValueError, OSError) as error:
        fail(str(error))
    except SystemExit as error:
        fail(f"the problem's model, loss or metric called sys.exit({error.code!r}); take the call out")
    except KeyboardInterrupt:
        kept = _KEPT[min(bars.stages, 3)]
        fail(f"stopped; {kept} in {storage.resolve()}. There is no verdict; the same command races anew.", 130)
    _show(result)
    if json is not None:
        result.write_json(json)
        print(f"All of it is written to {json.resolve()}.")


def _check_output(json: Path | None) -> None:
    """Refuse a file that can't be written before anything is spent."""
    if json is not None and not json.resolve().parent.is_dir():
        fail(f"--json {json}: there is no folder {json.resolve().parent}")
    if json is not None and json.is_dir():
        fail(f"--json {json}: that is a folder; give a file")


def _show(result: RaceResult) -> None:
    from fallline.cli.console import console
    from fallline.racing.table import as_table, bullet, legend

    out = console()
    out.print()
    out.print(as_table(result))
    out.print()
    out.print(legend(result), style="dim", highlight=False)
    out.print()
    out.print(result.verdict.sentence, style="bold", highlight=False)
    for warning in result.verdict.warnings:
        out.print(bullet(warning, out.width), highlight=False)
    protocol = result.protocol
    kept = f"Every run is kept in {protocol['storage']['file']} ({protocol['seconds']:.1f} s in all)."
    out.print(f"\n{kept}", highlight=False, soft_wrap=True)
