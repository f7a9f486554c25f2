"""Adamax, as torch.optim.Adamax."""

from __future__ import annotations

import torch

from fallline import rules
from fallline.optim.common_options import with_common_options
from fallline.optim.engine import Engine
from fallline.optim.recipe import Recipe, number
from fallline.optim.session import Group


class Adamax(Engine, torch.optim.Adamax):
    """Drop-in for torch.optim.Adamax: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = Adamax([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); [round(x, 6) for x in p.tolist()]
    [0.5, 0.5, 0.5]
    """

    def _recipe(self, group: Group) -> Recipe:
        beta1, beta2 = map(number, group["betas"])
        values = {"lr": number(group["lr"]), "beta1": beta1, "beta2": beta2, "eps": number(group["eps"])}
        rule = with_common_options(rules.adamax, values, group)
        return Recipe(rule, values, {"m": "exp_avg", "u": "exp_inf"}, counts_steps=True)
