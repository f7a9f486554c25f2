"""Exponential moving averages: how they begin, and what a longer window costs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fallline import _asked, rules
from fallline.averaging import ema
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import lines
from fallline.lessons.populations import by_setting, lane, trained
from fallline.problems import digits
from fallline.training import Lanes
from fallline.training.updates import LaneRule

Array = NDArray[np.float64]


def bias_correction(
    *,
    seeds: int = 10,
    betas: Sequence[tuple[float, float]] = ((0.9, 0.999), (0.9, 0.99), (0.99, 0.9)),
    first: int = 10,
    correction: bool = False,
) -> Evidence:
    """Take the first steps of Adam with bias correction and without, and average the losses on the way.

    Args:
        seeds: How many runs each mean is over.
        betas: The pairs (β₁, β₂) that are tried.
        first: How many steps count as the first.
        correction: Whether what is put to the test is corrected as well.
    """
    rule = "adam" if correction else "adam_uncorrected"
    settings: dict[str, LaneRule] = {}
    for beta1, beta2 in betas:
        settings[f"corrected, {beta1}, {beta2}"] = lane("adam", beta1=beta1, beta2=beta2)
        settings[f"uncorrected, {beta1}, {beta2}"] = lane(rule, beta1=beta1, beta2=beta2)
    places: list[Array] = []

    def note(step: int, lanes: Lanes) -> None:
        every = torch.cat([parameter.flatten(1) for parameter in lanes.parameters], 1)
        places.append(by_setting(lanes, every, len(settings)))

    problem = digits()
    curves = trained(problem, settings, seeds, steps=first, evaluate_every=1, watch=note)
    rate = rules.adam.defaults["lr"]
    lengths = np.sqrt((np.diff(places, axis=0) ** 2).mean(-1)).transpose(1, 2, 0) / rate  # [settings, seeds, steps]
    losses = next(iter(curves.values())).train_loss[:, 1:]  # one a step
    so_far = losses.cumsum(1) / np.arange(1, first + 1)
    of = 2 + len(betas)
    averages = {
        corrected: (np.array([ema(row, 0.9, bias_correction=corrected) for row in losses]) / so_far).mean(1)
        for corrected in (True, correction)
    }
    checks = [
        measured(
            f"an average of the first {first} losses (β = 0.9) without correction, over their mean so far",
            averages[correction], below=0.9, condition="an average", of=of, ratio=True,
        ),
        measured(
            "the same with correction", averages[True], above=0.9, below=1.1, condition="an average", of=of, ratio=True
        ),
    ]  # fmt: skip
    told = []
    for place, (beta1, beta2) in enumerate(betas):
        right, wrong = lengths[2 * place], lengths[2 * place + 1]
        times = wrong.sum(1) / right.sum(1)
        checks.append(
            measured(
                f"factor by which Adam's first {first} steps miss their right length without correction",
                np.maximum(times, 1 / times), above=1.1, condition=f"β₁ = {beta1}, β₂ = {beta2}", of=of, ratio=True,
            )
        )  # fmt: skip
        start = float((wrong[:, 0] / right[:, 0]).mean())
        told.append(f"{start:.2f} at β₁ = {beta1} and β₂ = {beta2}")
    return Evidence(
        f"A network on digits (64-32-10, ReLU) takes {first} steps of Adam at its default rate on batches of "
        f"{problem.batch}, with bias correction and without, from the same weights; {seeds} seeds.",
        tuple(checks),
        lines(
            f"Adam's first steps (root mean square), β₁ = {betas[0][0]}, β₂ = {betas[0][1]}",
            "step",
            "step of a weight, in learning rates",
            {
                "without correction": (np.arange(1, first + 1), lengths[1]),
                "with correction": (np.arange(1, first + 1), lengths[0]),
            },
        ),
        "The very first step is (1-β₁)/√(1-β₂) times as long without correction as with it; measured: "
        f"{'; '.join(told)}.",
    )


def windows(*, spans: Sequence[float] = (2, 10, 50), ahead: bool = False) -> Evidence:
    """Average daily temperatures over several windows.

    A year is gone through twice, and the second time counts, so that no average has to begin. An average is as many
    days late as the temperatures have to be shifted to go with it best.

    Args:
        spans: The windows in days, 1/(1-β), from the shortest to the longest.
        ahead: Whether an average looks ahead as far as back: the mean of one forwards and one backwards.

    Raises:
        ImportError: The package with the temperatures is not installed.
        ValueError: A window is shorter than a day, or there are not two.
    """
    for span in spans:
        _asked.number("spans", span, least=1, error=ValueError)
    if len(spans) < 2:
        raise ValueError(f"spans must be two windows or more, to compare; got {spans!r}.")
    years = _temperatures()
    averages = {span: {year: _average(days, span, ahead) for year, days in years.items()} for span in spans}
    rough = {
        span: np.array([np.sqrt((np.diff(one) ** 2).mean()) for one in found.values()])
        for span, found in averages.items()
    }
    late = {
        span: np.array([_days_late(one, years[year]) for year, one in found.items()])
        for span, found in averages.items()
    }
    of = 2 * (len(spans) - 1)
    checks: list[Check] = []
    for short, long in pairwise(spans):
        checks += [
            measured(
                f"change from day to day of a window of {long:g} days over that of {short:g}",
                rough[long] / rough[short], below=1.0, of=of, ratio=True,
            ),
            measured(
                f"days by which a window of {long:g} days is later than one of {short:g}",
                late[long] - late[short], above=0.0, of=of,
            ),
        ]  # fmt: skip
    year, daily = next(iter(years.items()))
    x = np.arange(1, len(daily) + 1)
    series = {"each day": (x, daily), **{f"{span:g} days": (x, averages[span][year]) for span in spans}}
    told = [f"{days.mean():.3g} with {span:g} days" for span, days in late.items()]
    return Evidence(
        f"Daily temperatures of Seattle, the mean of the day's highest and lowest, in {len(years)} years "
        f"({min(years)} to {max(years)}; NOAA, by vega_datasets). An average is as late as the days have to be shifted "
        "to correlate with it best; intervals are over the years.",
        tuple(checks),
        lines(f"Seattle in {year}, and its moving averages", "day of the year", "°C", series),
        f"In days, an average is late by a mean of {', '.join(told)}; on a straight line it would be by the window "
        "less a day.",
    )


def _temperatures() -> dict[int, Array]:
    """The daily temperatures of each year, in °C."""
    try:  # without importing it, for it would import pandas
        packaged = distribution("vega_datasets").locate_file("vega_datasets/_data/seattle-weather.csv")
    except PackageNotFoundError as error:
        raise ImportError(
            "the daily temperatures come with the package vega_datasets: pip install 'fallline[lessons]'"
        ) from error
    years: dict[int, list[float]] = {}
    with Path(str(packaged)).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            mean = (float(row["temp_max"]) + float(row["temp_min"])) / 2
            years.setdefault(int(row["date"][:4]), []).append(mean)
    return {year: np.array(days) for year, days in years.items()}


def _average(days: Array, span: float, ahead: bool) -> Array:
    twice = np.tile(days, 2)
    forwards: Array = ema(twice, 1 - 1 / span)[len(days) :]
    if not ahead:
        return forwards
    backwards: Array = ema(twice[::-1], 1 - 1 / span)[len(days) :][::-1]
    return (forwards + backwards) / 2


def _days_late(average: Array, days: Array) -> float:
    shifts = [np.corrcoef(average, np.roll(days, shift))[0, 1] for shift in range(len(days) // 2)]
    return float(np.argmax(shifts))


LESSONS = [
    Lesson(
        13,
        "Bias correction",
        "Without bias correction the first values of an average that starts at 0 are too small, and the first steps of "
        "Adam have the wrong length.",
        "Kingma and Ba, Adam, 2015, section 3",
        bias_correction,
        "betas=[(0.9, 0.99)] begins with a first step of the right length, as 1-β₁ = √(1-β₂), and goes wrong from the "
        "second on; first=1 shows that one alone.",
    ),
    Lesson(
        14,
        "The window of an average",
        "The longer the window of an exponential moving average, the smoother it is, and the later.",
        "Roberts, Control chart tests based on geometric moving averages, 1959",
        windows,
        "ahead=True lets an average look ahead as far as back: it is as smooth, and no longer late; but it has to wait "
        "for days that have not been.",
    ),
]
