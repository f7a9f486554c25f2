"""`fallline diagnose`: why a problem trains or does not, on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from fallline.cli.console import console, fail
from fallline.cli.diagnosed import ShownStages, show_findings
from fallline.cli.typed import listed_in

if TYPE_CHECKING:
    from rich.console import Console

    from fallline.landscape import Diagnosis

_DEFAULT_PROBLEM = "digits"


def diagnose(
    problem: Annotated[
        str,
        typer.Argument(
            help="A Python file that sets a variable `problem`, as for `fallline race`, or the name of a bundled "
            "problem, as `fallline problems` lists them."
        ),
    ] = _DEFAULT_PROBLEM,
    optimizer: Annotated[
        str, typer.Option(help="What trains it, such as sgd, momentum or adam: any rule that `fallline show` knows.")
    ] = "sgd",
    lr: Annotated[
        float | None, typer.Option(help="Its learning rate. Default: the best one of those that are tried.")
    ] = None,
    parts: Annotated[
        str | None,
        typer.Option(
            help="What to measure, separated by commas, of rates, scaling, run, place, noise, spectrum and layers. "
            "Default: all of it."
        ),
    ] = None,
    batch: Annotated[str | None, typer.Option(help="Examples of a step, or `all`. Default: the problem's.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds short runs have.")] = 5,
    examples: Annotated[
        int | None, typer.Option(min=1, help="How many training examples to measure on. Default: 512, or all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Settles everything that is drawn.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the findings and all measurements to this file.")] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="Write the charts, such as loss by learning rate, as SVG files into this folder."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="The findings only: no cost, no progress, no tables.")] = False,
    whole: Annotated[
        bool, typer.Option("--traceback", help="Where something fails, show the whole way there, as Python does.")
    ] = False,
) -> None:
    """Say why a problem trains or does not: rates, curvature, noise and layers, in sentences with their evidence.

    It trains the problem's model once, and many times for a few steps; Ctrl-C ends it with what was found so far.
    """
    from fallline.cli.race_outputs import check_file, write_file

    if json is not None:
        check_file("--json", json)
    if figures is not None and figures.exists() and not figures.is_dir():
        fail(f"--figures {figures}: that is a file; give a folder")
    out = console()
    try:
        found = _diagnosed(problem, out, quiet, {
            "optimizer": optimizer, "lr": lr, "parts": None if parts is None else listed_in(parts),
            "batch": int(batch) if batch is not None and batch.isdigit() else batch,
            "seeds": seeds, "examples": examples, "seed": seed,
        })  # fmt: skip
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        _leave(error, problem, whole=whole)
    except SystemExit as error:
        sentence = f"the problem's model, loss or metric called sys.exit({error.code!r}); take the call out"
        fail(sentence, error=error, whole=whole)
    show_diagnosis(found, out, tables=not quiet)
    failed = [
        *write_file("--json", json, found.write_json, "All of it is written to {}."),
        *write_file("--figures", figures, lambda folder: _write_figures(found, folder), "The charts are in {}."),
    ]
    if failed:
        fail(f"{'; '.join(failed)}; the findings are nowhere but above", 1)
    if not found.finished:
        raise typer.Exit(130)


def _diagnosed(name: str, out: Console, quiet: bool, asked: dict[str, Any]) -> Diagnosis:
    from fallline.cli.problems import named_problem
    from fallline.landscape import diagnose

    problem, _ = named_problem(name)
    if quiet:
        return diagnose(problem, progress=lambda stage: None, **asked)
    with ShownStages(out) as shown:
        return diagnose(problem, progress=shown, **asked)


def _write_figures(found: Diagnosis, folder: Path) -> None:
    from fallline.pages.charts.diagnosis import write_figures

    folder.mkdir(parents=True, exist_ok=True)
    write_figures(found.to_json(), folder)


def show_diagnosis(found: Diagnosis, out: Console, *, tables: bool = True) -> None:
    """The findings, each with its evidence, then the tables and the time that it took.

    Args:
        found: The diagnosis.
        out: Where to.
        tables: Whether to show more than the findings.
    """
    out.print(f"\n{found.headline}\n", style="bold", markup=False, highlight=False)
    show_findings(found, out)
    if not tables:
        return
    out.print()
    for one in found.tables():
        out.print(one)
        out.print()
    out.print(f"{found.seconds:.1f} s in all.", highlight=False)


def _leave(error: Exception, problem: str, *, whole: bool) -> NoReturn:
    """Leave with what an error says: a sentence of Fallline's, or that the user's own code failed."""
    from fallline.racing.failure import failed_at, is_sentence
    from fallline.symbolic import RuleError
    from fallline.training import first_line

    own = failed_at(error) is not None
    if isinstance(error, ValueError | TypeError | OSError | ImportError | LookupError | RuleError) and (
        is_sentence(error) or not own
    ):
        fail(str(error.args[0] if isinstance(error, LookupError) else error), error=error, whole=whole, beside=problem)
    if not own and not isinstance(error, RuntimeError):
        raise error
    kind = type(error).__name__
    said = first_line(error).removeprefix(f"{kind}: ")
    fail(f"something failed while it was measured ({kind}: {said}).", 1, error, whole=whole, beside=problem)
