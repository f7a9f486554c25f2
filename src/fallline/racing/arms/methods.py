"""What can enter a race, a rule, a class or a function, and what it can be told, by one set of names for all."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fallline import rules
from fallline.optim.method_name import CLASSES, find_method
from fallline.rules import DEFAULT_ARMS
from fallline.symbolic import Rule
from fallline.training import is_text, needs_closure

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
    if rules.record_of(method) is not None or not isinstance(inside, Rule):
        return rules.name_of(method)
    return rules.name_of(rules.schedule_free(inside) if rules.keeps_average(method) else inside)


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
        return rules.keeps_average(method)
    kind = kind_of(method)
    return hasattr(kind, "train") and hasattr(kind, "eval")


def _default_betas(method: Callable[..., torch.optim.Optimizer]) -> tuple[Any, ...]:
    parameter = inspect.signature(method).parameters.get("betas")
    default = None if parameter is None else parameter.default
    return tuple(default) if isinstance(default, (tuple, list)) else ()


def check_name(arm: Any) -> None:
    """Raise ValueError for what is no name."""
    if not arm or not isinstance(arm, str):
        raise ValueError(f"an arm needs a name; got {said(arm)}")
    if not is_text(arm):
        raise ValueError(f"an arm needs a name that can be written down; {arm!r} holds a lone surrogate, half a letter")


def own_name(optimizer: Any) -> str:
    """What an arm is called that is given nothing but its optimizer: a function without a name after what it makes."""
    if isinstance(optimizer, Rule):
        known = next((name for name, rule in DEFAULT_ARMS.items() if rule is optimizer), None)
        return known or rules.name_of(optimizer)
    if isinstance(optimizer, str):
        return rules.plain_name(optimizer)
    if isinstance(optimizer, functools.partial):
        return own_name(optimizer.func)
    name = getattr(optimizer, "__name__", "")
    if not name.isidentifier() and inspect.isfunction(optimizer):
        return getattr(kind_of(optimizer), "__name__", name)
    return str(name)


def check_method(arm: str, given: Any) -> Method:
    """The rule, class or function of an arm; a class that is one rule and nothing else is that rule.

    Raises ValueError for an arm without a name, for a name that nothing has, and where a step needs a closure or a
    function has no learning rate; TypeError for what is none of these.
    """
    check_name(arm)
    if isinstance(given, str):
        try:
            given = find_method(rules.plain_name(given))
        except LookupError as error:
            raise ValueError(f"arm '{arm}': {error.args[0]}") from error
    if isinstance(given, Rule):
        return given
    kind = kind_of(given) if inspect.isfunction(given) else given
    if not inspect.isfunction(given) and not (isinstance(given, type) and issubclass(given, torch.optim.Optimizer)):
        raise TypeError(
            f"the optimizer of arm '{arm}' is {said(given)}; it must be a rule or its name, a torch.optim.Optimizer "
            "class, or a function such as lambda params, lr: torch.optim.Adam(params, lr=lr)"
        )
    if isinstance(kind, type) and not issubclass(kind, torch.optim.Optimizer):
        raise TypeError(
            f"arm '{arm}': the function returned {kind.__name__}; it must return a torch.optim.Optimizer, as "
            "lambda params, lr: torch.optim.Adam(params, lr=lr) does"
        )
    if kind is not None and needs_closure(kind):
        raise ValueError(
            f"arm '{arm}': {kind.__name__} needs a closure that evaluates the batch again, and a race takes plain "
            "steps; leave it out, and train with it by fallline.fit"
        )
    if inspect.isfunction(given) and not hyperparameters(given).keys() - {"weight_decay"}:
        raise ValueError(
            f"arm '{arm}': the function has nothing that a race could search; give it a learning rate, as in "
            "lambda params, lr: torch.optim.Adam(params, lr=lr), which fixed={'lr': value} fixes, or train with it by "
            "fallline.fit"
        )
    followed: Method = vars(given).get("follows", given) if isinstance(given, type) else given
    return followed


def said(thing: Any) -> str:
    """A thing as a sentence can name it, whatever its `repr` does."""
    try:
        return f"{thing!r} of type {type(thing).__name__}"
    except Exception:
        return f"of type {type(thing).__name__}"


def all_names() -> list[str]:
    """The names of everything here that can be raced: the default arms first, then rules, then classes.

    >>> all_names()[:3], "newton" in all_names()
    (['sgd', 'momentum', 'nesterov'], False)
    """
    rest = [name for name, rule in rules.ALL.items() if rule not in DEFAULT_ARMS.values()]
    return [*DEFAULT_ARMS, *rest, *(name for name, kind in CLASSES.items() if not needs_closure(kind))]
