"""The layers whose weights are initialised, and how many units each of their units is connected with."""

from __future__ import annotations

import math

from torch import Tensor, nn

_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


def is_layer(module: nn.Module) -> bool:
    """Whether it is a linear layer or a convolution; attention's own output layer belongs to attention.

    >>> is_layer(nn.Linear(2, 3)), is_layer(nn.LayerNorm(3))
    (True, False)
    """
    ours = isinstance(module, (nn.Linear, *_CONVOLUTIONS))
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
    if isinstance(weight, _CONVOLUTIONS):
        taps = math.prod(weight.kernel_size)
        return weight.in_channels // weight.groups * taps, weight.out_channels // weight.groups * taps
    if not isinstance(weight, Tensor):
        raise TypeError(f"a linear layer, a convolution or a tensor has fans; {type(weight).__name__} has none")
    if weight.ndim < 2:
        raise ValueError(f"a weight must be [outputs, inputs, *kernel]; this one has the shape {list(weight.shape)}")
    taps = math.prod(weight.shape[2:])
    return weight.shape[1] * taps, weight.shape[0] * taps
