"""The race report: one HTML page that holds everything and asks nothing of the network, from a race's plain data."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallline._text import counted, duration, listed
from fallline.pages import player
from fallline.pages.assets import COLOURS, asset, dash, policy, symbol, template
from fallline.pages.charts.diagnosis import read_diagnosis
from fallline.pages.charts.embedded import embedded, packed, plotly
from fallline.pages.charts.leaderboard import leaderboard
from fallline.pages.charts.picture import CHARTS, Picture
from fallline.pages.charts.race_data import RaceData, read_race
from fallline.pages.charts.slices import contradictions, missing, scenes, slices_of, slices_picture
from fallline.racing import started_apart
from fallline.racing.output import there_before

if TYPE_CHECKING:
    from jinja2 import Template


def write_report(data: Mapping[str, Any], path: str | Path) -> None:
    """Write a race's report, one HTML page that needs no network, from what `RaceResult.to_json` gives.

    Raises ValueError, in a sentence, for data that are no race's, and OSError where nothing can be written.
    """
    Path(path).write_text(report_page(data), encoding="utf-8")


def report_page(data: Mapping[str, Any]) -> str:
    """The page as text; see `write_report`."""
    race = read_race(data)
    script, found = asset("report.js"), slices_of(data, race)
    lines, planes = ([one for one in found if len(one.offsets) == count] for count in (1, 2))
    planes = [plane for plane in planes if not contradictions(plane)]
    maps = [(plane.description, [player.player(scene) for scene in scenes(plane)]) for plane in planes]
    scripts = [script, *([player.script()] if maps else [])]
    plotly_script, packed_plotly = plotly()
    headline, reason, told, limits = said(race)
    why = read_diagnosis(data["diagnosis"]) if data.get("diagnosis") else None
    few = min(len(race.arms), FEW)
    return _template().render(
        race=race,
        few=few,
        headline=headline,
        reason=reason,
        told=told,
        limits=limits,
        taken=next((arm for arm in race.arms if arm.name == race.taken and arm.best is not None), None),
        board=leaderboard(race),
        sections=_sections(race, few),
        measured=measured(race),
        not_tuned=not_tuned(race),
        data=packed(json.dumps(data, separators=(",", ":"), allow_nan=False)),
        runs=packed(runs_csv(data)),
        policy=policy([*scripts, plotly_script]),
        lines=[embedded(slices_picture(one), few=few) for one in lines],
        maps=maps,
        missing=missing(found, race),
        why=why,
        why_charts=[] if why is None else [embedded(picture) for picture in why.pictures],
        scripts=scripts,
        style=asset("report.css") + (player.stylesheet() if maps else ""),
        plotly=packed_plotly,
        colours=COLOURS,
        dash=dash,
        symbol=symbol,
    )


#: As many arms, those that come first, are on the charts to begin with; more lines than that hide each other.
FEW = 5


def _sections(race: RaceData, few: int) -> list[dict[str, Any]]:
    """The charts by the sections that they stand in, the table first."""
    found: dict[str, dict[str, Any]] = {}
    for kind in sorted(CHARTS.values(), key=lambda kind: kind.section != "leaderboard"):
        nothing = {"name": kind.section, "headings": [], "charts": [], "before": [], "lacking": []}
        section, pictures = found.setdefault(kind.section, nothing), kind.pictures(race)
        alike = _alike(pictures) if kind.section == kind.kind else []
        section["charts"] += [embedded(picture, alike, few=few) for picture in pictures]
        if pictures or kind.section == kind.kind:
            section["headings"].append(kind.heading)
        section["before"] += filter(None, [kind.before, *alike])
        section["lacking"] += filter(None, [kind.lacking if kind.section == kind.kind else ""])
    return list(found.values())


def _alike(pictures: Sequence[Picture]) -> list[str]:
    """The notes that all of several pictures have, which are said once."""
    if len(pictures) < 2:
        return []
    return [note for note in pictures[0].notes if all(note in one.notes for one in pictures)]


def said(race: RaceData) -> tuple[str, str, list[tuple[str, str]], str]:
    """What the decision says: headline, reason, each further line with the command that it ends in, and the limits.

    The reason is the last part of the first line, where something but the distance decided; the limits are the last
    line, where there is more than one.
    """
    first, *others = race.lines
    decided_by = (race.decision["take"] or {}).get("decided_by", "alone")
    headline, reason = first.removesuffix("."), ""
    if decided_by not in ("distance", "alone") and ", " in headline:
        headline, _, reason = headline.rpartition(", ")
    following = (race.decision.get("next") or {}).get("command", "")
    found = [
        (line.removesuffix(following), following) if following and line.endswith(following) else (line, "")
        for line in others
    ]
    limits = found.pop()[0] if found else ""
    return headline, reason, found, limits


@cache
def _template() -> Template:
    return template("report.html")


def measured(race: RaceData) -> tuple[tuple[str, str], ...]:
    """What was held alike for all arms, where and with what; what the data does not say is left out."""
    return tuple((heading, text) for heading, text in _facts(race) if text)


def not_tuned(race: RaceData) -> tuple[tuple[str, str], ...]:
    """For each arm what stood at the method's own defaults, or as it was fixed."""
    return tuple(
        (arm.name, ", ".join(f"{name} = {value}" for name, value in arm.best["fixed"].items()) or "nothing")
        for arm in race.arms
        if arm.best is not None
    )


def _facts(race: RaceData) -> Iterator[tuple[str, str]]:
    p, occasion = race.protocol, race.occasion
    sizes = [counted(size, f"{name} example") for name, size in p.get("splits", {}).items()]
    yield "Problem", f"{p['problem']}{': ' if sizes else ''}{listed(sizes) if sizes else ''}"
    yield "Model", counted(p["parameters"], "parameter") if "parameters" in p else ""
    target = "" if p.get("target") is None else f", target {p['target']:.4g}"
    yield "Metric", f"{p['metric']}, {'higher' if p['higher_is_better'] else 'lower'} is better{target}"
    yield "Each run", f"{counted(p['steps'], 'step')} of batch {p['batch']}, {counted(p['epochs'], 'epoch')}"
    yield "Budget of every arm", _budget(p.get("budget", {}))
    halving = f", halved by {p['halving']}" if p.get("halving", 1) > 1 else ""
    rounds = f" in {p['rounds']} rounds" if (p.get("rounds") or 1) > 1 else ""
    yield "Tuning", f"{counted(p['trials_per_arm'], 'trial')} an arm{rounds}{halving}; {p.get('points', '')}"
    best = "the best one" if p["finalists"] == 1 else f"the {p['finalists']} best"
    yield "Finals", f"{best} by validation, each on {counted(p['seeds'], 'seed')}, the same ones for every arm"
    yield "Seeds", _seeds(p)
    yield "Start of the runs", _audit(p.get("step_zero_largest_relative_difference"))
    score = "not defined" if math.isnan(race.untrained) else f"{race.untrained:.4g}"
    yield "Before training", f"validation loss {race.untrained_loss:.4g}, test {race.metric} {score}"
    obstacle = f" ({p['one_at_a_time']})" if p.get("one_at_a_time") else ""
    yield "Trained", f"{p.get('training', '')}{obstacle}"
    yield "Versions", ", ".join(f"{name} {version}" for name, version in p.get("versions", {}).items())
    yield "Machine", str(occasion.get("machine", ""))
    yield "Time", f"{duration(occasion['seconds'])} in all" if "seconds" in occasion else ""
    kept = occasion.get("storage")
    before = there_before(occasion)
    yield "Kept", f"race {kept['race']} in {kept['where']}{before and f'; {before}'}" if kept else ""


def _budget(budgets: Mapping[str, Mapping[str, int]]) -> str:
    """One text where all arms were granted the same, else one for each."""
    texts = {
        name: ", ".join(counted(one[what], what.removesuffix("s")) for what in ("runs", "steps", "samples"))
        for name, one in budgets.items()
    }
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _seeds(p: Mapping[str, Any]) -> str:
    if "final_seeds" not in p:
        return ""
    return f"race {p['seed']}, tuning {p['tuning_seed']}, finals {', '.join(map(str, p['final_seeds']))}"


def _audit(difference: float | None) -> str:
    if difference is None:
        return ""
    if apart := started_apart(difference):
        return apart[0]
    return (
        "Audited: before the first step, runs of one seed had the same validation loss in every arm (largest "
        f"relative difference {difference:.1e})."
    )


_CURVES = ("train_loss", "valid_loss", "valid_metric")


def runs_csv(data: Mapping[str, Any]) -> str:
    """Every run as a row: arm, stage, trial, seed, how it ended, and what was searched."""
    rows = [row for arm in data["arms"] for row in _rows(arm, data["protocol"])]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table: list[list[Any]] = [names, *([row.get(name) for name in names] for row in rows)]
    file = io.StringIO()
    csv.writer(file).writerows([_harmless(cell) for cell in row] for row in table)
    return file.getvalue()


def _harmless(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula, behind an apostrophe; anything else as it is."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def _rows(arm: Mapping[str, Any], protocol: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for number, trial in enumerate(arm["trials"] if arm["space"] else ()):
        begin = {"arm": arm["name"], "stage": "trial", "trial": number, "seed": protocol.get("tuning_seed")}
        yield {**begin, **_end(trial["curves"], trial["diverged"]), "test_score": None, **trial["configuration"]}
    for final in arm["finals"]:
        seeds = protocol.get("final_seeds") or [None] * len(final["scores"])
        runs = zip(seeds, final["curves"], final["diverged"], final["scores"], strict=True)
        for seed, points, diverged, score in runs:
            begin = {"arm": arm["name"], "stage": "final", "trial": final["trial"], "seed": seed}
            yield {**begin, **_end(points, diverged), "test_score": score, **final["configuration"]}


def _end(curves: Mapping[str, Any], diverged: bool) -> dict[str, Any]:
    last = {name: curves[name][-1] for name in ("steps", "samples", *_CURVES)}
    return {"diverged": diverged, **last}
