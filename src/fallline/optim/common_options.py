"""The options that nearly all of torch's classes share: weight decay, and climbing instead of descending."""

from __future__ import annotations

from typing import Any

from fallline import rules
from fallline.optim.recipe import number
from fallline.optim.session import Group
from fallline.symbolic import Rule


def with_common_options(rule: Rule, values: dict[str, Any], group: Group) -> Rule:
    """The rule with decay, L2 or decoupled, and maximised, as the group says; `values` gets what that takes."""
    if group["weight_decay"] != 0:
        rule = (rules.decoupled_decay if group.get("decoupled_weight_decay") else rules.l2)(rule)
        values["weight_decay"] = number(group["weight_decay"])
    return rules.maximize(rule) if group["maximize"] else rule
