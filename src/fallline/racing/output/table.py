"""A finished race to be read: table, verdict and warnings as text, and as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from rich.table import Table

from fallline._text import as_page, counted, duration_range, listed, table
from fallline.racing.judging import Entry, Estimate, faster
from fallline.racing.result import ArmResult, RaceResult

#: Searched dimensions that are columns of the leaderboard, at most; more, or batch sizes, are told below it.
_MOST_COLUMNS = 2
_SETTINGS = "best\nsettings"


def tables_of(result: RaceResult) -> list[Table]:
    """The leaderboard, one arm a row in the verdict's ranking, which with the default arms fits 80 columns.

    Then what was found for arms that search much, and the verdict's three questions, if there was anything to ask.
    """
    columns = columns_of(result)
    wide = {} if _SETTINGS not in columns else {"arm": columns["arm"], "settings": columns.pop(_SETTINGS)}
    tables = [table(columns, title_of(result))]
    if wide:
        tables.append(table(wide, "Best settings", left=tuple(wide)))
    if result.verdict.comparisons:
        best = result.verdict.comparisons[0].best
        title = f"The lead of {best}, and what could turn it round"
        tables.append(table(_questions(result), title, left=("over",)))
    return tables


def _questions(result: RaceResult) -> dict[str, list[str]]:
    """The best arm against each other: the lead and, for each question that was asked, its p-value or its interval."""
    found = result.verdict.comparisons

    def spans(heading: str, ends: Sequence[tuple[float, float] | None]) -> dict[str, list[str]]:
        texts = ["" if one is None else f"{one[0]:.3g} to {one[1]:.3g}" for one in ends]
        return {f"{heading}\n(95 % interval)": texts} if any(texts) else {}

    return {
        "over": [one.other for one in found],
        "lead": [f"{one.difference:.3g}" for one in found],
        "other seeds\n(corrected p)": [f"{one.adjusted_p:.2g}" for one in found],
        **spans("other trials", [one.study for one in found]),
        **spans("other test examples", [one.split for one in found]),
        "told apart": ["yes" if one.separated else "no" for one in found],
    }


def _searched(result: RaceResult) -> list[str]:
    return sorted({name for arm in result.arms for name in arm.arm.space})


def legend(result: RaceResult) -> str:
    """What the table's columns do not say by themselves."""
    p, goal = result.protocol, _goal(result)
    best = "the best one" if p["finalists"] == 1 else f"the {p['finalists']} best"
    mean = (
        "that of its run"
        if p["seeds"] == 1
        else "the mean of the best one's runs, with its 95 % interval over the seeds"
    )
    tried = f"{counted(p['trials_per_arm'], 'trial')} an arm, {best} by validation run again on "
    sentences = [
        f"{tried if _searched(result) else ''}{counted(p['seeds'], 'fresh seed')}; the score "
        f"({'higher' if p['higher_is_better'] else 'lower'} is better) is {mean}.",
        *not_searched([arm.entry for arm in result.arms]),
    ]
    if "batch" in _searched(result):
        sentences.append("lr: at the problem's own batch size; run_lr: the run's own, scaled with its batch.")
    if goal is not None:
        shown = _shown(result)
        times = "once" if shown == 0 else f"{shown + 1} times"
        there = 2 * sum(arm.reached[shown].steps is not None for arm in result.arms) >= len(result.arms)
        which = (
            "the lowest of six such goals that at least half of the arms reached"
            if there
            else "the first of six such goals, which less than half of the arms reached"
        )
        what = (
            f"the target, a validation {p['metric']} of {goal:.3g}"
            if p["target"] is not None
            else f"a validation loss of {goal:.3g}, the untrained model's halved {times}, {which}"
        )
        sentences.append(f"Steps: to {what}, at the median seed; missed: by half the seeds or more.")
    sentences.append(time_legend([arm.entry for arm in result.arms]))
    if _diverged(result):
        sentences.append(diverged_legend())
    return " ".join(sentences)


def not_searched(entries: Sequence[Entry]) -> tuple[str, ...]:
    """A sentence on arms of which nothing was searched, if there are any."""
    names = [entry.name for entry in entries if not entry.searched]
    return (f"Nothing was searched of {listed(names)}: no trials, one setting on the fresh seeds.",) if names else ()


def time_legend(entries: Sequence[Entry]) -> str:
    """What the time of a step is, and whether it tells any two arms apart."""
    rounds = len(entries[0].step_rounds)
    over = f", with its 95 % interval over {rounds} rounds of all arms" if entries[0].step_time.has_interval else ""
    alike = len(entries) > 1 and not faster(np.array([entry.step_rounds for entry in entries])).any()
    return f"Time: a step of one run alone{over}{'; it tells no two arms apart here' if alike else ''}."


def diverged_legend() -> str:
    """What is counted as diverged, and what becomes of it."""
    return (
        "Diverged: trials + runs of the best one, which count in its score as the untrained model, or as worse than "
        "the worst run where that is worse still."
    )


def as_text(result: RaceResult) -> str:
    """Tables, legend, verdict, warnings, and where the runs are kept."""
    text = as_page(tables_of(result), [legend(result), result.verdict.sentence], result.verdict.warnings)
    kept = where_kept(result.occasion)
    return text if kept is None else f"{text}\n{kept}."


def where_kept(occasion: Mapping[str, Any]) -> str | None:
    """Where every run is kept, and how many were before, as a sentence without its end; None where not all are kept."""
    if occasion["storage"] is None:
        return None
    before = there_before(occasion)
    return f"Every run is kept in {occasion['storage']['where']}{before and f': {before}'}"


def there_before(occasion: Mapping[str, Any]) -> str:
    """How many of a race's runs were not trained, since they were kept before; no words where there were none.

    >>> there_before({"runs": {"trained": 20, "kept_before": 40}})
    '40 of 60 were there already'
    """
    trained, before = (occasion.get("runs", {}).get(name, 0) for name in ("trained", "kept_before"))
    return f"{before:,} of {trained + before:,} were there already" if before else ""


def title_of(result: RaceResult) -> str:
    """Which problem, and how long a run is."""
    p = result.protocol
    if "batch" in _searched(result):
        return f"{p['problem']}: {counted(p['epochs'], 'epoch')} a run, of batches of each run's own size"
    return f"{p['problem']}: {counted(p['steps'], 'step')} of batch {p['batch']} a run"


def columns_of(result: RaceResult) -> dict[str, list[str]]:
    """The cells of each column by its heading."""
    arms, goal = result.arms, _goal(result)
    searched = _searched(result)
    if len(searched) > _MOST_COLUMNS or "batch" in searched:
        best = {_SETTINGS: [_settings(arm) for arm in arms]}
    else:
        best = {f"best\n{name}": [_best(arm, name) for arm in arms] for name in searched}
    interval = "\n(95 % interval)" if result.protocol["seeds"] > 1 else ""
    columns = {
        "arm": [arm.name for arm in arms],
        f"test {result.protocol['metric']}{interval}": [
            "diverged" if arm.score is None else scored(arm.score) for arm in arms
        ],
        **best,
    }
    if goal is not None:
        steps = [arm.reached[_shown(result)].steps for arm in arms]
        columns[f"steps to\n{goal:.3g}"] = ["missed" if one is None else f"{one}" for one in steps]
    columns["time\na step"] = [duration_range(arm.entry.step_time) for arm in arms]
    columns["bytes/\nparam"] = [_bytes(arm) for arm in arms]
    if _diverged(result):
        columns["diverged"] = [f"{arm.diverged_trials} + {arm.diverged_seeds}" for arm in arms]
    return columns


def _diverged(result: RaceResult) -> bool:
    return any(arm.diverged_trials or arm.diverged_seeds for arm in result.arms)


def _shown(result: RaceResult) -> int:
    """The last goal, of those that get harder and harder, that at least half of the arms reached; else the first."""
    arms = result.arms
    goals = zip(*(arm.reached for arm in arms), strict=True)
    there = [sum(one.steps is not None for one in goal) for goal in goals]
    return max((place for place, count in enumerate(there) if 2 * count >= len(arms)), default=0)


def _goal(result: RaceResult) -> float | None:
    goals = result.arms[0].reached
    return goals[_shown(result)].goal if goals else None


def scored(score: Estimate) -> str:
    """A score with its interval, if it has one.

    >>> scored(Estimate(0.5, 0.25, 0.75))
    '0.5000 (0.2500 to 0.7500)'
    """
    return f"{score.value:#.4g}" + (f" ({score.low:#.4g} to {score.high:#.4g})" if score.has_interval else "")


def _best(arm: ArmResult, name: str) -> str:
    if arm.entry.diverged or name not in arm.configuration:
        return ""
    return _value(arm.configuration[name])


def _settings(arm: ArmResult) -> str:
    """All that was searched and, where the batch was, the run's own learning rate."""
    if arm.entry.diverged:
        return ""
    return ", ".join(f"{name} {_value(value)}" for name, value in arm.settings.items())


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _bytes(arm: ArmResult) -> str:
    known = arm.entry.bytes_per_parameter
    return "" if known != known else f"{known:.0f}"


def as_html(result: RaceResult) -> str:
    """The leaderboard, the verdict and the warnings; every name is escaped."""
    columns = columns_of(result)
    head = _cells("th", columns)
    rows = "".join(f"<tr>{_cells('td', row)}</tr>" for row in zip(*columns.values(), strict=True))
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in result.verdict.warnings)
    return (
        f"<div><p>{escape(title_of(result))}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"<p><small>{escape(legend(result))}</small></p><p><strong>{escape(result.verdict.sentence)}</strong></p>"
        f"<ul>{warnings}</ul></div>"
    )


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)
