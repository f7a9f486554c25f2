"""A race on each of several problems, and the arms over all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from fallline.cli.console import LiveRace, console
from fallline.cli.race_outputs import Outputs, leave_if_unwritten, write_file
from fallline.cli.race_result import show_result
from fallline.problems.registry import Bundled
from fallline.racing.protocol import race
from fallline.racing.several.profiles import profiles
from fallline.racing.several.table import as_tables, legend


def race_several(problems: Sequence[Bundled], asked: Mapping[str, Any], outputs: Outputs, *, quiet: bool) -> None:
    """Race on each problem, print each result, and compare the arms by their performance profiles."""
    each = [outputs.of_problem(bundled.name) for bundled in problems]
    for own in each:
        own.check()
    out, results = console(), []
    failed: list[str] = []
    for bundled, own in zip(problems, each, strict=True):
        problem = bundled.make()
        problem.origin = bundled.name
        metric = problem.metric
        if not quiet:
            out.rule(escape(bundled.name))
        with LiveRace(quiet=quiet, higher_is_better=metric.higher_is_better, metric=metric.name) as live:
            results.append(race(problem, watcher=live, slices=own.report is not None, **asked))
        if not quiet:
            show_result(results[-1])
        failed += own.write(results[-1])
    compared = profiles(results)
    for table in as_tables(compared):
        out.print()
        out.print(table)
    out.print()
    out.print(escape(legend(compared)), style="dim", highlight=False)
    out.print()
    out.print(escape(compared.sentence), style="bold", highlight=False)
    seconds = sum(result.occasion["seconds"] for result in results)
    out.print(f"\n{seconds:.1f} s in all.", highlight=False)
    whole = {"profiles": compared.to_json(), "races": {r.protocol["problem"]: r.to_json() for r in results}}
    text = json.dumps(whole, indent=1, allow_nan=False) + "\n"
    failed += write_file(
        "--json", outputs.json, lambda file: file.write_text(text, encoding="utf-8"), "All of it is written to {}."
    )
    leave_if_unwritten(failed, results[-1])
