"""What a rule or an optimizer class can be told, by one set of names for both."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fallline import rules
from fallline.optim.schedule_free import keeps_average
from fallline.symbolic import Rule

#: What an arm can be: a rule, a class of torch optimizers, or a function of the parameters that makes one.
Method = Rule | Callable[..., torch.optim.Optimizer]
_BETAS = ("beta1", "beta2", "beta3")
#: Combinators that keep something of the weights they go through, which must see the decay.
_KEEPING = (rules.schedule_free, rules.averaged)


def label(method: Method) -> str:
    """What the method is called in the tables: a composed rule by a name of its own, or by the rule inside.

    >>> label(rules.adamw), label(rules.l2(rules.momentum)), label(torch.optim.Adam)
    ('adamw', 'momentum', 'Adam')
    """
    if not isinstance(method, Rule):
        return getattr(kind_of(method) or method, "__name__", "")
    inside = method.parts[-1][0]
    if rules.name_of(method) in rules.ALL or not isinstance(inside, Rule):
        return rules.name_of(method)
    return rules.name_of(rules.schedule_free(inside) if keeps_average(method) else inside)


@functools.lru_cache(maxsize=512)
def kind_of(method: Callable[..., torch.optim.Optimizer]) -> type | None:
    """The class of the optimizers that a class or a function makes; None where a function does not take two weights.

    >>> kind_of(lambda params, lr: torch.optim.Adam(params, lr=lr)).__name__
    'Adam'
    """
    if isinstance(method, type):
        return method
    weights = [torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(2))]
    try:
        return type(method(weights, **({"lr": 1e-3} if "lr" in inspect.signature(method).parameters else {})))
    except Exception:  # it may want the parameters of its own network; the race tries it on those
        return None


def hyperparameters(method: Method) -> dict[str, Any]:
    """Names with their defaults; None where a value must be given, Ellipsis where a class's own default is None.

    The parts of a class's `betas` go by the names that rules have for them.

    >>> hyperparameters(rules.momentum)
    {'lr': 0.001, 'momentum': 0.9}
    >>> hyperparameters(torch.optim.Adam)["beta2"]
    0.999
    """
    if isinstance(method, Rule):
        return dict(method.hyperparameters)
    known: dict[str, Any] = {}
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = parameter.default
        known[parameter.name] = None if default is parameter.empty else ... if default is None else default
    return {**known, **dict(zip(_BETAS, _default_betas(method), strict=False))}


def arguments(method: Method, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the rule or the constructor takes them: a class gets its `betas` together.

    >>> arguments(torch.optim.Adam, {"lr": 0.1, "beta1": 0.5})
    {'lr': 0.1, 'betas': (0.5, 0.999)}
    """
    if isinstance(method, Rule) or not values.keys() & set(_BETAS):
        return dict(values)
    betas = values.get("betas", _default_betas(method))
    together = tuple(values.get(name, beta) for name, beta in zip(_BETAS, betas, strict=False))
    return {**{name: value for name, value in values.items() if name not in _BETAS}, "betas": together}


def can_decay(method: Method) -> bool:
    """Whether weight decay can be had: the method has it, or is a rule beside whose step the weights can shrink."""
    return "weight_decay" in hyperparameters(method) or (isinstance(method, Rule) and "lr" in method.hyperparameters)


def with_decay(method: Method) -> Method:
    """The method with a hyperparameter `weight_decay`: its own, or decoupled decay (Loshchilov and Hutter, 2019).

    Where the weights are averaged the decay goes inside, as the average must see it.

    >>> with_decay(rules.schedule_free_sgd)
    <rule schedule_free(decoupled_decay(gradient_descent))>
    """
    if not isinstance(method, Rule) or "weight_decay" in method.hyperparameters:
        return method
    parts: list[Any] = [part for part, _ in method.parts]
    *combinators, made = parts
    place = max((i for i, part in enumerate(combinators) if part in _KEEPING), default=None)
    if place is None:
        return rules.decoupled_decay(method)
    for i, combine in reversed(list(enumerate(combinators))):
        made = combine(rules.decoupled_decay(made) if i == place else made)
    return made  # type: ignore[no-any-return]


def averages(method: Method) -> bool:
    """Whether the weights to evaluate are an average beside those that train: Schedule-Free rules and classes."""
    if isinstance(method, Rule):
        return keeps_average(method)
    kind = kind_of(method)
    return hasattr(kind, "train") and hasattr(kind, "eval")


def _default_betas(method: Callable[..., torch.optim.Optimizer]) -> tuple[Any, ...]:
    parameter = inspect.signature(method).parameters.get("betas")
    default = None if parameter is None else parameter.default
    return tuple(default) if isinstance(default, (tuple, list)) else ()
