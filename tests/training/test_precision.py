"""Training passes in bfloat16: parameters, gradients and evaluation keep the parameters' type."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fallline import rules
from fallline.training import BatchedLanes, Lanes, SequentialLanes, obstacle_to_batching, train
from fallline.training.updates import LaneRule, LaneUpdate
from tests.training.layers import LAYERS
from tests.training.models import BATCHABLE, branching, first_batch, make_problem, mlp

MODELS: dict[str, Callable[[], nn.Module]] = {
    **{name: BATCHABLE[name] for name in ("mlp", "batch norm", "layer norm", "embedding")},
    **{name: LAYERS[name] for name in ("residual", "attention", "frozen body")},
}
SEEDS = (3, 5, 3, 4, 5)

kinds = pytest.mark.parametrize("kind", [BatchedLanes, SequentialLanes])
models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def difference(some: list[Tensor], others: list[Tensor]) -> float:
    """The largest difference of two lists of tensors, as a share of the largest norm."""
    largest = max(float(other.norm()) for other in others)
    return max(float((one - other).norm()) for one, other in zip(some, others, strict=True)) / largest


@kinds
@models
def test_gradients_are_in_the_parameters_type(kind: type[Lanes], model: Callable[[], nn.Module]) -> None:
    rounded, exact = (kind(make_problem(model, precision=precision), SEEDS) for precision in ("bfloat16", None))
    valid = rounded.problem.valid
    torch.testing.assert_close(rounded.evaluate(valid).loss, exact.evaluate(valid).loss)
    _, gradients = rounded.gradients(first_batch(rounded))
    _, expected = exact.gradients(first_batch(exact))
    assert [gradient.dtype for gradient in gradients] == [parameter.dtype for parameter in exact.parameters]
    assert any(not torch.equal(one, other) for one, other in zip(gradients, expected, strict=True))
    assert difference(gradients, expected) < 0.1


@models
def test_lanes_side_by_side_and_in_turn_agree_to_its_rounding(model: Callable[[], nn.Module]) -> None:
    problem = make_problem(model, precision="bfloat16")
    together, alone = (kind(problem, SEEDS) for kind in (BatchedLanes, SequentialLanes))
    losses, gradients = together.gradients(first_batch(together))
    own_losses, own_gradients = alone.gradients(first_batch(alone))
    torch.testing.assert_close(losses.float(), own_losses.float(), rtol=0.01, atol=0.01)
    assert difference(gradients, own_gradients) < 0.1


@pytest.mark.parametrize(("model", "batchable"), [(mlp, True), (LAYERS["residual"], True), (branching, False)])
def test_what_can_be_batched(model: Callable[[], nn.Module], batchable: bool) -> None:
    assert (obstacle_to_batching(make_problem(model, precision="bfloat16"), 3) is None) is batchable


@kinds
def test_training_works(kind: type[Lanes]) -> None:
    problem = make_problem(mlp, precision="bfloat16", epochs=10)
    lanes = kind(problem, SEEDS)
    curves = train(lanes, LaneUpdate(lanes.parameters, [LaneRule(rules.adam, {**rules.adam.defaults, "lr": 0.02})] * 5))
    assert (curves.train_loss[:, -1] < 0.8 * curves.train_loss[:, 1]).all()
    assert lanes.parameters[0].dtype == torch.float32
    np.testing.assert_array_equal(curves.valid_loss[:, -1], lanes.evaluate(problem.valid).loss)
