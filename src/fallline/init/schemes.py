"""The three schemes, uniform and normal: zero mean, and the standard deviation gain/√fan; and the fans of layers.

LeCun et al., *Efficient BackProp*, 1998; Glorot (Xavier) and Bengio, *Understanding the Difficulty of Training Deep
Feedforward Neural Networks*, 2010; He et al., *Delving Deep into Rectifiers*, 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from fallline._asked import number

Distribution = Literal["normal", "uniform"]
Fan = Literal["fan_in", "fan_out", "average"]


@dataclass(frozen=True)
class Scheme:
    """How weights are drawn: normal with standard deviation gain/√fan, or uniform within √3 times that.

    Args:
        name: What it is called.
        distribution: "normal" or "uniform".
        fan: "fan_in", which keeps the variance of the signals, "fan_out", which keeps that of the gradients, or their
            "average", a compromise between the two.
        gain: What the standard deviation is multiplied by, greater than 0.

    Raises:
        TypeError, ValueError: An argument is none of these.
    """

    name: str
    distribution: Distribution
    fan: Fan
    gain: float = 1.0

    def __post_init__(self) -> None:
        _check("distribution", self.distribution, ("normal", "uniform"))
        _check("fan", self.fan, ("fan_in", "fan_out", "average"))
        number("gain", self.gain, above=0)

    def std(self, fan_in: int, fan_out: int) -> float:
        """Return the standard deviation of a layer's weights.

        Args:
            fan_in: How many inputs each output sums.
            fan_out: How many outputs each input goes to.

        Raises:
            ValueError: Nothing is connected.

        >>> he_normal().std(fan_in=8, fan_out=2), xavier_uniform().std(fan_in=6, fan_out=2)
        (0.5, 0.5)
        """
        fan = {"fan_in": fan_in, "fan_out": fan_out, "average": (fan_in + fan_out) / 2}[self.fan]
        if fan == 0:
            raise ValueError(f"a layer with {fan_in} inputs and {fan_out} outputs has no {self.fan} to scale with")
        return self.gain / math.sqrt(fan)

    def fill(self, weight: nn.Module | Tensor, generator: torch.Generator | None = None) -> None:
        """Draw the weight of a linear layer or a convolution, or a tensor [outputs, inputs, *kernel], anew.

        Biases are left alone.

        Args:
            weight: The layer, or the tensor.
            generator: What draws, so that it can be repeated; torch's global one unless given.

        Raises:
            TypeError: It is another module.
            ValueError: It is a tensor with fewer than two dimensions.

        >>> layer = nn.Linear(100, 50)
        >>> he_uniform().fill(layer, torch.Generator().manual_seed(0))
        >>> bool(layer.weight.abs().max() <= (6 / 100) ** 0.5)
        True
        """
        std = self.std(*fans(weight))
        tensor = weight if isinstance(weight, Tensor) else weight.weight
        assert isinstance(tensor, Tensor)
        if self.distribution == "normal":
            nn.init.normal_(tensor, 0.0, std, generator)
        else:
            nn.init.uniform_(tensor, -math.sqrt(3) * std, math.sqrt(3) * std, generator)

    def __str__(self) -> str:
        return f"{self.name}_{self.distribution} ({self.fan}, gain {self.gain:.4g})"


def lecun(distribution: Distribution) -> Scheme:
    """Return variance 1/fan_in, for layers that nothing bends after, and for SELU (Klambauer et al., 2017)."""
    return Scheme("lecun", distribution, "fan_in")


def xavier(distribution: Distribution, gain: float = 1.0) -> Scheme:
    """Return variance gain²·2/(fan_in + fan_out), for tanh and sigmoid; the paper knows no other gain than 1."""
    return Scheme("xavier", distribution, "average", gain)


def he(distribution: Distribution, negative_slope: float = 0.0, fan: Fan = "fan_in") -> Scheme:
    """Return variance 2/((1 + negative_slope²)·fan), for the ReLU family."""
    return Scheme("he", distribution, fan, math.sqrt(2 / (1 + negative_slope**2)))


def lecun_normal() -> Scheme:
    """Return LeCun's scheme, normal: variance 1/fan_in."""
    return lecun("normal")


def lecun_uniform() -> Scheme:
    """Return LeCun's scheme, uniform within √(3/fan_in)."""
    return lecun("uniform")


def xavier_normal(gain: float = 1.0) -> Scheme:
    """Return Xavier's scheme, normal: variance gain²·2/(fan_in + fan_out).

    Args:
        gain: What the standard deviation is multiplied by; torch recommends 5/3 for tanh.
    """
    return xavier("normal", gain)


def xavier_uniform(gain: float = 1.0) -> Scheme:
    """Return Xavier's scheme, uniform within gain·√(6/(fan_in + fan_out)).

    Args:
        gain: What the standard deviation is multiplied by.
    """
    return xavier("uniform", gain)


def he_normal(negative_slope: float = 0.0, fan: Fan = "fan_in") -> Scheme:
    """Return He's scheme, normal: variance 2/((1 + negative_slope²)·fan).

    Args:
        negative_slope: The rectifier's slope below zero.
        fan: "fan_in", "fan_out" or "average", as for `Scheme`.
    """
    return he("normal", negative_slope, fan)


def he_uniform(negative_slope: float = 0.0, fan: Fan = "fan_in") -> Scheme:
    """Return He's scheme, uniform within √(6/((1 + negative_slope²)·fan)).

    Args:
        negative_slope: The rectifier's slope below zero.
        fan: "fan_in", "fan_out" or "average", as for `Scheme`.
    """
    return he("uniform", negative_slope, fan)


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}; got {value!r}")


def is_layer(module: nn.Module) -> bool:
    """Whether it is a linear layer or a convolution; attention's own output layer belongs to attention.

    >>> is_layer(nn.Linear(2, 3)), is_layer(nn.LayerNorm(3))
    (True, False)
    """
    ours = isinstance(module, nn.Linear | _ConvNd)
    return ours and not isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear)


def holds_layers(module: nn.Module) -> bool:
    """Whether there are layers in a module, itself among them.

    >>> holds_layers(nn.Sequential(nn.Linear(2, 2))), holds_layers(nn.ReLU())
    (True, False)
    """
    return any(is_layer(inner) for inner in module.modules())


def fans(weight: nn.Module | Tensor) -> tuple[int, int]:
    """Return fan-in and fan-out: how many inputs an output sums, and how many outputs an input goes to.

    A kernel counts with all its taps and a group with its own channels alone; a transposed convolution's weight is
    read as such. Stride isn't counted, as in the papers. A tensor is [outputs, inputs, *kernel].

    Raises TypeError for other modules, ValueError for a tensor with fewer than two dimensions.

    >>> fans(nn.Conv2d(4, 8, kernel_size=3)), fans(nn.ConvTranspose2d(4, 8, kernel_size=3, groups=2))
    ((36, 72), (18, 36))
    """
    if isinstance(weight, nn.Linear):
        return weight.in_features, weight.out_features
    if isinstance(weight, _ConvNd):
        taps = math.prod(weight.kernel_size)
        return weight.in_channels // weight.groups * taps, weight.out_channels // weight.groups * taps
    if not isinstance(weight, Tensor):
        raise TypeError(f"a linear layer, a convolution or a tensor has fans; {type(weight).__name__} has none")
    if weight.ndim < 2:
        raise ValueError(f"a weight must be [outputs, inputs, *kernel]; this one has the shape {list(weight.shape)}")
    taps = math.prod(weight.shape[2:])
    return weight.shape[1] * taps, weight.shape[0] * taps
