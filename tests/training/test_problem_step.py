"""A training step of one's own, frozen bodies, precision, and other batches of the same problem."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from fallline.training import Problem, ProblemError
from fallline.training.modules import trainable
from tests.training.models import BODY, make_problem, mlp, pretrained

functional = nn.functional


def smoothed(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(model(inputs), targets, label_smoothing=0.3)


def reconstruction(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Of inputs that are disturbed in training: a denoising autoencoder, which has no use for targets."""
    disturbed = inputs + torch.randn_like(inputs) if model.training else inputs
    return functional.mse_loss(model(disturbed), inputs)


def penalised(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """With a gradient of the output inside the loss."""
    inputs = inputs.clone().requires_grad_()
    output = model(inputs)
    (slope,) = torch.autograd.grad(output.sum(), inputs, create_graph=True)
    return functional.cross_entropy(output, targets) + slope.square().mean()


STEPS = {
    "smoothed": (smoothed, mlp),
    "reconstruction": (reconstruction, lambda: nn.Sequential(nn.Linear(16, 4), nn.Linear(4, 16))),
    "penalised": (penalised, mlp),
    "pretrained": (smoothed, pretrained),
}


@pytest.mark.parametrize(("step", "model"), STEPS.values(), ids=STEPS)
def test_a_step_alone_is_loss_and_metric(step: Any, model: Any) -> None:
    problem = make_problem(model, step=step, loss=None, metric="loss")
    problem.check()
    assert problem.loss is None
    assert problem.metric_is_loss
    assert (problem.metric.name, problem.metric.higher_is_better) == ("loss", False)
    module, valid = problem.build(0).eval(), problem.valid
    found = problem.evaluation_loss(module, valid.inputs, valid.targets)
    torch.testing.assert_close(found, step(module, valid.inputs, valid.targets), rtol=0, atol=0)
    result = fl.fit(problem, "adam", lr=0.01)
    assert result.curves[0].validation_loss == pytest.approx(float(found.detach()))
    assert result.curves[-1].validation_loss < result.curves[0].validation_loss  # type: ignore[operator]
    assert all(point.metric == point.validation_loss for point in result.curves)


def test_training_by_the_step_and_evaluation_by_the_loss() -> None:
    problem = make_problem(mlp, step=smoothed, metric="loss")
    module, (inputs, targets) = problem.build(0), (problem.valid.inputs, problem.valid.targets)
    plain = functional.cross_entropy(module(inputs), targets)
    assert torch.equal(problem.training_loss(module, inputs, targets), smoothed(module, inputs, targets))
    assert torch.equal(problem.evaluation_loss(module, inputs, targets), plain)
    assert not torch.equal(problem.training_loss(module, inputs, targets), plain)
    assert fl.fit(problem, "sgd").curves[0].validation_loss == pytest.approx(float(plain.detach()))


def test_a_step_and_a_metric_of_outputs() -> None:
    problem = make_problem(mlp, step=smoothed, loss=None)
    problem.check()
    assert not problem.metric_is_loss
    result = fl.fit(problem, "adam", lr=0.05)
    hits = result.model(problem.valid.inputs).argmax(1) == problem.valid.targets
    assert result.curves[-1].metric == pytest.approx(float(hits.double().mean()))


def test_the_metric_of_a_step_is_not_told_by_outputs() -> None:
    metric = make_problem(mlp, step=smoothed, loss=None, metric="loss").metric
    with pytest.raises(
        ProblemError, match="the loss of a step can't be computed from outputs; give the problem a loss"
    ):
        metric.function(torch.zeros(1), torch.zeros(1))


def test_frozen_parameters_stay_as_they_are() -> None:
    problem = make_problem(pretrained)
    problem.check()
    assert [tuple(parameter.shape) for parameter in trainable(problem.build(0))] == [(3, 8), (3,)]
    model = fl.fit(problem, "adam", lr=0.01).model
    for trained, given in zip(model.get_submodule("0").parameters(), BODY.parameters(), strict=True):
        assert torch.equal(trained, given)
    assert BODY[1].running_mean.count_nonzero() == 0  # type: ignore[operator]  # the copy's moved


def test_the_dtype_is_that_of_what_is_trained() -> None:
    def mixed() -> nn.Module:
        return nn.Sequential(copy.deepcopy(BODY).half().requires_grad_(False), nn.Linear(8, 3))

    assert make_problem(mixed).train.inputs.dtype == torch.float32


@pytest.mark.parametrize("step", [None, smoothed], ids=["loss", "step"])
def test_bfloat16_is_for_training_passes(step: Any) -> None:
    plain, short = (make_problem(mlp, step=step, precision=precision) for precision in (None, "bfloat16"))
    short.check()
    module, (inputs, targets) = plain.build(0), (plain.valid.inputs, plain.valid.targets)
    exact, rounded = (given.training_loss(module, inputs, targets) for given in (plain, short))
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0, check_dtype=False)
    assert torch.equal(*(given.evaluation_loss(module, inputs, targets) for given in (plain, short)))
    rounded.backward()  # type: ignore[no-untyped-call]
    assert {parameter.grad.dtype for parameter in module.parameters() if parameter.grad is not None} == {torch.float32}


def test_another_batch_of_the_same_problem() -> None:
    problem = make_problem(mlp)
    wide = problem.with_batch(21)
    assert (wide.batch, wide.steps, problem.batch, problem.steps) == (21, 8, 16, 12)
    assert wide.train is problem.train
    assert isinstance(wide, Problem)
    for batch, sentence in (
        (43, "must be at most 42, the number of examples in train; got 43"),
        (0, "a whole number from 1; got 0"),
    ):
        with pytest.raises(ProblemError, match=f"batch: {sentence}" if batch else sentence):
            problem.with_batch(batch)


@pytest.mark.parametrize(
    ("epochs", "share", "name", "length"),
    [
        (20, 0.25, "problem (5 of 20 epochs)", (5, 15)),
        (20, 0.01 + 0.04, "problem (1 of 20 epochs)", (1, 3)),
        (3, 1 / 3, "problem (1 of 3 epochs)", (1, 3)),
        (3, 0.5, "problem (2 of 3 epochs)", (2, 6)),
        (3, 1, "problem", (3, 9)),
        (1, 1.0, "problem", (1, 3)),
        (1, 0.34, "problem (1 of 3 steps)", (1, 1)),
        (1, 2 / 3, "problem (2 of 3 steps)", (1, 2)),
    ],
)
def test_a_shorter_run_of_the_same_problem(epochs: int, share: float, name: str, length: tuple[int, int]) -> None:
    """42 examples in batches of 16 are 3 steps an epoch."""
    problem = make_problem(mlp, epochs=epochs)
    problem.origin = "here"
    short = problem.shortened(share)
    assert (short.name, short.epochs, short.steps) == (name, *length)
    assert short.train is problem.train
    assert (problem.epochs, problem.steps) == (epochs, 3 * epochs)
    assert short.origin == ("here" if short.steps == problem.steps else None)
    whole, part = problem.batches([7]), short.batches([7])
    for step in range(short.steps):
        assert torch.equal(part.at(step), whole.at(step))
    assert part.samples(short.steps) == whole.samples(short.steps)


@pytest.mark.parametrize(("epochs", "share"), [(20, 0.04), (1, 0.3), (20, 0.0), (20, 1.01), (20, -1.0)])
def test_no_share_is_refused(epochs: int, share: float) -> None:
    with pytest.raises(ProblemError, match="share:"):
        make_problem(mlp, epochs=epochs).shortened(share)


def test_a_part_of_an_epoch_by_another_batch_size_sees_as_many_examples() -> None:
    short = make_problem(mlp, epochs=1).shortened(2 / 3).with_batch(8)
    assert (short.steps, short.batches([0]).samples(short.steps)) == (4, 32)
