"""`fallline bench`: the kernels beside torch and beside memory, on this machine."""

from __future__ import annotations

import json as json_format
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fallline.cli.console import Beat, console, fail

if TYPE_CHECKING:
    from rich.table import Table

    from fallline.bench import Report
    from fallline.bench.report import StepRow, TrainingRow


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
    from fallline._text import listed
    from fallline.bench import BUSY, PARTS, SUBJECTS, measure

    subjects = {subject.name: subject for subject in SUBJECTS}
    for name in part or ():
        if name not in PARTS:
            fail(f"--part must be one of {', '.join(PARTS)}; got '{name}'")
    try:
        chosen = [
            name.lower() if name.lower() in subjects else rules.name_of(rules.find(name)) for name in rule or subjects
        ]
    except LookupError as error:
        fail(str(error))
    for name in chosen:
        if name not in subjects:
            fail(f"--rule must be one of {', '.join(subjects)}; got '{name}'")
        parts = subjects[name].parts
        if rule and part and not set(parts) & set(part):
            fail(f"{name} takes part in {listed(parts)} only, not in {listed(part)}; give another --part or --rule")
    out, doing = console(), "measuring"
    with out.status(doing) as status, nullcontext() if out.is_terminal else Beat(lambda: doing, out):

        def tell(line: str) -> None:
            nonlocal doing
            doing = f"measuring {line}"
            status.update(doing)

        report = measure(rounds, subjects=[subjects[name] for name in chosen], shapes=part or PARTS, tell=tell)
    for table in _tables(report):
        out.print(table)
    if max((line.spread for lines in (report.steps, report.training) for line in lines), default=0.0) > BUSY:
        out.print(
            "? marks rows whose rounds differ widely: the machine was busy with other work. Measure again when it is "
            "idle."
        )
    if json is not None:
        json.write_text(json_format.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
        out.print(f"All figures are written to {json}.", highlight=False)


def _tables(report: Report) -> list[Table]:
    from fallline._text import duration, table

    tables, steps, training = [], report.steps, report.training
    if steps:
        best = [
            "" if row.best_variant is None else f"{duration(row.torch_seconds[row.best_variant])} {row.best_variant}"
            for row in steps
        ]
        columns = {
            "rule": [_marked(row) for row in steps],
            "tensors": [row.shapes for row in steps],
            "ours": [duration(row.seconds) for row in steps],
            "torch's best": best,
            "ours / best": [_hundredths(row.ratio) for row in steps],
            "ours / fused": [_hundredths(row.ratio_to_fused) for row in steps],
            "of memory floor": [_hundredths(row.share_of_floor) for row in steps],
        }
        title = f"A step, {report.threads} threads, torch {report.torch_version}"
        tables.append(table(columns, title, left=("rule", "tensors")))
    if training:
        columns = {
            "rule": [_marked(line) for line in training],
            "width": [str(line.width) for line in training],
            "ours": [duration(line.seconds) for line in training],
            "torch's": [duration(line.torch_seconds) for line in training],
            "ours / torch's": [_hundredths(line.ratio) for line in training],
        }
        title = "A whole training step (forward, backward, step), beside torch's fused"
        tables.append(table(columns, title, left=("rule",)))
    return tables


def _marked(row: StepRow | TrainingRow) -> str:
    from fallline.bench import BUSY

    return f"{row.rule} ?" if row.spread > BUSY else row.rule


def _hundredths(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
