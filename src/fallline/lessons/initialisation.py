"""How large the first weights are decides whether a signal comes through a deep network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fallline import problems
from fallline.init import Scheme, he_normal, initialise, lecun_normal, xavier_normal
from fallline.lessons.lesson import Evidence, Lesson, measured
from fallline.lessons.pictures import intervals

Array = NDArray[np.float64]

#: A scheme, the activation that it is meant for, and that activation.
_SCHEMES: dict[str, tuple[Scheme, type[nn.Module]]] = {
    "He with ReLU": (he_normal(), nn.ReLU),
    "Xavier with tanh": (xavier_normal(), nn.Tanh),
    "LeCun with SELU": (lecun_normal(), nn.SELU),
}
_KEEPS = 0.1  # the change from layer to layer that is taken for none


def signal(
    *, seeds: int = 20, depth: int = 20, width: int = 128, scale: float = 1.0, small: float = 0.5, large: float = 2.0
) -> Evidence:
    """Send the digits through deep networks that no step has trained.

    Args:
        seeds: Networks of each kind.
        depth: Hidden layers, at least 2.
        width: Units of each.
        scale: What the schemes' own standard deviations are multiplied by.
        small: What they are multiplied by where weights are to be too small.
        large: What they are multiplied by where weights are to be too large.
    """
    pixels = problems.digits().valid.inputs
    sizes = {"as the scheme says": scale, "too small": small, "too large": large}
    signals: dict[str, dict[str, Array]] = {}
    back: dict[str, Array] = {}
    for name, (scheme, activation) in _SCHEMES.items():
        signals[name] = {}
        for size, factor in sizes.items():
            drawn = replace(scheme, gain=scheme.gain * factor)
            runs = [_through(pixels, drawn, activation, depth, width, seed) for seed in range(seeds)]
            forward, backward = (np.array(part) for part in zip(*runs, strict=True))
            signals[name][size] = forward
            back[f"{name}, {size}"] = _per_layer(backward[:, ::-1])
    checks = []
    for name, found in signals.items():
        bounds = [(1 - _KEEPS, 1 + _KEEPS), (None, 1 - _KEEPS), (1 + _KEEPS, None)]
        for (size, forward), (above, below) in zip(found.items(), bounds, strict=True):
            checks.append(
                measured(
                    f"the signal's root mean square over that of the layer before, weights {size}",
                    _per_layer(forward), above=above, below=below, condition=name, of=3 * len(signals), ratio=True,
                )
            )  # fmt: skip
    picture = intervals(
        "What becomes of a signal from layer to layer", "root mean square over that of the layer before",
        {
            size: {name: _per_layer(found[size]) for name, found in signals.items()} for size in sizes
        },
        log=True, upright=(1.0, "kept"),
    )  # fmt: skip
    remark = "; ".join(f"{name} {np.exp(np.log(change).mean()):.2f}" for name, change in back.items())
    return Evidence(
        f"The digits' {len(pixels)} validation images through {depth} hidden layers of {width} units, {seeds} networks "
        f"of each kind; too small is {small:g} times the scheme's standard deviation, too large {large:g} times. A "
        f"signal keeps its size if it changes by less than {_KEEPS:.0%} a layer in the geometric mean.",
        tuple(checks),
        picture,
        f"On the way back the gradient's root mean square changes from layer to layer by these factors: {remark}.",
    )


def _through(
    pixels: torch.Tensor, scheme: Scheme, activation: type[nn.Module], depth: int, width: int, seed: int
) -> tuple[list[float], list[float]]:
    """The root mean square of every hidden layer's signal [depth], and of the loss's gradient for it [depth]."""
    generator = torch.Generator().manual_seed(seed)
    layers = [(nn.Linear(inputs, width), activation()) for inputs in [pixels.shape[1], *[width] * (depth - 1)]]
    model = nn.Sequential(*(part for layer in layers for part in layer), nn.Linear(width, 10))
    initialise(model, {"*": scheme}, generator=generator)
    signals = [pixels]
    for layer, bend in layers:
        signals.append(bend(layer(signals[-1])))
        signals[-1].retain_grad()
    labels = torch.randint(10, (len(pixels),), generator=generator)
    loss = nn.functional.cross_entropy(model[-1](signals[-1]), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return [_size(one) for one in signals[1:]], [_size(one.grad) for one in signals[1:]]


def _size(signal: torch.Tensor | None) -> float:
    assert signal is not None
    return float(signal.detach().double().square().mean().sqrt())


def _per_layer(sizes: Array) -> Array:
    """The geometric mean of the factors from layer to layer [seeds]."""
    return np.asarray((sizes[:, -1] / sizes[:, 0]) ** (1 / (sizes.shape[1] - 1)))


LESSONS = [
    Lesson(
        19,
        "Weights that keep the signal's size",
        "LeCun's, He's and Xavier's initial weights keep the size of a signal through a deep network, and smaller or "
        "larger ones do not.",
        "LeCun et al., Efficient BackProp, 1998; Glorot and Bengio, 2010; He et al., 2015",
        signal,
        "Set scale to 0.9, or depth to 50: a scheme that is off by a tenth loses a signal as surely, only later.",
    ),
]
