"""The `fallline` command."""

from __future__ import annotations

import io
import sys

import typer

from fallline.cli.bench import bench
from fallline.cli.diagnose import diagnose
from fallline.cli.lab import lab
from fallline.cli.lessons import lessons
from fallline.cli.problems import problems
from fallline.cli.race import race
from fallline.cli.races import races, report
from fallline.cli.runs import export, runs
from fallline.cli.show import rules, show
from fallline.rules import DEFAULT_ARMS

app = typer.Typer(
    name="fallline",
    help="Gradient descent from the formula to the decision.\n\n"
    f"Start with `fallline race`: it races {len(DEFAULT_ARMS)} optimizers on a bundled real data set and says which to "
    "take, and how much that could cost. `fallline race problem.py` does the same on your own model.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command()(race)
app.command()(diagnose)
app.command()(races)
app.command()(runs)
app.command()(report)
app.command()(export)
app.command()(rules)
app.command()(show)
app.command()(bench)
app.command()(problems)
app.command()(lab)
app.command()(lessons)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        import fallline

        print(f"fallline {fallline.__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 what was asked for can't be done, 130 stopped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may know fewer letters than there are
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)
