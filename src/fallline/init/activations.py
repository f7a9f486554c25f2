"""Which scheme suits which activation."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fallline.init.layers import holds_layers
from fallline.init.schemes import Distribution, Scheme, he, lecun, xavier


def words(text: str) -> frozenset[str]:
    """Return the words of a text, as a table of names."""
    return frozenset(text.split())


#: Rectifiers, and the smooth functions that look like them, with the slope below zero that He's gain counts with.
_RECTIFIERS = {
    "relu": 0.0,
    "relu6": 0.0,
    "leakyrelu": 0.01,
    "prelu": 0.25,
    "rrelu": (1 / 8 + 1 / 3) / 2,
    "celu": 0.0,
    "elu": 0.0,
    "gelu": 0.0,
    "hardswish": 0.0,
    "mish": 0.0,
    "silu": 0.0,
    "softplus": 0.0,
    "swish": 0.0,
}
#: What saturates on both sides, or gates with a sigmoid.
_SATURATING = words("glu hardsigmoid hardtanh logsigmoid logsoftmax sigmoid softmax softmin softsign tanh")
_LINEAR = frozenset({"linear", "selu"})
_KNOWN = frozenset(_RECTIFIERS) | _SATURATING | _LINEAR


@dataclass(frozen=True)
class Activation:
    """What bends a layer's output: the name without capitals and underscores, "linear" for nothing at all."""

    name: str
    slope: float = 0.0

    def scheme(self, distribution: Distribution) -> Scheme:
        """Return He's for rectifiers, Xavier's for what saturates, LeCun's for SELU and where nothing follows."""
        if self.name in _RECTIFIERS:
            return he(distribution, self.slope)
        return xavier(distribution) if self.name in _SATURATING else lecun(distribution)

    def __str__(self) -> str:
        return f"{self.name} ({self.slope:g})" if self.slope else self.name


LINEAR = Activation("linear")


def plain(name: str) -> str:
    """Return the name that a module, a function and a method of the same meaning share.

    >>> plain("LeakyReLU") == plain("leaky_relu") == plain("leaky_relu_")
    True
    """
    return name.lower().replace("_", "")


def named(name: str) -> Activation:
    """Return an activation from its name in torch, with torch's slope; raises ValueError for others.

    >>> named("LeakyReLU")
    Activation(name='leakyrelu', slope=0.01)
    """
    key = plain(name)
    if key not in _KNOWN:
        near = difflib.get_close_matches(key, sorted(_KNOWN), 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(_KNOWN))}"
        raise ValueError(f"no activation is known as '{name}'; {hint}")
    return Activation(key, _RECTIFIERS.get(key, 0.0))


def of_module(module: nn.Module) -> Activation | None:
    """Return the activation that a module is, None if it is none."""
    if holds_layers(module):  # a user's gated unit, say, that has its projection inside
        return None
    for kind in type(module).__mro__:
        if plain(kind.__name__) in _KNOWN - {"linear"}:
            return Activation(plain(kind.__name__), _slope(module, plain(kind.__name__)))
    return None


def of_call(name: str, arguments: tuple[Any, ...], named_arguments: Mapping[str, Any]) -> Activation | None:
    """Return the activation that a call of a function or method is, None if it is none."""
    key = plain(name)
    if key not in _KNOWN - {"linear"}:
        return None
    given = [value for value in (*arguments, *named_arguments.values()) if type(value) in (int, float)]
    if key in ("leakyrelu", "rrelu") and given:  # the slope, or the bounds it is drawn between
        return Activation(key, sum(given) / len(given))
    return Activation(key, _RECTIFIERS.get(key, 0.0))


def _slope(module: nn.Module, key: str) -> float:
    if isinstance(module, nn.RReLU):
        return (module.lower + module.upper) / 2
    if isinstance(module, nn.PReLU):
        return float(module.weight.detach().mean())
    slope = getattr(module, "negative_slope", None)
    return float(slope) if isinstance(slope, (int, float, Tensor)) else _RECTIFIERS.get(key, 0.0)
