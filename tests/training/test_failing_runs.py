"""User code that raises: for a run that has diverged it ends that run alone, for any other it is told in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.nn import functional

from fallline.training import BatchedLanes, Lanes, Metric, Problem, ProblemError, SequentialLanes, train
from tests.training.models import Descent, first_batch, make_problem, mlp

SEEDS = (1, 2, 1, 3, 2)
CALM, WILD = (0.1, 0.2, 0.05, 0.1, 0.3), (0.1, float("nan"), 0.05, 1e30, 0.3)
LEFT = [0, 2, 4]
kinds = pytest.mark.parametrize("kind", [BatchedLanes, SequentialLanes])


def probabilities() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 3), nn.Sigmoid())


def binary(output: Tensor, target: Tensor) -> Tensor:
    """Raises, for all lanes of a population at once, where one of them is NaN."""
    return functional.binary_cross_entropy(output, functional.one_hot(target, 3).float())


def insisting(output: Tensor, target: Tensor) -> Tensor:
    """Has to see a value, and so can't be batched."""
    loss = functional.cross_entropy(output, target)
    if not loss.isfinite():
        raise FloatingPointError("the loss is NaN")
    return loss


class Watched(nn.Module):
    """A model that refuses to go on with what is not finite, in training and in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = mlp()

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.layers(inputs)
        if not output.isfinite().all():
            raise RuntimeError("activations overflowed")
        return output


def stepped(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return insisting(model(inputs), targets)


def coefficient(output: Tensor, target: Tensor) -> float:
    return float(r2_score(target.numpy(), output[:, 0].numpy()))


#: What raises for lanes that have diverged, and in which kinds of lanes it can be trained.
FAILING: dict[str, tuple[dict[str, Any], list[type[Lanes]]]] = {
    "loss of torch": ({"model": probabilities, "loss": binary}, [BatchedLanes, SequentialLanes]),
    "own loss": ({"loss": insisting}, [SequentialLanes]),
    "own step": ({"loss": None, "step": stepped, "metric": "loss"}, [SequentialLanes]),
    "own model": ({"model": Watched}, [SequentialLanes]),
    "metric": ({"metric": Metric("r2", coefficient, higher_is_better=True)}, [BatchedLanes, SequentialLanes]),
}
failing = pytest.mark.parametrize(
    ("kind", "changes"),
    [
        pytest.param(kind, changes, id=f"{name}, {kind.__name__}")
        for name, (changes, some) in FAILING.items()
        for kind in some
    ],
)


def problem_with(changes: dict[str, Any], **more: Any) -> Problem:
    return make_problem(changes.get("model", mlp), **{**{k: v for k, v in changes.items() if k != "model"}, **more})


@failing
@pytest.mark.parametrize("every", [1, 3, 100])
def test_it_ends_the_runs_that_diverged_and_no_other(kind: type[Lanes], changes: dict[str, Any], every: int) -> None:
    problem = problem_with(changes)
    calm = train(kind(problem, SEEDS), Descent(CALM), evaluate_every=every)
    lanes = kind(problem, SEEDS)
    curves = train(lanes, Descent(WILD), evaluate_every=every)
    assert curves.diverged.tolist() == [False, True, False, True, False]
    assert lanes.index.tolist() == LEFT
    assert np.isnan(curves.valid_metric[[1, 3], -1]).all()
    for name in ("train_loss", "valid_loss", "valid_metric"):
        np.testing.assert_allclose(getattr(curves, name)[LEFT], getattr(calm, name)[LEFT], rtol=1e-4, atol=1e-5)


@failing
def test_a_run_that_diverged_scores_nan(kind: type[Lanes], changes: dict[str, Any]) -> None:
    problem = problem_with(changes)
    lanes = kind(problem, SEEDS)
    expected = lanes.evaluate(problem.valid, examples=True)
    with torch.no_grad():
        for lane in (1, 3):
            lanes.parameters[0][lane] = torch.nan
    quality = lanes.evaluate(problem.valid, examples=True)
    for found, sound in zip(vars(quality).values(), vars(expected).values(), strict=True):
        assert (found is None) is (sound is None)
        if found is not None:
            assert found[[1, 3]].isnan().all()
            torch.testing.assert_close(found[LEFT], sound[LEFT])
    assert len(lanes.gradients(first_batch(lanes))[0]) == 5


def test_when_all_raise_training_ends() -> None:
    lanes = BatchedLanes(problem_with(FAILING["loss of torch"][0]), SEEDS)
    update = Descent([float("nan")] * 5)
    curves = train(lanes, update)
    assert curves.diverged.all()
    assert len(lanes) == 0
    assert len(update.steps) < 4


def picky(output: Tensor, target: Tensor) -> float:
    raise TypeError("not today")


def weary(output: Tensor, target: Tensor) -> Tensor:
    """Raises for the last batch of an epoch, which is smaller."""
    if len(output) == 10:
        raise KeyError("tired")
    return functional.cross_entropy(output, target)


def blind(output: Tensor, target: Tensor) -> Tensor:
    """Raises for the validation split alone."""
    if len(output) == 28:
        raise IndexError("too many")
    return functional.cross_entropy(output, target)


@kinds
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"metric": Metric("picky", picky, True)},
            r"^metric: 'picky' failed on a run's outputs \(not today\), although they were finite; let it return",
        ),
        (
            {"loss": weary},
            r"^loss: it, or the model, failed in step 3 \(KeyError: 'tired'\), although .* were finite; make both",
        ),
        ({"loss": blind}, r"^loss: it, or the model, failed in an evaluation \(too many\), although .* were finite;"),
        (
            {"loss": None, "metric": "loss", "step": lambda model, inputs, targets: weary(model(inputs), targets)},
            r"^step: it, or the model, failed in step 3 \(KeyError: 'tired'\), although",
        ),
    ],
    ids=["metric", "loss", "loss of the validation split", "step"],
)
def test_what_fails_on_finite_numbers_is_told_in_a_sentence(
    kind: type[Lanes], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProblemError, match=message) as raised:
        train(kind(make_problem(mlp, **changes), SEEDS), Descent(CALM))
    assert raised.value.__cause__ is not None


@kinds
def test_running_out_of_memory_is_left_to_others(kind: type[Lanes]) -> None:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        if len(output) == 10:
            raise MemoryError("for one")
        return functional.cross_entropy(output, target)

    with pytest.raises(MemoryError, match="for one"):
        train(kind(make_problem(mlp, loss=loss), SEEDS), Descent(CALM))


@kinds
def test_an_evaluation_that_fails_leaves_training_mode_on(kind: type[Lanes]) -> None:
    problem = make_problem(Watched if kind is SequentialLanes else probabilities, metric=Metric("picky", picky, True))
    lanes = kind(problem, SEEDS)
    with pytest.raises(ProblemError):
        lanes.evaluate(problem.valid)
    expected = kind(problem, SEEDS)
    assert torch.equal(lanes.gradients(first_batch(lanes))[0], expected.gradients(first_batch(expected))[0])
