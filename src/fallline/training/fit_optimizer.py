"""Which model `fallline.fit` trains, and by which optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from fallline.optim.generic import Optimizer
from fallline.optim.schedule_free import ScheduleFree, keeps_average
from fallline.symbolic import Rule
from fallline.training.method_name import find_method
from fallline.training.modules import trainable

#: What `fit` takes for an optimizer: a rule, a class, either's name, a function of the parameters, or one that is made.
Descent = Rule | str | torch.optim.Optimizer | Callable[..., torch.optim.Optimizer]


def as_optimizer(
    optimizer: Descent, model: nn.Module, hyperparameters: Mapping[str, Any], model_was_given: bool
) -> torch.optim.Optimizer:
    """The optimizer of the model's trainable parameters.

    Raises TypeError for what makes no optimizer and for hyperparameters that nobody would read, ValueError for an
    optimizer whose parameters are not the model's or whose average nobody could evaluate, LookupError for a name that
    there is no rule or class of.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        _check_free(hyperparameters, "it is made already; set them where it is made")
        _check_parameters(optimizer, model, model_was_given)
        _check_average(optimizer)
        return optimizer
    if isinstance(optimizer, str):
        optimizer = find_method(optimizer)
    if isinstance(optimizer, Rule):
        kind = ScheduleFree if keeps_average(optimizer) else Optimizer
        return kind(trainable(model), optimizer, **hyperparameters)
    if not callable(optimizer):
        raise TypeError(
            f"optimizer: got {type(optimizer).__name__}; give a rule or its name, a torch optimizer class, a function "
            "that takes the parameters and returns an optimizer, or an optimizer together with its model."
        )
    if not isinstance(optimizer, type):
        _check_free(hyperparameters, "a function sets its own; set them inside it")
    made = optimizer(trainable(model), **hyperparameters)
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer: the function returned {type(made).__name__}; it must return a torch.optim.Optimizer, as "
            "lambda params: fallline.optim.Adam(params, lr=1e-3) does."
        )
    _check_average(made)
    return made


def _check_free(hyperparameters: Mapping[str, Any], why: str) -> None:
    if hyperparameters:
        raise TypeError(f"optimizer: fit was given {', '.join(hyperparameters)} for it, but {why}.")


def _check_average(optimizer: torch.optim.Optimizer) -> None:
    """Refuse a Schedule-Free rule in an optimizer that can't put its average into the weights."""
    if isinstance(optimizer, ScheduleFree):
        return
    of_group = (group.get("rule") for group in optimizer.param_groups)
    rule = next((rule for rule in of_group if isinstance(rule, Rule) and keeps_average(rule)), None)
    if rule is not None:
        raise ValueError(
            f"optimizer: it follows '{rule.name}', whose average is what is to be evaluated, and can't put that into "
            "the weights; give fit the rule itself, or make a fallline.optim.schedule_free.ScheduleFree of it."
        )


def _check_parameters(optimizer: torch.optim.Optimizer, model: nn.Module, model_was_given: bool) -> None:
    if not model_was_given:
        raise ValueError(
            "model: the optimizer holds the parameters of a model that fit does not know; give that model too, as "
            "fit(problem, optimizer, model=model), or give the optimizer's class or a rule."
        )
    known = {id(parameter) for parameter in model.parameters()}
    strange = sum(id(p) not in known for group in optimizer.param_groups for p in group["params"])
    if strange:
        raise ValueError(
            f"optimizer: {strange} of its parameters are not the model's; make it from this model's parameters() and "
            "after the model was moved or wrapped."
        )
