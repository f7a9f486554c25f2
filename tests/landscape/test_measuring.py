"""Measures of a loss at one point: exact answers where algebra gives them, dense Hessians elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline.landscape import Progress, condition, curvature, noise_scale, sharpness, spectrum, trace
from fallline.problems import breast_cancer, digits
from fallline.training import Problem

functional = nn.functional
Floats = NDArray[np.float64]
NOTHING = (torch.zeros(1, 1), torch.zeros(1, 1))


class Bowl(nn.Module):
    """½ wᵀHw, in turned coordinates."""

    def __init__(self, curvatures: Floats, start: float | None = None) -> None:
        super().__init__()
        generator = np.random.default_rng(0)
        turn = np.linalg.qr(generator.standard_normal((len(curvatures), len(curvatures))))[0]
        self.hessian = torch.from_numpy(turn * curvatures @ turn.T)
        weights = generator.standard_normal(len(curvatures)) if start is None else np.full(len(curvatures), start)
        self.weights = nn.Parameter(torch.from_numpy(weights))

    def forward(self, examples: Tensor) -> Tensor:
        return (self.weights @ self.hessian @ self.weights / 2).expand(len(examples))


def mean(output: Tensor, target: Tensor) -> Tensor:
    return output.mean()


def bowl(curvatures: Floats) -> tuple[Problem, nn.Module]:
    problem = Problem(model=lambda: Bowl(curvatures), loss=mean, train=NOTHING, valid=NOTHING)
    return problem, problem.build(0)


def dense(problem: Problem, model: nn.Module, mode: str = "evaluation") -> Floats:
    """All curvatures by torch's own Hessian, ascending."""
    mine = copy.deepcopy(model).train(mode == "training")
    weights = [one for one in mine.parameters() if one.requires_grad]
    names = [name for name, one in mine.named_parameters() if one.requires_grad]
    sizes = [one.numel() for one in weights]

    def loss(flat: Tensor) -> Tensor:
        parts = [part.view_as(own) for part, own in zip(torch.split(flat, sizes), weights, strict=True)]
        output = torch.func.functional_call(mine, dict(zip(names, parts, strict=True)), (problem.train.inputs,))
        assert problem.loss is not None
        return problem.loss(output, problem.train.targets)

    flat = torch.cat([one.detach().reshape(-1) for one in weights])
    hessian = torch.func.jacrev(torch.func.jacrev(loss))(flat)
    return np.linalg.eigvalsh(hessian.detach().double().numpy())


SPECTRA: dict[str, Floats] = {
    "spread": np.logspace(0, 3, 60),
    "two close at the top": np.array([*np.linspace(0.1, 1, 60), 10.0, 10.1]),
    "lowest larger in size": np.array([-50.0, *np.linspace(-3, 3, 50), 10.0]),
    "negative definite": -np.logspace(-1, 2, 50),
    "negative, and zero": np.array([0.0, *-np.linspace(1, 5, 40)]),
    "positive, and zeros": np.array([*np.zeros(30), *np.linspace(1, 5, 30)]),
    "equal": np.full(40, 3.0),
    "equal and negative": np.full(40, -3.0),
    "rank one": np.array([*np.zeros(49), 5.0]),
    "tiny": 1e-9 * np.linspace(-1, 2, 40),
    "zero": np.zeros(40),
    "few": np.array([-2.0, 0.5, 3.0]),
    "one": np.array([7.0]),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_both_ends_are_exact_on_quadratics(name: str) -> None:
    curvatures = np.sort(SPECTRA[name])
    found = curvature(*bowl(curvatures), tolerance=1e-8)
    size = np.abs(curvatures).max()
    expected = [curvatures[-1], curvatures[0]]
    np.testing.assert_allclose([found.top[0], found.bottom[0]], expected, rtol=1e-6, atol=1e-12 * size)
    assert max(*found.top_residuals, *found.bottom_residuals) <= 1e-6 * size
    top_alone = curvature(*bowl(curvatures), ends="top", tolerance=1e-8)
    assert found.converged
    assert top_alone.converged
    assert (top_alone.top, top_alone.bottom) == (found.top, ())


@pytest.mark.parametrize("name", ["spread", "two close at the top", "lowest larger in size", "few", "one"])
def test_several_at_each_end(name: str) -> None:
    curvatures = np.sort(SPECTRA[name])
    found = curvature(*bowl(curvatures), count=5, tolerance=1e-8)
    np.testing.assert_allclose(found.top, curvatures[::-1][:5], rtol=1e-6)
    np.testing.assert_allclose(found.bottom, curvatures[:5], rtol=1e-6)


def test_a_residual_bounds_the_error() -> None:
    curvatures = SPECTRA["spread"]
    for tolerance in (0.3, 0.03, 0.003):
        found = curvature(*bowl(curvatures), tolerance=tolerance)
        assert found.top[0] <= curvatures[-1] * (1 + 1e-12)
        residuals = (*found.top_residuals, *found.bottom_residuals)
        for value, residual in zip((*found.top, *found.bottom), residuals, strict=True):
            assert np.abs(curvatures - value).min() <= residual + 1e-9


@pytest.mark.parametrize("tolerance", [0.3, 0.03, 0.003, 1e-5])
@pytest.mark.parametrize("name", ["spread", "lowest larger in size", "negative definite", "two close at the top"])
def test_what_has_converged_is_within_the_tolerance(name: str, tolerance: float) -> None:
    """As the docstring has it: a share of three times the size of the largest curvature."""
    curvatures = SPECTRA[name]
    for ends in ("both", "top"):
        found = curvature(*bowl(curvatures), tolerance=tolerance, ends=ends, count=2)
        assert found.converged
        assert max(*found.top_residuals, *found.bottom_residuals) <= 3 * tolerance * np.abs(curvatures).max()


@pytest.mark.parametrize("make", [breast_cancer, lambda: softmax(digits())], ids=["breast cancer", "digits"])
def test_the_top_of_a_regression_is_that_of_the_whole_hessian(make: Callable[[], Problem]) -> None:
    problem = make()
    model = problem.build(0)
    curvatures = dense(problem, model)
    found = curvature(problem, model)
    np.testing.assert_allclose(found.top[0], curvatures[-1], rtol=1e-5)
    np.testing.assert_allclose(found.bottom[0], curvatures[0], atol=2e-3 * curvatures[-1])
    estimated = trace(problem, model, probes=50)
    assert abs(estimated.value - curvatures.sum()) <= 3 * estimated.error


def softmax(problem: Problem, model: Callable[[], nn.Module] = lambda: nn.Linear(64, 10), **changes: Any) -> Problem:
    train, valid = ((split.inputs, split.targets) for split in (problem.train, problem.valid))
    return Problem(**{"model": model, "loss": functional.cross_entropy, "train": train, "valid": valid, **changes})


def test_the_trace_is_within_its_standard_error() -> None:
    curvatures = np.append(np.logspace(0, 2, 40), -30.0)
    problem, model = bowl(curvatures)
    found = [trace(problem, model, seed=seed) for seed in range(60)]
    off = np.array([(one.value - curvatures.sum()) / one.error for one in found])
    assert 0.85 <= (np.abs(off) <= 2).mean() < 1
    assert 0.7 < off.std() < 1.4


def test_a_spectrum_has_the_shares_and_the_ends() -> None:
    curvatures = np.concatenate([np.full(20, -2.0), np.full(30, 1.0), np.linspace(4, 5, 50)])
    found = spectrum(*bowl(curvatures), probes=30)
    np.testing.assert_allclose(found.weights.sum(1), 1)
    np.testing.assert_allclose([found.nodes.min(), found.nodes.max()], [-2, 5], rtol=1e-6)
    for bound, share in ((-3, 0.0), (0, 0.2), (2, 0.5), (6, 1.0)):
        estimate, error = found.share_below(bound)
        assert abs(estimate - share) <= 4 * error + 1e-12, bound
        assert error < 0.02
    places = np.linspace(-4, 7, 2001)
    for width in (None, 0.1):
        assert np.trapezoid(found.density(places, width=width), places) == pytest.approx(1, abs=1e-3)
    assert places[found.density(places, width=0.05).argmax()] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ["equal", "rank one", "zero", "few", "one"])
def test_a_spectrum_of_few_different_curvatures(name: str) -> None:
    curvatures = SPECTRA[name]
    found = spectrum(*bowl(curvatures), probes=200 if name == "rank one" else 2)
    seen = found.nodes[found.weights > 1e-9]
    assert np.abs(seen[:, None] - curvatures).min(1).max() <= 1e-9
    assert np.isfinite(found.density([0.0, 1.0])).all()


class Middle(nn.Module):
    """Answers its weights, whatever it is asked: of ½ |w - x|² an example's gradient is w - x."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(5, dtype=torch.float64))

    def forward(self, examples: Tensor) -> Tensor:
        return self.weights.expand(len(examples), -1)


def half_square(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target) ** 2).sum(1).mean() / 2


def cloud(distance: float, count: int = 1000, seed: int = 0) -> Problem:
    """Points about a middle that is so far from the weights; the noise is 5, the signal the distance's square."""
    points = np.random.default_rng(seed).standard_normal((count, 5)) + distance / np.sqrt(5)
    data = (torch.zeros(count, 1, dtype=torch.float64), torch.from_numpy(points))
    return Problem(model=Middle, loss=half_square, train=data, valid=data, batch=16)


def test_the_noise_scale_has_its_closed_form() -> None:
    problem = cloud(0.5, 600)
    points = problem.train.targets.numpy()
    single = noise_scale(problem, problem.build(0), batch=1)
    noise = points.var(0, ddof=1).sum()
    assert single.noise == pytest.approx(noise, rel=1e-9)
    assert single.signal == pytest.approx((points.mean(0) ** 2).sum() - noise / len(points), rel=1e-9)
    problem = cloud(1.0, 4000)
    found = noise_scale(problem, problem.build(0), batch=8)
    assert found.scale == pytest.approx(5 / 1.0**2, rel=0.1)
    assert found.scale == found.noise / found.signal
    assert found.suggested == 4
    assert found.cost == pytest.approx(1 + 2 / 3, abs=0.01)


def test_the_interval_of_a_noise_scale_holds_it() -> None:
    problems = [cloud(0.7, 400, seed) for seed in range(60)]
    found = [noise_scale(problem, problem.build(0), batch=20) for problem in problems]
    assert 0.87 <= np.mean([one.low <= 5 / 0.7**2 <= one.high for one in found]) <= 1
    assert np.median([one.high / one.low for one in found]) < 4


def test_without_a_gradient_no_batch_is_suggested() -> None:
    problem = cloud(0.0)
    found = noise_scale(problem, problem.build(0))
    assert (found.high, found.suggested) == (np.inf, None)
    assert found.low > 100


def test_sharpness_has_its_closed_form_on_a_quadratic() -> None:
    curvatures = np.logspace(0, 2, 30)
    problem = Problem(model=lambda: Diagonal(curvatures), loss=mean, train=NOTHING, valid=NOTHING)
    model = problem.build(0)
    weights = next(model.parameters()).detach().numpy()
    for width in (1e-3, 5e-4, 0.5):
        found = sharpness(problem, model, width=width)
        corner = np.abs(weights) + width * (np.abs(weights) + 1)
        loss, highest = (curvatures * weights**2).sum() / 2, (curvatures * corner**2).sum() / 2
        assert found.loss == pytest.approx(loss)
        assert found.value == pytest.approx(100 * (highest - loss) / (1 + loss), rel=1e-9)


class Diagonal(Bowl):
    def __init__(self, curvatures: Floats) -> None:
        super().__init__(curvatures)
        self.hessian = torch.diag(torch.from_numpy(curvatures))


def test_sharpness_where_the_loss_ends() -> None:
    problem = Problem(model=lambda: Bowl(np.ones(1), 1e-3), loss=logarithm, train=NOTHING, valid=NOTHING)
    assert sharpness(problem, problem.build(0), width=1e-2).value == np.inf


def logarithm(output: Tensor, target: Tensor) -> Tensor:
    """Ends where the weight is 1.4 times as large, well within the box."""
    return -(1e-6 - output.mean()).log()


def test_the_condition_number_of_a_regression_before_and_after_scaling() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((200, 6)) * np.logspace(0, 3, 6) + 5
    data = (torch.from_numpy(inputs), torch.from_numpy(generator.standard_normal((200, 1))))
    problem = Problem(model=lambda: nn.Linear(6, 1).double(), loss=functional.mse_loss, train=data, valid=data)
    before, after = (condition(problem, problem.build(0), standardised=scaled) for scaled in (False, True))
    scaled = (inputs - inputs.mean(0)) / inputs.std(0)
    for found, features in ((before, inputs), (after, scaled)):
        with_bias = np.column_stack([features, np.ones(200)])
        curvatures = np.linalg.eigvalsh(2 * with_bias.T @ with_bias / 200)
        assert found.number == pytest.approx(curvatures[-1] / curvatures[0], rel=1e-6)
        assert found.spread == pytest.approx(curvatures[-1] / curvatures.mean(), rel=1e-6)
        assert (found.spread_error, found.spread_doubt, found.probes) == (0, 0, 0)
        assert 0 <= found.number_error < 1e-3 * found.number
    assert (before.standardised, after.standardised) == (False, True)
    assert before.number > 1e6 > 10 > after.number


def test_the_condition_of_what_has_no_number() -> None:
    assert condition(*bowl(SPECTRA["lowest larger in size"])).number == np.inf
    assert condition(*bowl(SPECTRA["rank one"])).number == np.inf
    problem = softmax(digits())
    large = condition(problem, problem.build(0))
    curvatures = dense(problem, problem.build(0))
    assert large.number == np.inf
    assert abs(large.spread - curvatures[-1] / np.abs(curvatures).mean()) <= large.spread_doubt
    assert large.spread_doubt == pytest.approx(3.182 * large.spread_error, rel=1e-3)
    assert large.number_error == np.inf
    assert large.top == pytest.approx(curvatures[-1], rel=1e-4)


def test_what_a_measurement_tells_of_itself() -> None:
    problem = digits()
    told: list[Progress] = []
    found = curvature(problem, problem.build(3), split="valid", examples=100, seed=5, progress=told.append)
    assert (found.problem, found.split, found.examples, found.mode) == ("digits", "valid", 100, "evaluation")
    assert (found.seed, found.parameters) == (5, 2410)
    assert told[0].done < 1 < told[0].expected
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert told[-1].done == pytest.approx(found.cost, abs=0.01)
    assert all(one.expected >= one.done for one in told)
    assert 2410 * 4 * 24 < told[0].memory < 2**24
    assert curvature(problem, problem.build(0), ends="top").cost <= 30
