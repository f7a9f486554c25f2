"""NAdam, as torch.optim.NAdam."""

from __future__ import annotations

import torch

from fallline import rules
from fallline.optim.common_options import with_common_options
from fallline.optim.engine import Engine
from fallline.optim.recipe import Recipe, number
from fallline.optim.session import Group


class NAdam(Engine, torch.optim.NAdam):
    """Drop-in for torch.optim.NAdam: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = NAdam([p], lr=0.5, momentum_decay=0.0)
    >>> p.sum().backward(); optimizer.step(); [round(x, 4) for x in p.tolist()]
    [0.4718, 0.4718, 0.4718]
    """

    def _recipe(self, group: Group) -> Recipe:
        beta1, beta2 = map(number, group["betas"])
        values = {name: number(group[name]) for name in ("lr", "eps", "momentum_decay")}
        values |= {"beta1": beta1, "beta2": beta2}
        rule = with_common_options(rules.nadam, values, group)
        keys = {"m": "exp_avg", "v": "exp_avg_sq", "mu_product": "mu_product"}
        return Recipe(rule, values, keys, counts_steps=True)
