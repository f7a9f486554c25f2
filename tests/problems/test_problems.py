"""The bundled problems: what they are made of, that they can be trained, and that they are found by name."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fallline import problems, rules
from fallline.landscape import surfaces
from fallline.problems.characters import ALPHABET, CONTEXT
from fallline.racing import race
from fallline.training import Problem, make_lanes, train
from fallline.training.updates import LaneRule, LaneUpdate
from tests.training.conftest import one_thread as one_thread

SIZES = {
    # name: train, valid, test, parameters
    "digits": (1078, 359, 360, 2410),
    "digits-conv": (1078, 359, 360, 1898),
    "breast-cancer": (341, 114, 114, 31),
    "diabetes": (265, 88, 89, 11),
    "characters": (16384, 2048, 2048, 11241),
    "photograph": (1612, 538, 538, 6467),
    "quadratic": (1, 1, 1, 20),
    **dict.fromkeys(surfaces.ALL, (1, 1, 1, 2)),
}


@pytest.mark.parametrize("name", problems.ALL)
def test_sizes_and_a_first_pass(name: str) -> None:
    problem = problems.find(name).make()
    problem.check()
    parameters = sum(parameter.numel() for parameter in problem.build(0).parameters())
    assert (*map(len, problem.splits().values()), parameters) == SIZES[name]
    assert problem.name == name
    assert problems.ALL[name].sentence.endswith(".")


@pytest.mark.parametrize("name", problems.ALL)
def test_lanes_learn_together_as_they_do_alone(name: str) -> None:
    steps, losses = 8, []
    for batched in (True, False):
        lanes = make_lanes(problems.find(name).make(), [1, 2, 3, 4], batched=batched)
        update = LaneUpdate(lanes.parameters, [LaneRule(rules.adam, {**rules.adam.defaults, "lr": 5e-3})] * 4)
        before = lanes.evaluate(lanes.problem.train).loss
        train(lanes, update, steps=steps, evaluate_every=steps)
        losses.append(lanes.evaluate(lanes.problem.train).loss)
        assert (losses[-1] < before).all()
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [problems.breast_cancer, problems.diabetes])
def test_features_are_standardised_by_the_training_split_alone(make: Callable[..., Problem]) -> None:
    for seed in (0, 1):
        splits = make(split_seed=seed).splits()
        torch.testing.assert_close(splits["train"].inputs.mean(0), torch.zeros_like(splits["train"].inputs[0]))
        assert splits["train"].inputs.std(0, correction=0).tolist() == pytest.approx(
            [1.0] * len(splits["train"].inputs[0])
        )
        assert splits["test"].inputs.mean(0).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["digits", "digits-conv", "breast-cancer", "diabetes", "photograph"])
def test_no_example_is_in_two_splits_and_seeds_settle_them(name: str) -> None:
    problem, again, other = (problems.find(name).make(split_seed=seed) for seed in (0, 0, 1))
    rows = [split.inputs.flatten(1).numpy() for split in problem.splits().values()]
    counted = Counter(row.tobytes() for part in rows for row in np.unique(part, axis=0))
    assert max(counted.values()) == 1
    assert torch.equal(problem.train.inputs, again.train.inputs)
    assert not torch.equal(problem.train.inputs, other.train.inputs)


def test_characters_come_from_three_parts_of_the_text() -> None:
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    known = "".join(character if character in ALPHABET else "\0" for character in text)
    ends = [0, 8 * (len(text) // 10), 9 * (len(text) // 10), len(text)]
    for (low, high), split in zip(itertools.pairwise(ends), problems.characters().splits().values(), strict=True):
        for codes, following in zip(split.inputs[:50].tolist(), split.targets[:50].tolist(), strict=True):
            window = "".join((ALPHABET + "\0")[code] for code in (*codes, following))
            assert len(window) == CONTEXT + 1
            assert window in known[low:high]


def test_photograph_is_the_photograph() -> None:
    from sklearn.datasets import load_sample_image

    picture = load_sample_image("china.jpg")[:420, :640] / 255
    colours = torch.cat([split.targets for split in problems.photograph().splits().values()])
    assert colours.mean(0).tolist() == pytest.approx(picture.mean((0, 1)).tolist(), rel=1e-5)


def test_quadratic_follows_gradient_descents_closed_form() -> None:
    problem = problems.quadratic(condition=100, dimensions=3, steps=25)
    start = problem.build(7).get_parameter("weights").detach()
    lanes = make_lanes(problem, [7, 7], batched=False)
    lr = 2 / 101
    train(lanes, LaneUpdate(lanes.parameters, [LaneRule(rules.gradient_descent, {"lr": lr})] * 2))
    curvatures = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    expected = (curvatures * (start * (1 - lr * curvatures) ** 25) ** 2).sum() / 2
    assert lanes.evaluate(problem.valid).loss.tolist() == pytest.approx([expected.item()] * 2, rel=1e-10)


def test_a_surface_as_a_problem_starts_near_its_start() -> None:
    problem = problems.surface_problem(surfaces.ravine)
    starts = torch.stack([problem.build(seed).get_parameter("weights").detach() for seed in range(200)])
    assert starts.mean(0).tolist() == pytest.approx([-4, 1.5], abs=0.01)
    assert starts.std(0).tolist() == pytest.approx([0.02, 0.02], rel=0.2)
    assert problem.steps == surfaces.ravine.steps
    assert problem.target == pytest.approx((4**2 + 50 * 1.5**2) / 2000)


@pytest.mark.parametrize(
    ("condition", "dimensions", "words"),
    [
        (0.5, 3, "condition must be .* at least 1; got 0.5"),
        (math.nan, 3, "condition"),
        (10, 1, "dimensions must be at"),
    ],
)
def test_what_is_no_quadratic(condition: float, dimensions: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        problems.quadratic(condition=condition, dimensions=dimensions)


@pytest.mark.parametrize(
    ("asked", "words"), [("digit", "did you mean 'digits'?"), ("qqq", "there are digits, digits-conv, breast-cancer")]
)
def test_find_names_the_nearest(asked: str, words: str) -> None:
    with pytest.raises(LookupError, match=words):
        problems.find(asked)


@pytest.mark.parametrize(
    "problem",
    [
        problems.diabetes(epochs=4),
        problems.quadratic(condition=10, dimensions=2, steps=30),
        problems.surface_problem(surfaces.saddle),
    ],
    ids=lambda problem: problem.name,
)
def test_a_race_on_it_ranks_what_trained(problem: Problem) -> None:
    result = race(problem, ["sgd", "adam"], "quick", storage=None)
    start = float(make_lanes(problem, [0, 1], batched=False).evaluate(problem.valid).loss.mean())
    assert all(arm.entry.finals[0].scores.mean() < start for arm in result.arms)
