"""A schedule in charge of an optimizer's rates: the rate follows from the step, however a run was taken up again."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

#: What a saved param group says under this key: the schedule that drove it, in words, and the step that comes next.
_KEY = "schedule"
#: Where an optimizer has a weak reference to what drove it last.
_DRIVER = "_schedule_driver"


class Driver(LambdaLR):
    """Sets every param group's rate to its base rate times `factor(step)`, after each of its own steps and on loading.

    The optimizer's `state_dict` says which step is next, as the driver's own does, so that either will do to go on.
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float], name: str, step: int | None) -> None:
        saved = [group.pop(_KEY, None) for group in optimizer.param_groups]
        if step is None:
            step = saved[0][1] if saved and saved[0] is not None and saved[0][0] == name else 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", _copied(group["lr"]))
        self._factor = factor
        self._name = name
        self.optimizer = optimizer
        self._attach()
        super().__init__(optimizer, factor, last_epoch=step - 1)

    def step(self, epoch: int | None = None) -> None:
        """Count a step, and set the rates of the next one."""
        setattr(self.optimizer, _DRIVER, weakref.ref(self))
        super().step(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the count and the base rates; the schedule is not among them."""
        own = {key: value for key, value in super().state_dict().items() if key not in ("_factor", "_name")}
        # Of several that take turns, as in torch's SequentialLR, one drives.
        return copy.deepcopy({**own, "_drives": _driver_of(self.optimizer) is self})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave, and set the rates of the step that comes next.

        Raises ValueError unless it is such a state, of as many param groups as the optimizer has.
        """
        if not isinstance(state_dict, Mapping) or not {"last_epoch", "base_lrs"} <= state_dict.keys():
            found = ", ".join(map(repr, state_dict)) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            raise ValueError(
                f"state_dict must be what the scheduler's state_dict() returned, with 'last_epoch' and 'base_lrs'; got "
                f"{found or 'nothing'}"
            )
        groups = self.optimizer.param_groups
        if len(state_dict["base_lrs"]) != len(groups):
            raise ValueError(
                f"the state was saved with {len(state_dict['base_lrs'])} param groups, and the optimizer has "
                f"{len(groups)}; give it the same groups, by add_param_group, before loading"
            )
        self.last_epoch = int(state_dict["last_epoch"])
        self.base_lrs = copy.deepcopy(list(state_dict["base_lrs"]))
        self._step_count = state_dict.get("_step_count", self._step_count)
        for group, base in zip(groups, self.base_lrs, strict=True):
            group["initial_lr"] = _copied(base)
        if state_dict.get("_drives", True):
            setattr(self.optimizer, _DRIVER, weakref.ref(self))
            self._set_rates()

    def _set_rates(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            rate = base * self._factor(self.last_epoch)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._last_lr = [_copied(group["lr"]) for group in self.optimizer.param_groups]

    def _attach(self) -> None:
        """Have the optimizer tell when it is saved, loaded or given another group."""
        optimizer = self.optimizer
        fresh = not hasattr(optimizer, _DRIVER)
        setattr(optimizer, _DRIVER, weakref.ref(self))
        if fresh:
            optimizer.register_state_dict_post_hook(_saved)
            optimizer.register_load_state_dict_post_hook(_loaded)
            # On the instance, as torch's schedulers do with its step; neither goes along in a copy.
            optimizer.add_param_group = partial(_add_param_group, weakref.ref(optimizer))  # type: ignore[method-assign]

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._attach()

    def note(self, groups: list[dict[str, Any]]) -> None:
        """Write into saved param groups which step is next."""
        for group in groups:
            group[_KEY] = (self._name, self.last_epoch)

    def follow(self) -> None:
        """Go on from the param groups that the optimizer has loaded."""
        groups = self.optimizer.param_groups
        saved = [group.pop(_KEY, None) for group in groups]
        if saved and all(one is not None and one[0] == self._name for one in saved):
            self.last_epoch = int(saved[0][1])
        elif any("initial_lr" in group for group in groups):
            return  # rates that another scheduler has set
        self.base_lrs = [_copied(group.setdefault("initial_lr", _copied(group["lr"]))) for group in groups]
        self._set_rates()

    def join(self, group: dict[str, Any]) -> None:
        """Take a new param group in, at the rate of the step that comes next."""
        others = self.optimizer.param_groups[: len(self.base_lrs)]
        # torch gives every group the same tensor as a rate, and the other groups' is not what it was.
        alike = [base for other, base in zip(others, self.base_lrs, strict=True) if other["lr"] is group["lr"]]
        shared = alike and isinstance(group["lr"], Tensor)
        base = group.setdefault("initial_lr", _copied(alike[0] if shared else group["lr"]))
        group["lr"] = _copied(group["lr"])
        self.base_lrs.append(_copied(base))
        self.lr_lambdas.append(self._factor)
        self._set_rates()


def _driver_of(optimizer: Optimizer) -> Driver | None:
    driver: Driver | None = getattr(optimizer, _DRIVER)()
    return driver


def _saved(optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
    if (driver := _driver_of(optimizer)) is not None:
        driver.note(state_dict["param_groups"])


def _loaded(optimizer: Optimizer) -> None:
    if (driver := _driver_of(optimizer)) is not None:
        driver.follow()


def _add_param_group(reference: Callable[[], Optimizer | None], param_group: dict[str, Any]) -> None:
    optimizer = reference()
    assert optimizer is not None
    type(optimizer).add_param_group(optimizer, param_group)
    if (driver := _driver_of(optimizer)) is not None:
        driver.join(optimizer.param_groups[-1])


def _copied(rate: Any) -> Any:
    return rate.clone() if isinstance(rate, Tensor) else rate
