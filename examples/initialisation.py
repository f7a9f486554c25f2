"""Initial weights: how a signal fares through a deep network, and what is chosen for each layer.

With a standard deviation of √(2/fan_in) (He) the signal keeps its size through layers with ReLU; with √(1/fan_in)
(LeCun, Xavier) it halves its square at each; with 0.01 it vanishes, with 0.2 it explodes.
"""

from __future__ import annotations

import torch
from torch import nn

from fallline import init


def network(depth: int, width: int) -> nn.Sequential:
    """Layers with ReLU, and a last one without."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10, bias=False))


@torch.no_grad()
def gain(model: nn.Sequential, width: int) -> float:
    """The mean square of the last hidden layer's signal over that of the first layer's."""
    signal = torch.randn(256, width, generator=torch.Generator().manual_seed(1))
    first, last = model[:2](signal), model[:-1](signal)
    return float(last.square().mean() / first.square().mean())


def main(depth: int = 20, width: int = 256) -> dict[str, float]:
    """The gain through all layers for every scheme."""
    generator = torch.Generator().manual_seed(0)
    schemes = {"he": init.he_normal(), "he, uniform": init.he_uniform(), "lecun": init.lecun_normal(),
               "xavier": init.xavier_normal()}  # fmt: skip
    found = {}
    for name, scheme in schemes.items():
        model = network(depth, width)
        init.initialise(model, {"*": scheme}, generator=generator)
        found[name] = gain(model, width)
    for std in (0.01, 0.2):
        model = network(depth, width)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=std, generator=generator)
        found[f"std {std}"] = gain(model, width)
    model = network(depth, width)
    report = init.initialise(model, generator=generator)
    found["chosen by layer"] = gain(model, width)
    for name, value in found.items():
        print(f"{name:<16} the mean square is {value:.2e} of what it was")
    print(*report.choices[:1], *report.choices[-1:], sep="\n")
    return found


if __name__ == "__main__":
    main()
