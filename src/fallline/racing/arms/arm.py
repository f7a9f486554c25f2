"""What enters a race: a rule or a torch optimizer, with the space in which its hyperparameters are searched."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from fallline import rules
from fallline.optim import ScheduleFree
from fallline.optim.generic import Optimizer
from fallline.racing.arms.dimensions import Dimension, space_of
from fallline.racing.arms.families import family_of
from fallline.racing.arms.methods import (
    Method,
    arguments,
    averages,
    can_decay,
    check_method,
    hyperparameters,
    label,
    own_name,
    with_decay,
)
from fallline.racing.arms.settings import (
    Recipe,
    batch_of,
    check_missing,
    check_values,
    checked_space,
    make_schedule,
    offered,
    rate_scale,
    run_steps,
    shared_dimension,
)
from fallline.schedules import Schedule
from fallline.symbolic import Rule
from fallline.training import Problem
from fallline.training.updates import LaneRule

#: What a space may be given as: dimensions, and the ends of log-uniform ranges.
Space = Mapping[str, Dimension | tuple[float, float]]


@dataclass(frozen=True, init=False)
class Arm:
    """An entrant of a race: an optimizer, the space in which its hyperparameters are searched, and what is fixed.

    The learning rate is searched in the method's default space unless it stands in `space` or `fixed`. An arm of which
    nothing is searched, such as one's present setting, has no trials: it runs with its one configuration, on the same
    fresh seeds as the others' best ones. The parts of a class's `betas` are called `beta1` and `beta2`. Beside its own
    hyperparameters, any arm has these:

    - `weight_decay`, decoupled (Loshchilov and Hutter, 2019), where a rule has none of its own;
    - `batch`, a Choice of batch sizes: learning rates are those at the problem's own batch size, and a run multiplies
      them with batch over that (Goyal et al., 2017), unless nothing is searched;
    - `schedule`, a Choice of "constant", "linear", "cosine", "warmup-stable-decay" (which comes down in the last fifth)
      and "one_cycle", over all steps of a run;
    - `warm_up`, the share of the steps in which the rate first rises evenly to where the schedule begins; none unless
      given, but a twentieth of "warmup-stable-decay".

    Args:
        name: What it is called in tables; with nothing but an optimizer here it is called after that.
        optimizer: A rule or its name, a torch optimizer class, your own too, or a function that takes the parameters
            and a learning rate `lr` and returns an optimizer. The arm keeps it as `method`.
        space: Where hyperparameters are searched, by name: a `Range`, a `Choice`, or (low, high) for a log-uniform
            range.
        fixed: What else should differ from the published defaults, by name.
        **elsewhere: Nothing: an argument that stands here by mistake is refused by its name.

    Raises:
        TypeError: The optimizer is none, or there is an argument that no arm takes.
        ValueError: A hyperparameter, named in the message, is unknown, can't be searched, or is missing.

    >>> from fallline import rules
    >>> calm = Arm("calm", rules.momentum, fixed={"momentum": 0.5, "schedule": "cosine"})
    >>> calm.space
    {'lr': Range(low=1e-05, high=100.0, scale='log', open=True)}
    >>> Arm("mine", torch.optim.Adam, fixed={"lr": 3e-4}).searched
    False

    A class of your own takes part as it is:

    >>> class Halved(torch.optim.SGD):
    ...     def __init__(self, params, lr=0.1, weight_decay=0.0):
    ...         super().__init__(params, lr=lr / 2, weight_decay=weight_decay)
    >>> halved = Arm("halved", Halved, space={"lr": (1e-3, 1.0), "weight_decay": (1e-6, 1e-2)})
    >>> halved.make([torch.nn.Parameter(torch.ones(1))], {"lr": 0.5}).param_groups[0]["lr"]
    0.25
    """

    name: str
    method: Method
    space: Mapping[str, Dimension]
    fixed: Mapping[str, Any]
    #: By what a command line finds it again; None where only a program has it.
    origin: str | None = field(init=False, repr=False, compare=False)
    #: `Phases`, which is made of arms, and so stands above and puts itself here.
    _of_phases: ClassVar[Callable[..., Arm]]

    def __init__(
        self,
        name: str | Method,
        optimizer: Method | str | None = None,
        space: Space | None = None,
        fixed: Mapping[str, Any] | None = None,
        **elsewhere: Any,
    ) -> None:
        made: Any = name if optimizer is None else optimizer
        called: Any = own_name(name) if optimizer is None else name
        for stray in elsewhere:
            raise TypeError(
                f"an Arm takes no argument '{stray}'; fix it by fixed={{'{stray}': value}}, or search it by "
                f"space={{'{stray}': (low, high)}}"
            )
        fixed = dict(fixed or {})
        if isinstance(made, functools.partial) and isinstance(made.func, type) and not made.args:
            fixed = {**{key: one for key, one in made.keywords.items() if key not in (space or {})}, **fixed}
            made = made.func
        method = check_method(called, made)
        dimensions = checked_space(called, method, space or {}, fixed)
        if "weight_decay" in {*dimensions, *fixed}:
            method = with_decay(method)
        check_missing(called, method, {*dimensions, *fixed})
        self._set(name=called, method=method, space=dimensions, fixed=fixed, origin=None)

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @staticmethod
    def phases(
        name: str, phases: Sequence[Any], space: Space | None = None, fixed: Mapping[str, Any] | None = None
    ) -> Arm:
        """An arm of two phases: a second optimizer takes over within the run.

        When it does is raced as `switch`, a share of the steps from 0.1 to 0.9.

        Args:
            name: What the arm is called.
            phases: Two of them, each a name, a rule, a class or an arm.
            space: As an arm's; the second's hyperparameters are called `lr_2` and so on.
            fixed: As an arm's, likewise.

        Raises:
            ValueError: There are not two phases, or one has phases, a batch size or a schedule of its own.

        >>> from fallline import Arm
        >>> list(Arm.phases("adam_then_sgd", ["adam", "sgd"]).space)
        ['lr', 'lr_2', 'switch']
        """
        return Arm._of_phases(name, phases, space, fixed)

    @property
    def family(self) -> str | None:
        """The method that this one varies: "Adam", "momentum" or "AdaGrad"; None where it varies none, or none known.

        >>> Arm("adamw").family
        'Adam'
        """
        return family_of(self.method, {**self.space, **self.fixed})

    @property
    def searched(self) -> bool:
        """Whether there is anything to search; an arm without runs with its one configuration, which is empty."""
        return bool(self.space)

    @property
    def searchable(self) -> tuple[str, ...]:
        """The names that a space of this arm may have."""
        decay = ("weight_decay",) if can_decay(self.method) else ()
        return tuple(dict.fromkeys((*hyperparameters(self.method), *decay, *offered(self.method))))

    def further(self, names: Iterable[str], problem: Problem | None = None) -> Arm:
        """The arm with further dimensions in their default spaces.

        Args:
            names: Hyperparameters, "batch", "schedule" and the like; what the arm lacks, or has, is passed over.
            problem: What batch sizes follow from.

        Raises:
            ValueError: There are batch sizes and no problem, or no range is known of a hyperparameter.

        >>> from fallline import rules
        >>> Arm("momentum", rules.momentum).further(["momentum", "beta1"]).space["momentum"]
        Range(low=0.5, high=0.999, scale='complement', open=False)
        """
        more = [n for n in names if n in self.searchable and n not in {*self.space, *self.fixed}]
        added = {n: self._default_dimension(n, problem) for n in more}
        return Arm(self.name, self.method, {**self.space, **added}, self.fixed) if added else self

    def under(self, schedule: str, warm_up: float | None = None) -> Arm:
        """The arm as it races where all are told one schedule: what it searches or fixes of that stays as it is.

        One of which nothing is searched is somebody's own setting and stays so altogether. An average of the weights,
        which Schedule-Free methods keep, does what a schedule's end does: they are told the warm-up alone.

        Args:
            schedule: As an arm's `schedule`.
            warm_up: As an arm's `warm_up`; None for the schedule's own.

        Raises:
            ValueError: There is no such schedule, or no such share of the steps.

        >>> Arm("adam").under("cosine", 0.1).fixed
        {'schedule': 'cosine', 'warm_up': 0.1}
        """
        told = {"schedule": schedule, **({} if warm_up is None else {"warm_up": warm_up})}
        check_values(self.name, tuple(told), {}, told)
        if not self.searched:
            return self
        settled = {*self.space, *self.fixed}
        if schedule == "constant" or averages(self.method):
            settled.add("schedule")
        more = {name: value for name, value in told.items() if name in self.searchable and name not in settled}
        arm = copy.copy(self)
        arm._set(fixed={**self.fixed, **more})
        return arm

    def _default_dimension(self, name: str, problem: Problem | None) -> Dimension:
        if name in offered(self.method):
            return shared_dimension(name, problem)
        known = space_of(label(self.method), name, hyperparameters(self.method).get(name))
        if known is None:
            raise ValueError(
                f"arm '{self.name}': no range is known for '{name}'; give one, as in "
                f"Arm('{self.name}', optimizer, space={{'{name}': (low, high)}})"
            )
        return known

    @property
    def defaults(self) -> dict[str, Any]:
        """What stands while the space is searched."""
        return {**self.method.defaults, **self.fixed} if isinstance(self.method, Rule) else dict(self.fixed)

    @property
    def fixed_values(self) -> dict[str, Any]:
        """What is not searched."""
        return {name: value for name, value in self.defaults.items() if name not in self.space}

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes that a step moves for each float32 parameter; NaN where they are not known."""
        if not isinstance(self.method, Rule):
            return math.nan
        static = {name: self.defaults[name] for name in self.method.static}
        return float(self.method.cost(**static).bytes_moved)

    def recipe(self, configuration: Mapping[str, Any], problem: Problem, share: tuple[int, int] = (1, 1)) -> Recipe:
        """What a run of this configuration takes: what moves it, its batch size, and its steps.

        Args:
            configuration: A value for each dimension of the space.
            problem: What is trained.
            share: The part of the problem's epochs that is run, as numerator and denominator; schedules are laid over
                the steps of that part.

        Raises:
            ValueError: A batch has more examples than there are.
        """
        settings = self.settings(configuration)
        batch = batch_of(settings, problem)
        steps = run_steps(problem, batch, share)
        lane = self._lane(settings, self._scale(settings, problem), make_schedule(settings, steps), steps)
        return Recipe(lane, batch, steps)

    def schedule(self, configuration: Mapping[str, Any], problem: Problem) -> Schedule | None:
        """How the learning rate goes over a whole run.

        Args:
            configuration: A value for each dimension of the space.
            problem: What is trained.

        Returns:
            Factors by step; None where the rate stays as it is.
        """
        settings = self.settings(configuration)
        return make_schedule(settings, run_steps(problem, batch_of(settings, problem)))

    def optimizer(
        self, params: Iterable[Any], configuration: Mapping[str, Any], problem: Problem
    ) -> torch.optim.Optimizer:
        """A torch optimizer with the learning rate that a run of this configuration begins with, warm-up aside.

        Args:
            params: The parameters that it moves.
            configuration: A value for each dimension of the space.
            problem: What is trained; its own batch size is the one that learning rates are for.
        """
        settings = self.settings(configuration)
        return self._made(params, settings, self._scale(settings, problem))

    def make(self, params: Iterable[Any], configuration: Mapping[str, Any]) -> torch.optim.Optimizer:
        """A torch optimizer with the learning rate as it stands in the configuration.

        Args:
            params: The parameters that it moves.
            configuration: A value for each dimension of the space.
        """
        return self._made(params, self.settings(configuration), 1.0)

    def report(self, configuration: Mapping[str, Any], problem: Problem) -> dict[str, Any]:
        """The configuration as searched and, where batch sizes differ, the run's own learning rate as `run_lr`.

        Args:
            configuration: A value for each dimension of the space.
            problem: What is trained.
        """
        settings = self.settings(configuration)
        own = self._values(settings, self._scale(settings, problem))
        return {**configuration, **({"run_lr": own["lr"]} if "batch" in settings and "lr" in own else {})}

    def settings(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration with all that is not searched.

        Args:
            configuration: A value for each dimension of the space.
        """
        return {**self.defaults, **configuration}

    def _scale(self, settings: Mapping[str, Any], problem: Problem) -> float:
        """What a run's learning rate is multiplied with for its batch; one's own setting is told as it is used."""
        return rate_scale(settings, problem) if self.searched else 1.0

    def _values(self, settings: Mapping[str, Any], scale: float) -> dict[str, Any]:
        """The optimizer's own hyperparameters, the learning rate scaled."""
        shared = offered(self.method)
        values = {name: value for name, value in settings.items() if name not in shared}
        rate = values.get("lr", hyperparameters(self.method).get("lr"))
        return {**values, "lr": scale * rate} if scale != 1 and isinstance(rate, (int, float)) else values

    def _lane(self, settings: Mapping[str, Any], scale: float, schedule: Schedule | None, steps: int) -> LaneRule:
        return LaneRule(self.method, arguments(self.method, self._values(settings, scale)), schedule)

    def _made(self, params: Iterable[Any], settings: Mapping[str, Any], scale: float) -> torch.optim.Optimizer:
        values = arguments(self.method, self._values(settings, scale))
        if isinstance(self.method, Rule):
            return (ScheduleFree if rules.keeps_average(self.method) else Optimizer)(params, self.method, **values)
        return self.method(params, **values)
