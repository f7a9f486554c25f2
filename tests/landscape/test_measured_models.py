"""What is measured is the model in its mode, whatever it is made of; it is left as it was; what can't be is told."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from fallline.landscape import (
    Measured,
    Spectrum,
    condition,
    curvature,
    measuring,
    noise_scale,
    sharpness,
    spectrum,
    trace,
)
from fallline.landscape.measuring import copied, loss_at
from fallline.landscape.measuring.measured import Mode
from fallline.training import Problem, StreamProblem

functional = nn.functional
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(60, 6, generator=GENERATOR, dtype=torch.float64)
LABELS = (INPUTS[:, 0] > 0).long() + (INPUTS[:, 1] > 0).long()
TOOLS: dict[str, Callable[..., Measured]] = {
    tool.__name__: tool for tool in (condition, curvature, noise_scale, sharpness, spectrum, trace)
}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def noisy() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3)).double()


def half_frozen() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5).requires_grad_(False), nn.Tanh(), nn.Linear(5, 3)).double()


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.TransformerEncoderLayer(6, 2, 8, activation="gelu", batch_first=True)
        self.out = nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.out(self.inside(inputs[:, None] * torch.ones(4, 1, dtype=inputs.dtype)).mean(1))
        return found


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside, self.out = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.out(self.inside(inputs.view(-1, 3, 2))[1][0])
        return found


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(4, 3, sparse=True), nn.Linear(3, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.out(self.words((inputs > 0).long()).sum(1))
        return found


class Tied(nn.Module):
    """Holds a weight twice, and a tensor that was computed, which torch does not copy."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.second.weight = self.first.weight
        self.seen: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen = self.first(inputs).tanh()
        found: Tensor = self.out(self.second(self.seen))
        return found


def spectral() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5)), nn.Tanh(), nn.Linear(5, 3)).double()


def by_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The loss, and how steep it is in the inputs."""
    inputs = inputs.requires_grad_()
    loss = functional.cross_entropy(model(inputs), targets)
    (slope,) = torch.autograd.grad(loss, inputs, create_graph=True)
    return loss + (slope**2).sum()


def make_problem(model: Callable[[], nn.Module] = network, **changes: Any) -> Problem:
    data = (INPUTS[:40], LABELS[:40]), (INPUTS[40:], LABELS[40:])
    given = {"model": model, "loss": functional.cross_entropy, "train": data[0], "valid": data[1], "device": "cpu"}
    return Problem(**{**given, **changes})


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "network": make_problem,
    "single precision": lambda: make_problem(lambda: network().float()),
    "half precision": lambda: make_problem(lambda: network().bfloat16()),
    "autocast": lambda: make_problem(lambda: network().float(), precision="bfloat16"),
    "batch norm and dropout": lambda: make_problem(noisy),
    "partly frozen": lambda: make_problem(half_frozen),
    "attention": lambda: make_problem(lambda: Attention().double()),
    "recurrent": lambda: make_problem(lambda: Recurrent().double()),
    "sparse gradients": lambda: make_problem(lambda: Sparse().double()),
    "tied": lambda: make_problem(lambda: Tied().double()),
    "spectral norm": lambda: make_problem(spectral),
    "a step": lambda: make_problem(loss=None, step=by_step),
    "a step beside a loss": lambda: make_problem(step=by_step),
}


def everything(model: nn.Module) -> list[Any]:
    """All that a measurement might touch."""
    tensors = [*model.parameters(), *model.buffers(), *(one.grad for one in model.parameters())]
    return [
        *(None if one is None else one.detach().to_dense().clone() for one in tensors),
        [one.training for one in model.modules()],
        [one.requires_grad for one in model.parameters()],
        [id(one) for one in model.parameters()],
        torch.get_rng_state(),
        np.random.get_state()[1].tolist(),  # type: ignore[index]
        random.getstate(),
        torch.is_grad_enabled(),
    ]


def alike(before: list[Any], after: list[Any]) -> bool:
    pairs = zip(before, after, strict=True)
    return all(torch.equal(one, two) if isinstance(one, Tensor) else one == two for one, two in pairs)


def used(problem: Problem) -> nn.Module:
    """A model as in the middle of training: with gradients, some parts in evaluation mode."""
    model = problem.build(1)
    problem.training_loss(model, problem.train.inputs[:20].clone(), problem.train.targets[:20]).backward()  # type: ignore[no-untyped-call]
    next(model.children()).eval()
    return model


@pytest.mark.parametrize("mode", ["evaluation", "training"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_models_of_all_kinds_are_measured_and_left_as_they_were(name: str, mode: Mode) -> None:
    problem = PROBLEMS[name]()
    model = used(problem)
    before = everything(model)
    found = curvature(problem, model, mode=mode)
    assert alike(before, everything(model))
    again = curvature(problem, model, mode=mode)
    assert (found.top, found.bottom, found.loss) == (again.top, again.bottom, again.loss)
    assert found.top[0] > found.bottom[0]
    assert found.parameters == sum(one.numel() for one in model.parameters() if one.requires_grad)
    if name not in ("autocast", "half precision") and (name, mode) != ("spectral norm", "training"):
        curvatures = by_differences(problem, model, mode)
        np.testing.assert_allclose(
            [found.top[0], found.bottom[0]], curvatures[[-1, 0]], atol=2e-3 * np.abs(curvatures).max()
        )


def by_differences(problem: Problem, model: nn.Module, mode: Mode) -> NDArray[np.float64]:
    """All curvatures, by differences of gradients."""
    at = loss_at.LossAt(problem, model, "train", None, mode, 0, None)
    step = 1e-5 if at.dtype == np.float64 else 1e-2
    sides = np.stack([at.gradient(step * row) - at.gradient(-step * row) for row in np.eye(at.size)]) / (2 * step)
    return np.asarray(np.linalg.eigvalsh((sides + sides.T) / 2), np.float64)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_leaves_the_model_as_it_was(tool: str) -> None:
    problem = make_problem(noisy)
    model = used(problem)
    before = everything(model)
    TOOLS[tool](problem, model)
    assert alike(before, everything(model))
    calls = iter(range(100))

    def interrupt(progress: object) -> None:
        if next(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TOOLS[tool](problem, model, progress=interrupt)
    assert alike(before, everything(model))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_state_is_as_good_as_its_model(tool: str) -> None:
    problem = make_problem()
    model = problem.build(4)
    by_model, by_state = TOOLS[tool](problem, model), TOOLS[tool](problem, model.state_dict())
    assert all(
        np.array_equal(value, getattr(by_state, name)) or value != value for name, value in vars(by_model).items()
    )


def test_modes_batches_and_draws_are_told_apart() -> None:
    problem = make_problem(noisy)
    model = problem.build(0)
    different = [
        curvature(problem, model, **given).top[0]
        for given in ({}, {"mode": "training"}, {"mode": "training", "seed": 1}, {"examples": 30}, {"split": "valid"})
    ]
    assert len(set(different)) == len(different)


def small_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_at, "_KEPT", {"cpu": 2**13, "cuda": 2**13})


#: What rounding changes by more than its size, and what differs.
INEXACT = ("cost", "top_residuals", "bottom_residuals", "nodes", "weights")


@pytest.mark.parametrize("name", ["network", "single precision", "partly frozen", "a step beside a loss"])
def test_examples_in_pieces_are_the_same_examples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = PROBLEMS[name]()
    model = problem.build(0)
    whole = {tool: TOOLS[tool](problem, model) for tool in TOOLS}
    small_passes(monkeypatch)
    for tool, before in whole.items():
        after = TOOLS[tool](problem, model)
        for field, value in vars(before).items():
            if field not in ("cost", "top_residuals", "bottom_residuals", "nodes", "weights") and not isinstance(
                value, str
            ):
                np.testing.assert_allclose(getattr(after, field), value, rtol=2e-3, atol=1e-4)
        if isinstance(before, Spectrum) and isinstance(after, Spectrum):
            places = np.linspace(0, before.nodes.max(), 20)
            np.testing.assert_allclose(after.density(places), before.density(places), rtol=0.05)
        assert after.cost > before.cost or tool in ("sharpness", "noise_scale")


@pytest.mark.parametrize(
    ("changes", "given", "said"),
    [
        ({"model": noisy}, {"mode": "training"}, r"mode: batch norm .* give examples=\d+, or take"),
        ({"loss": nn.CrossEntropyLoss(weight=torch.tensor([9.0, 1.0, 1.0]).double())}, {}, r"loss: it is no mean"),
    ],
)
def test_what_can_not_be_taken_in_pieces(
    changes: dict[str, Any], given: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem(**changes)
    curvature(problem, problem.build(0), **given)
    small_passes(monkeypatch)
    with pytest.raises(ValueError, match=said):
        curvature(problem, problem.build(0), **given)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor) -> Tensor:
        ctx.save_for_backward(input)
        return input**2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        found: Tensor = 2 * ctx.saved_tensors[0] * gradient
        return found


OWN = torch.Generator().manual_seed(0)
COUNT = [0]


def with_own_generator(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output + torch.rand(1, generator=OWN), target) * (1 + torch.rand((), generator=OWN))


def counting(output: Tensor, target: Tensor) -> Tensor:
    COUNT[0] += 1
    return functional.cross_entropy(output, target) + 1e-3 * COUNT[0]


def with_once(output: Tensor, target: Tensor) -> Tensor:
    squares: Tensor = Once.apply(output)  # type: ignore[no-untyped-call]
    return (squares**2).mean()


def at_a_corner(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output, target) + (output - output.detach()).abs().pow(1.5).mean()


def at_an_edge(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output, target) + (output - output.detach()).abs().sqrt().mean()


def infinite(output: Tensor, target: Tensor) -> Tensor:
    return output.mean() / 0


def broken() -> nn.Module:
    model = network()
    nn.init.constant_(next(model.parameters()), torch.nan)
    return model


def counted() -> nn.Module:
    model = nn.Module()
    model.numbers = nn.Parameter(torch.arange(3), requires_grad=False)
    return model


def turning() -> nn.Module:
    model = nn.Module()
    model.numbers = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    return model


def good() -> nn.Module:
    return network()


@pytest.mark.filterwarnings("ignore:loss. ")
@pytest.mark.parametrize(
    ("changes", "model", "given", "said"),
    [
        ({"loss": with_own_generator}, good, {}, "loss: two evaluations at the same weights differ"),
        ({"loss": counting}, good, {}, "loss: two evaluations at the same weights differ"),
        ({"loss": with_once}, good, {}, "loss: torch can't differentiate it twice"),
        ({"loss": at_a_corner}, good, {}, "model: the Hessian of its loss is not finite at these weights"),
        ({"loss": at_an_edge}, good, {}, "model: the gradient of its loss is not finite at these weights"),
        ({"loss": infinite}, good, {}, "model: its loss on train is (nan|inf|-inf) at these weights"),
        ({}, lambda: network().requires_grad_(False), {}, "model: nothing in it is trainable"),
        ({}, counted, {}, "model: nothing in it is trainable; .* floating-point"),
        ({}, turning, {}, "model: it has complex parameters"),
        ({}, broken, {}, "model: it has weights that are NaN"),
        ({}, lambda: nn.Linear(7, 3).double(), {}, "model: its loss on train can't be computed"),
        ({}, lambda: nn.Linear(7, 3).double().state_dict(), {}, "model: its state does not fit the problem's model"),
        ({}, lambda: [network()], {}, "model: must be a torch.nn.Module, or the state_dict of one; got list"),
        ({}, good, {"split": "test"}, "split: must be 'train' or 'valid'; got 'test'"),
        ({}, good, {"examples": 0}, "examples must be a whole number from 1 to 40; got 0"),
        ({}, good, {"examples": 41}, "examples must be a whole number from 1 to 40; got 41"),
        ({}, good, {"mode": "test"}, "mode: must be 'evaluation' or 'training'; got 'test'"),
        ({}, good, {"seed": -1}, "seed must be a whole number"),
        ({}, good, {"count": 0}, "count must be a whole number from 1"),
        ({}, good, {"ends": "bottom"}, "ends: must be 'both' or 'top'; got 'bottom'"),
        ({}, good, {"tolerance": 0}, "tolerance must be a finite number, greater than 0 and less than 1"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    changes: dict[str, Any], model: Callable[[], Any], given: dict[str, Any], said: str
) -> None:
    problem = make_problem(**changes)
    mine = model()
    before = everything(mine) if isinstance(mine, nn.Module) else []
    with pytest.raises((TypeError, ValueError), match=said):
        curvature(problem, mine, **given)
    assert not before or all(
        torch.equal(one, two) or bool(one.isnan().any()) if isinstance(one, Tensor) else one == two
        for one, two in zip(before, everything(mine), strict=True)
    )


@pytest.mark.parametrize(
    ("tool", "changes", "given", "said"),
    [
        ("trace", {}, {"probes": 1}, "probes must be a whole number from 2"),
        ("spectrum", {}, {"probes": 1}, "probes must be a whole number from 2"),
        ("spectrum", {}, {"steps": 0}, "steps must be a whole number from 1"),
        ("noise_scale", {"model": noisy}, {"mode": "training"}, "mode: batch norm in training mode"),
        ("noise_scale", {}, {"examples": 3}, "examples: noise is told from 4 at least; got 3"),
        ("noise_scale", {}, {"batch": 11}, "batch must be a whole number from 1 to 10; got 11"),
        ("sharpness", {}, {"width": 0.0}, "width must be a finite number, greater than 0"),
        ("sharpness", {}, {"corners": 0}, "corners must be a whole number from 1"),
        ("sharpness", {"loss": lambda output, target: output.mean() - 9}, {}, "loss: sharpness is a share of 1"),
        ("condition", {"loss": lambda output, target: output.sum() * 0}, {}, "model: its loss on train has no curv"),
    ],
)
def test_bad_input_of_each_tool(tool: str, changes: dict[str, Any], given: dict[str, Any], said: str) -> None:
    problem = make_problem(**changes)
    with pytest.raises((TypeError, ValueError), match=said):
        TOOLS[tool](problem, problem.build(0), **given)


def test_whole_numbers_have_no_scale() -> None:
    problem = make_problem(
        lambda: nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(6, 3)),
        train=(torch.ones(40, 2).long(), LABELS[:40]),
        valid=(torch.ones(20, 2).long(), LABELS[40:]),
    )
    with pytest.raises(ValueError, match="standardised: the inputs are whole numbers"):
        condition(problem, problem.build(0), standardised=True)


@pytest.mark.parametrize("tool", TOOLS)
def test_vectors_that_do_not_fit_are_told_before_anything_is_computed(
    tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_at, "free_memory", lambda: 500)
    problem = make_problem()
    with pytest.raises(ValueError, match=r"model: \d+ vectors of its 53 weights need .* and 500 bytes are free"):
        TOOLS[tool](problem, problem.build(0))
    assert copied.free_memory() > 2**20


@pytest.mark.parametrize("tool", TOOLS)
def test_it_prints_as_a_sentence(tool: str) -> None:
    problem = make_problem()
    found = TOOLS[tool](problem, problem.build(0))
    told = str(found)
    assert "(" not in told.partition(" ")[0]  # no name of a class with all its fields
    assert f"on {found.examples} examples of train in evaluation mode, at a loss of {found.loss:.3g}" in told
    assert told.endswith("gradients of all the examples.")
    assert len(told) < 300


def test_an_amount_of_memory_that_is_needed_is_not_rounded_to_nothing() -> None:
    assert [copied.in_bytes(count) for count in (40e6, 3e6, 5e3)] == ["38.1 MiB", "2.86 MiB", "4.88 KiB"]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_stream_can_not_be_measured(tool: str) -> None:
    def stream() -> Iterator[tuple[Tensor, Tensor]]:
        yield INPUTS, LABELS

    problem: Any = StreamProblem(model=network, loss=functional.cross_entropy, train=stream())
    with pytest.raises(TypeError, match=r"problem: must be a fallline\.Problem"):
        TOOLS[tool](problem, network())


def test_all_measures_are_at_the_door() -> None:
    import fallline.landscape as door

    assert set(measuring.__all__) <= set(door.__all__)
    assert copy.copy(door.__all__) == sorted(door.__all__)
