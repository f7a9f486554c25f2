"""A raced schedule as Python: torch's scheduler where it has the same, else the law written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fallline.racing.arms.raced_schedules import rise_of, schedule_name, warm_up_steps

_SCHEDULERS = "torch.optim.lr_scheduler"


def scheduler_line(settings: Mapping[str, Any], steps: int, rate: float) -> str | None:
    """The expression of torch's own scheduler for `optimizer`; None where there is none, or nothing to schedule.

    >>> scheduler_line({"schedule": "cosine"}, 340, 0.1)
    'torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=340)'
    """
    name = schedule_name(settings, steps)
    if warm_up_steps(settings, steps) or name == "constant":
        return None
    if name == "one_cycle":
        told = f"max_lr={rate!r}, total_steps={steps}, pct_start={rise_of(steps)!r}"
        return f"{_SCHEDULERS}.OneCycleLR(optimizer, {told}, cycle_momentum=False)"
    if name == "cosine":
        return f"{_SCHEDULERS}.CosineAnnealingLR(optimizer, T_max={steps})"
    return f"{_SCHEDULERS}.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters={steps})"


def law_lines(settings: Mapping[str, Any], steps: int) -> list[str]:
    """A function `factor(step)` of the steps from 0; none where the learning rate stays as it is.

    >>> print("\\n".join(law_lines({"schedule": "linear", "warm_up": 0.1}, 100)))
    def factor(step):
        if step < 10:
            return (step + 1) / 11
        step -= 10
        return 1 - step / 90
    """
    name, ramp = schedule_name(settings, steps), warm_up_steps(settings, steps)
    if name == "constant" and not ramp:
        return []
    first = "1 / 25 * " if name == "one_cycle" else ""
    warm_up = [f"    if step < {ramp}:", f"        return {first}(step + 1) / {ramp + 1}", f"    step -= {ramp}"]
    return ["def factor(step):", *(warm_up if ramp else []), *_LAWS[name](steps - ramp)]


def _constant(steps: int) -> list[str]:
    return ["    return 1.0"]


def _linear(steps: int) -> list[str]:
    return [f"    return 1 - step / {steps}"]


def _cosine(steps: int) -> list[str]:
    return [f"    return (1 + math.cos(math.pi * step / {steps})) / 2"]


def _one_cycle(steps: int) -> list[str]:
    peak = rise_of(steps) * steps - 1
    return [
        f"    if step <= {peak!r}:",
        f"        return 1 + (1 / 25 - 1) * (1 + math.cos(math.pi * step / {peak!r})) / 2",
        "    end = 1 / 250_000",
        f"    return end + (1 - end) * (1 + math.cos(math.pi * (step - {peak!r}) / {steps - 1 - peak!r})) / 2",
    ]


_LAWS = {"constant": _constant, "linear": _linear, "cosine": _cosine, "one_cycle": _one_cycle}
