"""Adagrad, as torch.optim.Adagrad."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch

from fallline import rules
from fallline.optim.common_options import with_common_options
from fallline.optim.engine import Engine
from fallline.optim.recipe import Recipe, number
from fallline.optim.session import Group


class Adagrad(Engine, torch.optim.Adagrad):
    """Drop-in for torch.optim.Adagrad: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = Adagrad([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); p.tolist()
    [0.5, 0.5, 0.5]
    """

    if not TYPE_CHECKING:  # to a reader of types the constructor is torch's

        @functools.wraps(torch.optim.Adagrad.__init__)
        def __init__(self, *arguments: Any, **named: Any) -> None:
            with torch.device("cpu"):  # where torch's constructor puts step counts, whatever the default device
                super().__init__(*arguments, **named)

    def _moves_sparse(self, group: Group) -> bool:
        return True

    def _recipe(self, group: Group) -> Recipe:
        values = {name: number(group[name]) for name in ("lr", "lr_decay", "eps")}
        rule = with_common_options(rules.adagrad, values, group)
        initial = {"s": float(self.defaults["initial_accumulator_value"])}
        return Recipe(rule, values, {"s": "sum"}, counts_steps=True, initial=initial)
