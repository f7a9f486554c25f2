"""Which model `fallline.fit` trains, and by which optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from fallline import rules
from fallline.optim.generic import Optimizer
from fallline.symbolic import Rule
from fallline.training.modules import trainable

#: What `fit` takes for an optimizer: a rule or its name, a class, a function of the parameters, or one that is made.
Descent = Rule | str | torch.optim.Optimizer | Callable[..., torch.optim.Optimizer]


def as_optimizer(
    optimizer: Descent, model: nn.Module, hyperparameters: Mapping[str, Any], model_was_given: bool
) -> torch.optim.Optimizer:
    """The optimizer of the model's trainable parameters.

    Raises TypeError for what makes no optimizer and for hyperparameters that nobody would read, ValueError for an
    optimizer whose parameters are not the model's, LookupError for a rule's name that there is none of.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        _check_free(hyperparameters, "it is made already; set them where it is made")
        _check_parameters(optimizer, model, model_was_given)
        return optimizer
    if isinstance(optimizer, str):
        optimizer = rules.find(optimizer.strip().lower().replace("-", "_"))
    if isinstance(optimizer, Rule):
        return Optimizer(trainable(model), optimizer, **hyperparameters)
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
    return made


def _check_free(hyperparameters: Mapping[str, Any], why: str) -> None:
    if hyperparameters:
        raise TypeError(f"optimizer: fit was given {', '.join(hyperparameters)} for it, but {why}.")


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
