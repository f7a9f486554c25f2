"""Adadelta, as torch.optim.Adadelta."""

from __future__ import annotations

import torch

from fallline import rules
from fallline.optim.common_options import with_common_options
from fallline.optim.engine import Engine
from fallline.optim.recipe import Recipe, number
from fallline.optim.session import Group


class Adadelta(Engine, torch.optim.Adadelta):
    """Drop-in for torch.optim.Adadelta: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = Adadelta([p], rho=0.0, eps=1.0)
    >>> (p.sum() * 3**0.5).backward(); optimizer.step(); [round(1 - x, 6) for x in p.tolist()]
    [0.866025, 0.866025, 0.866025]
    """

    def _recipe(self, group: Group) -> Recipe:
        values = {name: number(group[name]) for name in ("lr", "rho", "eps")}
        rule = with_common_options(rules.adadelta, values, group)
        return Recipe(rule, values, {"v": "square_avg", "u": "acc_delta"}, counts_steps=True)
