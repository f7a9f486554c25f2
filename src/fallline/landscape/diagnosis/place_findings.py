"""What curvature and noise say of a place, and of the run that led there; each sentence needs its evidence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fallline._text import counted, listed
from fallline.landscape.diagnosis.along_run import AlongRun
from fallline.landscape.diagnosis.escape import Escape
from fallline.landscape.diagnosis.finding import FEWEST_SEEDS, Finding, rounded_down, rounded_up, shown
from fallline.landscape.measuring import Condition, Curvature, NoiseScale

#: A gradient is small where a parabola of even the less of the curvatures at both ends has less than this share of an
#: untrained model's loss to fall: gradient² / (2 curvature).
_SMALL = 1e-3
#: A place is told to be a saddle where the lowest curvature is negative by at least this share of the top one: trained
#: networks all have some a little below zero, and go on falling.
_NEGATIVE = 0.1
#: The loss stands still that changes by less than this share of it over the last quarter of a run.
_STILL = 0.02
#: A height above a floor, as a share of an untrained model's loss, that is worth a word.
_WORTH_TELLING = 1e-6


def is_saddle(curvature: Curvature) -> bool:
    """Whether the gradient is small and a curvature negative for certain, and not merely next to nothing.

    Args:
        curvature: Both ends of it, with the gradient and the loss there.
    """
    return (
        _is_stationary(curvature, curvature.loss)  # an untrained model's would make any place of a low loss a saddle
        and curvature.bottom[0] < 0
        and -curvature.bottom[0] >= _NEGATIVE * curvature.top[0]
    )


def _is_stationary(curvature: Curvature, untrained: float) -> bool:
    """Whether the gradient is small beside the curvatures of both ends, so that it tells no slope from a floor."""
    least = min(curvature.top[0] - curvature.top_residuals[0], _surely(curvature))
    scale = max(abs(untrained), abs(curvature.loss))
    return curvature.converged and least > 0 and curvature.gradient**2 / (2 * least) <= _SMALL * scale


def _surely(curvature: Curvature) -> float:
    """The size that the lowest curvature has at least; below 0 where its sign is not known."""
    return abs(curvature.bottom[0]) - curvature.bottom_residuals[0]


def place(
    curvature: Curvature, untrained: float, ways_out: Sequence[Escape] = (), along: AlongRun | None = None
) -> Finding | None:
    """Whether the weights are at a saddle or a minimum; silent on a slope, and in between.

    On a slope of a convex loss, such as a long valley with a flat floor, every curvature is positive too. There
    gradient² / (2 lowest curvature), which is the most that a parabola can have to fall, is not small.

    Args:
        curvature: With the gradient and the loss there.
        untrained: The loss of an untrained model.
        ways_out: When optimizers left the place, if that was tried.
        along: The run that ended here; where its loss still falls, it is at no saddle.
    """
    if not _is_stationary(curvature, untrained):
        return None
    gradient, bottom, top = curvature.gradient, curvature.bottom[0], curvature.top[0]
    scale = max(abs(untrained), abs(curvature.loss))
    evidence = (
        f"gradient {shown(gradient)}, curvatures {shown(bottom, 3)} to {shown(top, 3)}, each to within "
        f"{max(curvature.bottom_residuals[0], curvature.top_residuals[0]):.1g}, on "
        f"{counted(curvature.examples, 'example')} of {curvature.split} in {curvature.mode} mode"
    )
    numbers = {"gradient": gradient, "bottom": bottom, "top": top}
    if is_saddle(curvature):
        if along is not None and not _stands_still(along):
            return None
        sentence = (
            f"The gradient is small ({gradient:.0e}) but the smallest curvature is {shown(bottom)}: a saddle, not a "
            "minimum."
        )
        evidence += f", the lowest {-bottom / top:.0%} of the top one in size"
        told, ways = _ways(ways_out)
        numbers |= {f"{one.optimizer} left": float(one.left.max()) for one in ways_out}
        return Finding("place", f"{sentence}{told}", f"{evidence}{ways}", numbers)
    if bottom > 0:
        above = gradient**2 / (2 * _surely(curvature))
        floor = f", at most {rounded_up(above, 1)} below, were it a parabola" if above > _WORTH_TELLING * scale else ""
        sentence = (
            f"The gradient is small ({gradient:.0e}) and the smallest curvature is {shown(bottom)}: a minimum{floor}."
        )
        return Finding("place", sentence, evidence, {**numbers, "above": above})
    return None


def _stands_still(along: AlongRun) -> bool:
    losses = along.losses[-1 - max(1, len(along.losses) // 4) :]
    return bool(np.ptp(losses) <= _STILL * abs(losses[-1]))


def _ways(ways_out: Sequence[Escape]) -> tuple[str, str]:
    """What is said of optimizers that left, and the evidence."""
    sure = [one for one in ways_out if len(one.left) >= FEWEST_SEEDS]
    gone = sorted((one for one in sure if np.isfinite(one.left).all()), key=lambda one: float(one.left.max()))
    stuck = [one for one in sure if np.isinf(one.left).all()]
    told = [f"{_capital(_named(one))} leaves it within about {one.left.max():.0f} steps." for one in gone[:1]]
    if stuck:
        none = f"{listed([_named(one) for one in stuck], 'or')} does not leave it in {stuck[0].steps} steps"
        told.append(f"{_capital(none)}." if gone else f"{_capital(none)}; begin elsewhere, or add noise.")
    evidence = "".join(
        f"; {_named(one)} at lr {shown(one.hyperparameters['lr'])} left after {_span(one)} steps, "
        f"{counted(len(one.left), 'run')} in batches of {one.batch}"
        for one in sure
    )
    return "".join(f" {sentence}" for sentence in told), evidence


def _named(one: Escape) -> str:
    return one.optimizer.replace("_", " ")


def _span(one: Escape) -> str:
    low, high = float(one.left.min()), float(one.left.max())
    if math.isinf(low):
        return f"more than {one.steps}"
    return f"{low:.0f} to {high:.0f}" if math.isfinite(high) else f"{low:.0f} to more than {one.steps}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


#: How near to the limit the top curvature must be, for how many checkpoints on end, and how far below it began.
_AT_LIMIT, _ON_END, _BELOW = 0.15, 2, 0.7


def stability(along: AlongRun) -> Finding | None:
    """Whether a run came to the edge of stability; silent where the top curvature did not rise to the limit and stay.

    Likewise where it was above before, and where dropout or batch norm make another loss of the one that was trained.

    Args:
        along: The curvatures of the run.
    """
    at = np.abs(along.top - along.limits) + along.top_errors <= _AT_LIMIT * along.limits  # never where it is NaN
    stretch = max((found.span() for found in re.finditer("x+", "".join("x" if one else " " for one in at))),
                  key=lambda ends: ends[1] - ends[0], default=(0, 0))  # fmt: skip
    first, last, there = stretch[0], stretch[1] - 1, slice(*stretch)
    tops, limits, rates = along.top[there], along.limits[there], along.rates[there]
    # Where a rate grows the limit comes down: then the curvature need not have risen.
    if not along.as_trained or len(tops) < _ON_END or not along.top[0] < _BELOW * limits.min():
        return None
    if (along.top[:first] > (1 + _AT_LIMIT) * along.limits[:first]).any():
        return None
    sentence = (
        f"The top curvature rose from {shown(along.top[0])} to the limit that a learning rate of {_ends(rates)} has, "
        f"{_ends(limits)}, and was there from step {along.steps[first]:.0f} to {along.steps[last]:.0f}: the edge of "
        "stability; lower the rate if the loss jumps there."
    )
    evidence = (
        f"{shown(float(tops.min()), 3)} to {shown(float(tops.max()), 3)} at these {counted(len(tops), 'checkpoint')} "
        f"of the {len(at)} of a run of {along.optimizer}, on {counted(along.examples, 'example')} of {along.split} in "
        f"{along.mode} mode"
    )
    numbers = {"start": along.top[0], "limit": limits[0], "from": along.steps[first], "to": along.steps[last]}
    return Finding("stability", sentence, evidence, {name: float(value) for name, value in numbers.items()})


def _ends(values: NDArray[np.float64]) -> str:
    """The first and the last, or one number where they are alike."""
    first, last = shown(float(values[0])), shown(float(values[-1]))
    return first if first == last else f"{first} to {last}"


def paying_batches(noise: NoiseScale, available: int, along: AlongRun | None = None) -> Finding | None:
    """Beyond which size batches stop paying, or that every size pays; silent where the noise scale is hardly known.

    At a batch of the noise scale descent at its best rate takes twice the steps of the whole gradient, so that twice
    the batch saves a quarter of the steps, and ever less beyond. What is told holds for the whole interval of the
    scale: batches stop paying beyond its upper end, and all sizes pay where even its lower end is out of reach.

    Args:
        noise: The noise scale.
        available: How many examples there are to train on.
        along: The run that ended there, on which the noise scale moves.
    """
    if not noise.is_known:
        return None
    numbers = {"scale": noise.scale, "low": noise.low, "high": noise.high}
    evidence = (
        f"noise scale {shown(noise.scale, 3)}, with 95 % confidence {shown(noise.low, 3)} to {shown(noise.high, 3)}, "
        f"on {counted(noise.examples, 'example')} of {noise.split} in {noise.mode} mode, at these weights"
    )
    if noise.low > available:
        sentence = (
            f"Every batch size pays at these weights: even all {available:,} examples are fewer than the noise scale."
            f"{_moved(along)}"
        )
        return Finding("batch", sentence, evidence, numbers)
    size = max(1, math.ceil(noise.high))
    if size > available:
        return None
    sentence = (
        f"Batches beyond {rounded_up(size)} stop paying at these weights: from there on twice the batch saves at most "
        f"a quarter of the steps.{_moved(along)}"
    )
    return Finding("batch", sentence, evidence, numbers)


def _moved(along: AlongRun | None) -> str:
    """Between which sizes the noise scale moved on the way, untrained weights aside."""
    if along is None:
        return ""
    known = along.noise[np.isfinite(along.noise_high) & (along.steps > 0)]
    return "" if len(known) < 2 else f" Along the run it was {shown(known.min())} to {shown(known.max())}."


#: How many times less unlike the curvatures must be for scaling to be worth a sentence, by the near ends of intervals.
_WORTH = 2.0


def scaled_features(before: Condition, after: Condition) -> Finding | None:
    """Whether scaling the features makes curvatures alike; silent where it does not make them half as unlike.

    Args:
        before: At the first weights, with the features as they are.
        after: There, with each feature brought to mean 0 and standard deviation 1.
    """
    exact = math.isfinite(after.number) and before.at_least > 0
    one, other = (before.at_least, after.number) if exact else (before.spread, after.spread)
    doubts = [found.number_error if exact else found.spread_doubt for found in (before, after)]
    bound = exact and math.isinf(before.number)
    if bound:
        doubts[0] = 0.0
    if not one - doubts[0] >= _WORTH * (other + doubts[1]):
        return None
    told = f"at least {rounded_down(one)}" if bound else shown(one)
    what = "the top curvature over the mean size of all (of their absolute values)"
    why = "an average direction takes descent fewer steps"
    if exact:
        what, why = "the condition number", "descent takes steps in proportion to it"
    sentence = (
        f"Scaling the features to mean 0 and standard deviation 1 lowers {what} from {told} to {shown(other)}: {why}."
    )
    sure = (
        f"with 95 % confidence, by {counted(before.probes, 'random vector')}, " if not exact and before.probes else ""
    )
    evidence = (
        f"{shown(one, 3)} ± {rounded_up(doubts[0])} to {shown(other, 3)} ± {rounded_up(doubts[1])} {sure}at the first "
        f"weights, on {counted(before.examples, 'example')} of {before.split} in {before.mode} mode"
    )
    return Finding("features", sentence, evidence, {"before": one, "after": other})
