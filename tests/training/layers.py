"""Models of many kinds of layers, for 16 features and 3 classes, each with what its batching depends on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

functional = nn.functional


def images(*layers: nn.Module, features: int) -> nn.Module:
    """A network on images [n, 1, 4, 4], and a linear layer at its end."""
    return nn.Sequential(nn.Unflatten(1, (1, 4, 4)), *layers, nn.Flatten(), nn.Linear(features, 3))


class Residual(nn.Module):
    """A block of convolutions and batch norms beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding="same")

    def forward(self, image: Tensor) -> Tensor:
        block: Tensor = self.second(functional.relu(self.norm(self.first(image))))
        return functional.relu(image + block)


class Viewed(nn.Module):
    """Lays images out as rows by a view, as many models do."""

    def forward(self, image: Tensor) -> Tensor:
        return image.view(image.size(0), -1)


class Attention(nn.Module):
    """Self-attention over 4 tokens of 4 features, by torch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = inputs.unflatten(1, (4, 4))  # type: ignore[no-untyped-call]
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        output: Tensor = self.head(self.norm(tokens + mixed).flatten(1))
        return output


class TiedTokens(nn.Module):
    """An embedding whose transpose gives the scores; the first three tokens stand for the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.mix = nn.Linear(64, 4)
        self.score = nn.Linear(4, 7, bias=False)
        self.score.weight = self.embed.weight

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = inputs.abs().mul(2).long().clamp_max(6)
        output: Tensor = self.score(torch.tanh(self.mix(self.embed(tokens).flatten(1))))[:, :3]
        return output


class AdapterBeforeBody(nn.Module):
    """A trained layer in front of a frozen convolution, whose gradient has to pass through it."""

    def __init__(self) -> None:
        super().__init__()
        self.adapter = nn.Linear(16, 16)
        self.body = frozen(lambda: nn.Conv2d(1, 2, 3, padding=1))
        self.head = nn.Linear(32, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(self.body(self.adapter(inputs).reshape(-1, 1, 4, 4)).flatten(1))
        return output


class EvaluatedBody(nn.Module):
    """A frozen body of convolution and batch norm that stays in evaluation mode while the head is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.body = frozen(lambda: nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()))
        self.head = nn.Linear(96, 3)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(self.body(inputs.reshape(-1, 1, 4, 4)).flatten(1))
        return output


def frozen(make: Callable[[], nn.Module]) -> nn.Module:
    """A module with the same weights for every seed, as one read from a file has."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return make().requires_grad_(False)


def convolutional_dropout() -> nn.Module:
    return images(nn.Conv2d(1, 4, 3), nn.Dropout2d(0.5), nn.Flatten(), nn.Dropout(0.2), features=16)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": lambda: images(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2), features=6
    ),
    "strided, dilated, grouped": lambda: images(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 2, dilation=1, groups=2, bias=False), features=4
    ),
    "padded with reflections": lambda: images(nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect"), features=48),
    "one dimension": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 8)), nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(24, 3)
    ),
    "residual": lambda: images(nn.Conv2d(1, 4, 1), Residual(), nn.AdaptiveAvgPool2d(1), features=4),
    "batch norm first": lambda: images(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), features=2),
    "batch norm without weights": lambda: nn.Sequential(nn.BatchNorm1d(16, affine=False), nn.Linear(16, 3)),
    "batch norm without statistics": lambda: nn.Sequential(
        nn.BatchNorm1d(16, track_running_stats=False), nn.Linear(16, 3)
    ),
    "viewed": lambda: nn.Sequential(images(nn.Conv2d(1, 4, 3), Viewed(), features=16)),
    "group norm": lambda: images(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), features=16),
    "transposed": lambda: images(nn.ConvTranspose2d(1, 2, 2), nn.MaxPool2d(3), features=2),
    "attention": Attention,
    "tied tokens": TiedTokens,
    "weight norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(16, 3))),
    "frozen body": lambda: images(
        frozen(lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))), features=16
    ),
    "frozen body, evaluated": EvaluatedBody,
    "adapter before a frozen body": AdapterBeforeBody,
    "frozen in part": lambda: images(
        nn.Conv2d(1, 4, 3),
        nn.Conv2d(4, 2, 1).requires_grad_(False),
        nn.BatchNorm2d(2).requires_grad_(False),
        features=8,
    ),
}
