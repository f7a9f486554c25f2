"""What an arm can be told: its optimizer's own hyperparameters, and beside them batch size, schedule and warm-up."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fallline._asked import did_you_mean
from fallline.racing.arms.dimensions import Choice, Dimension, Range, as_dimension, space_of
from fallline.racing.arms.methods import Method, can_decay, hyperparameters, label
from fallline.schedules import Schedule, constant, cosine, linear, linear_scaling, one_cycle, warmup
from fallline.training import Problem
from fallline.training.updates import LaneRule


def make_schedule(settings: Mapping[str, Any], steps: int) -> Schedule | None:
    """The schedule of a run, or None where the learning rate stays as it is.

    A ramp over the share `warm_up` of the steps goes up evenly to where the schedule begins, which then covers the
    steps that remain.

    >>> schedule = make_schedule({"schedule": "linear", "warm_up": 0.2}, steps=10)
    >>> [round(schedule(step), 3) for step in range(10)]
    [0.333, 0.667, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    """
    name, ramp = schedule_name(settings, steps), warm_up_steps(settings, steps)
    law = SCHEDULES[name].law(steps - ramp)
    if ramp:
        return (law(0) * warmup(ramp, start=1 / (ramp + 1))).then(law)
    return None if name == "constant" else law


def warm_up_steps(settings: Mapping[str, Any], steps: int) -> int:
    """The steps of the ramp; at least one remains for the schedule."""
    own = SCHEDULES[str(settings.get("schedule", "constant"))].warm_up
    return min(round(float(settings.get("warm_up", own)) * steps), steps - 1)


def schedule_name(settings: Mapping[str, Any], steps: int) -> str:
    """The schedule after the ramp; a cycle needs more than one step."""
    name = str(settings.get("schedule", "constant"))
    return "constant" if name == "one_cycle" and steps - warm_up_steps(settings, steps) < 2 else name


def rise_of(steps: int) -> float:
    """The share of a cycle in which the rate rises: 0.3, or in the shortest runs the least that can be had."""
    return max(0.3, 1.5 / steps)


class Raced(NamedTuple):
    """A schedule that a race chooses between.

    `law` gives its factors over the steps that it covers, `lines` the body of a Python function of `step` that does,
    and `torchs` the scheduler of torch.optim.lr_scheduler that does so for a learning rate; None where none is needed.
    `warm_up` is the share of the steps that the ramp takes where nobody said.
    """

    law: Callable[[int], Schedule]
    lines: Callable[[int], list[str]]
    torchs: Callable[[int, float], str] | None = None
    warm_up: float = 0.0


def _one_cycle_lines(steps: int) -> list[str]:
    peak = rise_of(steps) * steps - 1
    return [
        f"if step <= {peak!r}:",
        f"    return 1 + (1 / 25 - 1) * (1 + math.cos(math.pi * step / {peak!r})) / 2",
        "end = 1 / 250_000",
        f"return end + (1 - end) * (1 + math.cos(math.pi * (step - {peak!r}) / {steps - 1 - peak!r})) / 2",
    ]


def _decay_of(steps: int) -> int:
    """The steps at the end in which a stable rate comes down: a fifth (Hägele et al., 2024)."""
    return max(1, round(steps / 5))


SCHEDULES = {
    "constant": Raced(lambda steps: constant(), lambda steps: ["return 1.0"]),
    "linear": Raced(
        linear,
        lambda steps: [f"return 1 - step / {steps}"],
        lambda steps, rate: f"LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters={steps})",
    ),
    "cosine": Raced(
        cosine,
        lambda steps: [f"return (1 + math.cos(math.pi * step / {steps})) / 2"],
        lambda steps, rate: f"CosineAnnealingLR(optimizer, T_max={steps})",
    ),
    "warmup-stable-decay": Raced(
        lambda steps: constant().then(linear(_decay_of(steps)), after=steps - _decay_of(steps)),
        lambda steps: [f"return min(1.0, ({steps} - step) / {_decay_of(steps)})"],
        warm_up=0.05,
    ),
    "one_cycle": Raced(
        lambda steps: one_cycle(steps, rise_of(steps)),
        _one_cycle_lines,
        lambda steps, rate: (
            f"OneCycleLR(optimizer, max_lr={rate!r}, total_steps={steps}, pct_start={rise_of(steps)!r}, "
            "cycle_momentum=False)"
        ),
    ),
}


def scheduler_line(settings: Mapping[str, Any], steps: int, rate: float) -> str | None:
    """The expression of torch's own scheduler for `optimizer`; None where there is none, or nothing to schedule.

    >>> scheduler_line({"schedule": "cosine"}, 340, 0.1)
    'torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=340)'
    """
    torchs = SCHEDULES[schedule_name(settings, steps)].torchs
    if torchs is None or warm_up_steps(settings, steps):
        return None
    return f"torch.optim.lr_scheduler.{torchs(steps, rate)}"


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
    warm_up = [f"if step < {ramp}:", f"    return {first}(step + 1) / {ramp + 1}", f"step -= {ramp}"]
    body = [*(warm_up if ramp else []), *SCHEDULES[name].lines(steps - ramp)]
    return ["def factor(step):", *(f"    {line}" for line in body)]


#: What the two last act on is the learning rate.
SHARED = ("batch", "schedule", "warm_up")
_SMALLEST_BATCH, _SPREAD = 8, 8


def offered(method: Method) -> tuple[str, ...]:
    """Those of `SHARED` that an arm with this method can be told: its own hyperparameters keep their names.

    >>> from fallline import rules
    >>> offered(rules.adam)
    ('batch', 'schedule', 'warm_up')
    """
    own = hyperparameters(method)
    return tuple(name for name in (SHARED if "lr" in own else SHARED[:1]) if name not in own)


def shared_dimension(name: str, problem: Problem | None) -> Dimension:
    """Where one of `SHARED` is searched by default. Raises ValueError for batch sizes without a problem.

    Batch sizes are the powers of two from an eighth of the problem's own, but at least 8, to 8 times that, within the
    data.

    >>> from fallline.problems import digits
    >>> shared_dimension("batch", digits())
    Choice(options=(8, 16, 32, 64, 128, 256, 512))
    """
    if name == "schedule":
        return Choice(tuple(SCHEDULES))
    if name == "warm_up":
        return Range(0.0, 0.2, "linear")
    if problem is None:
        raise ValueError("search: the batch sizes follow from the problem's own; give the problem too")
    least, most = max(_SMALLEST_BATCH, problem.batch / _SPREAD), min(problem.batch * _SPREAD, problem.data.examples)
    powers = tuple(2**k for k in range(most.bit_length()) if 2**k >= least)
    return Choice(powers or (problem.batch,))


def check_shared(name: str, dimension: Dimension) -> None:
    """Raise ValueError for values of one of `SHARED`, or of a `switch` between phases, that no run could follow."""
    values = (dimension.low, dimension.high) if isinstance(dimension, Range) else dimension.options
    if name == "warm_up":
        wanted, fits = "a share of the steps, from 0 to less than 1", all(map(_is_share, values))
    elif name == "switch":
        wanted, fits = "a share of the steps, above 0 and below 1", all(map(_is_share, values)) and 0 not in values
    elif name == "batch":
        wanted = "a Choice of whole numbers from 1"
        fits = isinstance(dimension, Choice) and all(type(value) is int and value >= 1 for value in values)
    else:
        wanted = f"a Choice of {', '.join(SCHEDULES)}"
        fits = isinstance(dimension, Choice) and all(value in SCHEDULES for value in values)
    if not fits:
        raise ValueError(f"'{name}' must be {wanted}; got {dimension}")


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < 1


@dataclass(frozen=True)
class Recipe:
    """All that a run takes: what moves it, the examples in a batch, and its steps."""

    lane: LaneRule
    batch: int
    steps: int


def batch_of(settings: Mapping[str, Any], problem: Problem) -> int:
    """The batch size of a run. Raises ValueError where there are fewer examples."""
    batch, examples = int(settings.get("batch", problem.batch)), problem.data.examples
    if batch > examples:
        raise ValueError(f"'batch' is {batch}, and the problem has {examples} examples to train on; give smaller ones")
    return batch


def rate_scale(settings: Mapping[str, Any], problem: Problem) -> float:
    """What a learning rate at the problem's own batch size is multiplied with at the run's (Goyal et al., 2017)."""
    return linear_scaling(batch_of(settings, problem), problem.batch)


def run_steps(problem: Problem, batch: int, share: tuple[int, int] = (1, 1)) -> int:
    """Steps of a share of the problem's epochs: whole ones, at least one, so that all batch sizes see as many samples.

    A problem of a single epoch, such as a stream, is shared out by steps, at least one.

    >>> from fallline.problems import digits
    >>> run_steps(digits(), 64), run_steps(digits(), 128), run_steps(digits(), 64, (1, 9))
    (340, 180, 34)
    """
    numerator, denominator = share
    an_epoch = problem.with_batch(batch).steps_per_epoch
    if problem.epochs == 1:
        return max(1, an_epoch * numerator // denominator)
    return an_epoch * max(1, problem.epochs * numerator // denominator)


#: Around which a function's learning rate without a default is searched, where nothing is known of what it makes.
_RATE = 1e-3


def checked_space(arm: str, method: Method, given: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Dimension]:
    """The dimensions that are searched, the learning rate among them unless it is fixed.

    Raises ValueError, naming the hyperparameter, for what the arm does not have, what can't be searched, and what
    stands in both the space and `fixed`; and where nothing says what to search and nothing is fixed instead.
    """
    for name in (*given, *fixed):
        _check_known(arm, method, name)
    pair = next((name for name in given if isinstance(hyperparameters(method).get(name), tuple)), None)
    if pair is not None:
        raise ValueError(
            f"arm '{arm}': '{pair}' holds a pair, which can't be searched; race the rule, such as fallline.rules.adam, "
            "whose beta1 and beta2 can be"
        )
    space = dimensions(arm, given, fixed)
    check_values(arm, offered(method), space, fixed)
    default = hyperparameters(method).get("lr") or (_RATE if inspect.isfunction(method) else None)
    rate = space_of(label(method), "lr", default)
    if "lr" not in {*space, *fixed} and "lr" in hyperparameters(method) and rate is not None:
        space = {"lr": rate, **space}
    fixes_rate = "lr" in fixed or ("lr" not in hyperparameters(method) and bool(fixed))
    if not space and not fixes_rate:
        raise ValueError(
            f"arm '{arm}' has no learning rate 'lr' with a default to search around; "
            "give space={'lr': (low, high)}, or whatever it calls it, or fix it by fixed={'lr': value}"
        )
    return space


def dimensions(arm: str, given: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Dimension]:
    """What was given as dimensions. Raises ValueError for what is none, and for what is fixed as well."""
    space = {}
    for name, ends in given.items():
        if name in fixed:
            raise ValueError(f"arm '{arm}' has '{name}' both in its space and in fixed; take it out of one")
        try:
            space[name] = as_dimension(ends)
        except ValueError as error:
            raise ValueError(f"the space of '{name}' in arm '{arm}': {error}") from error
    return space


def check_values(arm: str, of_run: Collection[str], space: Mapping[str, Dimension], fixed: Mapping[str, Any]) -> None:
    """Raise ValueError, naming the arm, for a batch size, a schedule or the like that no run could follow."""
    for name in of_run:
        if name in {*space, *fixed}:
            try:
                check_shared(name, space[name] if name in space else Choice((fixed[name],)))
            except ValueError as error:
                raise ValueError(f"arm '{arm}': {error}") from error


def check_missing(arm: str, method: Method, given: Collection[str]) -> None:
    """Raise ValueError, naming it, for a hyperparameter that has neither a default nor a value or a dimension."""
    for name, default in hyperparameters(method).items():
        if default is None and name not in given:
            raise ValueError(f"arm '{arm}' has no value for '{name}': put it into its space or into fixed")


def _check_known(arm: str, method: Method, name: str) -> None:
    known = hyperparameters(method)
    if name in known or name in offered(method) or (name == "weight_decay" and can_decay(method)):
        return
    hint = did_you_mean(name, known, "it has")
    raise ValueError(f"arm '{arm}' has no hyperparameter '{name}'; {hint}")
