"""`fallline problems`: what there is to race on without any data of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fallline.cli.fail import fail

if TYPE_CHECKING:
    from rich.table import Table

    from fallline.problems import Bundled
    from fallline.training import Problem


def problems(
    name: Annotated[str | None, typer.Argument(help="Only this one. Default: all.", show_default=False)] = None,
) -> None:
    """List the problems that come with the package: real data sets, and functions with known minima."""
    from fallline.cli.console import console
    from fallline.problems import ALL, find

    try:
        chosen = list(ALL.values()) if name is None else [find(name)]
    except LookupError as error:
        fail(str(error.args[0]))
    out = console()
    out.print(_table(chosen))
    out.print(
        "\nExamples: to train, to validate, to test. Steps: updates in one run, of so many examples each. At the end: "
        "what is measured, and the value to reach.",
        style="dim",
        highlight=False,
    )


def _table(chosen: list[Bundled]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid("", "", padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True
    for bundled in chosen:
        table.add_row(Text(bundled.name, style="bold"), Text(bundled.sentence))
        table.add_row("", Text(_facts(bundled.make()), style="dim"))
    return table


def _facts(problem: Problem) -> str:
    """Sizes and metric in a line; a function of the weights alone has no data."""
    weights = sum(parameter.numel() for parameter in problem.build(0).parameters())
    sizes = [f"{len(split):,}" for split in problem.splits().values()]
    data = "no data" if len(problem.train) == 1 else f"{' / '.join(sizes)} examples"
    steps = f"{problem.steps:,} steps" + ("" if problem.batch == 1 else f" of {problem.batch}")
    target = "" if problem.target is None else f" {problem.target:.3g}"
    return f"{data}, {weights:,} weights, {steps}, {problem.metric.name}{target}"
