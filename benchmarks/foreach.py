"""Where there are no kernels: our rules' calls on lists of tensors beside torch's own, paired and interleaved.

On the CPU, where both run: `python benchmarks/foreach.py`. The ratio is our time over torch's `foreach=True`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from torch import nn

import fallline as fl
from fallline import rules
from fallline.optim import layout

RULES = {
    "SGD": (rules.momentum, {"momentum": 0.9}),
    "Adagrad": (rules.adagrad, {}),
    "Adadelta": (rules.adadelta, {}),
    "RMSprop": (rules.rmsprop, {}),
    "Adam": (rules.adam, {}),
    "AdamW": (rules.adamw, {}),
    "Adamax": (rules.adamax, {}),
    "NAdam": (rules.nadam, {}),
    "RAdam": (rules.radam, {}),
}
#: Tensors, and elements in each.
SIZES = {"32 x 1M": (32, 1 << 20), "1,000 x 1,000": (1000, 1000)}


def made(name: str, count: int, elements: int) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Our optimizer and torch's, on parameters of their own with the same gradients."""
    gradients = [torch.randn(elements) for _ in range(count)]
    both = []
    for _ in range(2):
        params = [nn.Parameter(torch.zeros(elements)) for _ in gradients]
        for p, gradient in zip(params, gradients, strict=True):
            p.grad = gradient
        both.append(params)
    rule, given = RULES[name]
    options: dict[str, Any] = {"lr": 1e-3, **given}
    return fl.Optimizer(both[0], rule, **options), getattr(torch.optim, name)(both[1], foreach=True, **options)


def seconds(optimizer: torch.optim.Optimizer) -> float:
    began = time.perf_counter()
    optimizer.step()
    return time.perf_counter() - began


def main() -> None:
    """Print a row for each class that both have."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="paired rounds of each row")
    rounds = parser.parse_args().rounds
    layout.DEVICES = ()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; our time over torch's foreach, median")
    for title, (count, elements) in SIZES.items():
        for name in RULES:
            ours, theirs = made(name, count, elements)
            seconds(ours), seconds(theirs)
            ratios = [seconds(ours) / seconds(theirs) for _ in range(rounds)]
            print(f"{title:>14}  {name:10} {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
