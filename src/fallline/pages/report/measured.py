"""How a race was measured, as headings and texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from fallline.pages.charts.race_data import RaceData
from fallline.racing.audit import started_apart
from fallline.racing.wording import counted, duration, listed


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
    rounds = f" in {p['rounds']} rounds" if p.get("rounds", 1) > 1 else ""
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
    yield "Kept", f"race {kept['study']} in {kept['where']}" if kept else ""


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
    apart = started_apart(difference)
    return (
        apart[0]
        if apart
        else (
            "Audited: before the first step, runs of one seed had the same validation loss in every arm (largest "
            f"relative difference {difference:.1e})."
        )
    )
