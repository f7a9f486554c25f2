"""Whole schedules that are known by a name, and what goes with large batches: a warm-up and a rate that grows.

The latter are of Goyal et al., *Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour*, 2017.
"""

from __future__ import annotations

from fallline._asked import number, whole
from fallline.schedules.laws import cosine_between, linear, milestones
from fallline.schedules.schedule import Schedule, constant


def large_minibatch(batch_size: int, steps_per_epoch: int) -> Schedule:
    """Return the reference recipe of Goyal et al., 2017, as factors on their base rate of 0.1.

    The factor climbs step by step from 1 to k = batch_size/256 over 5 epochs (below 256 it starts at k), and is
    divided by 10 at the epochs 30, 60 and 80, counted from 0 with the warm-up among them; they train for 90. It goes
    with `SGD(lr=0.1, momentum=0.9, weight_decay=1e-4)` and batches drawn from all workers together.

    Args:
        batch_size: How many examples a step sees.
        steps_per_epoch: How many steps an epoch has.

    Raises:
        TypeError, ValueError: An argument is no whole number from 1.

    >>> recipe = large_minibatch(8192, steps_per_epoch=10)
    >>> [round(0.1 * recipe(10 * epoch), 6) for epoch in (0, 5, 30, 60, 80)]
    [0.1, 3.2, 0.32, 0.032, 0.0032]
    """
    steps = whole("steps_per_epoch", steps_per_epoch)
    k = linear_scaling(batch_size)
    return k * warmup(5 * steps, start=min(1.0, 1 / k)) * milestones((30, 60, 80), 0.1).per_epoch(steps)


def one_cycle(steps: int, rise: float = 0.3, start: float = 1 / 25, end: float = 1 / 250_000) -> Schedule:
    """Return the cycle of Smith and Topin, *Super-Convergence*, 2018, as torch's OneCycleLR runs it (two phases).

    Half a cosine wave goes up to 1, then one down to the end, which the last of the steps, `steps - 1`, has. The base
    rate is the peak (torch's `max_lr`). The momentum is left alone, as with `cycle_momentum=False`.

    Args:
        steps: How many steps the cycle has, from 2.
        rise: The share of the steps on the way up; rise·steps lies between 1 and `steps`, both excluded.
        start: The factor at the beginning, from 0 to 1.
        end: The factor at the end, from 0 to 1.

    Raises:
        TypeError, ValueError: An argument is no such number.

    >>> [round(one_cycle(11, rise=6 / 11)(step), 3) for step in (0, 5, 10, 99)]
    [0.04, 1.0, 0.0, 0.0]
    """
    length = whole("steps", steps, least=2)
    share, low, last = number("rise", rise), number("start", start, most=1), number("end", end, most=1)
    if not 1 < share * length < length:
        raise ValueError(f"rise must be between 1/steps = {1 / length:g} and 1, both excluded; got {rise}")
    return Schedule(_one_cycle, (length, share, low, last), length)


def warmup_stable_decay(warmup_steps: int, stable_steps: int, decay_steps: int, end: float = 0.0) -> Schedule:
    """Return a line up from 0, a plateau, and a line down to `end` (Hu et al., *MiniCPM*, 2024).

    Args:
        warmup_steps: How many steps it goes up, from 1.
        stable_steps: How many steps it then stays, from 0.
        decay_steps: How many steps it then comes down, from 1.
        end: The factor that it comes down to, from 0 to 1.

    Raises:
        TypeError, ValueError: An argument is no such number.

    >>> [warmup_stable_decay(2, 3, 2)(step) for step in range(8)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0]
    """
    up, plateau = whole("warmup_steps", warmup_steps), whole("stable_steps", stable_steps, least=0)
    down = linear(whole("decay_steps", decay_steps), end)
    return warmup(up).then(constant().then(down, after=plateau))


def warmup(steps: int, start: float = 0.0) -> Schedule:
    """Return the straight line from `start` at step 0 to 1 at step `steps`; it stays at 1. torch calls it LinearLR.

    From 0 the first update moves nothing; `start=1 / steps` avoids that.

    Args:
        steps: How many steps it goes up, from 1.
        start: The factor at step 0, from 0 to 1.

    Raises:
        TypeError, ValueError: An argument is no such number.

    >>> [warmup(4)(step) for step in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """
    length = whole("steps", steps)
    return Schedule(_warmup, (length, number("start", start, most=1)), length)


def linear_scaling(batch_size: int, reference: int = 256) -> float:
    """Return batch_size / reference: a batch k times as large takes a learning rate k times as large.

    Multiply a rate or a schedule with it.

    Args:
        batch_size: How many examples a step sees.
        reference: The batch size that the rate was found for.

    Raises:
        TypeError, ValueError: An argument is no whole number from 1.

    >>> 0.1 * linear_scaling(8192)
    3.2
    """
    return whole("batch_size", batch_size) / whole("reference", reference)


def _one_cycle(step: int, steps: int, rise: float, start: float, end: float) -> float:
    peak, last = rise * steps - 1, steps - 1  # the peak may lie between two steps
    if step <= peak:
        return cosine_between(start, 1.0, step / peak)
    return cosine_between(1.0, end, (min(step, last) - peak) / (last - peak))


def _warmup(step: int, steps: int, start: float) -> float:
    return start + (1 - start) * (min(step, steps) / steps)
