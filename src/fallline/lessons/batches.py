"""The size of batches: what small ones are good for, and what large ones need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fallline._text import listed
from fallline.landscape import curvature
from fallline.lessons.followed import Array, Followed, followed
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import intervals, lines
from fallline.lessons.populations import lane, trained
from fallline.problems import digits
from fallline.schedules import linear_scaling, warmup
from fallline.training import Problem

_AS_GOOD = 1.05  # of a loss


def flatness(
    *, small: int = 16, large: int = 512, rates: Sequence[float] = (0.1, 0.5), epochs: int = 30, seeds: int = 10
) -> Evidence:
    """Train the digits' network by small batches and by large ones, and look at where each ends.

    Args:
        small: Examples of a small batch.
        large: Examples of a large one.
        rates: Learning rates of plain descent, each for both.
        epochs: Of the small batches.
        seeds: How many runs each mean is over.
    """
    problem = digits(epochs=epochs)
    by_few, by_many = problem.with_batch(small), problem.with_batch(large)
    settings = {f"η = {rate:g}": lane("sgd", lr=rate) for rate in rates}
    reference = _ends(problem, followed(by_few, settings, seeds))
    checks: list[Check] = []
    steepness: dict[str, dict[str, Array]] = {f"batches of {size}": {} for size in (small, large)}
    fitted = []
    for length, steps in (("as many epochs", by_many.steps), ("as many steps", by_few.steps)):
        ends = _ends(problem, followed(by_many, settings, seeds, steps=steps))
        for name in settings:
            condition = f"{name}, {length}"
            (steep, wrong, left), (steep_many, wrong_many, left_many) = reference[name], ends[name]
            for size, values in ((small, steep), (large, steep_many)):
                steepness[f"batches of {size}"][condition] = values
            fitted.append(f"{left.mean():.3f} and {left_many.mean():.3f} ({condition})")
            of = 4 * len(settings)
            what = "the top curvature in the end, of large batches over small"
            checks.append(measured(what, steep_many / steep, above=1.0, condition=condition, of=of, ratio=True))
            what = "the share of test digits got wrong, of large batches less small"
            checks.append(measured(what, wrong_many - wrong, above=0.0, condition=condition, of=of))
    return Evidence(
        f"The digits' network by plain descent, batches of {small} for {epochs} epochs against batches of {large} for "
        f"as many epochs and for as many steps, at the same rate, {seeds} seeds; curvature of the loss of all training "
        "examples.",
        tuple(checks),
        intervals("How steep it is where a run ends", "top curvature", steepness, log=True),
        f"Training losses in the end, of small and of large batches: {listed(fitted)}.",
    )


def _ends(problem: Problem, found: Followed) -> dict[str, tuple[Array, Array, Array]]:
    """Top curvatures, shares of test digits got wrong and training losses, each [seeds], by setting."""
    steep = np.full(found.lanes.count, np.nan)
    for number, module in found.modules():
        steep[number] = curvature(problem, module, ends="top").top[0]
    _, right = found.quality(problem.splits()["test"])
    left, _ = found.quality(problem.train)
    return {name: (found.of(name, steep), 1 - found.of(name, right), found.of(name, left)) for name in found.settings}


def scaling(
    *,
    small: int = 16,
    batches: Sequence[int] = (64, 256, 1024),
    power: float = 1.0,
    warm_up: int = 5,
    rate: float = 0.1,
    epochs: int = 30,
    seeds: int = 10,
) -> Evidence:
    """Train the digits' network by large batches, at the rate of small ones and at one scaled with the batch.

    Args:
        small: Examples of a small batch.
        batches: Examples of the large ones.
        power: The scaled rate is this power of the batch size; 1 is linear scaling.
        warm_up: Epochs over which the rate climbs from that of small batches.
        rate: The learning rate of a batch of 256, as the paper has it.
        epochs: Of each run.
        seeds: How many runs each mean is over.
    """
    problem = digits(epochs=epochs)
    base = rate * linear_scaling(small)
    reference = trained(problem.with_batch(small), {"": lane("momentum", lr=base)}, seeds)[""]
    shown = {f"batches of {small}": (np.arange(epochs + 1), reference.valid_loss)}
    checks: list[Check] = []
    sudden = []
    for batch in batches:
        larger = problem.with_batch(batch)
        k = linear_scaling(batch, small) ** power
        settings = {
            "the same rate": lane("momentum", lr=base),
            "scaled rate": lane("momentum", lr=k * base),
            "scaled rate, warm-up": lane(
                "momentum", warmup(warm_up * larger.steps_per_epoch, start=min(1.0, 1 / k)), lr=k * base
            ),
        }
        losses = {name: one.valid_loss for name, one in trained(larger, settings, seeds).items()}
        if batch == batches[len(batches) // 2]:
            shown |= {f"of {batch}, {name}": (np.arange(epochs + 1), loss) for name, loss in losses.items()}
        lost = {name: loss[:, -1] / reference.valid_loss[:, -1] for name, loss in losses.items()}
        sudden.append(f"{np.exp(np.log(lost['scaled rate']).mean()):.2f} (batches of {batch})")
        of = 2 * len(batches)
        condition = f"batches of {batch}"
        repaired, same = lost["scaled rate, warm-up"], lost["the same rate"]
        what = f"the validation loss in the end, with scaled rate and warm-up, over that of batches of {small}"
        checks.append(measured(what, repaired, below=_AS_GOOD, condition=condition, of=of, ratio=True))
        what = "the validation loss in the end, with scaled rate and warm-up, over that at the same rate"
        checks.append(measured(what, repaired / same, below=1.0, condition=condition, of=of, ratio=True))
    return Evidence(
        f"The digits' network, momentum 0.9, η = {rate:g} · B/256 for a batch of B, reached over {warm_up} epochs from "
        f"that of {small}, against batches of {small} at {base:g}; {epochs} epochs each, {seeds} seeds. Nothing is "
        f"lost where the loss stays within {_AS_GOOD - 1:.0%}.",
        tuple(checks),
        lines("Large batches, repaired", "epoch", "validation loss", shown, log_y=True),
        f"Without the warm-up the loss was, in geometric mean, as many times that of small batches: {listed(sudden)}.",
    )


LESSONS = [
    Lesson(
        6,
        "Small batches and flat minima",
        "Small batches end in flatter minima than large ones, and generalise better.",
        "Keskar et al., On large-batch training for deep learning: generalization gap and sharp minima, 2017",
        flatness,
        "Take large=16, which changes nothing; or large=64 and rates=(1.0,), where small batches are too noisy to "
        "settle.",
    ),
    Lesson(
        28,
        "Linear scaling with warm-up",
        "A learning rate in proportion to the batch, reached by a warm-up, repairs large batches.",
        "Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017",
        scaling,
        "Take power=0.5, a rate that grows with the root of the batch: here it's too little. With power=0 nothing is "
        "repaired.",
    ),
]
