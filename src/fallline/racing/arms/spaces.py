"""The default spaces: where each method's learning rate and its other hyperparameters are searched.

Nothing here needs torch. Learning rates are log-uniform, over five decades unless a method's authors say otherwise, so
that every arm has as much to search.
"""

from __future__ import annotations

import math
from typing import Any

from fallline.racing.arms.dimensions import Choice, Dimension, Range

_PLAIN, _ADAPTIVE, _RELATIVE, _SUMMED = (1e-4, 10.0), (1e-6, 0.1), (1e-5, 1.0), (1e-3, 100.0)

#: Learning rates by the names of rules and of optimizer classes, in lower case and without underscores.
LEARNING_RATES: dict[str, tuple[float, float]] = {
    # Steps as long as the gradient, or the sum of some.
    **dict.fromkeys(
        ("gradientdescent", "sgd", "momentum", "dampenedmomentum", "velocitymomentum", "nesterov", "velocitynesterov",
         "adagrad", "adagradkeras", "fullmatrixadagrad", "asgd"),
        _PLAIN,
    ),
    # An average of gradients is 1/(1-μ) shorter than their sum; Schedule-Free SGD wants 10 to 50 times SGD's rate
    # (Defazio et al., 2024); LARS has its trust coefficient of 0.001 on top; Adadelta's own unit is 1 (Zeiler, 2012).
    **dict.fromkeys(("emamomentum", "schedulefreesgd", "sgdschedulefree", "lars", "adadelta"), _SUMMED),
    # Every element moves by about the rate.
    **dict.fromkeys(
        ("rmsprop", "centeredrmsprop", "rmsproptensorflow", "adam", "adamw", "adamepshat", "adamuncorrected", "amsgrad",
         "amsgradcorrected", "adamax", "nadam", "adamp", "ademamix", "normalizedgradient", "sparseadam", "soap",
         "rprop"),
        _ADAPTIVE,
    ),
    # Steps relative to the weights' size (LAMB, Adafactor, Muon), shortened at first (RAdam), or with the 1 to 10 times
    # larger rate that Schedule-Free AdamW wants.
    **dict.fromkeys(
        ("radam", "radampaper", "radamauthors", "lamb", "adafactor", "muon", "schedulefreeadam", "schedulefreeadamw",
         "adamwschedulefree"),
        _RELATIVE,
    ),
    "lion": (1e-7, 0.01),  # 3 to 10 times below Adam's (Chen et al., 2023)
    "prodigy": (0.1, 10.0),  # a factor on the rate that it estimates, to be left near 1 (Mishchenko and Defazio, 2024)
}  # fmt: skip
_DECADES = 5

_MOMENTUM, _SQUARES = Range(0.5, 0.999, "complement"), Range(0.9, 0.9999, "complement")
#: Other hyperparameters by name; decay factors by what is missing to 1, as Choi et al. (2019) search them.
_OTHERS: dict[str, Dimension] = {
    **dict.fromkeys(("momentum", "beta", "beta1"), _MOMENTUM),
    **dict.fromkeys(("beta2", "alpha", "rho"), _SQUARES),
    "beta3": Range(0.99, 0.99999, "complement"),
    "weight_decay": Range(1e-6, 0.1),
    "dampening": Range(0.0, 0.9, "linear"),
    **dict.fromkeys(("eps", "eps_hat"), Range(1e-10, 1e-2)),
}
#: Where a name means something else.
_OWN: dict[tuple[str, str], Dimension] = {("ademamix", "alpha"): Range(1.0, 20.0)}


def space_of(method: str, name: str, default: Any) -> Dimension | None:
    """Where to search a method's hyperparameter by default, or None where nothing is known of it.

    The method is called as its rule or class is. What is not in the tables is searched around its default: a learning
    rate over five decades, another number over two, one from a half to 1 by what is missing to 1; a truth value both
    ways.

    >>> space_of("AdamW", "lr", 1e-3), space_of("mine", "decay", 0.95)
    (Range(low=1e-06, high=0.1, scale='log'), Range(low=0.5, high=0.995, scale='complement'))
    """
    key = method.lower().replace("_", "")
    if name == "lr" and key in LEARNING_RATES:
        return Range(*LEARNING_RATES[key])
    known = _OWN.get((key, name), _OTHERS.get(name))
    if known is not None:
        return known
    if isinstance(default, bool):
        return Choice((False, True))
    if not isinstance(default, (int, float)) or not 0 < default < math.inf:
        return None
    if name == "lr":
        return Range(default * 10 ** (-_DECADES / 2), default * 10 ** (_DECADES / 2))
    if 0.5 <= default < 1:
        return Range(max(0.0, round(1 - 10 * (1 - default), 9)), round(1 - (1 - default) / 10, 9), "complement")
    return Range(default / 10, default * 10)
