"""RMSprop, plain or centred, with or without momentum, as torch.optim.RMSprop."""

from __future__ import annotations

import torch

from fallline import rules
from fallline.optim.common_options import with_common_options
from fallline.optim.engine import Engine, check_interval
from fallline.optim.recipe import Recipe, number
from fallline.optim.session import Group


class RMSprop(Engine, torch.optim.RMSprop):
    """Drop-in for torch.optim.RMSprop: the same arguments, groups, states and checkpoints; one launch a step.

    Raises ValueError for an alpha over 1 too, which torch accepts and which gives NaN after a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = RMSprop([p], lr=0.5, alpha=0.0)
    >>> p.sum().backward(); optimizer.step(); p.tolist()
    [0.5, 0.5, 0.5]
    """

    def add_param_group(self, param_group: Group) -> None:
        """Add a param group, as torch's optimizers do."""
        if isinstance(param_group, dict):
            check_interval("alpha", param_group.get("alpha", self.defaults["alpha"]), 0.0, 1.0 + 1e-12)
        super().add_param_group(param_group)

    def _check_values(self, group: Group, recipe: Recipe) -> None:
        check_interval("momentum", group["momentum"], 0.0, float("inf"))  # below 0 no formula would see it
        super()._check_values(group, recipe)

    def _recipe(self, group: Group) -> Recipe:
        values = {name: number(group[name]) for name in ("lr", "alpha", "eps")}
        rule = rules.centered_rmsprop if group["centered"] else rules.rmsprop
        if group["momentum"] > 0:
            rule = rules.heavy_ball(rule)
            values["momentum"] = number(group["momentum"])
        rule = with_common_options(rule, values, group)
        keys = {"v": "square_avg", "g_bar": "grad_avg", "b": "momentum_buffer"}
        return Recipe(rule, values, keys, counts_steps=True)
