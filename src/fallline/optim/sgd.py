"""SGD, with momentum, dampening and Nesterov's form, as torch.optim.SGD."""

from __future__ import annotations

import torch

from fallline import rules
from fallline.optim.common_options import with_common_options
from fallline.optim.engine import Engine
from fallline.optim.recipe import Recipe, number
from fallline.optim.session import Group


class SGD(Engine, torch.optim.SGD):
    """Drop-in for torch.optim.SGD: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = SGD([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); p.tolist()
    [0.5, 0.5, 0.5]
    """

    def _moves_sparse(self, group: Group) -> bool:
        return True

    def _check_values(self, group: Group, recipe: Recipe) -> None:
        if group["nesterov"] and group["momentum"] != 0 and group["dampening"] != 0:
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super()._check_values(group, recipe)

    def _recipe(self, group: Group) -> Recipe:
        values = {"lr": number(group["lr"])}
        rule = rules.gradient_descent
        if group["momentum"] != 0:
            values["momentum"] = number(group["momentum"])
            if group["nesterov"]:
                rule = rules.nesterov
            elif group["dampening"] != 0:
                rule = rules.dampened_momentum
                values["dampening"] = number(group["dampening"])
            else:
                rule = rules.momentum
        rule = with_common_options(rule, values, group)
        return Recipe(rule, values, {"b": "momentum_buffer"}, counts_steps=False)
