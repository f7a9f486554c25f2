"""Races on several problems, or at several lengths of one, and what they come to together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.markup import escape

from fallline.cli.console import console, fail
from fallline.cli.race_outputs import Outputs, leave_if_unwritten, raced, show_result, write_file
from fallline.racing import Arm, Lengths, OverProblems, RaceResult, over_problems
from fallline.racing.lengths import at_lengths
from fallline.racing.several import seed_for
from fallline.training import Problem


def each_once(read: Sequence[tuple[Problem, Sequence[Arm]]], asked: str) -> tuple[list[Problem], Sequence[Arm]]:
    """The problems of --problems, and the arms that their files set, which race on all; none may come twice."""
    problems, own = [one.name for one, _ in read], [arm.name for _, arms in read for arm in arms]
    if not read:
        fail(f"--problems {asked}: no problem is named; name each once")
    if (twice := next((name for name in problems if problems.count(name) > 1), None)) is not None:
        fail(f"--problems {asked}: {twice} is named twice; name each once")
    if (twice := next((name for name in own if own.count(name) > 1), None)) is not None:
        fail(f"--problems {asked}: two of the files set an arm '{twice}', which races on all; set it in one of them")
    return [one for one, _ in read], [arm for _, arms in read for arm in arms]


def shares_of(text: str) -> list[float]:
    """The lengths of --budgets, or leave with a sentence.

    >>> shares_of("0.25, 1")
    [0.25, 1.0]
    """
    try:
        return [float(one) for one in text.split(",") if one.strip()]
    except ValueError:
        fail(f"--budgets {text}: give shares of the problem's length, separated by commas, such as 0.25,0.5,1")


def race_over(problems: Sequence[Problem], asked: Mapping[str, Any], outputs: Outputs, *, quiet: bool) -> None:
    """Race on each problem, from a seed of its own, print each result, and what to take over all of them."""
    each = [{**asked, "seed": seed_for(problem.name, asked["seed"])} for problem in problems]
    _race_each(problems, each, outputs, quiet, over_problems)


def race_at(
    problem: Problem, shares: Sequence[float], asked: Mapping[str, Any], outputs: Outputs, *, quiet: bool
) -> None:
    """Race at each length of the problem, print each result, and what to take at which."""
    made = at_lengths(problem, shares)
    _race_each(made, [asked] * len(made), outputs, quiet, lambda results: Lengths(problem.name, tuple(results)))


def _race_each(
    problems: Sequence[Problem],
    asked: Sequence[Mapping[str, Any]],
    outputs: Outputs,
    quiet: bool,
    together: Callable[[Sequence[RaceResult]], OverProblems | Lengths],
) -> None:
    """Race on each problem, and print and write what all of it comes to, last."""
    each = [outputs.of_problem(problem.name) for problem in problems]
    for own in each:
        own.check()
    out, results = console(), []
    failed: list[str] = []
    for problem, options, own in zip(problems, asked, each, strict=True):
        if not quiet:
            out.rule(escape(problem.name))
        results.append(raced(problem, options, own, quiet))
        if not quiet:
            show_result(results[-1])
        failed += own.write(results[-1])
    found = together(results)
    if not quiet:
        out.rule("together")
    first, *others = found.lines
    out.print(f"\n{escape(first)}", style="bold", highlight=False)
    for line in others:
        out.print(escape(line), highlight=False)
    out.print()
    out.print(found.table())
    if found.legend:
        out.print(f"\n{escape(found.legend)}", style="dim", highlight=False)
    seconds = sum(result.occasion["seconds"] for result in results)
    out.print(f"\n{seconds:.1f} s in all.", highlight=False)
    whole = {"decision": found.to_json(), "races": {one.protocol["problem"]: one.to_json() for one in results}}
    text = json.dumps(whole, indent=1, allow_nan=False) + "\n"
    failed += write_file(
        "--json", outputs.json, lambda file: file.write_text(text, encoding="utf-8"), "All of it is written to {}."
    )
    leave_if_unwritten(failed, results[-1])
