"""Adam and AdamW, with or without AMSGrad, as torch.optim.Adam and AdamW."""

from __future__ import annotations

import torch
from torch import Tensor

from fallline import rules
from fallline.optim.common_options import with_common_options
from fallline.optim.engine import Engine
from fallline.optim.recipe import Recipe, number
from fallline.optim.session import Group


class _AdamEngine(Engine):
    def _recipe(self, group: Group) -> Recipe:
        beta1, beta2 = group["betas"]
        values = {
            "lr": number(group["lr"]), "beta1": number(beta1), "beta2": number(beta2), "eps": number(group["eps"]),
        }  # fmt: skip
        rule = rules.amsgrad if group["amsgrad"] else rules.adam
        rule = with_common_options(rule, values, group)
        keys = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}
        return Recipe(rule, values, keys, counts_steps=True)

    def _check(self, p: Tensor) -> None:
        if p.grad is not None and p.grad.is_sparse:
            raise RuntimeError("Adam does not support sparse gradients, please consider SparseAdam instead")
        super()._check(p)


class Adam(_AdamEngine, torch.optim.Adam):
    """Drop-in for torch.optim.Adam: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = Adam([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); [round(x, 6) for x in p.tolist()]
    [0.5, 0.5, 0.5]
    """


class AdamW(Adam, torch.optim.AdamW):
    """Drop-in for torch.optim.AdamW: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = AdamW([p], lr=0.5, weight_decay=0.0)
    >>> p.sum().backward(); optimizer.step(); [round(x, 6) for x in p.tolist()]
    [0.5, 0.5, 0.5]
    """
