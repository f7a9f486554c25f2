"""A finished race to be read: decision, table and warnings as text, and as HTML for a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from rich.table import Table

from fallline._text import as_page, counted, duration_range, listed, table
from fallline.racing.arm_result import ArmResult
from fallline.racing.decision import Speed, Speeds
from fallline.racing.judging import Entry
from fallline.racing.result import RaceResult

#: Searched dimensions that are columns of the leaderboard, at most; more, or batch sizes, are told below it.
_MOST_COLUMNS = 2
#: Ends of a ratio that are this far apart tell nothing.
_FURTHEST = 1000.0
_SETTINGS = "best\nsettings"


def tables_of(result: RaceResult) -> list[Table]:
    """The arms, one a row, the one to take first, which with the default arms fits 80 columns.

    Then what was found for arms that search much.
    """
    columns = columns_of(result)
    wide = {} if _SETTINGS not in columns else {"arm": columns["arm"], "settings": columns.pop(_SETTINGS)}
    tables = [table(columns, title_of(result))]
    if wide:
        tables.append(table(wide, "Best settings", left=tuple(wide)))
    return tables


def _searched(result: RaceResult) -> list[str]:
    return sorted({name for arm in result.arms for name in arm.arm.space})


def legend(result: RaceResult) -> str:
    """What the table's columns do not say by themselves."""
    p = result.protocol
    best = "the best one" if p["finalists"] == 1 else f"the {p['finalists']} best"
    shown = f"mean on the test split is shown ({'higher' if p['higher_is_better'] else 'lower'} is better)."
    seeds = counted(p["seeds"], "fresh seed")
    sentences = [
        f"{counted(p['trials_per_arm'], 'trial')} an arm, {best} by validation run again on {seeds}; of these the arm "
        f"takes the best by mean validation, whose {shown}"
        if _searched(result)
        else f"{seeds}, of which the {shown}",
        *not_searched([arm.entry for arm in result.arms]),
    ]
    if any(ends is not None for ends in result.decision.distances.values()):
        side = "Below" if p["higher_is_better"] else "Above"
        sentences.append(f"{side} the best: between which two the arm is, for all arms together with 95 % confidence.")
    if "batch" in _searched(result):
        sentences.append("lr: at the problem's own batch size; run_lr: the run's own, scaled with its batch.")
    if (speeds := _speeds(result)) is not None:
        sentences.append(
            f"Steps: to a validation loss of {speeds.level:.3g}, over those of {result.best.name}, likewise."
        )
    elif (goal := _goal(result)) is not None:
        sentences.append(_goal_legend(result, goal))
    sentences.append(time_legend([arm.entry for arm in result.arms]))
    if _diverged(result):
        sentences.append(diverged_legend())
    return " ".join(sentences)


def _goal_legend(result: RaceResult, goal: float) -> str:
    metric, shown = result.protocol["metric"], _shown(result)
    times = "once" if shown == 0 else f"{shown + 1} times"
    there = 2 * sum(arm.reached[shown].steps is not None for arm in result.arms) >= len(result.arms)
    which = (
        "the lowest of six such goals that at least half of the arms reached"
        if there
        else "the first of six such goals, which less than half of the arms reached"
    )
    what = (
        f"the target, a validation {metric} of {goal:.3g}"
        if result.protocol["target"] is not None
        else f"a validation loss of {goal:.3g}, the untrained model's halved {times}, {which}"
    )
    return f"Steps: to {what}, at the median seed; missed: by half the seeds or more."


def _speeds(result: RaceResult) -> Speeds | None:
    """How fast the arms are, where no target says to what level."""
    return None if result.protocol["target"] is not None else result.decision.speeds


def not_searched(entries: Sequence[Entry]) -> tuple[str, ...]:
    """A sentence on arms of which nothing was searched, if there are any."""
    names = [entry.name for entry in entries if not entry.searched]
    return (f"Nothing was searched of {listed(names)}: no trials, one setting on the fresh seeds.",) if names else ()


def time_legend(entries: Sequence[Entry]) -> str:
    """What the time of a step is."""
    rounds = len(entries[0].step_rounds)
    over = f", with its 95 % interval over {rounds} rounds of all arms" if entries[0].step_time.has_interval else ""
    return f"Time: a step of one run alone{over}."


def diverged_legend() -> str:
    """What is counted as diverged, and what becomes of it."""
    return (
        "Diverged: trials + runs of the configuration taken, which count in its score as the untrained model, or as "
        "the worst run where that is worse."
    )


def as_text(result: RaceResult) -> str:
    """The decision, tables, legend, warnings, and where the runs are kept."""
    page = as_page(tables_of(result), [legend(result)], result.warnings, before=result.decision.lines)
    kept = where_kept(result.occasion)
    return page if kept is None else f"{page}\n{kept}."


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
    arms = result.arms
    searched = _searched(result)
    if len(searched) > _MOST_COLUMNS or "batch" in searched:
        best = {_SETTINGS: [_settings(arm) for arm in arms]}
    else:
        best = {f"best\n{name}": [_best(arm, name) for arm in arms] for name in searched}
    columns = {
        "arm": [arm.name for arm in arms],
        f"test\n{result.protocol['metric']}": [_scored(result, arm) for arm in arms],
    }
    if any(ends is not None for ends in result.decision.distances.values()):
        side = "below" if result.protocol["higher_is_better"] else "above"
        columns[f"{side}\nthe best"] = [_span(result.decision.distances[arm.name]) for arm in arms]
    columns |= best
    if (speeds := _speeds(result)) is not None:
        columns["steps,\nratio"] = ["1" if arm is result.best else _ratio(speeds.of.get(arm.name)) for arm in arms]
    elif (goal := _goal(result)) is not None:
        steps = [arm.reached[_shown(result)].steps for arm in arms]
        columns[f"steps to\n{goal:.3g}"] = ["missed" if one is None else f"{one}" for one in steps]
    columns["time\na step"] = [duration_range(arm.entry.step_time) for arm in arms]
    if _diverged(result):
        columns["diverged"] = [f"{arm.diverged_trials} + {arm.diverged_seeds}" for arm in arms]
    return columns


def _scored(result: RaceResult, arm: ArmResult) -> str:
    score = result.decision.scores.get(arm.name)
    return "diverged" if score is None else f"{score:#.4g}"


def _span(ends: tuple[float, float] | None) -> str:
    """Between which two a distance is."""
    return "" if ends is None else f"{ends[0]:.2g} to {ends[1]:.2g}"


def _ratio(speed: Speed | None) -> str:
    if speed is None:
        return ""
    if math.isinf(speed.high):
        return f"over {speed.low:.2f}" if speed.low > 0 else "missed"
    if speed.high > _FURTHEST * speed.low:
        return "not told"
    return f"{speed.low:.2f} to {speed.high:.2f}"


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


def as_html(result: RaceResult) -> str:
    """The decision, the table and the warnings; every name is escaped."""
    columns = columns_of(result)
    head = _cells("th", columns)
    rows = "".join(f"<tr>{_cells('td', row)}</tr>" for row in zip(*columns.values(), strict=True))
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in result.warnings)
    first, *others = map(escape, result.decision.lines)
    return (
        f"<div><p><strong>{first}</strong><br>{'<br>'.join(others)}</p><p>{escape(title_of(result))}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"<p><small>{escape(legend(result))}</small></p>"
        f"<ul>{warnings}</ul></div>"
    )


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)
