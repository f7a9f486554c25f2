"""The step of torch's own class, which a drop-in takes where there are no kernels of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from fallline.optim import layout
from fallline.optim.session import Options
from fallline.optim.states import StateOf


class TorchStep:
    """Holds, as a session does, from one step to the next: while all that moves lies where no kernel of ours runs.

    States are torch's own, which go on here and there alike.

    Args:
        optimizer: Of a class that is one of torch's too.
        check: Raises ValueError for a group's hyperparameters that are refused here and not by torch; it is asked when
            they have changed. What a tensor holds is torch's to look at, as it may lie on a device.
    """

    has_eager = differentiable = False

    def __init__(self, optimizer: torch.optim.Optimizer, check: Callable[[dict[str, Any]], None]) -> None:
        own: Any = next(base for base in type(optimizer).__mro__ if base.__module__.startswith("torch.optim."))
        step = own.step
        # Hooks and the profiler have been at work already; of autograd torch's step takes care.
        self._step = step.__wrapped__ if getattr(step, "hooked", False) else step
        self._optimizer, self._check = optimizer, check
        self._options: list[Options | None] = [None] * len(optimizer.param_groups)

    @staticmethod
    def suits(groups: list[dict[str, Any]]) -> bool:
        """Whether anything moves, and all of it lies where no kernel of ours runs.

        Args:
            groups: The param groups.
        """
        moving = [p for group in groups for p in group["params"] if p.grad is not None]
        return bool(moving) and all(p.device.type not in layout.DEVICES for p in moving)

    def ready(self, groups: list[dict[str, Any]], state: Mapping[Tensor, StateOf]) -> bool:
        """Whether the next step is torch's as well."""
        return self.suits(groups)

    def run(self) -> None:
        """Take the step."""
        for i, group in enumerate(self._optimizer.param_groups):
            known = self._options[i]
            if known is None or not known.same(group):
                self._options[i] = read = Options(group)
                if not read.may_change:
                    self._check(group)
        self._step(self._optimizer)
