"""RAdam, as torch.optim.RAdam."""

from __future__ import annotations

import torch

from fallline import rules
from fallline.optim.common_options import with_common_options
from fallline.optim.engine import Engine
from fallline.optim.recipe import Recipe, number
from fallline.optim.session import Group


class RAdam(Engine, torch.optim.RAdam):
    """Drop-in for torch.optim.RAdam: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = RAdam([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); [round(x, 6) for x in p.tolist()]
    [0.5, 0.5, 0.5]
    """

    def _recipe(self, group: Group) -> Recipe:
        beta1, beta2 = map(number, group["betas"])
        values = {"lr": number(group["lr"]), "beta1": beta1, "beta2": beta2, "eps": number(group["eps"])}
        rule = with_common_options(rules.radam, values, group)
        return Recipe(rule, values, {"m": "exp_avg", "v": "exp_avg_sq"}, counts_steps=True)
