"""How large a signal is after each layer of a deep network, by how its weights were drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fallline.init import Scheme, he_normal, lecun_normal, xavier_normal
from fallline.lab.fields import Fields
from fallline.lab.tabs.experiment import experiment, series
from fallline.lab.work import Ticket

_WIDTH, _EXAMPLES = 128, 64
_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "linear": torch.positive}


def initialisation(fields: Fields, ticket: Ticket) -> dict[str, Any]:
    """The root mean square of the signal in each of `depth` layers of 128 with an `activation` after each."""
    depth, seed = fields.whole("depth", 2, 100, 30), fields.whole("seed", 0, 2**31 - 1, 0)
    activation = fields.choice("activation", list(_ACTIVATIONS), "relu")
    fields.done()
    schemes = {
        "LeCun": lecun_normal(),
        "Xavier": xavier_normal(),
        "He": he_normal(),
        "too small": Scheme("too small", "normal", "fan_in", 0.5),
        "too large": Scheme("too large", "normal", "fan_in", 2.5),
    }
    sizes = {name: _sizes(scheme, depth, activation, seed) for name, scheme in schemes.items()}
    return experiment(
        "Initialisation",
        "Each layer multiplies the signal's size by about the same factor, and only one close to 1 lets it through "
        "many layers: that is He's scheme with ReLU, LeCun's without an activation.",
        ("layer", "root mean square of the signal"),
        [series(name, np.arange(depth + 1), size) for name, size in sizes.items()],
        ("scheme", "standard deviation of a weight", "first layer", "last layer"),
        [(name, schemes[name].std(_WIDTH, _WIDTH), size[1], size[-1]) for name, size in sizes.items()],
    )


def _sizes(scheme: Scheme, depth: int, activation: str, seed: int) -> list[float]:
    draws = torch.Generator().manual_seed(seed)
    signal = torch.randn(_EXAMPLES, _WIDTH, dtype=torch.float64, generator=draws)
    found = [_size(signal)]
    for _ in range(depth):
        weight = torch.empty(_WIDTH, _WIDTH, dtype=torch.float64)
        scheme.fill(weight, draws)
        signal = _ACTIVATIONS[activation](signal @ weight.T)
        found.append(_size(signal))
    return found


def _size(signal: torch.Tensor) -> float:
    return float(signal.square().mean().sqrt())
