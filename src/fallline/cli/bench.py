"""`fallline bench`: the kernels beside torch and beside memory, on this machine."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from fallline.bench import Report


def bench(
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
    rounds: Annotated[int, typer.Option(min=3, help="Rounds in which the contestants take turns.")] = 15,
    part: Annotated[
        list[str] | None,
        typer.Option(help="large, small, network, matrices or training; may be given again. Default: all."),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Only this rule, such as adam or sgd; may be given again. Default: all.")
    ] = None,
) -> None:
    """Measure each rule's step against torch's best variant and the memory floor, paired in one run."""
    from fallline import rules
    from fallline.bench import PARTS, SUBJECTS, measure
    from fallline.cli.console import console
    from fallline.cli.fail import fail
    from fallline.cli.rule_name import find

    subjects = {subject.name: subject for subject in SUBJECTS}
    for name in part or ():
        if name not in PARTS:
            fail(f"--part must be one of {', '.join(PARTS)}; got '{name}'")
    try:
        chosen = [name if name in subjects else rules.name_of(find(name)) for name in rule or subjects]
    except LookupError as error:
        fail(str(error))
    for name in chosen:
        if name not in subjects:
            fail(f"--rule must be one of {', '.join(subjects)}; got '{name}'")
    out = console()
    with out.status("measuring") as status:
        report = measure(
            rounds,
            subjects=[subjects[name] for name in chosen],
            shapes=part or PARTS,
            tell=lambda line: status.update(f"measuring {line}"),
        )
    for table in _tables(report):
        out.print(table)
    if json is not None:
        json.write_text(json_format.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
        out.print(f"All figures are written to {json}.", highlight=False)


def _tables(report: Report) -> list[Table]:
    from rich.table import Table

    from fallline.racing.wording import duration

    tables = []
    if report.steps:
        table = Table(title=f"A step, {report.threads} threads, torch {report.torch_version}", title_justify="left")
        for heading in ("rule", "tensors", "ours", "torch's best", "ours / best", "ours / fused", "of memory floor"):
            table.add_column(heading, justify="left" if heading in ("rule", "tensors") else "right")
        for row in report.steps:
            table.add_row(
                row.rule, row.shapes, duration(row.seconds),
                f"{duration(row.torch_seconds[row.best_variant])} {row.best_variant}",
                f"{row.ratio:.2f}", "" if row.ratio_to_fused is None else f"{row.ratio_to_fused:.2f}",
                "" if row.share_of_floor is None else f"{row.share_of_floor:.2f}",
            )  # fmt: skip
        tables.append(table)
    if report.training:
        table = Table(
            title="A whole training step (forward, backward, step), beside torch's fused", title_justify="left"
        )
        for heading in ("rule", "width", "ours", "torch's", "ours / torch's"):
            table.add_column(heading, justify="left" if heading == "rule" else "right")
        for line in report.training:
            table.add_row(
                line.rule, str(line.width), duration(line.seconds), duration(line.torch_seconds), f"{line.ratio:.2f}"
            )
        tables.append(table)
    return tables
