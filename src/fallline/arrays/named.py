"""The rules that people know, by the names that they know: each is `arrays.Optimizer` with one rule."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from fallline import rules
from fallline.arrays.optimizer import Optimizer
from fallline.symbolic import Rule


class Named(Optimizer):
    """An optimizer that follows the rule of its class; hyperparameters and defaults are the rule's."""

    follows: ClassVar[Rule]

    def __init__(self, lr: Any = None, **hyperparameters: Any) -> None:
        given = {} if lr is None else {"lr": lr}
        super().__init__(self.follows, **given, **hyperparameters)


def _named(name: str, rule: Rule) -> type[Named]:
    kind = inspect.Parameter.KEYWORD_ONLY
    known = [inspect.Parameter(key, kind, default=value) for key, value in rule.hyperparameters.items()]
    members = {
        "follows": rule,
        "__doc__": rule.__doc__,
        "__module__": __name__,
        "__signature__": inspect.Signature(known),
    }
    return type(name, (Named,), members)


SGD = _named("SGD", rules.gradient_descent)
Momentum = _named("Momentum", rules.momentum)
Nesterov = _named("Nesterov", rules.nesterov)
Adagrad = _named("Adagrad", rules.adagrad)
Adadelta = _named("Adadelta", rules.adadelta)
RMSprop = _named("RMSprop", rules.rmsprop)
Adam = _named("Adam", rules.adam)
AdamW = _named("AdamW", rules.adamw)
AMSGrad = _named("AMSGrad", rules.amsgrad)
Adamax = _named("Adamax", rules.adamax)
NAdam = _named("NAdam", rules.nadam)
RAdam = _named("RAdam", rules.radam)
AdamP = _named("AdamP", rules.adamp)
AdEMAMix = _named("AdEMAMix", rules.ademamix)
Lion = _named("Lion", rules.lion)
LAMB = _named("LAMB", rules.lamb)
LARS = _named("LARS", rules.lars)
Prodigy = _named("Prodigy", rules.prodigy)
