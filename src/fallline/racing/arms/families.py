"""Which arms are of one family: variants of Adam, of momentum, of AdaGrad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fallline import optim, rules
from fallline.racing.arms.methods import Method, label
from fallline.symbolic import Rule


def family_of(method: Method, settings: Mapping[str, Any]) -> str | None:
    """The family of a rule, or of a class of torch's or Fallline's; None where it has none, and for anything else.

    torch's SGD is of momentum's if the settings hold any.

    >>> family_of(rules.l2(rules.nadam), {}), family_of(torch.optim.SGD, {"momentum": 0.9})
    ('Adam', 'momentum')
    """
    name = label(method)
    if not isinstance(method, Rule) and method not in (getattr(torch.optim, name, None), getattr(optim, name, None)):
        return None
    record = rules.record_of("momentum" if name == "SGD" and settings.get("momentum", 0) != 0 else name)
    return None if record is None else record.family
