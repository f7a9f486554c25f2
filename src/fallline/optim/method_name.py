"""A method by the name that a person types."""

from __future__ import annotations

import torch

from fallline import optim, rules
from fallline._asked import nearest
from fallline.optim.newton import Newton
from fallline.symbolic import Rule

#: Methods whose step is no single rule.
CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "adafactor": optim.Adafactor,
    "full_matrix_adagrad": optim.FullMatrixAdagrad,
    "look_ahead_nesterov": optim.LookAheadNesterov,
    "muon": optim.Muon,
    "newton": Newton,
    "soap": optim.SOAP,
}


def find_method(name: str) -> Rule | type[torch.optim.Optimizer]:
    """The rule of a name or, where there is none, the class; capital letters and hyphens do not matter.

    Raises LookupError with the nearest name if there is neither.

    >>> find_method("RMSProp"), find_method("LookAheadNesterov").__name__
    (<rule rmsprop>, 'LookAheadNesterov')
    """
    key = rules.plain_name(name)
    try:
        return rules.find(key)
    except LookupError as error:
        found = {known.replace("_", ""): kind for known, kind in CLASSES.items()}.get(key.replace("_", ""))
        if found is not None:
            return found
        near = nearest(key, CLASSES, cutoff=0.75)
        raise LookupError(f"there is no rule '{name}'; did you mean '{near}'?" if near else str(error)) from error
