"""What a schedule is: an immutable function of the step that can be joined, multiplied and handed to an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from fallline._asked import number, whole
from fallline.schedules.driver import Driver


@dataclass(frozen=True, repr=False)
class Schedule:
    """A factor on the base learning rate for every step: `law(step, *arguments)`, with steps counted from 0.

    Schedules with the same law and arguments are equal; they pickle if the law is a module's function. Your own law is
    a schedule too.

    Args:
        law: A function of the step and the arguments.
        arguments: What the law is given beside the step.
        length: The number of steps it lasts, after which the factor stays as it is; None where there is no end to speak
            of. `then` asks for it.

    Raises:
        TypeError: The law can't be called.

    >>> sawtooth = Schedule(lambda step, period: 1 - step % period / period, (4,))
    >>> [sawtooth(step) for step in range(5)]
    [1.0, 0.75, 0.5, 0.25, 1.0]
    """

    law: Callable[..., float]
    arguments: tuple[Any, ...] = ()
    length: int | None = None

    def __post_init__(self) -> None:
        if not callable(self.law):
            raise TypeError(f"law must be a function of the step; got {self.law!r}")

    def __call__(self, step: int) -> float:
        """Return the factor at a step; raises TypeError or ValueError unless it is a whole number from 0."""
        return float(self.law(whole("step", step, least=0), *self.arguments))

    def then(self, following: Schedule, after: int | None = None) -> Schedule:
        """Return this schedule for its `length`, or for `after` steps, and from there on `following` from its step 0.

        Args:
            following: The schedule that takes over.
            after: The step at which it does; this one's length unless given.

        Raises:
            TypeError: `following` is no schedule.
            ValueError: The length is needed, and there is none.

        >>> from fallline.schedules import constant, linear
        >>> plateau = constant().then(linear(2), after=3)
        >>> [plateau(step) for step in range(6)]
        [1.0, 1.0, 1.0, 1.0, 0.5, 0.0]
        """
        if not isinstance(following, Schedule):
            raise TypeError(f"following must be a schedule; got {following!r}")
        if after is None and self.length is None:
            raise ValueError(f"{self!r} never ends: say for how many steps it holds, with then(..., after=steps)")
        switch = self.length if after is None else whole("after", after, least=0)
        assert switch is not None
        length = None if following.length is None else switch + following.length
        return Schedule(_then, (self, following, switch), length)

    def __mul__(self, other: Schedule | float) -> Schedule:
        """Return the product, step by step, with a schedule or a number.

        >>> from fallline.schedules import exponential, warmup
        >>> (0.1 * warmup(2) * exponential(0.5))(1)
        0.025
        """
        if isinstance(other, Real) and not isinstance(other, bool):
            factor = Schedule(_constant, (number("factor", other),), length=self.length)
        elif isinstance(other, Schedule):
            factor = other
        else:
            return NotImplemented
        ends = (self.length, factor.length)
        length = None if ends[0] is None or ends[1] is None else max(ends[0], ends[1])
        return Schedule(_product, (self, factor), length)

    __rmul__ = __mul__

    def per_epoch(self, steps_per_epoch: int) -> Schedule:
        """Return the schedule of steps in which each step of this one lasts a whole epoch: `floor(step / steps)`.

        Args:
            steps_per_epoch: How many steps an epoch has.

        >>> from fallline.schedules import inverse_time
        >>> [inverse_time(1.0).per_epoch(2)(step) for step in range(4)]
        [1.0, 1.0, 0.5, 0.5]
        """
        steps = whole("steps_per_epoch", steps_per_epoch)
        return Schedule(_per_epoch, (self, steps), None if self.length is None else self.length * steps)

    def curve(self, steps: int, lr: float = 1.0) -> NDArray[np.float64]:
        """Return the learning rates [steps] of the steps 0 to steps - 1.

        Args:
            steps: How many of them.
            lr: The base rate that the factors multiply.

        >>> from fallline.schedules import exponential
        >>> exponential(0.5).curve(3, lr=0.4).tolist()
        [0.4, 0.2, 0.1]
        """
        count, base = whole("steps", steps), number("lr", lr)
        return base * np.array([self(step) for step in range(count)])

    def drive(self, optimizer: Optimizer, *, step: int | None = None) -> LambdaLR:
        """Return a torch scheduler that sets every group's rate to its base rate times the factor of the step.

        Making it sets the rate of the step that comes next. Then call `optimizer.step()` first and `scheduler.step()`
        after it, once per step of this schedule (per epoch, if it counts epochs). Groups that `add_param_group` adds
        later are driven as well.

        To resume, load the state of the optimizer, of the scheduler or of both, in any order, before or after this
        call: either state says which step is next, the optimizer's if it was saved while this schedule drove it.

        Args:
            optimizer: Any of torch's kind.
            step: The step that comes next, whatever the states say: with 0 the schedule begins anew on an optimizer
                that was loaded.

        Returns:
            The scheduler, whose `step` counts.

        Raises:
            TypeError: `optimizer` is none, or `step` no whole number.
            ValueError: `step` is below 0.

        >>> import torch
        >>> from fallline.schedules import exponential
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.4)
        >>> scheduler = exponential(0.5).drive(optimizer)
        >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
        [0.2]
        """
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer; got {optimizer!r}")
        # A bound method: for other callables torch saves their attributes and writes them back into them on loading.
        return Driver(optimizer, self.__call__, repr(self), None if step is None else whole("step", step, least=0))

    def __repr__(self) -> str:
        name = self.law.__name__.lstrip("_") if hasattr(self.law, "__name__") else repr(self.law)
        if self.law is _product:
            return f"({self.arguments[0]!r} * {self.arguments[1]!r})"
        joined = self.law in (_then, _per_epoch)
        listed = ", ".join(map(repr, self.arguments[joined:]))
        return f"{self.arguments[0]!r}.{name}({listed})" if joined else f"{name}({listed})"


def constant(factor: float = 1.0) -> Schedule:
    """Return the schedule that has the same factor at every step.

    Args:
        factor: The factor, at least 0.

    >>> constant(0.5)(1000)
    0.5
    """
    return Schedule(_constant, (number("factor", factor),))


def _constant(step: int, factor: float) -> float:
    return factor


def _then(step: int, first: Schedule, following: Schedule, switch: int) -> float:
    return first(step) if step < switch else following(step - switch)


def _product(step: int, first: Schedule, second: Schedule) -> float:
    return first(step) * second(step)


def _per_epoch(step: int, schedule: Schedule, steps_per_epoch: int) -> float:
    return schedule(step // steps_per_epoch)
