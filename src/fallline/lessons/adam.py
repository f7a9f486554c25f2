"""Adam and two of its variants: untuned, without a warm-up, and on weights whose scale has no effect."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fallline import problems
from fallline._text import listed
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import intervals, lines
from fallline.lessons.populations import by_setting, lane, shares_behind, trained
from fallline.racing.decision import OverProblems, ProblemRuns, decide_over, fixed
from fallline.schedules import cosine, warmup
from fallline.training import Lanes, Problem
from fallline.training.updates import LaneRule

Array = NDArray[np.float64]

_NAMES = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam")
#: What libraries preset, where it is not what the rules here have, which is what torch presets.
_PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "torch": {},
    "Keras": {
        "sgd": {"lr": 0.01}, "momentum": {"lr": 0.01}, "nesterov": {"lr": 0.01}, "adagrad": {"lr": 0.001},
        "adadelta": {"lr": 0.001, "rho": 0.95}, "rmsprop": {"lr": 0.001, "alpha": 0.9},
    },
}  # fmt: skip


def safe_default(
    *, seeds: int = 5, names: Sequence[str] = problems.REAL, libraries: Sequence[str] = tuple(_PRESETS),
    candidate: str = "adam", stretch: int = 1,
) -> Evidence:  # fmt: skip
    """Train every bundled problem with seven methods as libraries preset them.

    Args:
        seeds: How many runs each mean is over.
        names: The problems.
        libraries: Whose presets are taken.
        candidate: The method that is said to be the safe default.
        stretch: How many times as long as usual a run is.

    Raises:
        ValueError: There are no presets of a library, or the candidate is none of the methods.
    """
    for what, named, known in (*(("libraries", one, _PRESETS) for one in libraries), ("candidate", candidate, _NAMES)):
        if named not in known:
            raise ValueError(f"{what} must be of {listed([*known])}; got {named!r}.")
    settings = {
        (library, name): lane(name, **_PRESETS[library].get(name, {})) for library in libraries for name in _NAMES
    }
    races: dict[str, list[ProblemRuns]] = {library: [] for library in libraries}
    behind: dict[str, list[dict[str, Array]]] = {library: [] for library in libraries}
    for problem in (problems.find(name).make() for name in names):
        curves = trained(
            problem, {", ".join(key): one for key, one in settings.items()}, seeds, steps=stretch * problem.steps
        )
        untrained = float(next(iter(curves.values())).valid_metric[:, 0].mean())
        for library in libraries:
            ends = {name: curves[f"{library}, {name}"].valid_metric[:, -1] for name in _NAMES}
            entrants = [fixed(name, end, end) for name, end in ends.items()]
            higher = problem.metric.higher_is_better
            races[library].append(ProblemRuns(problem.name, entrants, higher, untrained))
            behind[library].append(shares_behind(ends, untrained, higher_is_better=higher))
    means = {
        library: {name: np.mean([one[name] for one in found], axis=0) for name in _NAMES}
        for library, found in behind.items()
    }
    rivals = [name for name in _NAMES if name != candidate]
    checks = [
        measured(
            f"how far {rival} ends behind {candidate}, share of the gain",
            means[library][rival] - means[library][candidate],
            above=0.0, condition=f"presets of {library}", of=len(rivals) * len(libraries),
        )
        for library in libraries
        for rival in rivals
    ]  # fmt: skip
    length = "as long as usual" if stretch == 1 else f"{stretch} times as long as usual"
    return Evidence(
        f"{listed(_NAMES)} as {listed(libraries)} preset them, untuned, on the bundled problems {listed(names)}, each "
        f"{length}, {seeds} seeds. Scores of the validation split count as shares of the gain, of the problem's best "
        "method over the untrained model, and the problems alike.",
        tuple(checks),
        intervals(
            "Untuned: behind the problem's best method, on average",
            "share of the gain",
            means,
            upright=(0.0, "the best"),
        ),
        " ".join(
            _told(library, candidate, decide_over(races[library]), [one[candidate] for one in found], names)
            for library, found in behind.items()
        ),
    )


def _told(library: str, candidate: str, decided: OverProblems, behind: Sequence[Array], names: Sequence[str]) -> str:
    """What the decision over all problems says of the candidate, and where it is furthest `behind` [seeds]."""
    ends = decided.distances.get(candidate)
    worst = int(np.argmax([one.mean() for one in behind]))
    return (
        f"With the presets of {library} the decision over all problems is to take {decided.take}"
        + ("" if ends is None else f", and {candidate} is {ends[0]:.3f} to {ends[1]:.3f} of the gain behind the best")
        + f"; it is furthest behind on {names[worst]}, by {measured('', behind[worst]).found}."
    )


def rectifier(
    *, seeds: int = 8, rates: Sequence[float] = (0.001, 0.01, 0.1), beta2: float = 0.999, rule: str = "radam",
    names: Sequence[str] = ("digits", "digits-conv", "photograph"), epochs: int = 20, ramp: float = 0.1,
) -> Evidence:  # fmt: skip
    """Train networks by Adam, by Adam with a warm-up and by RAdam, all at rates that come down by half a cosine.

    At a rate that stays high, the noise at the end would hide what became of the beginning.

    Args:
        seeds: How many runs each mean is over.
        rates: The highest learning rates.
        beta2: The decay factor of the second moment.
        rule: What is to make a warm-up needless.
        names: The problems.
        epochs: How long a run is.
        ramp: The share of the steps in which the rate first rises by a straight line, with warm-up.
    """
    checks: list[Check] = []
    ends: dict[str, dict[str, Array]] = {"Adam": {}, "Adam with warm-up": {}, rule: {}}
    apart: list[str] = []
    of = 2 * len(names) * len(rates)
    for problem in (problems.find(name).make(epochs=epochs) for name in names):
        down, up = cosine(problem.steps), max(1, round(ramp * problem.steps))
        warmed_up = warmup(up, start=1 / up).then(cosine(problem.steps - up))
        settings: dict[str, LaneRule] = {}
        for rate in rates:
            told: dict[str, Any] = {"lr": rate, "beta2": beta2}
            settings[f"Adam, {rate}"] = lane("adam", down, **told)
            settings[f"Adam with warm-up, {rate}"] = lane("adam", warmed_up, **told)
            settings[f"{rule}, {rate}"] = lane(rule, down, **told)
        curves = trained(problem, settings, seeds)
        for rate in rates:
            condition = f"{problem.name}, rate {rate:g}"
            for name, found in ends.items():
                found[condition] = curves[f"{name}, {rate}"].valid_loss[:, -1]
            alone, warm, rectified = (found[condition] for found in ends.values())
            checks += [
                measured(
                    "the loss of Adam over that of Adam with warm-up",
                    alone / warm, above=1.0, condition=condition, of=of, ratio=True,
                ),
                measured(
                    f"the loss of {rule} over that of Adam",
                    rectified / alone, below=1.0, condition=condition, of=of, ratio=True,
                ),
            ]  # fmt: skip
            if checks[-2].holds:
                apart.append(f"{measured('', rectified / warm, ratio=True).found} on {condition}")
    return Evidence(
        f"{listed(names)}, {epochs} epochs at rates that come down by half a cosine, β₂ = {beta2:g}, {seeds} seeds; "
        f"the warm-up takes {ramp:.0%} of the steps. Losses are those of the validation split at the end. The claim "
        f"asks that a warm-up lowers Adam's loss, and that {rule} does so without one.",
        tuple(checks),
        intervals("Where the runs end", "validation loss", ends, log=True),
        f"The loss of {rule} over that of Adam with warm-up, where that helps: {listed(apart)}." if apart else "",
    )


def scale_invariant(
    *, seeds: int = 10, rates: Sequence[float] = (0.001, 0.01, 0.1), normalised: bool = True, rule: str = "adamp",
    epochs: int = 20,
) -> Evidence:  # fmt: skip
    """Train a network with batch normalisation by Adam and by AdamP, and watch the first layer's norm.

    Args:
        seeds: How many runs each mean is over.
        rates: The learning rates.
        normalised: Whether the layer stands before a batch normalisation, so that its scale has no effect.
        rule: What is to keep the norm.
        epochs: How long a run is.
    """
    settings = {
        f"{name}, {rate}": lane(method, lr=rate) for rate in rates for name, method in (("Adam", "adam"), (rule, rule))
    }
    norms: list[Array] = []

    def note(step: int, lanes: Lanes) -> None:
        layer = lanes.parameters[0].flatten(1)
        norms.append(by_setting(lanes, torch.linalg.vector_norm(layer, dim=1), len(settings)))

    problem = _with_model(problems.digits(epochs=epochs), _normalised if normalised else _plain)
    curves = trained(problem, settings, seeds, watch=note)
    growth = np.array(norms).transpose(1, 2, 0) / norms[0][..., None]  # [settings, seeds, steps]
    checks: list[Check] = []
    told = []
    of = 2 * len(rates)
    for place, rate in enumerate(rates):
        condition = f"rate {rate:g}"
        adam, other = growth[2 * place : 2 * place + 2]
        checks += [
            measured(
                "the norm at the end over that at the start, by Adam",
                adam[:, -1], above=1.0, condition=condition, of=of, ratio=True,
            ),
            measured(
                f"its growth by {rule}, in logarithms, over that by Adam",
                np.log(other[:, -1]) / np.log(adam[:, -1]), below=0.1, condition=condition, of=of,
            ),
        ]  # fmt: skip
        ends = [curves[f"{name}, {rate}"].valid_metric[:, -1] for name in (rule, "Adam")]
        times = measured("", other[:, -1], ratio=True)
        told.append(f"{times.found} times as long at {rate:g}, accuracy {measured('', ends[0] - ends[1]).found}")
    steps = np.arange(len(norms))
    return Evidence(
        f"A network on digits, 64-32-10 with ReLU{' and a batch normalisation before it' if normalised else ''}, "
        f"{epochs} epochs at a constant rate, {seeds} seeds; the norm is the first layer's. The claim asks that it "
        f"grows by Adam, and by {rule} less than a tenth as much.",
        tuple(checks),
        lines(
            "The norm of the first layer's weights, over that at the start",
            "step",
            "norm",
            {name: (steps, found) for name, found in zip(settings, growth, strict=True)},
            log_y=True,
        ),
        f"What {rule} makes of the norm, and of the validation accuracy against Adam's: {'; '.join(told)}.",
    )


def _with_model(problem: Problem, model: Any) -> Problem:
    changed = copy.copy(problem)
    changed.model = model
    return changed


def _normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))


def _plain() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32, bias=False), nn.ReLU(), nn.Linear(32, 10))


LESSONS = [
    Lesson(
        12,
        "Adam, untuned",
        "Left as libraries preset it, Adam ends nearer the best, on average over many problems, than any other method "
        "left so.",
        "Ruder, An overview of gradient descent optimization algorithms, 2016, section 4.10",
        safe_default,
        "stretch=5 trains five times as long, so that small preset rates have the time that they need; "
        "names=['digits'] asks one problem alone.",
    ),
    Lesson(
        15,
        "RAdam and warm-up",
        "Where Adam needs a warm-up, RAdam's rectifier does what the warm-up does.",
        "Liu et al., On the variance of the adaptive learning rate and beyond, 2020",
        rectifier,
        "beta2=0.99 shortens what the rectifier takes from about 2000 steps to 200; rule='adamw' has none.",
    ),
    Lesson(
        16,
        "AdamP and scale-invariant weights",
        "AdamP keeps the norm of weights whose scale has no effect from growing, as it does under Adam.",
        "Heo et al., AdamP: slowing down the slowdown for momentum optimizers, 2021",
        scale_invariant,
        "normalised=False takes the batch normalisation away: scale then has an effect, and AdamP leaves its growth to "
        "Adam.",
    ),
]
