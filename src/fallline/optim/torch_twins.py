"""The drop-ins for torch's element-wise classes, from SGD to RAdam: each says which rule a param group follows."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from fallline import rules
from fallline.optim.documented import documented
from fallline.optim.engine import Engine, check_interval
from fallline.optim.hyperparameters import Recipe, read
from fallline.optim.session import Group, Session
from fallline.optim.torch_step import TorchStep
from fallline.symbolic import Rule


class _Twin(Engine):
    """A class of torch's: its formula, with decay, L2 or decoupled, and maximised, as the group says."""

    #: The formula, where it is the same for all groups.
    _rule: ClassVar[Rule]
    #: The names that torch gives the states.
    _keys: ClassVar[Mapping[str, str]]
    _counts_steps: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        documented()(cls)

    def _formula(self, group: Group) -> Rule:
        return self._rule

    def _recipe(self, group: Group) -> Recipe:
        rule = self._formula(group)
        if group["weight_decay"] != 0:
            rule = (rules.decoupled_decay if group.get("decoupled_weight_decay") else rules.l2)(rule)
        rule = rules.maximize(rule) if group["maximize"] else rule
        return Recipe(rule, read(rule, group), self._keys, self._counts_steps)

    def _prepare(self) -> Session | TorchStep:
        if not TorchStep.suits(self.param_groups):
            return super()._prepare()
        step = self._session = TorchStep(self, lambda group: self._check_values(group, self._recipe(group)))
        return step


class SGD(_Twin, torch.optim.SGD):
    """Drop-in for torch.optim.SGD: the same arguments, groups, states and checkpoints; one launch a step.

    Raises:
        ValueError: What torch refuses; and, at a step too, a number that is not finite or below 0.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = SGD([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); p.tolist()
    [0.5, 0.5, 0.5]
    """

    _follows = ("momentum", "dampening", "nesterov", "fused")
    _keys: ClassVar = {"b": "momentum_buffer"}
    _counts_steps = False

    def _moves_sparse(self, group: Group) -> bool:
        return True

    def _check_values(self, group: Group, recipe: Recipe) -> None:
        if group["nesterov"] and group["momentum"] != 0 and group["dampening"] != 0:
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super()._check_values(group, recipe)

    def _formula(self, group: Group) -> Rule:
        if group["momentum"] == 0:
            return rules.gradient_descent
        if group["nesterov"]:
            return rules.nesterov
        return rules.dampened_momentum if group["dampening"] != 0 else rules.momentum


class Adagrad(_Twin, torch.optim.Adagrad):
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

    _follows = ("lr_decay", "eps", "initial_accumulator_value", "fused")
    _rule = rules.adagrad
    _keys: ClassVar = {"s": "sum"}

    def _moves_sparse(self, group: Group) -> bool:
        return True

    def _recipe(self, group: Group) -> Recipe:
        return replace(super()._recipe(group), initial={"s": float(self.defaults["initial_accumulator_value"])})


class Adadelta(_Twin, torch.optim.Adadelta):
    """Drop-in for torch.optim.Adadelta: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = Adadelta([p], rho=0.0, eps=1.0)
    >>> (p.sum() * 3**0.5).backward(); optimizer.step(); [round(1 - x, 6) for x in p.tolist()]
    [0.866025, 0.866025, 0.866025]
    """

    _follows = ("rho", "eps")
    _rule = rules.adadelta
    _keys: ClassVar = {"v": "square_avg", "u": "acc_delta"}


class RMSprop(_Twin, torch.optim.RMSprop):
    """Drop-in for torch.optim.RMSprop: the same arguments, groups, states and checkpoints; one launch a step.

    Raises:
        ValueError: What torch refuses; and an alpha over 1, which torch accepts and which gives NaN after a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = RMSprop([p], lr=0.5, alpha=0.0)
    >>> p.sum().backward(); optimizer.step(); p.tolist()
    [0.5, 0.5, 0.5]
    """

    _follows = ("alpha", "eps", "momentum", "centered")
    _keys: ClassVar = {"v": "square_avg", "g_bar": "grad_avg", "b": "momentum_buffer"}

    def add_param_group(self, param_group: Group) -> None:
        """Add a param group, as torch's optimizers do."""
        if isinstance(param_group, dict):
            check_interval("alpha", param_group.get("alpha", self.defaults["alpha"]), 0.0, 1.0 + 1e-12)
        super().add_param_group(param_group)

    def _check_values(self, group: Group, recipe: Recipe) -> None:
        check_interval("momentum", group["momentum"], 0.0, float("inf"))  # below 0 no formula would see it
        super()._check_values(group, recipe)

    def _formula(self, group: Group) -> Rule:
        rule = rules.centered_rmsprop if group["centered"] else rules.rmsprop
        return rules.heavy_ball(rule) if group["momentum"] > 0 else rule


class Adam(_Twin, torch.optim.Adam):
    """Drop-in for torch.optim.Adam: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = Adam([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); [round(x, 6) for x in p.tolist()]
    [0.5, 0.5, 0.5]
    """

    _follows = ("betas", "eps", "amsgrad", "fused", "decoupled_weight_decay")
    _keys: ClassVar = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}

    def _formula(self, group: Group) -> Rule:
        return rules.amsgrad if group["amsgrad"] else rules.adam

    def _check(self, p: Tensor) -> None:
        if p.grad is not None and p.grad.is_sparse:
            raise RuntimeError("Adam does not support sparse gradients, please consider SparseAdam instead")
        super()._check(p)


class AdamW(Adam, torch.optim.AdamW):
    """Drop-in for torch.optim.AdamW: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = AdamW([p], lr=0.5, weight_decay=0.0)
    >>> p.sum().backward(); optimizer.step(); [round(x, 6) for x in p.tolist()]
    [0.5, 0.5, 0.5]
    """


class Adamax(_Twin, torch.optim.Adamax):
    """Drop-in for torch.optim.Adamax: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = Adamax([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); [round(x, 6) for x in p.tolist()]
    [0.5, 0.5, 0.5]
    """

    _follows = ("betas", "eps")
    _rule = rules.adamax
    _keys: ClassVar = {"m": "exp_avg", "u": "exp_inf"}


class NAdam(_Twin, torch.optim.NAdam):
    """Drop-in for torch.optim.NAdam: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = NAdam([p], lr=0.5, momentum_decay=0.0)
    >>> p.sum().backward(); optimizer.step(); [round(x, 4) for x in p.tolist()]
    [0.4718, 0.4718, 0.4718]
    """

    _follows = ("betas", "eps", "momentum_decay", "decoupled_weight_decay")
    _rule = rules.nadam
    _keys: ClassVar = {"m": "exp_avg", "v": "exp_avg_sq", "mu_product": "mu_product"}


class RAdam(_Twin, torch.optim.RAdam):
    """Drop-in for torch.optim.RAdam: the same arguments, groups, states and checkpoints; one launch a step.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = RAdam([p], lr=0.5)
    >>> p.sum().backward(); optimizer.step(); [round(x, 6) for x in p.tolist()]
    [0.5, 0.5, 0.5]
    """

    _follows = ("betas", "eps", "decoupled_weight_decay")
    _rule = rules.radam
    _keys: ClassVar = {"m": "exp_avg", "v": "exp_avg_sq"}
