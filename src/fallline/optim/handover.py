"""Switching from one rule to another in mid-training: which states go on, and which begin anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fallline.optim.states import StateOf
from fallline.symbolic import Rule

#: A momentum buffer that sums gradients, `b`, is the average `m` of gradients times 1 / (1 - its decay factor).
_SUM, _AVERAGE = "b", "m"


def hand_over(
    state: StateOf, old: Rule, old_values: Mapping[str, Any], new: Rule, new_values: Mapping[str, Any]
) -> StateOf:
    """The state of one parameter with which the new rule goes on.

    - A state of the same name and kind goes on as it is: the second moment `v` of Adam in RMSprop, say.
    - The average of gradients `m` and their sum `b` go over into each other: b = m / (1 - β).
    - What else the new rule keeps begins anew.
    - A rule that corrects the bias of its averages (one that uses t) needs all of them to be of one age: if any begins
      anew, all do, and the step count with them. Else the count goes on.
    """
    names = {spec.name: spec.kind for spec in old.states}
    kept: StateOf = {}
    for spec in new.states:
        if names.get(spec.name) == spec.kind:
            kept[spec.name] = state[spec.name]
        elif spec.name == _SUM and _AVERAGE in names and "beta1" in old_values:
            kept[_SUM] = state[_AVERAGE] / (1 - float(old_values["beta1"]))
        elif spec.name == _AVERAGE and _SUM in names and "beta1" in new_values:
            kept[_AVERAGE] = state[_SUM] * (1 - float(new_values["beta1"]))
    if not new.uses_t:
        return kept
    return {**kept, "step": state["step"]} if len(kept) == len(new.states) and "step" in state else {}
