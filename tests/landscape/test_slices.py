"""Slices: exact curves where algebra gives them, plain one-by-one evaluation elsewhere."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline.landscape import Slice, slice, slice_losses
from fallline.landscape.slice_axes import filter_normalised
from fallline.problems import quadratic
from fallline.training import Problem, StreamProblem

functional = nn.functional
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(40, 6, generator=GENERATOR, dtype=torch.float64)
LABELS = (INPUTS[:, 0] > 0).long() + (INPUTS[:, 1] > 0).long()


class Branching(nn.Linear):
    """Takes another way where the data say so: lanes of it can't share their operations."""

    def forward(self, input: Tensor) -> Tensor:
        hidden = super().forward(input)
        return hidden if hidden.sum() > 0 else 2 * hidden


def relu() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()


def convolutional() -> nn.Module:
    body = nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten())
    return nn.Sequential(body, nn.Linear(8, 3)).double()


def noisy() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 3)).double()


def half_frozen() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5).requires_grad_(False), nn.Tanh(), nn.Linear(5, 3)).double()


def branching() -> nn.Module:
    return Branching(6, 3).double()


def make_problem(model: Callable[[], nn.Module] = relu, **changes: Any) -> Problem:
    given = {
        "model": model,
        "loss": functional.cross_entropy,
        "train": (INPUTS[:30], LABELS[:30]),
        "valid": (INPUTS[30:], LABELS[30:]),
        "metric": "accuracy",
    }
    return Problem(**{**given, **changes})


def by_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(model(inputs), targets)


def used(problem: Problem, seed: int = 0) -> nn.Module:
    """A model after some passes in training mode, which move running statistics."""
    model = problem.build(seed)
    with torch.no_grad(), torch.random.fork_rng():
        for _ in range(20):
            model(problem.train.inputs * (1 + seed) + seed)
    return model


def plain_losses(problem: Problem, model: nn.Module, steps: Sequence[dict[str, Tensor]]) -> NDArray[np.float64]:
    """The loss at the model's weights plus each step in turn, as anybody would take it."""
    found = []
    for step in steps:
        moved = copy.deepcopy(model).eval()
        with torch.no_grad():
            for name, change in step.items():
                moved.get_parameter(name).add_(change)
        found.append(float(problem.evaluation_loss(moved, problem.train.inputs, problem.train.targets).detach()))
    return np.array(found)


def trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}


def distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(points[:, None] - points[None], axis=-1))


def random_steps(model: nn.Module, cut: Slice, seed: int = 0) -> list[dict[str, Tensor]]:
    """The change of the weights at each point of a slice along random axes."""
    weights = trained(model)
    directions = filter_normalised(list(weights.values()), cut.dimensions, seed)
    return [
        {name: torch.tensordot(place, axes, 1) for name, axes in zip(weights, directions, strict=True)}
        for place in slice_losses.grid_places(cut.offsets)
    ]


@pytest.mark.parametrize("dimensions", [1, 2])
def test_least_squares_are_parabolas(dimensions: Any) -> None:
    target = INPUTS @ torch.arange(6.0).double()[:, None] + 1
    data = (INPUTS, target)
    problem = make_problem(
        lambda: nn.Linear(6, 1).double(), loss=functional.mse_loss, train=data, valid=data, metric="loss"
    )
    model = problem.build(3)
    cut = slice(problem, model, dimensions=dimensions, points=11, reach=2, seed=5)
    [direction, _] = filter_normalised(list(trained(model).values()), dimensions, 5)
    residual = (model(INPUTS) - target).detach()[:, 0]
    # |r + X D t|² / n = (|r|² + 2 rᵀX D t + tᵀ DᵀXᵀX D t) / n
    along, places = INPUTS @ direction[:, 0].T, slice_losses.grid_places(cut.offsets)
    quadratic_form = ((places @ (along.T @ along)) * places).sum(1)
    expected = (residual @ residual + 2 * places @ (along.T @ residual) + quadratic_form) / len(INPUTS)
    np.testing.assert_allclose(cut.losses.ravel(), expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    "shape", [(5, 6), (4, 2, 3), (4, 1, 2, 2), (7, 1), (3,), ()], ids=lambda shape: f"{len(shape)}-{shape}"
)
def test_directions_have_the_filters_norms(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=GENERATOR)
    other = torch.randn(shape, generator=GENERATOR, dtype=torch.float64)
    [two], [one], [of_other] = (
        filter_normalised([given], dimensions, seed=2) for given, dimensions in ((weight, 2), (weight, 1), (other, 1))
    )
    assert two.shape == (2, *shape)
    assert two.dtype == weight.dtype
    if len(shape) < 2:
        assert not two.any()
        return
    for direction in two:
        torch.testing.assert_close(direction.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1))
    assert not torch.allclose(two[0].abs(), two[1].abs()) or shape[1:] == (1,)
    torch.testing.assert_close(one[0], two[0])  # the second axis changes nothing of the first
    # The same numbers for every model: filter by filter, their directions are parallel.
    cosines = functional.cosine_similarity(one[0].double().flatten(1), of_other[0].flatten(1))
    torch.testing.assert_close(cosines, torch.ones_like(cosines))


def test_a_filter_of_zeros_stays() -> None:
    [direction] = filter_normalised([torch.tensor([[0.0, 0.0], [1.0, 0.0]])], 1, seed=0)
    assert direction[0].norm(dim=1).tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize(
    ("model", "dimensions", "changes"),
    [
        (relu, 1, {}),
        (relu, 2, {}),
        (convolutional, 1, {}),
        (noisy, 1, {}),
        (half_frozen, 2, {}),
        (branching, 2, {}),
        (relu, 1, {"loss": None, "step": by_step, "metric": "loss"}),
        (relu, 1, {"metric": "roc_auc", "train": (INPUTS, LABELS % 2)}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:30]),
)
def test_losses_are_those_of_plain_evaluation(
    model: Callable[[], nn.Module], dimensions: Any, changes: dict[str, Any]
) -> None:
    problem = make_problem(model, **changes)
    module = used(problem)
    cut = slice(problem, module, dimensions=dimensions, points=5)
    expected = plain_losses(problem, module, random_steps(module, cut))
    np.testing.assert_allclose(cut.losses.ravel(), expected, rtol=1e-10)
    np.testing.assert_allclose(cut.model_losses, expected[[len(expected) // 2]], rtol=1e-10)
    assert cut.losses.shape == (1, *[5] * dimensions)
    assert (cut.shares, cut.coordinates.tolist()) == (None, [[0.0] * dimensions])


def test_rows_follow_the_second_axis() -> None:
    problem = make_problem()
    model = problem.build(0)
    line, plane = slice(problem, model, points=5), slice(problem, model, dimensions=2, points=5)
    np.testing.assert_allclose(plane.losses[0, 2], line.losses[0], rtol=1e-12)
    assert not np.allclose(plane.losses[0, :, 2], line.losses[0])


def test_rescaled_layers_leave_the_slice_as_it_is() -> None:
    problem = make_problem()
    model = problem.build(0)
    twin = copy.deepcopy(model)
    first, _, second = twin.children()
    with torch.no_grad():
        for weight, factor in ((first.weight, 10), (first.bias, 10), (second.weight, 0.1)):
            assert isinstance(weight, Tensor)
            weight.mul_(factor)
    cut = slice(problem, [model, twin], points=11)
    np.testing.assert_allclose(cut.losses[1], cut.losses[0], rtol=1e-12)
    assert np.ptp(cut.losses[0]) > 0.01
    # Along a direction of fixed length the same function looks quite another.
    raw = {name: torch.randn(weight.shape, generator=GENERATOR).double() for name, weight in trained(model).items()}
    steps = [{name: sign * direction for name, direction in raw.items()} for sign in (-1, 1)]
    assert not np.allclose(plain_losses(problem, model, steps), plain_losses(problem, twin, steps), rtol=0.1)


def test_two_models_span_a_line() -> None:
    problem = make_problem(half_frozen)
    models = [problem.build(seed) for seed in (1, 1)]
    with torch.no_grad():
        models[0][2].weight.add_(torch.randn(3, 5, generator=GENERATOR))  # type: ignore[index]
    way = {name: trained(models[0])[name] - weight for name, weight in trained(models[1]).items()}
    distance = float(torch.cat([change.flatten() for change in way.values()]).norm())
    cut = slice(problem, models, axes="principal", points=51)
    assert cut.shares == pytest.approx((1.0,))
    np.testing.assert_allclose(cut.coordinates, [[-distance], [0.0]], rtol=1e-12)
    np.testing.assert_allclose(cut.offsets[0][[0, 5, 45, 50]] / distance, [-1.125, -1, 0, 0.125], atol=1e-12)
    np.testing.assert_allclose(cut.losses[0, [5, 45]], cut.model_losses, rtol=1e-10)
    steps = [{name: -offset / distance * change for name, change in way.items()} for offset in cut.offsets[0]]
    np.testing.assert_allclose(cut.losses[0], plain_losses(problem, models[1], steps), rtol=1e-10)


@pytest.mark.parametrize(
    ("places", "dimensions", "shares"),
    [
        ([[0.0], [1.0], [4.0]], 1, [1.0]),
        ([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0], [4.0, 1.0]], 1, [16 / 17]),
        ([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0], [4.0, 1.0]], 2, [16 / 17, 1 / 17]),
        ([[0.0, 0.0], [3.0, 0.0], [1.0, 2.0]], 2, None),
    ],
)
def test_principal_axes(places: list[list[float]], dimensions: Any, shares: list[float] | None) -> None:
    problem = make_problem()
    start = problem.build(0)
    # Directions of length 1 at right angles: one in each layer.
    ways = [torch.randn(5, 6, generator=GENERATOR).double(), torch.randn(3, 5, generator=GENERATOR).double()]
    models = []
    for place in places:
        model = copy.deepcopy(start)
        for offset, way, layer in zip(place, ways, (model[0], model[2]), strict=False):  # type: ignore[index]
            with torch.no_grad():
                layer.weight.add_(offset * way / way.norm())
        models.append(model)
    cut = slice(problem, models, axes="principal", dimensions=dimensions, points=5)
    beside = np.square(np.array(places) - places[-1]).sum(1) - np.square(cut.coordinates).sum(1)
    assert cut.distances == pytest.approx(np.sqrt(np.maximum(beside, 0)), abs=1e-5)
    assert (cut.distances == 0).all() == ("beside it" not in cut.description)
    assert cut.shares is not None
    assert cut.losses.shape == (1, *[5] * dimensions)
    assert cut.shares == pytest.approx(shares) if shares is not None else sum(cut.shares) == pytest.approx(1)
    assert cut.coordinates[-1] == pytest.approx(0, abs=1e-12)
    assert (cut.coordinates[0] <= 0).all()
    if dimensions == len(places[0]):  # nothing of the models lies beside the slice
        np.testing.assert_allclose(distances(cut.coordinates), distances(np.array(places)), atol=1e-10)
    low, high = cut.coordinates.min(0), cut.coordinates.max(0)
    for k, (left, right) in enumerate(cut.view[:dimensions]):
        assert (right - left) == pytest.approx(1.25 * (high[k] - low[k]))
        assert (right + left) == pytest.approx(high[k] + low[k])


def test_running_statistics_move_with_the_weights() -> None:
    problem = make_problem(noisy)
    models = [used(problem, seed) for seed in range(3)]
    line = slice(problem, models[1:], axes="principal", points=5, reach=1)
    np.testing.assert_allclose(line.losses[0, [0, -1]], line.model_losses, rtol=1e-10)
    # Far beyond the models a variance that moved on would be negative.
    assert np.isfinite(slice(problem, models, axes="principal", dimensions=2, points=5, reach=20).losses).all()


def test_models_may_be_state_dicts() -> None:
    problem = make_problem(noisy)
    models = [used(problem, seed) for seed in range(2)]
    states = [copy.deepcopy(model.state_dict()) for model in models]
    of_states, of_models, of_one = (slice(problem, given, points=5).losses for given in (states, models, states[1]))
    np.testing.assert_array_equal(of_states, of_models)
    np.testing.assert_allclose(of_one, of_models[1:], rtol=1e-12)


@pytest.mark.parametrize("axes", ["random", "principal"])
@pytest.mark.parametrize("model", [noisy, half_frozen, branching], ids=lambda model: model.__name__)
def test_nothing_is_changed(model: Callable[[], nn.Module], axes: Any) -> None:
    problem = make_problem(model)
    models = [used(problem, seed) for seed in range(2)]
    models[1].eval()
    for weight in models[0].parameters():
        weight.grad = torch.ones_like(weight)
    before = copy.deepcopy(models)
    data = copy.deepcopy(problem.train)
    randomness = torch.get_rng_state()
    slice(problem, models, axes=axes, points=3)
    assert torch.equal(torch.get_rng_state(), randomness)
    for now, was in zip(models, before, strict=True):
        assert now.training == was.training
        for mine, other in zip([*now.parameters(), *now.buffers()], [*was.parameters(), *was.buffers()], strict=True):
            assert torch.equal(mine, other)
            assert mine.requires_grad == other.requires_grad
    assert all(torch.all(weight.grad == 1) for weight in models[0].parameters())  # type: ignore[arg-type]
    assert all(weight.grad is None for weight in models[1].parameters())
    assert torch.equal(problem.train.inputs, data.inputs)
    assert problem.metric.name == "accuracy"


def test_a_loss_that_draws_leaves_the_generator_as_it_was() -> None:
    problem = make_problem(loss=None, step=lambda *given: by_step(*given) + torch.rand(()), metric="loss")
    randomness = torch.get_rng_state()
    first, second = (slice(problem, problem.build(0), points=3).losses for _ in range(2))
    assert torch.equal(torch.get_rng_state(), randomness)
    np.testing.assert_array_equal(first, second)


def test_parts_that_fit_into_memory_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem()
    models = [problem.build(seed) for seed in range(2)]
    at_once = slice(problem, models, points=11)
    monkeypatch.setattr(slice_losses, "pass_budget", lambda device: 4 * 53 * 8)  # four lanes of 53 weights
    np.testing.assert_allclose(slice(problem, models, points=11).losses, at_once.losses, rtol=1e-12)


def test_examples_are_the_same_for_all_directions() -> None:
    problem = make_problem()
    model = problem.build(0)
    some = [slice(problem, model, points=3, examples=7, seed=seed) for seed in (0, 1)]
    assert [cut.examples for cut in some] == [7, 7]
    assert some[0].model_losses == some[1].model_losses
    assert not np.allclose(some[0].losses, some[1].losses)
    assert "7 examples of train" in some[0].description
    assert slice(problem, model, points=3, split="valid").examples == 10


def test_what_is_not_finite_is_a_gap_in_json() -> None:
    problem = make_problem(
        lambda: nn.Linear(6, 1, bias=False).double(),
        loss=lambda output, target: (1 - (output**2).mean()).sqrt(),
        metric="loss",
    )
    model = problem.build(0)
    with torch.no_grad():
        model.weight.mul_(0.5 / float(model(problem.train.inputs).square().mean().sqrt()))  # type: ignore[operator]
    cut = slice(problem, model, points=5, reach=20)
    assert np.isfinite(cut.losses[0, 2])
    assert np.isnan(cut.losses[0, [0, -1]]).all()
    plain = json.loads(json.dumps(cut.to_json(), allow_nan=False))
    assert plain["losses"][0][0] is None
    assert plain["offsets"] == [[-20, -10, 0, 10, 20]]
    assert plain["model_losses"] == [cut.losses[0, 2]]
    assert cut.view == ((-20, 20), (-1, 1))
    assert cut.heights.shape == (1, 2, 5)


PROBLEM = make_problem()
MODEL = PROBLEM.build(0)
DIVERGED = {name: value * torch.nan for name, value in MODEL.state_dict().items()}
WIDE = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 3))
EXACT = quadratic()
STREAM = StreamProblem(model=relu, loss=functional.cross_entropy, train=[])


@pytest.mark.parametrize(
    ("problem", "models", "arguments", "error", "message"),
    [
        (STREAM, MODEL, {}, TypeError, "problem: must be a fallline.Problem, .* got StreamProblem"),
        (PROBLEM, [], {}, ValueError, "models: the list is empty"),
        (PROBLEM, 3, {}, TypeError, "models: got int; give a torch.nn.Module"),
        (PROBLEM, [MODEL, 3], {}, TypeError, "models: number 1, .* is of type int"),
        (PROBLEM, WIDE, {}, ValueError, "models: number 0, .* does not fit .*size mismatch for 0.weight"),
        (PROBLEM, nn.Linear(1, 1), {}, ValueError, r"models: number 0, .* does not fit .*Missing key"),
        (PROBLEM, [MODEL, DIVERGED], {}, ValueError, "models: number 1, .* has weights that are NaN"),
        (PROBLEM, MODEL, {"axes": "pca"}, ValueError, "axes: must be 'random' or 'principal'; got 'pca'"),
        (PROBLEM, MODEL, {"dimensions": 3}, ValueError, "dimensions: must be 1 or 2; got 3"),
        (PROBLEM, MODEL, {"dimensions": True}, ValueError, "dimensions: must be 1 or 2; got True"),
        (
            PROBLEM,
            MODEL,
            {"points": 10},
            ValueError,
            "points must be an odd number, .* got 10",
        ),
        (PROBLEM, MODEL, {"points": 1}, ValueError, "points must be a whole number from 3; got 1"),
        (PROBLEM, MODEL, {"points": 5.0}, TypeError, "points must be a whole number from 3; got 5.0"),
        (PROBLEM, MODEL, {"reach": 0}, ValueError, "reach must be a finite number, greater than 0; got 0"),
        (PROBLEM, MODEL, {"reach": torch.inf}, ValueError, "reach must be a finite number, greater than 0; got inf"),
        (PROBLEM, MODEL, {"seed": -1}, ValueError, "seed must be a whole number from 0"),
        (PROBLEM, MODEL, {"split": "test"}, ValueError, "split: must be 'train' or 'valid'; got 'test'"),
        (PROBLEM, MODEL, {"examples": 0}, ValueError, "examples must be a whole number from 1 to 30; got 0"),
        (PROBLEM, MODEL, {"examples": 31}, ValueError, "examples must be a whole number from 1 to 30; got 31"),
        (PROBLEM, MODEL, {"axes": "principal"}, ValueError, "models: principal axes of 1 dimension need at least 2"),
        (PROBLEM, [MODEL, MODEL], {"axes": "principal"}, ValueError, r"models: .*all the same; .*copy\.deepcopy"),
        (
            PROBLEM,
            [MODEL, MODEL, PROBLEM.build(1)],
            {"axes": "principal", "dimensions": 2},
            ValueError,
            "models: their weights lie on one line; take dimensions=1",
        ),
        (EXACT, EXACT.build(0), {}, ValueError, "models: number 0, .* has no filter that is not zero"),
    ],
)
def test_refusals(problem: Any, models: Any, arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        slice(problem, models, **arguments)
