"""The rates that train and the edge of divergence: known limits on quadratics, and what is left as it was."""

from __future__ import annotations

import json
import math
import random
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fallline import rules
from fallline.landscape import diagnose, escape, rate_range, signals, update_ratios
from fallline.problems import quadratic
from fallline.training import Problem, StreamProblem

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(60, 5, generator=GENERATOR, dtype=torch.float64) * torch.tensor([3.0, 1.0, 1.0, 0.5, 0.2])
TARGETS = INPUTS @ torch.ones(5, 1, dtype=torch.float64)
#: Of the mean of squared residuals: twice the second moments of the inputs.
TOP = float(torch.linalg.eigvalsh(2 * INPUTS.T @ INPUTS / len(INPUTS))[-1])


def least_squares() -> nn.Module:
    return nn.Linear(5, 1, bias=False).double()


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.3), nn.BatchNorm1d(8), nn.Linear(8, 1)).double()


def problem(model: Any = least_squares, **changes: Any) -> Problem:
    data = (INPUTS, TARGETS)
    given = {"model": model, "loss": nn.functional.mse_loss, "train": data, "valid": data, "batch": 60, "epochs": 200}
    return Problem(**{**given, **changes})


@pytest.mark.parametrize("curvature", [1.0, 100.0, 3e4])
@pytest.mark.parametrize(
    ("optimizer", "settings", "limit"),
    [
        ("sgd", {}, 2.0),
        ("momentum", {"momentum": 0.9}, 3.8),
        ("momentum", {"momentum": 0.5}, 3.0),
        ("velocity_momentum", {"momentum": 0.9}, 3.8),
        ("ema_momentum", {"momentum": 0.9}, 38.0),
        ("nesterov", {"momentum": 0.9}, 3.8 / 2.8),
        ("nesterov", {"momentum": 0.5}, 1.5),
        (torch.optim.SGD, {"momentum": 0.9}, 3.8),
    ],
)
def test_the_edge_on_quadratics(optimizer: Any, settings: dict[str, Any], limit: float, curvature: float) -> None:
    found = rate_range(quadratic(condition=curvature, dimensions=4), optimizer, seeds=3, **settings)
    assert found.edge == pytest.approx(limit / curvature, rel=0.05)
    assert found.edge_ends[0] <= found.edge <= found.edge_ends[1]
    np.testing.assert_allclose(found.edge_by_seed, limit / curvature, rtol=0.05)


@pytest.mark.parametrize("batch", [None, "all", 60])
def test_the_edge_of_least_squares(batch: Any) -> None:
    found = rate_range(problem(), "sgd", batch=batch, seeds=3)
    assert found.edge == pytest.approx(2 / TOP, rel=0.05)
    assert found.batch == 60


def test_small_batches_diverge_sooner() -> None:
    found = rate_range(problem(), "sgd", batch=2, seeds=3)
    assert found.edge_ends[1] < 2 / TOP


def test_rates_that_train_lie_below_the_edge() -> None:
    found = rate_range(quadratic(), "sgd", seeds=3)
    assert found.trains is not None
    low, high = found.trains
    assert low < 2 / 101 < high <= found.edge  # the best rate of all
    assert found.best is not None
    assert low <= found.best <= high


@pytest.mark.parametrize(("low", "high"), [(1e3, 1e4), (1e-6, 1e-5), (0.01, 0.03)])
def test_the_grid_grows_to_where_the_edge_is(low: float, high: float) -> None:
    assert rate_range(quadratic(), "sgd", low=low, high=high, seeds=2).edge == pytest.approx(0.02, rel=0.05)


def test_nothing_that_trains() -> None:
    flat = problem(loss=lambda output, target: (output * 0).mean())
    found = rate_range(flat, "sgd", seeds=2, steps=3)
    assert (found.trains, found.best, found.edge) == (None, None, math.inf)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["edge"] is None


def test_from_a_model_that_was_given() -> None:
    model: Any = least_squares()
    with torch.no_grad():
        model.weight.fill_(1.001)  # the answer, nearly
    found = rate_range(problem(), "sgd", model=model, seeds=3)
    assert found.first_losses.tolist() == pytest.approx([found.first_losses[0]] * 3)
    assert (found.untrained_losses > 100 * found.first_losses).all()
    # It takes longer from here to be worse than an untrained model; the edge is told a little late, and no more.
    assert found.edge == pytest.approx(2 / TOP, rel=0.05)


def test_everything_is_left_as_it_was() -> None:
    model: Any = network().train()
    model(INPUTS).sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    found = [rate_range(problem(network), "adam", model=model, seeds=2, steps=5) for _ in range(2)]
    np.testing.assert_array_equal(found[0].losses, found[1].losses)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert model.training
    left = [parameter.grad for parameter in model.parameters()]
    assert all(one is not None and torch.equal(one, old) for one, old in zip(left, gradients, strict=True))
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1], states[2]) == (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]


def test_progress_and_cost() -> None:
    told: list[tuple[int, int]] = []
    found = rate_range(quadratic(), "sgd", seeds=2, steps=20, progress=lambda *far: told.append(far))
    assert told[-1][0] == told[-1][1] == found.gradients
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"optimizer": "adm"}, LookupError, "did you mean 'adam'"),
        ({"optimizer": 3}, TypeError, "optimizer: got int"),
        ({"optimizer": rules.momentum, "mu": 0.9}, TypeError, "mu: 'momentum' has no such hyperparameter"),
        ({"low": 0.0}, ValueError, "low must be"),
        ({"low": 1.0, "high": 0.5}, ValueError, "high must be"),
        ({"seeds": 0}, ValueError, "seeds must be"),
        ({"steps": 1.5}, TypeError, "steps must be"),
        ({"batch": 61}, ValueError, "batch must be"),
        ({"examples": 61}, ValueError, "examples must be"),
        ({"model": nn.Linear(4, 1)}, ValueError, "does not fit the problem's model"),
    ],
)
def test_refusals(arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        rate_range(problem(), **arguments)


def never(*far: object) -> None:
    raise AssertionError("something was computed before the hyperparameters were checked")


@pytest.mark.parametrize(
    ("optimizer", "given", "error", "said"),
    [
        ("adam", {"beta1": 2.0}, ValueError, "'beta1' of the rule 'adam' must be at least 0 and less than 1; got 2"),
        ("momentum", {"momentum": -3.0}, ValueError, "'momentum' of the rule 'momentum' must be"),
        ("adam", {"eps": float("nan")}, ValueError, "'eps' of the rule 'adam' must be a number"),
        ("adam", {"beta1": "0.9"}, TypeError, "'beta1' of the rule 'adam' must be a number"),
        ("adam", {"beta9": 0.9}, TypeError, "beta9: 'adam' has no such hyperparameter"),
        (torch.optim.Adam, {"betas": (2.0, 0.9)}, ValueError, "'Adam' can't be made with these hyperparameters"),
        (torch.optim.SGD, {"nesterov": True}, ValueError, "'SGD' can't be made with these hyperparameters"),
        (torch.optim.SGD, {"beta9": 0.9}, TypeError, "beta9: 'SGD' has no such hyperparameter"),
    ],
)
@pytest.mark.parametrize(
    "tool",
    [
        rate_range,
        diagnose,
        partial(update_ratios, lr=0.1),
        lambda problem, optimizer, **more: escape(problem, least_squares(), optimizer, lr=0.1, fall=0.1, **more),
    ],
    ids=["rate_range", "diagnose", "update_ratios", "escape"],
)
def test_hyperparameters_are_checked_before_anything_is_trained(
    tool: Any, optimizer: Any, given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        tool(problem(), optimizer=optimizer, progress=never, **given)


def test_a_range_has_no_rate_of_its_own() -> None:
    with pytest.raises(TypeError, match="lr: the rates are what is tried"):
        rate_range(problem(), "sgd", lr=0.1)


@pytest.mark.parametrize(
    "tool",
    [
        rate_range,
        diagnose,
        partial(update_ratios, lr=0.1),
        partial(signals, model=least_squares()),
        partial(escape, model=least_squares(), lr=0.1, fall=0.1),
    ],
    ids=["rate_range", "diagnose", "update_ratios", "signals", "escape"],
)
def test_a_stream_is_refused(tool: Any) -> None:
    stream = StreamProblem(model=least_squares, loss=nn.functional.mse_loss, train=[(INPUTS, TARGETS)])
    with pytest.raises(TypeError, match="whose examples can be evaluated again"):
        tool(stream)


@pytest.mark.parametrize(("low", "high", "told"), [
    (1e-6, 1.0, "{:.2g} to {:.2g}"), (1e-3, 1.0, "{:.2g}, the lowest tried, to {:.2g}"),
])  # fmt: skip
def test_an_end_that_was_not_seen_is_told(low: float, high: float, told: str) -> None:
    found = rate_range(quadratic(condition=100.0), "sgd", low=low, high=high, seeds=3)
    assert found.trains is not None
    assert found.trains_told == found.to_json()["trains_told"] == told.format(*found.trains)
