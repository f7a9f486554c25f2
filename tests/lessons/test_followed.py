"""Networks that are followed: the curves that they have anyway, how far they moved, what diverged."""

from __future__ import annotations

import numpy as np
import pytest

from fallline.lessons.followed import CHOOSING, Followed, best_of, followed
from fallline.lessons.populations import lane, trained
from fallline.problems import breast_cancer

SETTINGS = {"slow": lane("sgd", lr=0.01), "fast": lane("sgd", lr=0.5)}


@pytest.fixture(scope="module")
def found() -> Followed:
    return followed(breast_cancer(epochs=2), SETTINGS, seeds=2)


def test_following_changes_no_curve(found: Followed) -> None:
    for name, curves in trained(breast_cancer(epochs=2), SETTINGS, seeds=2).items():
        np.testing.assert_array_equal(found.of(name, found.curves.valid_loss), curves.valid_loss)


@pytest.mark.parametrize("name", SETTINGS)
def test_descent_moves_by_its_rate_times_the_gradient(found: Followed, name: str) -> None:
    steps, slopes = found.of(name, found.steps), found.of(name, found.slopes)
    assert steps.shape == (2, 22)
    np.testing.assert_allclose(steps, SETTINGS[name].values["lr"] * slopes, rtol=1e-3)


def test_no_way_is_shorter_than_the_distance(found: Followed) -> None:
    assert (found.displacements <= found.steps.sum(1)).all()
    alone = followed(breast_cancer(), SETTINGS, seeds=2, steps=1)
    np.testing.assert_allclose(alone.displacements, alone.steps[:, 0], rtol=1e-6)


def test_quality_in_the_end_is_that_of_the_curves(found: Followed) -> None:
    loss, _ = found.quality(breast_cancer().valid)
    np.testing.assert_allclose(loss, found.curves.valid_loss[:, -1], rtol=1e-6)


def test_lanes_that_diverged_leave_the_others_in_their_places() -> None:
    settings = {"wild": lane("sgd", lr=1e9), **SETTINGS}
    problem = breast_cancer(epochs=2)
    found, calm = followed(problem, settings, seeds=2), followed(problem, SETTINGS, seeds=2)
    loss, _ = found.quality(problem.train)
    assert np.isnan(found.of("wild", loss)).all()
    assert np.isnan(found.of("wild", found.displacements)).all()
    for name in SETTINGS:
        np.testing.assert_allclose(found.of(name, found.steps), calm.of(name, calm.steps), rtol=1e-5)
        np.testing.assert_allclose(found.of(name, found.displacements), calm.of(name, calm.displacements), rtol=1e-5)
    assert [number for number, _ in found.modules()] == [2, 3, 4, 5]


def test_a_best_rate_is_chosen_on_seeds_that_are_not_judged_by() -> None:
    good, bad, nan = np.full(CHOOSING, 1.0), np.full(CHOOSING, 2.0), np.full(CHOOSING, np.nan)
    losses = {0.1: np.concatenate([good, bad]), 1.0: np.concatenate([bad, good]), 10.0: np.concatenate([good, nan])}
    assert best_of(losses) == 1.0
    with pytest.raises(ValueError, match="diverged at every rate"):
        best_of({1.0: nan})
