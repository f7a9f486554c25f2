"""Signals by depth: networks made by hand whose units, gradients and updates are known."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fallline.landscape import signals, update_ratios
from fallline.landscape.diagnosis.layer_findings import still_layers
from fallline.training import Problem, fit

functional = nn.functional
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(50, 4, generator=GENERATOR)
LABELS = (INPUTS[:, 0] > 0).long()


class Functional(nn.Module):
    """As a person writes it who has no modules for activations."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 2)
        self.activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.activation(self.body(inputs)))  # type: ignore[no-any-return]


def problem(model: Callable[[], nn.Module], **changes: Any) -> Problem:
    data = (INPUTS, LABELS)
    given = {"model": model, "loss": functional.cross_entropy, "train": data, "valid": data, "batch": 10, "epochs": 4}
    return Problem(**{**given, **changes})


def with_biases(module: nn.Module, biases: list[float]) -> nn.Module:
    layer = next(part for part in module.modules() if isinstance(part, nn.Linear))
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(biases))
    return module


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu_": functional.relu_,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hardtanh": functional.relu6,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "elu": functional.elu,
    "softplus": functional.softplus,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dead_units_of_any_activation(name: str) -> None:
    given = problem(lambda: Functional(ACTIVATIONS[name]))
    model = given.build(0)
    assert [one.dead for one in signals(given, model).activations] == [0]
    found = signals(given, with_biases(model, [-90.0, -90.0, 0.0, 0.0, 0.0, 0.0])).activations
    assert [(one.kind, one.after, one.units, one.dead) for one in found] == [(name.removesuffix("_"), "body", 6, 2)]


@pytest.mark.parametrize(("activation", "dead"), [(nn.Tanh, 2), (nn.Sigmoid, 2), (nn.ReLU, 0), (nn.LeakyReLU, 0)])
def test_units_at_their_upper_end(activation: type[nn.Module], dead: int) -> None:
    given = problem(lambda: nn.Sequential(nn.Linear(4, 3), activation(), nn.Linear(3, 2)))
    assert signals(given, with_biases(given.build(0), [90.0, 90.0, 0.0])).activations[0].dead == dead


def test_a_leaky_unit_is_never_dead() -> None:
    given = problem(lambda: nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU(), nn.Linear(3, 2)))
    assert signals(given, with_biases(given.build(0), [-90.0] * 3)).activations[0].dead == 0


def test_one_example_that_passes_keeps_a_unit_alive() -> None:
    given = problem(lambda: nn.Sequential(nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 2)))
    model = given.build(0)
    first: Any = model[0]  # type: ignore[index]
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
        first.bias.fill_(1e-3 - float(INPUTS[:, 0].max()))
    assert signals(given, model).activations[0].dead == 0
    with torch.no_grad():
        first.bias.fill_(-1e-3 - float(INPUTS[:, 0].max()))
    assert signals(given, model).activations[0].dead == 1


def test_channels_are_the_units_of_a_convolution() -> None:
    given = problem(
        lambda: nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(9, 2))
    )
    model = given.build(0)
    convolution: Any = model[1]  # type: ignore[index]
    with torch.no_grad():
        convolution.bias[1] = -90.0
    found = signals(given, model).activations[0]
    assert (found.after, found.units, found.dead) == ("1", 3, 1)


def test_mean_and_spread_are_those_of_the_outputs() -> None:
    given = problem(lambda: Functional(torch.tanh))
    model: Any = given.build(0)
    with torch.no_grad():
        outputs = torch.tanh(model.body(INPUTS))
    found = signals(given, model).activations[0]
    assert found.mean == pytest.approx(float(outputs.mean()), abs=1e-6)
    assert found.spread == pytest.approx(float(outputs.std(correction=0)), abs=1e-6)


def test_gradients_are_those_of_autograd() -> None:
    given = problem(lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2)))
    model = given.build(0).eval()
    functional.cross_entropy(model(INPUTS), LABELS).backward()  # type: ignore[no-untyped-call]
    found = signals(given, model)
    for layer, part in zip(found.layers, (model[0], model[1], model[3]), strict=True):  # type: ignore[index]
        gradients = torch.cat([parameter.grad.flatten() for parameter in part.parameters()])
        weights = torch.cat([parameter.detach().flatten() for parameter in part.parameters()])
        assert layer.gradient_norm == pytest.approx(float(gradients.norm()), rel=1e-5)
        assert layer.weight_norm == pytest.approx(float(weights.norm()), rel=1e-5)
    assert found.gradient_norm == pytest.approx(sum(layer.gradient_norm**2 for layer in found.layers) ** 0.5)


class Adapted(nn.Module):
    """Low-rank adapters as they begin: the second factor is zero, so that the first gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.down, self.up = nn.Linear(4, 6), nn.Linear(4, 2, bias=False), nn.Linear(2, 6, bias=False)
        self.head, self.unused = nn.Linear(6, 2), nn.Linear(4, 2)
        nn.init.zeros_(self.up.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(inputs) + self.up(self.down(inputs))))  # type: ignore[no-any-return]


def zero_head(bias: bool = True) -> nn.Module:
    head = nn.Linear(3, 2, bias=bias)
    nn.init.zeros_(head.weight)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), head)


def zero_residual() -> nn.Module:
    """The gain of a norm at the end of a branch begins at zero."""
    norm = nn.LayerNorm(4)
    nn.init.zeros_(norm.weight)
    return nn.Sequential(_Residual(nn.Sequential(nn.Linear(4, 4), norm)), nn.Linear(4, 2))


class _Residual(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.branch(inputs)  # type: ignore[no-any-return]


def two_zeros() -> nn.Module:
    """Neither of two that follow each other ever gets a gradient, nor what is before them."""
    layers = [nn.Linear(4, 4, bias=False) for _ in range(3)]
    for layer in layers[1:]:
        nn.init.zeros_(layer.weight)
    return nn.Sequential(*layers, nn.Linear(4, 2))


def dead() -> nn.Module:
    return with_biases(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2, bias=False)), [-90.0] * 3)


@pytest.mark.parametrize(
    ("model", "late", "never"),
    [
        (zero_head, ["0"], []),
        (lambda: zero_head(bias=False), ["0"], []),
        (Adapted, ["down"], ["unused"]),
        (zero_residual, ["0.branch.0"], []),
        (two_zeros, [], ["0", "1", "2"]),
        (dead, [], ["0", "2"]),
        (lambda: Functional(torch.relu), [], []),
    ],
    ids=["head", "head without a bias", "adapters", "residual", "two zeros", "dead units", "none"],
)
def test_layers_behind_weights_that_begin_at_zero(model: Any, late: list[str], never: list[str]) -> None:
    """They get a gradient after a step of training, and the others that get none do not."""
    given = problem(model)
    found = signals(given, given.build(0)).layers
    assert [layer.name for layer in found if layer.behind_zeros] == late
    assert [layer.name for layer in found if layer.gradient_norm == 0 and not layer.behind_zeros] == never
    run = fit(given, "sgd", lr=0.1, epochs=1, progress=False)
    after = {layer.name: layer.gradient_norm for layer in signals(given, run.model).layers}
    assert [name for name, gradient in after.items() if gradient == 0] == never


def test_what_is_frozen_is_no_layer() -> None:
    def half() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 3).requires_grad_(False), nn.ReLU(), nn.Linear(3, 2))

    assert [layer.name for layer in signals(problem(half), problem(half).build(0)).layers] == ["2"]


def test_a_step_of_ones_own() -> None:
    given = problem(
        lambda: Functional(torch.relu), loss=None,
        step=lambda model, inputs, targets: functional.cross_entropy(model(inputs), targets),
    )  # fmt: skip
    plain = problem(lambda: Functional(torch.relu))
    assert signals(given, given.build(0)) == signals(plain, plain.build(0))


def test_the_model_is_left_as_it_was() -> None:
    given = problem(lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2)))
    model = given.build(0).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = torch.get_rng_state(), random.getstate()
    for mode in ("training", "evaluation"):
        assert signals(given, model, mode=mode, seed=3) == signals(given, model, mode=mode, seed=3)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model._forward_hooks
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"split": "rest"}, "split: must be"), ({"mode": "on"}, "mode: must be"), ({"examples": 51}, "examples must be")],
)
def test_refusals(arguments: dict[str, Any], said: str) -> None:
    given = problem(lambda: Functional(torch.relu))
    with pytest.raises(ValueError, match=said):
        signals(given, given.build(0), **arguments)


@pytest.mark.parametrize("batched", [1, 3])
def test_the_update_of_one_step_of_descent(batched: int) -> None:
    """One step from the first weights: the rate times the gradient's length, over the weights' length."""
    given = problem(lambda: nn.Linear(4, 2), batch=50, epochs=4)
    found = update_ratios(given, "sgd", lr=0.3, steps=1, seeds=batched)
    for seed, ratio in zip(found.seeds, found.ratios, strict=True):
        model: Any = given.build(seed)
        functional.cross_entropy(model(INPUTS), LABELS).backward()  # type: ignore[no-untyped-call]
        assert ratio == pytest.approx([0.3 * float(model.weight.grad.norm() / model.weight.detach().norm())], rel=1e-5)
    assert found.layers == ("weight",)


@pytest.mark.parametrize(("model", "layers"), [(zero_head, ("0.weight",)), (two_zeros, ("0.weight", "3.weight"))])
def test_weights_that_begin_at_zero_have_no_ratio(model: Any, layers: tuple[str, ...]) -> None:
    """And those of the others are numbers, from which is told that nothing moves at a tiny rate."""
    found = update_ratios(problem(model, epochs=20), "sgd", lr=1e-7, steps=10, seeds=3)
    assert found.layers == layers
    assert np.isfinite(found.ratios).all()
    told = still_layers(found, 100)
    assert told is not None
    assert told.sentence.startswith("No layer's weights move by more than" if model is zero_head else "No layer's")


def test_updates_of_a_run_that_diverged_are_no_numbers() -> None:
    given = problem(
        lambda: nn.Linear(4, 1), loss=lambda output, target: output.pow(4).mean(), train=(100 * INPUTS, LABELS)
    )
    found = update_ratios(given, "sgd", lr=1e30, steps=20, seeds=3)
    assert np.isnan(found.ratios).all()
