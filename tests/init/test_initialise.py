"""What is chosen for which layer of a model, how it is found, and what is refused."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from fallline.init import Report, he_normal, initialise, lecun_normal, xavier_normal
from fallline.init.activations import named
from tests.init.models import GLU, Branching, Calling, Functional, Leaky, Own, RMSNorm, Shared


def reasons(report: Report) -> dict[str, str]:
    return {choice.layer: choice.reason for choice in report.choices}


@pytest.mark.parametrize(
    ("activation", "scheme"),
    [
        ("relu", he_normal()),
        ("ReLU6", he_normal()),
        ("leaky_relu", he_normal(0.01)),
        ("LeakyReLU", he_normal(0.01)),
        ("prelu", he_normal(0.25)),
        ("gelu", he_normal()),
        ("silu", he_normal()),
        ("tanh", xavier_normal()),
        ("sigmoid", xavier_normal()),
        ("log_softmax", xavier_normal()),
        ("selu", lecun_normal()),
        ("linear", lecun_normal()),
    ],
)
def test_scheme_of_an_activation(activation: str, scheme: Any) -> None:
    assert named(activation).scheme("normal") == scheme


@pytest.mark.parametrize(
    ("model", "known"),
    [
        (nn.Linear(2, 2), {"": "linear"}),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), {"0": "relu", "2": "linear"}),
        (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Tanh()), {"0": "linear", "1": "tanh"}),
        (nn.Sequential(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2), nn.Dropout(), nn.SELU()), {"0": "selu"}),
        (nn.Sequential(nn.Conv2d(2, 2, 1), nn.MaxPool2d(2), nn.Flatten(), nn.ReLU()), {"0": "relu"}),
        (nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.GELU())), {"0.0": "gelu"}),
        (nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(0.2)), {"0": "leakyrelu (0.2)"}),
        (nn.Sequential(nn.Linear(2, 2), nn.PReLU(init=0.1)), {"0": "prelu (0.1)"}),
        (nn.Sequential(nn.Linear(2, 2), nn.RReLU(0.1, 0.3)), {"0": "rrelu (0.2)"}),
        (nn.Sequential(Own(2, 2), Leaky(0.3)), {"0": "leakyrelu (0.3)"}),
        (nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2)), {"0": "linear"}),
        (
            Functional(),
            {
                "stem": "leakyrelu (0.2)",
                "inner": "relu",
                "outer": "tanh",
                "gate": "sigmoid",
                "head": "linear",
            },
        ),
        (Shared(), {"layer": "relu"}),
        (nn.Sequential(nn.Linear(2, 2), GLU()), {"0": "linear", "1.layer": "sigmoid"}),
        (nn.Sequential(nn.Linear(2, 2), RMSNorm(), nn.ReLU()), {"0": "relu"}),
        (Calling(lambda y: nn.functional.rrelu(y, 0.1, 0.3)), {"layer": "rrelu (0.2)"}),
        (Calling(lambda y: nn.functional.leaky_relu(y)), {"layer": "leakyrelu (0.01)"}),
        (Calling(lambda y: y.chunk(2)[0].tanh() * y.chunk(2)[1].sigmoid()), {"layer": "sigmoid"}),
        (Calling(lambda y: nn.functional.cross_entropy(nn.functional.softmax(y, -1), y)), {"layer": "softmax"}),
        (Calling(lambda y: nn.functional.linear(y, y)), {"layer": "linear"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_finds_the_activation_behind_each_layer(model: nn.Module, known: dict[str, str]) -> None:
    assert reasons(initialise(model)) == known


def test_weights_have_the_scale_and_biases_are_zero() -> None:
    model = nn.Sequential(nn.Linear(500, 400), nn.BatchNorm1d(400), nn.ReLU(), nn.Linear(400, 300), nn.Tanh())
    nn.init.constant_(model.get_parameter("1.weight"), 3.0)
    report = initialise(model, generator=torch.Generator().manual_seed(0))
    known = [math.sqrt(2 / 500), math.sqrt(2 / 700)]
    assert [choice.std for choice in report.choices] == pytest.approx(known)
    assert [model.get_parameter(f"{i}.weight").std().item() for i in (0, 3)] == pytest.approx(known, rel=0.01)
    assert not model.get_parameter("0.bias").any()
    assert not model.get_parameter("3.bias").any()
    assert bool((model.get_parameter("1.weight") == 3.0).all())
    assert report.left_alone == ("1",)


@pytest.mark.parametrize(
    "activation", [nn.ReLU(), nn.LeakyReLU(0.5), nn.PReLU(init=0.3), nn.SELU(), nn.Identity()], ids=str
)
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_signals_keep_their_size_through_many_layers(activation: nn.Module, distribution: Any) -> None:
    pairs = [module for _ in range(6) for module in (nn.Linear(600, 600), copy.deepcopy(activation))]
    model = nn.Sequential(*pairs)
    initialise(model, distribution=distribution, generator=torch.Generator().manual_seed(0))
    x = torch.randn(200, 600, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        last = model[:-1](x)
    first = model[0](x)
    assert 0.5 < (last.square().mean() / first.square().mean()).item() < 2.0


def test_a_generator_makes_the_draw_repeatable_and_leaves_torchs_alone() -> None:
    state, weights = torch.get_rng_state(), []
    for seed in (0, 0, 1):
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
        torch.set_rng_state(state)
        initialise(model, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(torch.get_rng_state(), state)
        weights.append(model.get_parameter("0.weight").detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_attention_and_embeddings_are_left_alone() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(3, 4), "attention": nn.MultiheadAttention(4, 2)})
    before = copy.deepcopy(model.state_dict())
    report = initialise(model)
    assert report.left_alone == ("embed", "attention", "attention.out_proj")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("overrides", "known"),
    [
        ({"0": "tanh"}, {"0": "tanh", "2": "linear"}),
        ({"2": nn.LeakyReLU(0.2)}, {"0": "relu", "2": "leakyrelu (0.2)"}),
        ({"2": nn.Identity()}, {"0": "relu", "2": "linear"}),
        ({"0": "tanh", "*": "selu"}, {"0": "tanh", "2": "selu"}),
        ({"*": "selu", "0": "tanh"}, {"0": "selu", "2": "selu"}),
        ({"[02]": xavier_normal(2.0)}, {"0": "as told", "2": "as told"}),
    ],
    ids=str,
)
def test_overrides(overrides: Any, known: dict[str, str]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    assert reasons(initialise(model, overrides)) == known


def test_an_overriding_scheme_is_taken_as_it_is() -> None:
    (choice,) = initialise(nn.Linear(2, 6), {"": he_normal(fan="fan_out")}, distribution="uniform").choices
    assert choice.scheme == he_normal(fan="fan_out")
    assert choice.std == pytest.approx(math.sqrt(2 / 6))


def test_what_can_not_be_traced_is_taken_whole() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), Branching(), nn.Linear(2, 2), nn.Tanh())
    assert reasons(initialise(model, {"2.first": "relu"})) == {"0": "relu", "2.first": "relu", "3": "tanh"}


def test_tracing_leaves_no_symbols_in_the_model() -> None:
    model = GLU()
    initialise(model)
    assert model.seen is None


def test_a_model_that_is_named_throughout_needs_no_tracing() -> None:
    assert reasons(initialise(Branching(), {"first": "relu"})) == {"first": "relu"}


def test_report_prints_a_line_for_each_layer() -> None:
    report = initialise(nn.Sequential(nn.Linear(8, 4), nn.LeakyReLU(0.5), nn.GroupNorm(1, 4), nn.Linear(4, 1)))
    assert str(report).splitlines() == [
        "0: leakyrelu (0.5) -> he_normal (fan_in, gain 1.265), std 0.4472",
        "3: linear -> lecun_normal (fan_in, gain 1), std 0.5",
        "left alone: 2",
    ]


@pytest.mark.parametrize(
    ("model", "overrides", "error", "sentence"),
    [
        (3, {}, TypeError, "model must be a torch.nn.Module; got 3"),
        (nn.Sequential(nn.LazyLinear(2), nn.ReLU()), {}, ValueError, "'0' has no shape yet: run one batch through"),
        (
            nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 2))),
            {},
            ValueError,
            "the weight of '0' is computed from others",
        ),
        (Branching(), {}, ValueError, r"'first' \(the model can't be traced: .*overrides=\{'first': 'relu', ...\}"),
        (
            nn.Sequential(Branching(), nn.ReLU()),
            {},
            ValueError,
            r"'0.first' \(tracing the model did not come upon it\)",
        ),
        (
            nn.Sequential(nn.Linear(2, 2), Branching()),
            {"1.first": "relu"},
            ValueError,
            "'0' .* followed by 'Branching'",
        ),
        (Calling(torch.sin), {}, ValueError, "'layer' .it is followed by 'sin', which is not known"),
        (
            Calling(lambda y: (nn.functional.relu(y), nn.functional.tanh(y))),
            {},
            ValueError,
            "it is followed by relu and by tanh",
        ),
        (nn.Linear(2, 2), {"1": "relu"}, ValueError, "overrides: no layer fits '1'; the layers are "),
        (nn.Sequential(nn.Linear(2, 2)), {"0": "rellu"}, ValueError, "no activation is known as 'rellu'; did you mean"),
        (nn.Sequential(nn.Linear(2, 2)), {"0": nn.Linear(2, 2)}, TypeError, r"overrides\['0'\] must be an activation"),
    ],
)
def test_refusals_are_sentences_and_change_nothing(
    model: Any, overrides: Any, error: type[Exception], sentence: str
) -> None:
    before = copy.deepcopy(model)
    with pytest.raises(error, match=sentence):
        initialise(model, overrides)
    for p, q in zip(model.parameters(), before.parameters(), strict=True) if isinstance(model, nn.Module) else ():
        assert nn.parameter.is_lazy(p) or torch.equal(p, q)
