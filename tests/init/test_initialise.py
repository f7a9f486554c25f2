"""What is chosen for which layer of a model, how it is found, and what is refused."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from fallline.init import Report, Scheme, he_normal, initialise, lecun_normal, xavier_normal
from fallline.init.activations import curve_gain, named
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
        ("celu", Scheme("he", "normal", "fan_in", curve_gain("elu"))),
        ("gelu", Scheme("he", "normal", "fan_in", curve_gain("gelu"))),
        ("SiLU", Scheme("he", "normal", "fan_in", curve_gain("swish"))),
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


CURVES = [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.ELU(), nn.ELU(0.5), nn.CELU(2.0),
          nn.Softplus(), nn.Softplus(2.0)]  # fmt: skip
RECTIFIERS = [nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.PReLU(), nn.PReLU(8), nn.RReLU(), nn.SELU()]
#: What saturates keeps a signal, but not its size: Xavier's scheme is one of the paper's compromises.
SATURATING = [nn.Tanh(), nn.Hardtanh(), nn.Sigmoid(), nn.Hardsigmoid(), nn.LogSigmoid(), nn.Softsign()]


@pytest.mark.parametrize(
    ("activation", "least", "most"),
    [*((one, 0.1, 10.0) for one in CURVES), *((one, 0.4, 2.0) for one in RECTIFIERS),
     *((one, 0.01, 1.5) for one in SATURATING)],
    ids=str,
)  # fmt: skip
def test_the_signal_survives_thirty_layers(activation: nn.Module, least: float, most: float) -> None:
    if isinstance(activation, nn.PReLU) and activation.num_parameters > 1:
        activation = nn.PReLU(256)
    pairs = [module for _ in range(30) for module in (nn.Linear(256, 256), copy.deepcopy(activation))]
    model = nn.Sequential(*pairs).eval()
    initialise(model, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        last = model(torch.randn(256, 256, generator=torch.Generator().manual_seed(1)))
    assert least < last.square().mean().sqrt().item() < most


@pytest.mark.parametrize("activation", CURVES, ids=str)
def test_a_curve_hands_on_the_mean_square_of_one(activation: nn.Module) -> None:
    """Measured by drawing, where the gain was found by integrating."""
    (choice, *_) = initialise(nn.Sequential(nn.Linear(2, 2), activation)).choices
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = activation(choice.scheme.gain * z).square().mean().item()
    assert found == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(
    ("call", "module", "printed"),
    [
        (lambda y: nn.functional.elu(y, 0.5), nn.ELU(0.5), "elu (0.5)"),
        (lambda y: nn.functional.celu(y, alpha=2.0), nn.CELU(2.0), "celu (2)"),
        (lambda y: nn.functional.softplus(y, 2.0, 20.0), nn.Softplus(2.0), "softplus (2)"),
        (lambda y: nn.functional.softplus(y, threshold=9), nn.Softplus(), "softplus"),
        (lambda y: nn.functional.gelu(y, approximate="tanh"), nn.GELU(), "gelu"),
    ],
)
def test_a_function_is_its_module(call: Any, module: nn.Module, printed: str) -> None:
    (one,) = initialise(Calling(call)).choices
    (other,) = initialise(nn.Sequential(nn.Linear(2, 2), module)).choices
    assert (one.reason, one.scheme) == (other.reason, other.scheme) == (printed, one.scheme)


def test_a_curve_that_always_hands_on_more_keeps_what_comes_in() -> None:
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    comes_out = nn.functional.softplus(z, 0.5).square().mean().item()
    assert curve_gain("softplus", 0.5) == pytest.approx(comes_out**-0.5, rel=0.01)


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


class Tied(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self, by: str = "name") -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8, padding_idx=0)
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 50)
        if by == "name":
            self.head.weight = self.embed.weight
        else:
            self.head.weight.data = self.embed.weight.data

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(self.embed(x))))  # type: ignore[no-any-return]


@pytest.mark.parametrize("by", ["name", "data"])
def test_a_head_that_is_tied_to_an_embedding_is_left_alone(by: str) -> None:
    model = Tied(by)
    before = copy.deepcopy(model.state_dict())
    report = initialise(model)
    assert reasons(report) == {"body": "relu"}
    assert report.left_alone == ("embed", "head")
    assert str(report).endswith("left alone: embed, head (its weight is that of 'embed')")
    for name in ("embed.weight", "head.weight", "head.bias"):
        assert torch.equal(model.state_dict()[name], before[name])
    assert not model.embed.weight[0].any()
    assert not torch.equal(model.body.weight, before["body.weight"])


class SharedWeight(nn.Module):
    """Two layers of one weight; the first is followed by ReLU."""

    def __init__(self, second: str = "linear", by: str = "name", size: int = 300) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(size, size), nn.Linear(size, size)
        if by == "name":
            self.two.weight = self.one.weight
        else:
            self.two.weight.data = self.one.weight.data
        self.last: nn.Module = nn.Tanh() if second == "tanh" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.two(torch.relu(self.one(x))))  # type: ignore[no-any-return]


@pytest.mark.parametrize("by", ["name", "data"])
def test_a_shared_weight_is_drawn_once(by: str) -> None:
    model = SharedWeight(by=by)
    report = initialise(model, generator=torch.Generator().manual_seed(0))
    assert reasons(report) == {"one": "relu", "two": "it shares the weight of 'one'"}
    assert [choice.std for choice in report.choices] == pytest.approx([math.sqrt(2 / 300)] * 2)
    assert model.one.weight.std().item() == pytest.approx(math.sqrt(2 / 300), rel=0.02)
    alone = nn.Linear(300, 300)
    he_normal().fill(alone, torch.Generator().manual_seed(0))
    assert torch.equal(model.one.weight, alone.weight)
    assert not model.two.bias.any()


def test_a_shared_weight_needs_one_scheme() -> None:
    with pytest.raises(ValueError, match=r"'one', 'two' \(it is followed by relu and by tanh"):
        initialise(SharedWeight("tanh"))
    report = initialise(SharedWeight("tanh"), {"two": "tanh"})
    assert reasons(report) == {"one": "tanh", "two": "it shares the weight of 'one'"}
    with pytest.raises(ValueError, match="'one', 'two' share one weight, and are told to be relu and tanh"):
        initialise(SharedWeight("tanh"), {"one": "relu", "two": "tanh"})


def test_frozen_weights_and_biases_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1), Branching())
    model[0].requires_grad_(False)
    model[2].bias.requires_grad_(False)
    model[4].weight.requires_grad_(False)
    model[5].requires_grad_(False)  # which tracing could not see into
    before = copy.deepcopy(model.state_dict())
    report = initialise(model)
    assert reasons(report) == {"2": "relu"}
    assert report.left_alone == ("0", "4", "5.first")
    assert str(report).endswith("left alone: 0 (frozen), 4 (frozen), 5.first (frozen)")
    changed = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert changed == ["2.weight"]


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")  # type: ignore[return-value]


def compiled_in_place(model: nn.Module) -> nn.Module:
    for module in model.modules():
        module.compile(backend="eager")
    return model


def compiled_parts(model: Any) -> nn.Module:
    for i in range(len(model)):
        model[i] = compiled(model[i])
    return model  # type: ignore[no-any-return]


WRAPPERS: dict[str, tuple[Any, str]] = {
    "compiled": (compiled, "_orig_mod."),
    "compiled in place": (compiled_in_place, ""),
    "in parallel": (nn.DataParallel, "module."),
    "both": (lambda model: compiled(nn.DataParallel(model)), "_orig_mod.module."),
}


@pytest.mark.parametrize(("wrap", "prefix"), WRAPPERS.values(), ids=WRAPPERS)
def test_what_is_wrapped_is_as_it_is_inside(wrap: Any, prefix: str) -> None:
    def plain() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.GELU()), nn.Linear(4, 1))

    known, wrapped = plain(), plain()
    expected = initialise(known, generator=torch.Generator().manual_seed(0))
    outside = wrap(wrapped)
    names = [name for name, _ in outside.named_modules()]
    report = initialise(outside, generator=torch.Generator().manual_seed(0))
    assert [choice.scheme for choice in report.choices] == [choice.scheme for choice in expected.choices]
    assert all(map(torch.equal, wrapped.parameters(), known.parameters()))
    assert [name for name, _ in outside.named_modules()] == names
    assert {choice.layer for choice in report.choices} <= set(names)
    assert [choice.layer for choice in report.choices] == [prefix + choice.layer for choice in expected.choices]
    for name in ("1.0", prefix + "1.0"):  # with or without what is wrapped around it
        assert reasons(initialise(outside, {name: "tanh"}))[prefix + "1.0"] == "tanh"


def test_parts_that_are_wrapped() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)), nn.Tanh())
    report = initialise(nn.DataParallel(compiled_parts(model)))
    assert reasons(report) == {"module.0._orig_mod": "relu", "module.1._orig_mod.1": "tanh"}
    model[1] = nn.DataParallel(model[1])
    assert reasons(initialise(model, {"1.1": "selu"})) == {"0._orig_mod": "relu", "1.module._orig_mod.1": "selu"}


class Language(nn.Module):
    """A small transformer as people write one, with a tied head and a mask."""

    def __init__(self, activation: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, activation=activation, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.norm = nn.LayerNorm(8)
        self.project = nn.Linear(8, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.head(self.project(self.norm(self.encoder(self.embed(x), mask=mask))))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A block with torch's attention."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.wide, self.narrow = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.narrow(nn.functional.silu(self.wide(x)))  # type: ignore[no-any-return]


TRANSFORMERS: dict[str, tuple[nn.Module, dict[str, str]]] = {
    "layer": (nn.TransformerEncoderLayer(8, 2, 16), {"linear1": "relu", "linear2": "linear"}),
    "decoder": (nn.TransformerDecoderLayer(8, 2, 16, activation="gelu"), {"linear1": "gelu", "linear2": "linear"}),
    "module": (
        nn.TransformerEncoderLayer(8, 2, 16, activation=nn.LeakyReLU(0.2)),
        {"linear1": "leakyrelu (0.2)", "linear2": "linear"},
    ),
    "partial": (
        nn.TransformerEncoderLayer(8, 2, 16, activation=functools.partial(nn.functional.elu, alpha=0.5)),
        {"linear1": "elu (0.5)", "linear2": "linear"},
    ),
    "both": (
        nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
        {f"{part}.layers.0.linear{i}": ["", "relu", "linear"][i] for part in ("encoder", "decoder") for i in (1, 2)},
    ),
    "among others": (
        nn.Sequential(nn.Linear(8, 8), nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(8, 1), nn.Sigmoid()),
        {"0": "linear", "1.linear1": "relu", "1.linear2": "linear", "2": "sigmoid"},
    ),
    "language": (
        Language(nn.functional.gelu),
        {
            "encoder.layers.0.linear1": "gelu",
            "encoder.layers.0.linear2": "linear",
            "encoder.layers.1.linear1": "gelu",
            "encoder.layers.1.linear2": "linear",
            "project": "linear",
        },
    ),
    "block": (nn.Sequential(Block(), Block()), {
        "0.wide": "silu", "0.narrow": "linear", "1.wide": "silu", "1.narrow": "linear"
    }),
    "attention": (nn.MultiheadAttention(8, 2), {}),
}  # fmt: skip


@pytest.mark.parametrize(("model", "known"), TRANSFORMERS.values(), ids=TRANSFORMERS)
@pytest.mark.parametrize("wrap", [lambda model: model, compiled, nn.DataParallel], ids=["", "compiled", "parallel"])
def test_transformers(model: nn.Module, known: dict[str, str], wrap: Any) -> None:
    before = copy.deepcopy(model.state_dict())
    report = initialise(wrap(model))
    assert {
        name.removeprefix("_orig_mod.").removeprefix("module."): why for name, why in reasons(report).items()
    } == known
    for name, tensor in model.state_dict().items():
        drawn = name.removesuffix(".weight").removesuffix(".bias") in known
        assert torch.equal(tensor, before[name]) != drawn or (drawn and not tensor.any())


def test_an_activation_of_a_transformer_that_is_not_known() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, activation=torch.sin)
    with pytest.raises(ValueError, match=r"'linear1' \(it is followed by 'sin', which is not known"):
        initialise(model)
    assert reasons(initialise(model, {"linear1": "tanh"}))["linear1"] == "tanh"


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
        (
            nn.Sequential(torch.nn.utils.spectral_norm(nn.Linear(2, 2))),
            {},
            ValueError,
            "the weight of '0' is computed from others",
        ),
        (Tied(), {"head": "relu"}, ValueError, r"overrides\['head'\] has no effect, since 'head' is left alone: its w"),
        (
            nn.Linear(2, 2).requires_grad_(False),
            {"": "relu"},
            ValueError,
            r"overrides\[''\] has no effect, since '' is left alone: frozen",
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
