"""Races as plain data, made by hand, so that every number of a chart or a page is known."""

from __future__ import annotations

from typing import Any

STEPS = [0, 10, 20, 30]
UNTRAINED = 2.0

COMMAND = "fallline race hills --seeds 40"
HOSTILE = "</script><img src=x onerror=\"document.title='broken'\"><b>%{x} $\\frac{"


def race_data(names: tuple[str, ...] = ("sgd", "adam"), *, seeds: int = 10, **changes: Any) -> dict[str, Any]:
    """A race by loss whose arms are not told apart; the first is to be taken; `changes` go into the protocol."""
    arms = [arm(name, seeds=seeds, offset=place) for place, name in enumerate(names)]
    protocol = {
        "problem": "hills", "parameters": 21, "splits": {"train": 80, "valid": 20, "test": 20}, "metric": "loss",
        "higher_is_better": False, "bounds": [0.0, None], "target": None, "batch": 8, "epochs": 3, "steps": 30,
        "samples": 240, "trials_per_arm": 4, "rounds": 1, "halving": 1, "finalists": 1, "seeds": seeds,
        "names_winner": True, "points": "Sobol", "seed": 0, "training": "batched", "one_at_a_time": None,
        "versions": {"torch": "2"}, "tuning_seed": 7, "final_seeds": list(range(seeds)), "untrained_loss": UNTRAINED,
        "untrained_score": UNTRAINED, "step_zero_largest_relative_difference": 0.0,
        "budget": {name: {"runs": 14, "steps": 420, "samples": 3360} for name in names}, **changes,
    }  # fmt: skip
    return {
        "protocol": protocol,
        "arms": arms,
        "decision": decision(names),
        "warnings": ["Take care."],
        "occasion": {
            "seconds": 1.5, "machine": "anything", "storage": None, "lines": [
                f"Take {names[0]} with lr = 0.1.",
                "With 95 % confidence it ends at most 0.1 above whichever arm is best.",
                f"To know more, 60 runs in 1 to 2 minutes: {COMMAND}",
                "This holds on this problem only.",
            ],
            "step_seconds": {name: 0.01 * (place + 1) for place, name in enumerate(names)},
        },
    }  # fmt: skip


def arm(name: str, *, seeds: int = 10, offset: float = 0) -> dict[str, Any]:
    """An arm whose seed s has validation loss 2 / (p + 1) + (s + offset) / 100 at point p."""
    rates = [0.001, 0.01, 0.1, 1.0]
    curves = [curves_of([2 / (p + 1) + (s + offset) / 100 for p in range(4)]) for s in range(seeds)]
    return {
        "name": name,
        "best": {"configuration": {"lr": 0.1}, "trial": 2, "fixed": {"momentum": 0.9}, "code": f"# {name}\nprint()\n"},
        "space": {"lr": {"low": 1e-4, "high": 10.0, "scale": "log"}},
        "trials": [
            {"configuration": {"lr": lr}, "score": 1 / (1 + 10 * lr), "diverged": False, "curves": curves_of([2, 1])}
            for lr in rates
        ],
        "finals": [
            {"trial": 2, "configuration": {"lr": 0.1}, "scores": [0.5 + (s + offset) / 100 for s in range(seeds)],
             "diverged": [False] * seeds, "curves": curves}
        ],
        "statistics": {
            "score": {"value": 0.545, "low": 0.52, "high": 0.57}, "seeds": seeds, "diverged_trials": 0,
            "diverged_finals": 0, "bytes_per_parameter": 20.0,
            "reached": [
                {"goal": 1.0, "reached": seeds, "runs": seeds, "steps": 20, "samples": 160},
                {"goal": 0.5, "reached": 0, "runs": seeds, "steps": None, "samples": None},
            ],
        },
    }  # fmt: skip


def curves_of(losses: list[float | None], diverged_at: int = -1) -> dict[str, Any]:
    """The curves of one run, to the last step; the training loss is twice the validation loss."""
    steps = STEPS[-len(losses) :]
    return {
        "steps": steps, "samples": [8 * step for step in steps], "valid_loss": losses, "valid_metric": losses,
        "train_loss": [None if loss is None else 2 * loss for loss in losses], "diverged_at": diverged_at,
    }  # fmt: skip


def decision(names: tuple[str, ...]) -> dict[str, Any]:
    """The arm at place p is p + 1 tenths from the best at most, and needs p + 1 times the steps of the first one."""
    ratios = {name: [place + 1.0, 1.0 if place == 0 else 0.5, place + 1.5 if place else 1.0]
              for place, name in enumerate(names)}  # fmt: skip
    return {
        "take": {"arm": names[0], "configuration": {"lr": 0.1}, "decided_by": "distance"},
        "at_most_below_best": 0.1, "split_alone": None, "winner": None,
        "distances": {name: [0.0, 0.1 * (place + 1)] for place, name in enumerate(names)},
        "behind": {}, "tied": list(names), "scores": dict.fromkeys(names, 0.5), "rates": None, "diverged": {},
        "apart": [], "settling": None, "level": 0.05, "margin": 0.0, "metric": "loss", "higher_is_better": False,
        "counts": {"seeds": 10, "examples": 20, "trials": 4}, "notes": [], "whole": True,
        "next": {"command": COMMAND, "runs": 60, "seconds": 40.0}, "speed": ratios, "speed_seconds": {},
        "speed_level": 1.0, "speed_missed": dict.fromkeys(names, 0), "ranking": list(names),
    }  # fmt: skip


def untold(data: dict[str, Any]) -> dict[str, Any]:
    """A race that tells no speeds, so that steps to its goals are shown instead."""
    data["decision"] |= {"speed": {}, "speed_level": None, "speed_missed": {}}
    return data


def unsearched(data: dict[str, Any], place: int) -> dict[str, Any]:
    """An arm, changed to one of which nothing was searched: its rate was fixed."""
    one = data["arms"][place]
    one |= {"space": {}, "trials": []}
    one["best"] |= {"configuration": {}, "trial": 0, "fixed": {"lr": 0.03}}
    one["finals"][0] |= {"trial": 0, "configuration": {}}
    return data


def diverge(data: dict[str, Any], place: int, seeds: int) -> dict[str, Any]:
    """The first `seeds` final runs of an arm, changed to have diverged after step 10."""
    final = data["arms"][place]["finals"][0]
    for seed in range(seeds):
        final["diverged"][seed], final["scores"][seed] = True, None
        final["curves"][seed] = curves_of([2.0, 1.5, None, None], diverged_at=15)
    return data


def diverged_trial(data: dict[str, Any], place: int, trial: int) -> dict[str, Any]:
    """A trial of an arm, changed to have diverged."""
    data["arms"][place]["trials"][trial] |= {"score": None, "diverged": True}
    return data


def also_searched(data: dict[str, Any], name: str, space: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    """Another dimension that every arm searched, with these values of its trials."""
    for one in data["arms"]:
        one["space"][name] = space
        for trial, value in zip(one["trials"], values, strict=True):
            trial["configuration"][name] = value
        one["best"]["configuration"] = one["finals"][0]["configuration"] = dict(one["trials"][2]["configuration"])
    return data


def slices(names: list[str], dimensions: int) -> dict[str, Any]:
    """A slice around a model for each name."""
    line = [-1.0, 0.0, 1.0]
    curve = [1.0, 0.2, None]
    return {
        "names": names, "problem": "hills", "axes": "random", "seed": 0, "split": "train", "examples": 80,
        "offsets": [line] * dimensions, "losses": [curve if dimensions == 1 else [curve, curve, curve]] * len(names),
        "coordinates": [[0.0] * dimensions] * len(names), "model_losses": [0.2] * len(names), "shares": None,
        "description": "A cut.",
    }  # fmt: skip
