"""The drop-ins for torch's element-wise classes, from SGD to RAdam: each says which rule a group follows."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fallline import rules
from fallline.optim.engine import Engine, check_interval
from fallline.optim.hyperparameters import Recipe, number
from fallline.optim.session import Group
from fallline.symbolic import Rule


def with_common_options(rule: Rule, values: dict[str, Any], group: Group) -> Rule:
    """The rule with decay, L2 or decoupled, and maximised, as the group says; `values` gets what that takes."""
    if group["weight_decay"] != 0:
        rule = (rules.decoupled_decay if group.get("decoupled_weight_decay") else rules.l2)(rule)
        values["weight_decay"] = number(group["weight_decay"])
    return rules.maximize(rule) if group["maximize"] else rule


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
