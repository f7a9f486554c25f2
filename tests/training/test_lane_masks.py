"""Dropout of every kind with masks from a key: what torch's own computes, mapped as alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fallline.training.counter_random import run_keys
from fallline.training.drawing import LaneMasks
from fallline.training.lane_operations import LaneOperations

KEYS = run_keys(torch.arange(3))
Layer = Callable[[Tensor], Tensor]


@pytest.fixture(autouse=True)
def drawn_alike() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def masked(layer: Layer, input: Tensor, key: Tensor = KEYS[0]) -> Tensor:
    with LaneMasks(key, count()):
        return layer(input)


def attending(need_weights: bool, **given: Any) -> Layer:
    attention = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)
    return lambda x: attention(x, x, x, need_weights=need_weights, **given)[0]


def scaled_attention(**given: Any) -> Layer:
    return lambda x: functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5, **given)


#: Each with the shape of what one lane gives it.
LAYERS: dict[str, tuple[Layer, tuple[int, ...]]] = {
    "dropout": (nn.Dropout(0.3), (6, 5)),
    "dropout in place": (nn.Dropout(0.3, inplace=True), (6, 5)),
    "torch.dropout": (lambda x: torch.dropout(x, 0.3, train=True), (6, 5)),
    "dropout1d": (nn.Dropout1d(0.3), (6, 5, 3)),
    "dropout1d of one example": (nn.Dropout1d(0.3), (30, 3)),
    "dropout2d": (nn.Dropout2d(0.3), (6, 5, 3, 2)),
    "dropout3d": (nn.Dropout3d(0.3), (6, 5, 3, 2, 2)),
    "dropout3d of one example": (nn.Dropout3d(0.3), (30, 3, 2, 2)),
    "feature dropout in place": (lambda x: torch.feature_dropout_(x, 0.3, train=True), (6, 5, 3)),
    "alpha dropout": (nn.AlphaDropout(0.3), (6, 5)),
    "alpha dropout of channels": (nn.FeatureAlphaDropout(0.3), (6, 5, 3)),
    "scaled attention": (scaled_attention(), (2, 7, 4)),
    "causal attention": (scaled_attention(is_causal=True, scale=0.3), (2, 7, 4)),
    "attention of a layer": (attending(False), (2, 7, 4)),
    "attention of a layer, with weights": (attending(True), (2, 7, 4)),
    "encoder": (nn.TransformerEncoderLayer(4, 2, 8, dropout=0.3, batch_first=True), (2, 7, 4)),
}
layers = pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS.keys())


@layers
@pytest.mark.parametrize("shared", [False, True], ids=["own inputs", "shared inputs"])
def test_mapped_as_alone(layer: Layer, shape: tuple[int, ...], shared: bool) -> None:
    inputs = torch.randn(*shape) if shared else torch.randn(3, *shape)
    alone = torch.stack([masked(layer, (inputs if shared else inputs[k]).clone(), KEYS[k]) for k in range(3)])
    mapped = torch.func.vmap(
        lambda input, key: masked(layer, input, key), in_dims=(None if shared else 0, 0), randomness="different"
    )
    with LaneOperations(id):
        together = mapped(inputs.clone(), KEYS)
    torch.testing.assert_close(together, alone)
    assert not torch.equal(alone[0], alone[1])


@layers
def test_repeats_itself_draws_anew_and_leaves_the_generator_alone(layer: Layer, shape: tuple[int, ...]) -> None:
    input = torch.randn(*shape)
    state = torch.get_rng_state()
    with LaneMasks(KEYS[0], count()):
        first, second = layer(input.clone()), layer(input.clone())
    assert torch.equal(first, masked(layer, input.clone()))
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", [name for name in LAYERS if "dropout" in name and "alpha" not in name])
def test_what_is_kept_is_scaled_and_so_is_its_gradient(name: str) -> None:
    layer, shape = LAYERS[name]
    input = torch.rand(*shape, dtype=torch.float64).add(1).requires_grad_()
    output = masked(layer, input.clone())
    (gradient,) = torch.autograd.grad(output.sum(), input)
    torch.testing.assert_close(output, input * gradient)
    assert set(gradient.flatten().tolist()) == {0.0, 1 / 0.7}


@pytest.mark.parametrize(
    ("name", "masks"),
    [("dropout", 30), ("dropout1d", 30), ("dropout1d of one example", 30), ("dropout2d", 30), ("dropout3d", 30),
     ("dropout3d of one example", 30), ("alpha dropout of channels", 30)],
)  # fmt: skip
def test_a_channel_goes_as_a_whole(name: str, masks: int) -> None:
    layer, shape = LAYERS[name]
    channels = masked(layer, torch.ones(shape)).reshape(masks, -1)
    assert (channels == channels[:, :1]).all()
    assert 0 < int((channels[:, 0] == channels.min()).sum()) < masks


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    input = torch.randn(300_000, dtype=torch.float64)
    output = masked(nn.AlphaDropout(0.2), input)
    dropped = output == output.mode().values
    scale = 1 / math.sqrt(0.8 * (1 + 0.2 * 1.7580993408473766**2))
    torch.testing.assert_close(output.mean(), torch.zeros(()).double(), atol=0.01, rtol=0)
    torch.testing.assert_close(output.var(), torch.ones(()).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(
        output[dropped], torch.full((int(dropped.sum()),), -0.8 * scale * 1.7580993408473766).double()
    )
    torch.testing.assert_close(output[~dropped], input[~dropped] * scale + 0.2 * scale * 1.7580993408473766)


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize(
    "function", [functional.dropout, functional.dropout2d, functional.alpha_dropout, functional.feature_alpha_dropout]
)
def test_all_or_nothing_is_dropped(function: Callable[..., Tensor], p: float) -> None:
    input = torch.randn(3, 4, 2, 2)
    assert torch.equal(masked(lambda x: function(x, p, True), input), input * (1 - p))


def test_evaluation_draws_nothing() -> None:
    calls = count()
    input = torch.randn(2, 7, 4)
    with LaneMasks(KEYS[0], calls):
        for layer, _ in (LAYERS["dropout"], LAYERS["encoder"]):
            assert isinstance(layer, nn.Module)
            layer.eval()
            layer(input)
            layer.train()
        functional.alpha_dropout(input)
        torch.dropout(input, 0.5, train=False)
    assert next(calls) == 0


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_torch_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
        masked(lambda x: functional.dropout(x, p), torch.ones(2))


def test_torch_refuses_a_shape_without_channels() -> None:
    with pytest.raises(RuntimeError, match="dropout1d: Expected 2D or 3D input"):
        masked(nn.Dropout1d(0.3), torch.ones(2, 3, 4, 5))


BLIND = torch.tensor([[True, False, True], [False, False, False]])


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"is_causal": True},
        {"scale": 0.7},
        {"attn_mask": BLIND},
        {"attn_mask": torch.zeros(2, 3).double().masked_fill(~BLIND, -torch.inf)},
        {"attn_mask": torch.tensor([[0.5, -1.0, 0.0], [2.0, 0.0, 1.0]]).double()},
        {"enable_gqa": True},
    ],
    ids=["plain", "causal", "scaled", "masked", "masked by minus infinity", "biased", "grouped"],
)
def test_attention_is_torchs_but_for_the_mask(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing dropped but everything scaled, the output is twice that without dropout."""
    monkeypatch.setattr(LaneMasks, "kept", lambda masks, shape, p: torch.ones(shape, dtype=torch.bool))
    query, key, value = (torch.randn(2, 4, n, 5, dtype=torch.float64).requires_grad_() for n in (2, 3, 3))
    if "enable_gqa" in given:
        key, value = (each[:, :2].detach().requires_grad_() for each in (key, value))
    attend = functional.scaled_dot_product_attention
    expected = attend(query, key, value, **given)
    output = masked(lambda q: attend(q, key, value, dropout_p=0.5, **given), query)
    torch.testing.assert_close(output, 2 * expected)
    ours, torchs = (torch.autograd.grad(each.square().sum(), (query, key, value)) for each in (output, 2 * expected))
    torch.testing.assert_close(ours, torchs)


def test_attention_drops_weights() -> None:
    weights = masked(
        lambda x: functional.scaled_dot_product_attention(x, x, torch.eye(40), dropout_p=0.25), torch.zeros(40, 2)
    )
    assert sorted(set(weights.flatten().tolist())) == pytest.approx([0, 1 / 40 / 0.75])
    assert 0.2 < float((weights == 0).float().mean()) < 0.3
