"""Adagrad, as torch.optim.Adagrad."""

from __future__ import annotations

import torch

from fallline import rules
from fallline.optim.common_options import with_common_options
from fallline.optim.engine import Engine, number
from fallline.optim.recipe import Recipe
from fallline.optim.session import Group


class Adagrad(Engine, torch.optim.Adagrad):
    """Drop-in for torch.optim.Adagrad: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = Adagrad([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); p.tolist()
    [0.5, 0.5, 0.5]
    """

    def _moves_sparse(self, group: Group) -> bool:
        return True

    def _recipe(self, group: Group) -> Recipe:
        values = {name: number(group[name]) for name in ("lr", "lr_decay", "eps")}
        rule = with_common_options(rules.adagrad, values, group)
        initial = {"s": float(self.defaults["initial_accumulator_value"])}
        return Recipe(rule, values, {"s": "sum"}, counts_steps=True, initial=initial)
