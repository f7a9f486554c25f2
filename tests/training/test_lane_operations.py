"""Operations that are replaced for lanes: they give what torch gives, whatever carries the lanes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap

from fallline.training.lane_operations import LaneOperations

functional = nn.functional

Function = Callable[..., Tensor]

LANES, BATCH = 3, 2
SHAPES = {
    "image": (BATCH, 4, 6, 6),
    "weight": (6, 4, 3, 3),
    "grouped weight": (6, 2, 3, 3),
    "bias": (6,),
    "channels": (4,),
    "rows": (BATCH, 4),
    "many rows": (9, 4),
    "tokens": (BATCH, 3, 4),
    "matrix": (6, 4),
}

CONVOLUTIONS: dict[str, tuple[Function, str]] = {
    "plain": (lambda x, w, b: functional.conv2d(x, w, b), "weight"),
    "padded": (lambda x, w, b: functional.conv2d(x, w, b, padding="same"), "weight"),
    "strided": (lambda x, w, b: functional.conv2d(x, w, b, (2, 1), (1, 0)), "weight"),
    "dilated": (lambda x, w, b: functional.conv2d(x, w, b, dilation=2), "weight"),
    "grouped": (lambda x, w, b: functional.conv2d(x, w, b, groups=2), "grouped weight"),
    "without bias": (lambda x, w, b: functional.conv2d(x, w), "weight"),
    "of one image": (lambda x, w, b: functional.conv2d(x[0], w, b), "weight"),
}

BY_CHANNEL: dict[str, tuple[Function, str]] = {
    "max_pool2d": (lambda x, w, b: functional.max_pool2d(x, 2), "image"),
    "max_pool2d of one image": (lambda x, w, b: functional.max_pool2d(x[0], 3, stride=1), "image"),
    "torch.max_pool2d": (lambda x, w, b: torch.max_pool2d(x, 3, 2, 1), "image"),
    "avg_pool2d": (lambda x, w, b: functional.avg_pool2d(x, 2), "image"),
    "adaptive_avg_pool2d": (lambda x, w, b: functional.adaptive_avg_pool2d(x, 2), "image"),
    "batch_norm": (lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True), "image"),
    "batch_norm of rows": (lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True), "rows"),
    "batch_norm, evaluated": (
        lambda x, w, b: functional.batch_norm(x, b.detach(), w.detach().square() + 1, w, b),
        "image",
    ),
    "group_norm": (lambda x, w, b: functional.group_norm(x, 2, w, b), "image"),
    "group_norm without weights": (lambda x, w, b: functional.group_norm(x, 4), "image"),
    "group_norm of rows": (lambda x, w, b: functional.group_norm(x, 2, w, b), "rows"),
    "view": (lambda x, w, b: functional.relu(x).view(x.size(0), -1), "image"),
    "view as bits": (lambda x, w, b: x + 0 * x.detach().view(torch.int64), "image"),
    "attention, masked": (
        lambda x, w, b: functional.scaled_dot_product_attention(x, x, x, torch.tensor([[True] * 6, [False] * 6] * 3)),
        "image",
    ),
    "attention": (lambda x, w, b: functional.scaled_dot_product_attention(x, x, x, is_causal=True), "image"),
}

CODES = torch.tensor([[0, 1, 5], [1, 1, 3]])
LABELS = torch.tensor([0, 3, 1, 1, 2, 0, 3, 1, 0])

FEW, MANY = ("rows", "matrix", "bias"), ("many rows", "matrix", "bias")
#: Functions of (rows [n, ...], weight, bias) and the shapes of these.
LAYERS: dict[str, tuple[Function, tuple[str, ...]]] = {
    "linear": (functional.linear, FEW),
    "linear, many outputs": (lambda x, w, b: functional.linear(x, w.repeat(4, 1), b.repeat(4)), FEW),
    "linear, one row": (lambda x, w, b: functional.linear(x[:1], w, b), FEW),
    "linear, one vector": (lambda x, w, b: functional.linear(x[0], w, b), FEW),
    "linear, without bias": (lambda x, w, b: functional.linear(x, w), FEW),
    "linear, tokens": (functional.linear, ("tokens", "matrix", "bias")),
    "linear, changed in place": (lambda x, w, b: functional.linear(x, w, b).relu_(), MANY),
    "linear, viewed": (lambda x, w, b: functional.linear(x, w, b).flatten(), MANY),
    "embedding": (lambda x, w, b: functional.embedding(CODES, w) + b[:4], FEW),
    "embedding, own codes": (lambda x, w, b: functional.embedding((x.abs() > 1).long() + 1, w) + b[:4], FEW),
    "embedding, padded": (lambda x, w, b: functional.embedding(CODES, w, padding_idx=1) + b[:4], FEW),
    "cross-entropy": (lambda x, w, b: functional.cross_entropy(x, LABELS), MANY),
    "cross-entropy, many classes": (lambda x, w, b: functional.cross_entropy(x.repeat(1, 6), LABELS), MANY),
    "cross-entropy, ignored": (lambda x, w, b: functional.cross_entropy(x, LABELS, ignore_index=1), MANY),
    "cross-entropy, own labels": (lambda x, w, b: functional.cross_entropy(x, (x[:, 0] > 0).long()), MANY),
    "cross-entropy, weighted": (
        lambda x, w, b: functional.cross_entropy(x, LABELS, torch.arange(1.0, 5).double()),
        MANY,
    ),
    "cross-entropy, smoothed": (lambda x, w, b: functional.cross_entropy(x, LABELS, label_smoothing=0.1), MANY),
    "cross-entropy, each": (lambda x, w, b: functional.cross_entropy(x, LABELS, reduction="none"), MANY),
}

#: Which of (image, weight, bias) carry the lanes.
CARRIED = [(0, 0, 0), (0, 0, None), (None, 0, 0), (0, None, None), (0, None, 0), (None, 0, None)]


def agree(function: Function, names: tuple[str, ...], carried: tuple[int | None, ...]) -> None:
    """Compare values and gradients of a mapped function, with and without the replacements."""
    generator = torch.Generator().manual_seed(0)
    given = [
        torch.randn((LANES,) * (place is not None) + SHAPES[name], generator=generator, dtype=torch.float64)
        for name, place in zip(names, carried, strict=True)
    ]
    # What all lanes share is frozen, as in a population.
    for tensor, place in zip(given, carried, strict=True):
        tensor.requires_grad_(place is not None)

    def using_all(*lane: Tensor) -> Tensor:
        return function(*lane) + 0 * sum(tensor.sum() for tensor in lane)

    expected = vmap(using_all, carried)(*given)
    with LaneOperations(id):
        actual = vmap(using_all, carried)(*given)
    torch.testing.assert_close(actual, expected)
    trained = [tensor for tensor in given if tensor.requires_grad]
    one, other = (torch.autograd.grad(value.square().sum(), trained) for value in (actual, expected))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("carried", CARRIED, ids=str)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str, carried: tuple[int | None, ...]) -> None:
    function, weight = CONVOLUTIONS[name]
    agree(function, ("image", weight, "bias"), carried)


@pytest.mark.parametrize("carried", [(0, 0, 0), (None, 0, 0), (0, None, None), (0, 0, None)], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, carried: tuple[int | None, ...]) -> None:
    agree(*LAYERS[name], carried)


@pytest.mark.parametrize("name", ["linear", "embedding", "cross-entropy"])
def test_layers_are_differentiated_twice(name: str) -> None:
    function, shapes = LAYERS[name]

    def slope(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return function(x.square(), w.square(), b)

    def twice() -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        given = [
            torch.randn(LANES, *SHAPES[shape], generator=generator, dtype=torch.float64).requires_grad_()
            for shape in shapes
        ]
        total = vmap(slope)(*given).square().sum() + sum(tensor.square().sum() for tensor in given)
        first = torch.autograd.grad(total, given, create_graph=True)
        return [*torch.autograd.grad(torch.cat([one.square().flatten() for one in first]).sum(), given)]

    expected = twice()
    with LaneOperations(id):
        actual = twice()
    torch.testing.assert_close(actual, expected)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("carried", [(0, 0, 0), (0, None, None), (None, 0, 0)], ids=str)
@pytest.mark.parametrize("name", BY_CHANNEL)
def test_what_treats_channels_alone(name: str, carried: tuple[int | None, ...]) -> None:
    function, image = BY_CHANNEL[name]
    agree(function, (image, "channels", "channels"), carried)


def test_images_of_one_channel() -> None:
    image, weight = torch.randn(BATCH, 1, 6, 6), torch.randn(LANES, 2, 1, 3, 3)
    expected = vmap(functional.conv2d, (None, 0))(image, weight)
    with LaneOperations(id):
        actual = vmap(lambda x, w: functional.max_pool2d(functional.conv2d(x, w), 2), (None, 0))(image, weight)
    torch.testing.assert_close(actual, vmap(lambda x: functional.max_pool2d(x, 2))(expected))


def test_running_statistics_of_all_lanes_change_in_place() -> None:
    image = torch.randn(LANES, *SHAPES["image"])
    statistics = [(torch.zeros(LANES, 4), torch.ones(LANES, 4)) for _ in range(2)]

    def normalised(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return functional.batch_norm(x, mean, variance, training=True)

    expected = vmap(normalised)(image, *statistics[0])
    with LaneOperations(id):
        actual = vmap(normalised)(image, *statistics[1])
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(statistics[1], statistics[0])
    assert statistics[0][0].abs().min() > 0


def test_channels_of_all_lanes_come_last() -> None:
    image, weight = torch.randn(BATCH, 1, 6, 6), torch.randn(LANES, 2, 1, 3, 3)

    def network(w: Tensor) -> Tensor:
        return functional.max_pool2d(functional.relu(functional.conv2d(image, w)), 2)

    with LaneOperations(id):
        output = vmap(network, out_dims=1)(weight)
    assert output.flatten(1, 2).stride() == (24, 1, 12, 6)
