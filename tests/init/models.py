"""Models in which the activation behind a layer is not simply the next module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Functional(nn.Module):
    """Functions, methods and operators, and a residual branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.outer = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.gate = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.leaky_relu(self.norm(self.stem(x)), 0.2)
        x = (x + self.outer(self.inner(x).relu_())).tanh()
        pooled = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        gated = torch.sigmoid(self.gate(pooled)) * pooled
        return self.head(gated.view(gated.shape[0], -1))  # type: ignore[no-any-return]


class Branching(nn.Module):
    """Decides on values, which tracing can't follow."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x.relu() if x.sum() > 0 else x


class Calling(nn.Module):
    """One layer and the function behind it."""

    def __init__(self, function: Any, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.layer = layer or nn.Linear(2, 2)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.layer(x))


class Own(nn.Linear):
    """A layer of the user's."""


class Leaky(nn.LeakyReLU):
    """An activation of the user's."""


class Shared(nn.Module):
    """One layer in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.relu(self.layer(x)))  # type: ignore[no-any-return]


class GLU(nn.Module):
    """An activation with a layer of its own, which looks at shapes and notes what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.seen: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.layer(x)
        value, gate = self.seen.split(self.seen.size(-1) // 2, dim=-1)
        return value * gate.sigmoid()  # type: ignore[no-any-return]


class RMSNorm(nn.Module):
    """A normalisation of the user's, with a power in it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True))
