"""One's own setting as a person types it: an arm of which nothing is searched, in a line of text."""

from __future__ import annotations

import math
from typing import Any

import torch

from fallline import rules
from fallline.optim.method_name import find_method
from fallline.racing.arms.arm import Arm
from fallline.racing.arms.methods import Method, hyperparameters
from fallline.symbolic import Rule

_EXAMPLE = "as in mine=adam,lr=3e-4,weight_decay=0.01"


def is_setting(text: str) -> bool:
    """Whether a text is more than the name of an arm.

    >>> is_setting("adam"), is_setting("adam,lr=3e-4"), is_setting("mine=adam")
    (False, True, True)
    """
    return "=" in text


def setting_name(text: str) -> str:
    """The name of its own that a setting has; none where it has none.

    >>> setting_name("mine=adam,lr=3e-4"), setting_name("adam,lr=3e-4")
    ('mine', '')
    """
    own, equals, _ = text.partition(",")[0].partition("=")
    return own.strip() if equals else ""


def typed_arm(text: str) -> Arm:
    """The arm of a text `name=method,setting=value,...`, of which nothing is searched.

    The method is a rule, in small letters or capitals, or a class as torch spells it, which then has its own settings;
    without a name of its own the arm is called after it. What is not given is as published, the learning rate too.
    Raises ValueError, in a sentence, for what can't be read and for what the method does not have.

    >>> arm = typed_arm("mine=adam,lr=3e-4")
    >>> arm.name, arm.method, arm.fixed, arm.searched
    ('mine', <rule adam>, {'lr': 0.0003}, False)
    """
    head, *parts = (part.strip() for part in text.split(","))
    own = setting_name(text)
    typed = head.partition("=")[2].strip() if own else head
    name = own or typed
    method = _method(name, typed)
    known = hyperparameters(method)
    given: dict[str, Any] = {}
    for part in parts:
        setting, equals, value = (one.strip() for one in part.partition("="))
        if setting == "betas":
            raise ValueError(f"arm '{name}': give the parts of 'betas' by their names, as in beta1=0.9,beta2=0.99")
        if not (setting and equals):
            raise ValueError(f"arm '{name}': '{part}' is no setting; give each a value, {_EXAMPLE}")
        if setting in given:
            raise ValueError(f"arm '{name}' has '{setting}' twice; give it once")
        given[setting] = value if setting == "schedule" else _value(name, setting, value, known.get(setting))
    if not isinstance(rate := known.get("lr"), (int, float)) and "lr" not in given:
        raise ValueError(f"arm '{name}': {typed} has no published learning rate; give one, {_EXAMPLE}")
    _check_of_torch(name, method, given)
    return Arm(name, method, fixed={"lr": rate, **given})


def _method(name: str, typed: str) -> Method:
    kind = getattr(torch.optim, typed, None)
    if isinstance(kind, type):
        return kind
    try:
        return find_method(typed)
    except LookupError as error:
        raise ValueError(f"arm '{name}': {error.args[0]}") from error


def _value(name: str, setting: str, text: str, default: Any) -> Any:
    """The number or the truth value of a text; a whole number where the setting counts something."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"arm '{name}': '{setting}' must be a finite number; got '{text}'")
    counts = setting == "batch" or type(default) is int
    return int(value) if counts and value.is_integer() else value


def _check_of_torch(name: str, method: Method, given: dict[str, Any]) -> None:
    """Raise ValueError where a rule lacks a setting that the class of torch has: its momentum, say."""
    record = rules.record_of(method) if isinstance(method, Rule) else None
    if record is None or record.twin is None:
        return
    theirs = hyperparameters(getattr(torch.optim, record.twin.name))
    for setting in given.keys() & theirs.keys() - {"weight_decay"}:
        if setting not in hyperparameters(method):
            raise ValueError(
                f"arm '{name}': the rule {record.name} has no '{setting}', but torch's class has: write "
                f"{record.twin.name} for it"
            )
