"""Switching from one rule to another in mid-training: which states go on, and which begin anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fallline import rules
from fallline.optim.states import StateOf
from fallline.symbolic import Rule


class Moment(NamedTuple):
    """What a state of a known rule gathers: a kind of average, and the hyperparameter that is its decay factor."""

    kind: str
    decay: str


_SUM, _AVERAGE, _SQUARES = "sum of gradients", "average of gradients", "average of squares"
_ADAM = {"m": Moment(_AVERAGE, "beta1"), "v": Moment(_SQUARES, "beta2")}
_MOMENTS: dict[Rule, dict[str, Moment]] = {
    rules.momentum: {"b": Moment(_SUM, "momentum")},
    rules.nesterov: {"b": Moment(_SUM, "momentum")},
    rules.ema_momentum: {"m": Moment(_AVERAGE, "momentum")},
    rules.rmsprop: {"v": Moment(_SQUARES, "alpha")},
    rules.centered_rmsprop: {"v": Moment(_SQUARES, "alpha")},
    rules.adadelta: {"v": Moment(_SQUARES, "rho")},
    rules.normalized_gradient: {"v": Moment(_SQUARES, "beta2")},
    rules.adamax: {"m": _ADAM["m"]},
    rules.ademamix: {"m1": _ADAM["m"], "v": _ADAM["v"]},
} | dict.fromkeys(
    (
        rules.adam, rules.adam_uncorrected, rules.adam_eps_hat, rules.amsgrad, rules.amsgrad_corrected, rules.nadam,
        rules.radam, rules.radam_paper, rules.radam_authors, rules.adamp, rules.lamb,
    ),
    _ADAM,
)  # fmt: skip


def hand_over(
    state: StateOf, old: Rule, old_values: Mapping[str, Any], new: Rule, new_values: Mapping[str, Any]
) -> StateOf:
    """The state of one parameter with which the new rule goes on.

    - A state of a part that both rules have (the same rule inside, the same combinator) goes on as it is.
    - So does a moment of the gradients that both are known to keep: the second moment `v` of Adam in RMSprop, say. The
      average `m` and the sum `b` go over into each other: b = m / (1 - β), with the average's own β.
    - What else the new rule keeps begins anew, and so does all if only one of the two climbs (`maximize`).
    - A rule that corrects the bias of its averages (one that uses t) needs all of them to be of one age: if any begins
      anew, all do, and the step count with them. Else the count goes on.
    """
    if _climbs(old) != _climbs(new):
        return {}
    kept: StateOf = {}
    for part, name, moment in _states(new):
        for other_part, other_name, other in _states(old):
            if part is other_part and name == other_name:
                kept[name] = state[other_name]
            elif moment is not None and other is not None and name not in kept:
                factor = _factor(other, old_values, moment, new_values)
                if factor is not None:
                    kept[name] = state[other_name] * factor if factor != 1 else state[other_name]
    if not new.uses_t:
        return kept
    return {**kept, "step": state["step"]} if len(kept) == len(new.states) and "step" in state else {}


def _states(rule: Rule) -> Iterator[tuple[object, str, Moment | None]]:
    """Each state with the part that it belongs to, and what it gathers if that is known."""
    for part, states in rule.parts:
        for spec in states:
            yield part, spec.name, _MOMENTS.get(part, {}).get(spec.name) if isinstance(part, Rule) else None


def _climbs(rule: Rule) -> bool:
    return sum(part is rules.maximize for part, _ in rule.parts) % 2 == 1


def _factor(old: Moment, old_values: Mapping[str, Any], new: Moment, new_values: Mapping[str, Any]) -> float | None:
    """What turns one moment into the other; None if they are of different kinds."""
    if old.kind == new.kind:
        return 1.0
    if (old.kind, new.kind) == (_AVERAGE, _SUM):
        return 1 / (1 - float(old_values[old.decay]))
    if (old.kind, new.kind) == (_SUM, _AVERAGE):
        return 1 - float(new_values[new.decay])
    return None
