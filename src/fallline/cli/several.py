"""A race on each of several problems, and the arms over all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from fallline.cli.console import LiveRace, console
from fallline.cli.race_result import show_result
from fallline.problems.registry import Bundled
from fallline.racing.protocol import race
from fallline.racing.several.profiles import profiles
from fallline.racing.several.table import as_tables, legend


def race_several(problems: Sequence[Bundled], asked: Mapping[str, Any], file: Path | None, *, quiet: bool) -> None:
    """Race on each problem, print each result, and compare the arms by their performance profiles."""
    out, results = console(), []
    for bundled in problems:
        problem = bundled.make()
        problem.origin = bundled.name
        metric = problem.metric
        if not quiet:
            out.rule(escape(bundled.name))
        with LiveRace(quiet=quiet, higher_is_better=metric.higher_is_better, metric=metric.name) as live:
            results.append(race(problem, watcher=live, **asked))
        if not quiet:
            show_result(results[-1])
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
    if file is not None:
        whole = {"profiles": compared.to_json(), "races": {r.protocol["problem"]: r.to_json() for r in results}}
        file.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        print(f"All of it is written to {file.resolve()}.")
