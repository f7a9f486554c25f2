"""Which scheme suits which activation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fallline._asked import did_you_mean
from fallline.init.schemes import Distribution, Scheme, he, holds_layers, lecun, xavier


def words(text: str) -> frozenset[str]:
    """Return the words of a text, as a table of names."""
    return frozenset(text.split())


#: Rectifiers, with their slope below zero.
_RECTIFIERS = {
    "relu": 0.0,
    "relu6": 0.0,
    "leakyrelu": 0.01,
    "prelu": 0.25,
    "rrelu": (1 / 8 + 1 / 3) / 2,
}
#: The smooth functions that look like them, with α (of ELU, CELU) or β (of softplus), which is 1 unless told.
_CURVES = words("celu elu gelu hardswish mish silu softplus swish")
_SHAPES = {"celu": "alpha", "elu": "alpha", "softplus": "beta"}
#: What saturates on both sides, or gates with a sigmoid.
_SATURATING = words("glu hardsigmoid hardtanh logsigmoid logsoftmax sigmoid softmax softmin softsign tanh")
_LINEAR = frozenset({"linear", "selu"})
_KNOWN = frozenset(_RECTIFIERS) | _CURVES | _SATURATING | _LINEAR


@dataclass(frozen=True)
class Activation:
    """What bends a layer's output: the name without capitals and underscores, "linear" for nothing at all."""

    name: str
    slope: float = 0.0
    shape: float = 1.0

    def scheme(self, distribution: Distribution) -> Scheme:
        """Return He's for rectifiers, Xavier's for what saturates, LeCun's for SELU and where nothing follows."""
        if self.name in _RECTIFIERS:
            return he(distribution, self.slope)
        if self.name in _CURVES:
            return Scheme("he", distribution, "fan_in", curve_gain(self.name, self.shape))
        return xavier(distribution) if self.name in _SATURATING else lecun(distribution)

    def __str__(self) -> str:
        if self.shape != 1:
            return f"{self.name} ({self.shape:g})"
        return f"{self.name} ({self.slope:g})" if self.slope else self.name


@cache
def curve_gain(name: str, shape: float = 1.0) -> float:
    """Return the gain g at which a smooth rectifier f hands on the mean square 1 of what comes in: E f(g·z)² = 1.

    z is standard normal. For ReLU it is He's √2, so it is what He's scheme means for other curves.

    >>> round(curve_gain("gelu"), 3), round(curve_gain("silu"), 3), round(curve_gain("elu"), 3)
    (1.468, 1.559, 1.278)
    """
    function = functional.silu if name == "swish" else getattr(functional, name)
    told = (shape,) if name in _SHAPES else ()
    z = torch.linspace(-8, 8, 8001, dtype=torch.float64, device="cpu")
    density = torch.exp(-z.square() / 2)

    def mean_square(gain: float) -> float:
        return float((density * function(gain * z, *told).square()).sum() / density.sum())

    if mean_square(0.0) >= 1:  # it hands on more in any case: as for inputs of mean square 1
        return 1 / math.sqrt(mean_square(1.0))
    low, high = 0.0, 8.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if mean_square(middle) < 1 else (low, middle)
    return high


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
    Activation(name='leakyrelu', slope=0.01, shape=1.0)
    """
    key = plain(name)
    if key not in _KNOWN:
        raise ValueError(f"no activation is known as '{name}'; {did_you_mean(key, sorted(_KNOWN), 'known are')}")
    return Activation(key, _RECTIFIERS.get(key, 0.0))


def of_module(module: nn.Module) -> Activation | None:
    """Return the activation that a module is, None if it is none."""
    if holds_layers(module):  # a user's gated unit, say, that has its projection inside
        return None
    for kind in type(module).__mro__:
        if plain(kind.__name__) in _KNOWN - {"linear"}:
            key = plain(kind.__name__)
            return Activation(key, _slope(module, key), float(getattr(module, _SHAPES.get(key, ""), 1.0)))
    return None


def of_call(name: str, arguments: tuple[Any, ...], named_arguments: Mapping[str, Any]) -> Activation | None:
    """Return the activation that a call of a function or method is, None if it is none."""
    key = plain(name)
    if key not in _KNOWN - {"linear"}:
        return None
    given = [value for value in (*arguments, *named_arguments.values()) if type(value) in (int, float)]
    if key in ("leakyrelu", "rrelu") and given:  # the slope, or the bounds it is drawn between
        return Activation(key, sum(given) / len(given))
    shape = named_arguments.get(_SHAPES.get(key, ""), next((a for a in arguments[1:] if type(a) in (int, float)), 1.0))
    return Activation(key, _RECTIFIERS.get(key, 0.0), float(shape) if key in _SHAPES else 1.0)


def of_function(function: object) -> Activation | None:
    """Return the activation that a module or a function is, as transformer layers are given one; None if it is none."""
    if isinstance(function, nn.Module):
        return of_module(function)
    if isinstance(function, partial):
        return of_call(getattr(function.func, "__name__", ""), (None, *function.args), function.keywords)
    return of_call(getattr(function, "__name__", ""), (), {})


def _slope(module: nn.Module, key: str) -> float:
    if isinstance(module, nn.RReLU):
        return (module.lower + module.upper) / 2
    if isinstance(module, nn.PReLU):
        return float(module.weight.detach().square().mean().sqrt())
    slope = getattr(module, "negative_slope", None)
    return float(slope) if isinstance(slope, (int, float, Tensor)) else _RECTIFIERS.get(key, 0.0)
