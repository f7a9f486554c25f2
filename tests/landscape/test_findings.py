"""Sentences: each on both sides of its thresholds, and what they foretell is so when it is tried."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from fallline.landscape import (
    AlongRun,
    Curvature,
    Escape,
    NoiseScale,
    RateRange,
    Signals,
    UpdateRatios,
    along_run,
    curvature,
    escape,
    rate_range,
    signals,
)
from fallline.landscape.diagnosis import Activation, Layer
from fallline.landscape.diagnosis.finding import rounded_down, rounded_up, shown
from fallline.landscape.diagnosis.layer_findings import dead_units, fading_gradients, still_layers
from fallline.landscape.diagnosis.place_findings import paying_batches, place, scaled_features, stability
from fallline.landscape.diagnosis.rate_findings import diverging_rates, training_rates
from fallline.landscape.measuring import Condition
from fallline.problems import breast_cancer, diabetes, digits, quadratic
from fallline.training import Problem

MEASURED: Any = {
    "problem": "hills", "split": "train", "examples": 500, "mode": "evaluation", "seed": 0, "parameters": 9,
    "cost": 1.0, "loss": 1.0,
}  # fmt: skip
RATES = np.array([0.001, 0.01, 0.1, 1.0, 10.0])


def rates(**changes: Any) -> RateRange:
    """Three seeds that train from 0.01 to 0.1 and diverge from about 0.2 on."""
    losses = np.array([[0.9, 0.3, 0.2, math.nan, math.nan]] * 3)
    given: dict[str, Any] = {
        "problem": "hills", "optimizer": "gradient_descent", "hyperparameters": {}, "batch": 8, "steps": 100,
        "examples": 500, "seeds": (0, 1, 2), "rates": RATES, "losses": losses, "first_losses": np.ones(3),
        "untrained_losses": np.ones(3), "edges": np.array([[0.199, 0.201]] * 3), "gradients": 1,
    }  # fmt: skip
    return RateRange(**{**given, **changes})


def sentence(found: Any) -> str | None:
    return None if found is None else found.sentence


def test_rates_above_the_edge_diverge() -> None:
    assert sentence(diverging_rates(rates())) == "Learning rates above 0.201 diverge."


@pytest.mark.parametrize(("top", "told"), [(9.2, True), (10.0, True), (10.9, True), (9.0, False), (11.2, False)])
def test_the_curvature_is_the_reason_where_its_limit_is_near(top: float, told: bool) -> None:
    """The edge is 0.2; the limit is 2 / top."""
    found = diverging_rates(rates(), top, 2.0)
    assert found is not None
    assert ("for the top curvature is" in found.sentence) == told
    assert found.numbers["limit"] == pytest.approx(2 / top)


def test_edges_far_apart_are_told_apart() -> None:
    """By the lowest rate that did fail, which was tried, and not by the highest that did not."""
    edges = np.array([[0.119, 0.121], [0.199, 0.201], [0.299, 0.301]])
    found = diverging_rates(rates(edges=edges))
    assert sentence(found) == "Learning rates above 0.301 diverge, and from 0.121 on with some seeds."


@pytest.mark.parametrize(
    ("beyond", "told"),
    [
        ([math.nan, math.nan], "diverge."),
        ([10.0, math.nan], "diverge."),
        ([9.9, math.nan], "fail (diverge, or end worse than untrained)."),
        ([1.1, 1.1], "end worse than untrained."),
    ],
)
def test_rates_diverge_only_where_runs_did(beyond: list[float], told: str) -> None:
    """Out of bounds, or ten times as high as the untrained loss of 1."""
    found = diverging_rates(
        rates(losses=np.array([[0.9, 0.3, 0.2, math.nan, math.nan]] * 2 + [[0.9, 0.3, 0.2, *beyond]]))
    )
    other = diverging_rates(rates(losses=np.array([[0.9, 0.3, 0.2, *beyond]] * 3)))
    assert found is not None
    assert sentence(other) == f"Learning rates above 0.201 {told}"
    assert (" diverge." in found.sentence) == (told == "diverge.")
    assert found.numbers["diverged"] == pytest.approx(1 - sum(1 <= one < 10 for one in beyond) / 6)


def test_no_run_is_told_to_diverge_that_did_not() -> None:
    """Adagrad's rates on breast cancer end worse than untrained, and never out of bounds."""
    found = rate_range(breast_cancer(), "adagrad", seeds=3)
    told = sentence(diverging_rates(found))
    assert not found.diverged[:, found.rates > found.edge_ends[1]].all()
    assert told is not None
    assert "diverge, and" not in told
    assert "diverge." not in told


SOME_DO_NOT = np.array([[0.9, 0.3, 0.2, math.nan, math.nan]] * 2 + [[0.9, 0.3, 0.2, math.nan, 0.9]])


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": (0, 1), "losses": np.array([[0.9, 0.3, 0.2, math.nan, math.nan]] * 2), "edges": np.full((2, 2), 0.2),
         "first_losses": np.ones(2), "untrained_losses": np.ones(2)},
        {"edges": np.array([[0.199, 0.201], [0.199, 0.201], [math.nan, math.nan]])},
        {"losses": SOME_DO_NOT},
        {"rates": RATES[:3], "losses": np.array([[0.9, 0.3, 0.2]] * 3)},
    ],
    ids=["two seeds", "one that did not diverge", "one that trains beyond", "nothing tried beyond"],
)  # fmt: skip
def test_silence_on_divergence(changes: dict[str, Any]) -> None:
    assert diverging_rates(rates(**changes)) is None


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])
def test_rates_that_are_told_to_diverge_do(optimizer: str) -> None:
    """A hundredth above what the sentence says new seeds end worse than they began, and three below better."""
    problem = quadratic(condition=50.0, dimensions=6)
    found = diverging_rates(rate_range(problem, optimizer, seeds=3))
    assert found is not None
    told = float(re.findall(r"above ([\d.]+) diverge", found.sentence)[0])
    for share, falls in ((1.01, False), (0.97, True)):
        curves = fl.fit(problem, optimizer, lr=share * told, seed=11, epochs=300, progress=False).curves
        first, last = curves[0].validation_loss, curves[-1].validation_loss
        assert first is not None
        assert (last is not None and last < first) == falls


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (None, "Learning rates from 0.01 to 0.1 train."),
        (0.01, "Learning rates from 0.01 to 0.1 train."),
        (0.1, "Learning rates from 0.01 to 0.1 train."),
        (0.009, "Learning rates from 0.01 to 0.1 train."),
        (0.0011, "Learning rates from 0.01 to 0.1 train."),
        (0.001, "A learning rate of 0.001 is too low: those from 0.01 to 0.1 train; raise it."),
        (1e-5, "A learning rate of 1e-05 is too low: those from 0.01 to 0.1 train; raise it."),
        (0.11, "Learning rates from 0.01 to 0.1 train."),
        (0.99, "Learning rates from 0.01 to 0.1 train."),
        (1.0, "A learning rate of 1 is too high: those from 0.01 to 0.1 train; lower it."),
        (5.0, "A learning rate of 5 is too high: those from 0.01 to 0.1 train; lower it."),
        (50.0, "A learning rate of 50 is too high: those from 0.01 to 0.1 train; lower it."),
    ],
)
def test_rates_that_train(rate: float | None, told: str) -> None:
    """Between 0.001 and 0.01, and between 0.1 and 1, nobody tried any: one of the two trains, the other does not."""
    assert sentence(training_rates(rates(), rate)) == told


@pytest.mark.parametrize(
    ("rate", "told"), [(0.001, "train."), (0.0005, "train."), (0.0001, "too low"), (1.0, "too high"), (2.0, "train.")]
)
def test_a_rate_apart_from_the_others_that_trains_is_not_blamed(rate: float, told: str) -> None:
    grid = np.array([0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0])
    losses = np.array([[0.9, 0.3, 0.9, 0.2, 0.9, 0.3, math.nan]] * 3)
    found = training_rates(rates(rates=grid, losses=losses), rate)
    assert found is not None
    assert told in found.sentence


@pytest.mark.parametrize(
    "losses",
    [[[0.3, 0.3, 0.2, 1.1, 1.1]] * 3, [[0.9, 0.3, 0.2, 0.3, 0.3]] * 3, [[1.0] * 5] * 2 + [[1.0, 0.5, 0.9, 1.0, 1.0]]],
    ids=["from the lowest on", "to the highest", "one seed alone"],
)
def test_silence_where_the_ends_of_the_range_were_not_seen(losses: Any) -> None:
    assert training_rates(rates(losses=np.array(losses))) is None


@pytest.mark.parametrize(("least", "told"), [(0.951, True), (0.949, False)])
def test_a_fall_of_less_than_a_twentieth_is_no_training(least: float, told: bool) -> None:
    found = rates(losses=np.array([[1.0, 0.99, least, 1.1, math.nan]] * 3))
    assert (found.trains is None) == told
    assert (
        "none of 5 from 0.001 to 10 lowers the loss by more than" in (sentence(training_rates(found)) or "")
    ) == told


def zeros() -> nn.Module:
    made = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
    for weight in made.parameters():
        nn.init.zeros_(weight)
    return made


def born_dead() -> nn.Module:
    made = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    nn.init.constant_(made[0].bias, -50.0)  # type: ignore[arg-type]
    return made


def sigmoids() -> nn.Module:
    inner = [part for _ in range(7) for part in (nn.Linear(8, 8), nn.Sigmoid())]
    return nn.Sequential(nn.Linear(64, 8), nn.Sigmoid(), *inner, nn.Linear(8, 10))


def handwritten(model: Callable[[], nn.Module]) -> Problem:
    data = digits().train.inputs, digits().train.targets
    return Problem(model=model, loss=nn.functional.cross_entropy, train=data, valid=data, batch=32, epochs=2)


@pytest.mark.parametrize("model", [zeros, born_dead, sigmoids])
def test_no_rate_trains_what_learns_its_biases_alone(model: Callable[[], nn.Module]) -> None:
    found = fl.diagnose(handwritten(model), parts=["rates", "layers"], seeds=3, progress=False)
    assert found.rates is not None
    assert found.rates.trains is None
    told = " ".join(finding.sentence for finding in found.findings)
    assert "No learning rate of those tried trains this" in told
    # Then none is too low or too high.
    assert "raise the learning rate" not in told
    assert "lower learning rate" not in told
    if model is born_dead:
        assert "8 of 8 units (relu) after layer '0' are dead" in told
        assert "8 of them at the initial weights already; try other initial biases" in told
        assert "No gradient reaches" not in told


@pytest.mark.parametrize(("third", "low"), [(0.59, 0.001), (0.61, 0.01)])
def test_a_rate_trains_that_makes_half_of_the_best_fall(third: float, low: float) -> None:
    """The best run falls by 0.8, so that 0.6 is half of the way."""
    found = rates(losses=np.array([[third, 0.3, 0.2, math.nan, math.nan]] * 3)).trains
    assert found == (low, 0.1)


def seen(*activations: Activation, **changes: Any) -> Signals:
    layers = (Layer("0", "Linear", 2.0, 1.0), Layer("2", "Linear", 2.0, 1.0))
    given: dict[str, Any] = {
        "problem": "hills", "split": "train", "examples": 500, "mode": "evaluation", "loss": 1.0, "layers": layers,
    }  # fmt: skip
    return Signals(**{**given, "activations": activations, **changes})


@pytest.mark.parametrize(
    ("dead", "units", "examples", "told"),
    [(7, 64, 500, True), (6, 64, 500, False), (2, 10, 500, True), (1, 5, 500, False), (64, 64, 99, False)],
)
def test_dead_units(dead: int, units: int, examples: int, told: bool) -> None:
    found = dead_units(seen(Activation("relu", "0", 0.5, 1.0, units, dead), examples=examples))
    assert (found is not None) == told
    if found is not None:
        assert found.sentence.startswith(f"{dead} of {units} units (relu) after layer '0' are dead")


@pytest.mark.parametrize(("before", "remedy"), [(0, "try a lower learning rate."), (7, "try other initial biases")])
def test_units_that_were_born_dead_blame_no_rate(before: int, remedy: str) -> None:
    now, first = (seen(Activation("relu", "0", 0.5, 1.0, 64, dead)) for dead in (64, before))
    assert remedy in (sentence(dead_units(now, first)) or "")


def test_saturated_units_are_told_as_such() -> None:
    found = dead_units(seen(Activation("tanh", "0", 0.5, 1.0, 10, 5)))
    assert found is not None
    assert "are saturated" in found.sentence


@pytest.mark.parametrize(("gradient", "told"), [(1.01e-4, False), (0.99e-4, True)])
def test_fading_gradients(gradient: float, told: bool) -> None:
    layers = (Layer("0", "Linear", 2.0, gradient), Layer("2", "Linear", 2.0, 1.0))
    found = fading_gradients(seen(layers=layers))
    assert (found is not None) == told
    if found is not None:
        assert found.sentence.startswith("Layer '0' gets 1e-04 of the gradient that layer '2' gets")


def test_a_layer_that_no_gradient_reaches() -> None:
    layers = (Layer("0", "Linear", 2.0, 0.0), Layer("2", "Linear", 2.0, 1.0))
    found = fading_gradients(seen(layers=layers))
    assert found is not None
    assert found.sentence.startswith("No gradient reaches layer '0'")
    behind = (dataclasses.replace(layers[0], behind_zeros=True), layers[1])
    late = fading_gradients(seen(layers=behind))
    assert late is not None
    assert late.sentence.startswith("No gradient reaches layer '0' yet: weights on its way are all zero")
    without = tuple(dataclasses.replace(layer, gradient_norm=0.0) for layer in layers)
    assert fading_gradients(seen(layers=without)) is None  # at a stationary point all are without


def moved(*ratios: float, seeds: int = 3) -> UpdateRatios:
    return UpdateRatios(
        "hills", "adam", {"lr": 1e-3}, 8, 100, 20, tuple(range(seeds)),
        tuple(f"{number}.weight" for number in range(len(ratios))), np.array([ratios] * seeds), 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "begins"),
    [
        (
            moved(1e-3, 9e-6),
            "'1.weight' moves by at most 9e-06 of its size a step, at this pace 0.009 of it in all 1,000",
        ),
        (moved(1e-3, 1.1e-5), None),
        (moved(8e-4, 9e-6), None),
        (moved(1e-3, 9e-6, seeds=2), None),
        (moved(9e-6, 9e-6), "No layer's weights move by more than 9e-06 of their size a step"),
        (
            moved(7.4e-8, 6e-8),
            "No layer's weights move by more than 8e-08 of their size a step: at this pace all 1,000",
        ),
        (moved(1e-3, math.nan), None),
        (moved(1e-3, math.inf, 9e-6), "'2.weight' moves by at most 9e-06"),
        (moved(), None),
    ],
    ids=[
        "still",
        "moves enough",
        "others hardly more",
        "two seeds",
        "all still",
        "a bound is rounded up",
        "diverged",
        "one that came to be zero",
        "none that begins with a size",
    ],
)
def test_layers_that_do_not_learn(found: UpdateRatios, begins: str | None) -> None:
    told = sentence(still_layers(found, steps=1000))
    assert told is None if begins is None else (told is not None and told.startswith(begins))


def curved(top: float, bottom: float, error: float = 0.0, **changes: Any) -> Curvature:
    given = {
        "top": (top,),
        "bottom": (bottom,),
        "top_residuals": (error,),
        "bottom_residuals": (error,),
        "converged": True,
        "gradient": 1e-4,
    }
    return Curvature(**{**given, **MEASURED, **changes})


#: A parabola has g²/2λ to fall, a thousandth of the untrained loss 1 at g = 0.0632 for λ = 2, 0.0316 for 0.5, 0.0249
#: for 0.31, and 0.00906 for 0.041. On a slope the gradient is larger, whatever the top curvature may be.
@pytest.mark.parametrize(
    ("gradient", "found", "kind"),
    [
        (0.0248, curved(2.0, -0.31), "saddle"),
        (0.025, curved(2.0, -0.31), None),
        (0.063, curved(2.0, -40.0), "saddle"),
        (0.064, curved(2.0, -40.0), None),
        (0.009, curved(2.0, -0.21), "saddle"),
        (0.009, curved(2.0, -0.19), None),
        (0.009, curved(2.0, -0.31, 0.32), None),
        (0.0248, curved(2.0, -0.31, 0.01), None),
        (0.009, curved(2.0, -0.31, converged=False), None),
        (0.031, curved(2.0, 0.5), "minimum"),
        (0.032, curved(2.0, 0.5), None),
        (0.031, curved(2.0, 0.5, 0.05), None),
        (0.009, curved(2.0, 0.5, 0.51), None),
        (0.03, curved(1.0, 1e-6, 1e-9), None),
        (0.009, curved(-1.0, -2.0), None),
        (0.0, curved(2.0, -0.31), "saddle"),
        (0.0, curved(2.0, 0.0), None),
    ],
)
def test_saddles_and_minima(gradient: float, found: Curvature, kind: str | None) -> None:
    told = sentence(place(dataclasses.replace(found, gradient=gradient), 1.0))
    assert told is None if kind is None else (told is not None and f"a {kind}" in told)


def test_how_far_a_minimum_lies_above_its_floor_is_a_bound() -> None:
    assert sentence(place(dataclasses.replace(curved(2.0, 0.5), gradient=0.031), 1.0)) == (
        "The gradient is small (3e-02) and the smallest curvature is 0.5: a minimum, at most 0.001 below, were it a "
        "parabola."
    )
    assert sentence(place(curved(2.0, 0.5), 1.0)) == (
        "The gradient is small (1e-04) and the smallest curvature is 0.5: a minimum."
    )


@pytest.mark.parametrize("epochs", [3, 10, 40, 2000])
def test_a_long_valley_is_no_minimum_before_its_floor(epochs: int) -> None:
    """Least squares, whose floor algebra tells: a minimum is told only where the loss is as near as is said."""
    problem = diabetes(epochs=epochs)
    run = fl.fit(problem, "sgd", lr=0.02, batch="all" if epochs == 2000 else None, progress=False)
    inputs, targets = problem.train.inputs.double().numpy(), problem.train.targets.double().numpy()
    features = np.column_stack([inputs, np.ones(len(inputs))])
    floor = ((features @ np.linalg.lstsq(features, targets, rcond=None)[0] - targets) ** 2).mean()
    at = curvature(problem, run.model)
    found = place(at, curvature(problem, problem.build(0)).loss)
    assert (found is not None) == (epochs == 2000)
    if found is not None:
        assert at.loss - floor <= found.numbers["above"] * 1.01 + 1e-6


def left(optimizer: str, *after: float) -> Escape:
    return Escape("hills", optimizer, {"lr": 0.1}, 8, 500, 200, 0.05, np.array(after), 1)


@pytest.mark.parametrize(
    ("ways", "ends"),
    [
        ([left("momentum", 30, 35, 40)], "a minimum. Momentum leaves it within about 40 steps."),
        ([left("momentum", 30, 35, math.inf)], "not a minimum."),
        ([left("momentum", 30, 40)], "not a minimum."),
        ([left("gradient_descent", 90, 99, 95), left("momentum", 30, 35, 40)],
         "Momentum leaves it within about 40 steps."),
        ([left("gradient_descent", *[math.inf] * 3), left("momentum", 30, 35, 40)],
         "within about 40 steps. Gradient descent does not leave it in 200 steps."),
        ([left("gradient_descent", *[math.inf] * 3), left("momentum", *[math.inf] * 3)],
         "Gradient descent or momentum does not leave it in 200 steps; begin elsewhere, or add noise."),
    ],
)  # fmt: skip
def test_ways_out_of_a_saddle(ways: list[Escape], ends: str) -> None:
    found = place(curved(2.0, -0.31), 1.0, ways)
    assert found is not None
    assert found.sentence.endswith(ends)


@pytest.mark.parametrize(
    ("losses", "told"),
    [([1.5, 1.2, 1.0, 1.0, 1.0], True), ([1.5, 1.2, 1.0, 1.015, 1.0], True), ([1.5, 1.2, 1.1, 1.03, 1.0], False)],
)
def test_a_saddle_is_where_the_loss_stands_still(losses: list[float], told: bool) -> None:
    run = dataclasses.replace(course(*[0.2] * 5), losses=np.array(losses))
    assert (place(curved(2.0, -0.31), 1.0, along=run) is not None) == told


def test_a_place_of_a_low_loss_is_no_saddle_for_a_gradient_that_is_large_beside_it() -> None:
    """A parabola of curvature 0.31 has 1.6e-8 to fall: nothing beside a loss of 1, and a share of one of 1e-6."""
    assert place(curved(2.0, -0.31, loss=1.0), 1.0) is not None
    assert place(curved(2.0, -0.31, loss=1e-6), 1.0) is None


def test_a_network_that_goes_on_falling_is_at_no_saddle() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(99) % 3
    data = 3 * nn.functional.one_hot(labels, 13) + torch.randn(99, 13, generator=generator), labels
    problem = Problem(
        model=lambda: nn.Sequential(nn.Linear(13, 32), nn.Tanh(), nn.Linear(32, 3)),
        loss=nn.functional.cross_entropy, train=data, valid=data, batch=16, epochs=10,
    )  # fmt: skip
    found = fl.diagnose(problem, optimizer="sgd", lr=2.0, parts=["run", "place"], seeds=3, progress=False)
    assert found.along is not None
    assert found.along.losses[-1] < 0.1 * found.along.losses[0]
    assert found.curvature is not None
    assert found.curvature.bottom[0] < 0
    assert not any("saddle" in finding.sentence for finding in found.findings)


class Saddle(nn.Module):
    """x² - 0.31 y² + y⁴/8, from a little beside the saddle at 0; whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.0, 1e-4], dtype=torch.float64))

    def forward(self, examples: Tensor) -> Tensor:
        x, y = self.weights
        return (1 + x**2 - 0.31 * y**2 + y**4 / 8).expand(len(examples))  # type: ignore[no-any-return]


def test_a_saddle_is_left_within_the_steps_that_are_told() -> None:
    nothing = (torch.zeros(200, 1), torch.zeros(200, 1))
    problem = Problem(
        model=Saddle, loss=lambda output, target: output.mean(), train=nothing, valid=nothing, batch=20, epochs=20
    )
    model = problem.build(0)
    found = fl.diagnose(problem, model, "sgd", lr=0.1, parts=["place"], progress=False)
    told = next(finding.sentence for finding in found.findings if finding.about == "place")
    assert "the smallest curvature is -0.62: a saddle, not a minimum." in told
    steps = int(re.findall(r"Momentum leaves it within about (\d+) steps", told)[0])
    run = fl.fit(problem, "momentum", model=model, lr=0.1, epochs=20, progress=False)
    falls = {point.step: 1 - point.validation_loss for point in run.curves if point.validation_loss is not None}
    assert falls[max(step for step in falls if step <= steps - 5)] < 0.05 or steps <= 10
    assert falls[min(step for step in falls if step >= steps)] > 0.05


def test_an_escape_counts_the_steps_until_the_loss_has_fallen_for_good() -> None:
    found = escape(quadratic(), quadratic().build(0), "sgd", lr=0.01, fall=1.0, steps=50, seeds=2)
    assert (found.left <= 10).all()
    never = escape(quadratic(), quadratic().build(0), "sgd", lr=1.0, fall=1.0, steps=50, seeds=2)
    assert np.isinf(never.left).all()


def course(*shares: float, **changes: Any) -> AlongRun:
    """Top curvatures as shares of the limit, which is 4."""
    count = len(shares)
    every = {name: np.full(count, math.nan) for name in ("noise", "noise_low", "noise_high")}
    given: dict[str, Any] = {
        "problem": "hills", "optimizer": "gradient_descent", "split": "train", "examples": 500, "mode": "evaluation",
        "steps": 10 * np.arange(count, dtype=float), "rates": np.full(count, 0.5), "losses": np.ones(count),
        "top": 4 * np.array(shares), "top_errors": np.zeros(count), "bottom": -np.ones(count),
        "limits": np.full(count, 4.0), "cost": 1.0,
    }  # fmt: skip
    return AlongRun(**{**given, **every, **changes})


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ((0.2, 0.9, 1.1, 0.9), True),
        ((0.2, 0.9, 0.8, 0.7), False),
        ((0.2, 0.86, 1.14, 0.5), True),
        ((0.2, 0.84, 1.14, 0.5), False),
        ((0.75, 0.9, 1.1, 0.9), False),
        ((0.2, 0.9, 0.5, 1.1), False),
        ((0.2, 1.3, 1.1, 0.9), False),
        ((0.2, 1.1, 1.1, 1.3), True),
        ((math.nan, math.nan, math.nan), False),
    ],
)
def test_the_edge_of_stability(shares: tuple[float, ...], told: bool) -> None:
    found = stability(course(*shares))
    assert (found is not None) == told
    if found is not None:
        assert "rose from 0.8 to the limit that a learning rate of 0.5 has, 4" in found.sentence


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (course(0.1, 1.0, 0.2, 0.2, 0.2, 0.2, 0.98, 1.01), "has, 4, and was there from step 60 to 70"),
        (course(0.1, 1.0, 1.0, 1.0, 0.2, 0.2, 0.98, 1.01), "has, 4, and was there from step 10 to 30"),
        (course(0.1, 0.3, 1.0, 1.0, top=np.array([0.4, 1.2, 8.0, 16.0]), rates=np.array([0.5, 0.5, 0.25, 0.125]),
                limits=np.array([4.0, 4.0, 8.0, 16.0])),
         "from 0.4 to the limit that a learning rate of 0.25 to 0.12 has, 8 to 16, and was there from step 20 to 30"),
        (course(0, 0, 0, top=np.full(3, 4.0), limits=np.array([40.0, 4.0, 4.0])), None),
        (course(0.2, 1.0, 1.0, top_errors=np.array([0.0, 0.7, 0.7])), None),
    ],
    ids=["the stretch on end", "the longest", "its own limit", "the rate rose, not the curvature", "not known well"],
)  # fmt: skip
def test_the_stretch_at_the_edge(found: AlongRun, told: str | None) -> None:
    said = sentence(stability(found))
    assert said is None if told is None else (said is not None and told in said)


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 10))


@pytest.mark.parametrize(("model", "known"), [(normalised, False), (dropping, False), (sigmoids, True)])
def test_what_is_another_loss_as_it_is_trained_tells_no_stability(model: Callable[[], nn.Module], known: bool) -> None:
    problem = handwritten(model)
    run = fl.fit(problem, "sgd", lr=0.1, epochs=1, checkpoints=2, progress=False)
    found = along_run(problem, run, examples=100)
    assert found.as_trained == known
    assert along_run(problem, run, examples=100, mode="training").as_trained
    assert (stability(dataclasses.replace(course(0.2, 0.9, 1.0), as_trained=found.as_trained)) is not None) == known


def test_no_batch_is_said_to_pay_with_batch_norm() -> None:
    found = fl.diagnose(handwritten(normalised), lr=0.1, parts=["run", "noise"], seeds=2, progress=False)
    assert found.noise is None
    assert any("with batch norm an example's gradient depends on the others" in said for said in found.left_out)
    assert found.along is not None
    assert np.isnan(found.along.noise).all()


def test_batches_that_pay_are_told_with_what_they_were_along_the_run() -> None:
    run = dataclasses.replace(
        course(0.2, 0.3, 0.4, 0.5),
        noise=np.array([900.0, 20.0, 80.0, 50.0]),
        noise_high=np.array([1e3, 30, math.inf, 60]),
    )
    told = sentence(paying_batches(noisy(500, 400, 700), 2000, run))
    assert told is not None
    assert told.startswith("Batches beyond 700 stop paying at these weights")
    assert told.endswith("Along the run it was 20 to 50.")


def test_the_condition_number_of_unscaled_features() -> None:
    """Of least squares it is known, 1.6e9 times as large as of scaled ones: single precision would not see its end."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 2, generator=generator) * torch.tensor([4e4, 1.0])
    targets = inputs.sum(1, keepdim=True) / 4e4
    line = Problem(
        model=lambda: nn.Linear(2, 1), loss=nn.functional.mse_loss, train=(inputs, targets), valid=(inputs, targets)
    )
    features = np.column_stack([inputs.double().numpy(), np.ones(200)])
    known = np.linalg.cond(features) ** 2
    found = fl.diagnose(line, parts=["scaling"], progress=False)
    assert found.scaling is not None
    assert found.scaling[0].number == pytest.approx(known, rel=1e-4)
    assert "lowers the condition number from" in found.findings[0].sentence


def test_a_condition_number_that_is_only_bounded() -> None:
    before = dataclasses.replace(condition(math.inf, 5), bottom=1e-7, bottom_error=1e-6)
    told = sentence(scaled_features(before, condition(88, 5)))
    assert told is not None
    assert "lowers the condition number from at least 900000 to 88" in told


def test_the_edge_of_stability_of_a_network() -> None:
    run = fl.fit(digits(), "sgd", lr=0.5, batch="all", epochs=100, checkpoints=9, progress=False)
    found = along_run(digits(), run, examples=400)
    np.testing.assert_allclose(found.limits, 4.0)
    assert stability(found) is not None
    assert (found.top < 1.15 * found.limits).all()


def test_curvature_along_a_quadratic_is_the_same_all_the_way() -> None:
    run = fl.fit(quadratic(), "momentum", lr=0.01, checkpoints=4, progress=False)
    found = along_run(quadratic(), run)
    np.testing.assert_allclose(found.top, 100.0, rtol=1e-6)
    np.testing.assert_allclose(found.bottom, 1.0, rtol=1e-6)
    np.testing.assert_allclose(found.limits, 380.0)
    assert found.steps.tolist() == [0, 67, 133, 200]
    assert np.isnan(found.noise).all()  # one example has none


def test_along_a_run_of_torch_no_limit_is_told() -> None:
    run = fl.fit(quadratic(), torch.optim.Adam, lr=0.01, checkpoints=2, epochs=4, progress=False)
    found = along_run(quadratic(), run)
    assert found.optimizer == "Adam"
    assert np.isnan(found.limits).all()
    assert stability(found) is None


def test_along_a_run_without_checkpoints() -> None:
    run = fl.fit(quadratic(), "sgd", lr=0.01, epochs=2, progress=False)
    with pytest.raises(ValueError, match="no checkpoints were kept"):
        along_run(quadratic(), run)
    with pytest.raises(TypeError, match=r"what fallline\.fit returned"):
        along_run(quadratic(), run.model)  # type: ignore[arg-type]


def noisy(scale: float, low: float, high: float) -> NoiseScale:
    numbers = {"noise": 1.0, "signal": 1.0, "noise_error": 0.1, "signal_error": 0.1, "batch": 8}
    return NoiseScale(scale=scale, low=low, high=high, **numbers, **MEASURED)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("noise", "begins"),
    [
        (noisy(512, 400, 700), "Batches beyond 700 stop paying"),
        (noisy(500, 250, 1000), "Batches beyond 1000 stop paying"),
        (noisy(500, 249, 1000), None),
        (noisy(math.inf, 300, math.inf), None),
        (noisy(0.5, 0.0, 1.0), None),
        (noisy(0.6, 0.5, 0.9), "Batches beyond 1 stop paying"),
        (noisy(5000, 2001, 7000), "Every batch size pays at these weights: even all 2,000 examples"),
        (noisy(5000, 1999, 7000), None),
        (noisy(1000, 600, 2000), "Batches beyond 2000 stop paying"),
        (noisy(1000, 600, 2001), None),
    ],
)
def test_batches_that_pay(noise: NoiseScale, begins: str | None) -> None:
    told = sentence(paying_batches(noise, 2000))
    assert told is None if begins is None else (told is not None and told.startswith(begins))
    if told is not None and told.startswith("Batches"):  # so for every scale that the interval holds
        size = float(re.findall(r"beyond (\d+) stop", told)[0])
        for scale in (noise.low, noise.scale, noise.high):
            assert (1 + scale / (2 * size)) / (1 + scale / size) >= 0.75


@pytest.mark.parametrize(("low", "high", "known"), [(250, 1000, True), (249, 1000, False), (0, 1, False)])
def test_a_batch_is_suggested_where_the_sentence_would_be_said(low: float, high: float, known: bool) -> None:
    noise = noisy(500, low, high)
    assert (noise.is_known, noise.suggested) == (known, 512 if known else None)
    assert (paying_batches(noise, 2000) is not None) == known


def condition(number: float, spread: float, error: float = 0.0, probes: int = 4, off: float = 0.0) -> Condition:
    return Condition(
        number=number, number_error=off, spread=spread, spread_error=error, probes=probes, top=1.0,
        bottom=-0.1 if math.isinf(number) else 0.1, bottom_error=0.0, standardised=False, **MEASURED,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (condition(100, 5), condition(49, 5), "lowers the condition number from 100 to 49"),
        (condition(100, 5), condition(51, 5), None),
        (condition(100, 5, off=3), condition(48, 5, off=0.4), "lowers the condition number from 100 to 48"),
        (condition(100, 5, off=3), condition(48, 5, off=0.6), None),
        (
            condition(math.inf, 30, 1),
            condition(10, 13, 0.12),
            "the top curvature over the mean size of all (of their absolute values) from 30 to 13",
        ),
        (condition(math.inf, 30, 1), condition(10, 13, 0.14), None),
        (condition(math.inf, 30, 1.2), condition(10, 13, 0.12), None),
        (condition(math.inf, 30, 0, 0), condition(10, 15, 0, 0), "from 30 to 15"),
    ],
)
def test_what_scaling_the_features_is_worth(before: Condition, after: Condition, told: str | None) -> None:
    """Of 4 random vectors the 95 % interval reaches 3.182 standard errors to either side."""
    found = sentence(scaled_features(before, after))
    assert found is None if told is None else (found is not None and told in found)


def test_an_interval_of_few_vectors_is_named_and_has_students_width() -> None:
    found = scaled_features(condition(math.inf, 30, 1), condition(10, 10, 0.1))
    assert found is not None
    assert found.evidence.startswith("30 ± 3.2 to 10 ± 0.32 with 95 % confidence, by 4 random vectors, at")


@pytest.mark.parametrize(
    ("value", "up", "down", "plain"),
    [
        (0.020353, "0.021", "0.02", "0.02"),
        (100.0, "100", "100", "100"),
        (1186, "1200", "1100", "1200"),
        (9.99, "10", "9.9", "10"),
    ],
)
def test_bounds_are_rounded_to_their_safe_side(value: float, up: str, down: str, plain: str) -> None:
    assert (rounded_up(value), rounded_down(value), shown(value)) == (up, down, plain)


def test_the_place_of_a_model_measured() -> None:
    problem = quadratic(condition=10.0, dimensions=3)
    model: Any = problem.build(0)
    with torch.no_grad():
        model.weights.mul_(1e-3)
    found = place(curvature(problem, model), signals(problem, problem.build(0)).loss)
    assert found is not None
    assert "a minimum" in found.sentence
    assert found.numbers["above"] >= signals(problem, model).loss  # the floor is 0
