"""Paths: the figures that each surface is there to show, and all that is recorded on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fallline import rule, rules, schedules
from fallline.landscape import Demonstration, Path, Surface, path, surfaces
from fallline.symbolic import Rule

DEMONSTRATIONS = [(surface, shown) for surface in surfaces.ALL.values() for shown in surface.demonstrations]


def _called(value: Any) -> str:
    return value.name if isinstance(value, Surface) else f"{value.method}-{value.lr:g}"


@pytest.mark.parametrize(("surface", "shown"), DEMONSTRATIONS, ids=_called)
def test_learning_rates_make_their_point(surface: Surface, shown: Demonstration) -> None:
    found = path(surface, shown.method, shown.start, lr=shown.lr, **shown.hyperparameters)
    assert found.outcome.ending == shown.ending, found.description
    if shown.step is not None:
        assert found.outcome.step == shown.step
    if shown.place is not None:
        assert found.outcome.place == pytest.approx(shown.place, abs=1e-3)


BOWL = Surface("bowl", lambda x, y: (x**2 + 4 * y**2) / 2, view=((-3, 3), (-3, 3)), start=(2, 1), minima=((0, 0),))


@rule
def rateless(p: Any, g: Any) -> Any:
    return g


def test_gradient_descent_by_hand() -> None:
    found = path(BOWL, rules.gradient_descent, steps=3, lr=0.1)
    expected = np.array([[2 * 0.9**t, 0.6**t] for t in range(4)])
    np.testing.assert_allclose(found.points, expected, rtol=1e-14)
    np.testing.assert_allclose(found.gradients, expected * [1, 4], rtol=1e-14)
    np.testing.assert_allclose(found.losses, (expected**2 * [0.5, 2]).sum(1), rtol=1e-14)
    np.testing.assert_allclose(found.effective_rates, np.full((3, 2), 0.1), rtol=1e-12)
    assert found.states == {}
    assert found.hyperparameters == {"lr": 0.1}


def test_states_are_those_of_the_rule() -> None:
    found = path(BOWL, "adam", steps=5, lr=0.1)
    assert found.states.keys() == {"m", "v"}
    m, v = np.zeros(2), np.zeros(2)
    for step, gradient in enumerate(found.gradients[:-1]):
        np.testing.assert_allclose([found.states["m"][step], found.states["v"][step]], [m, v], atol=1e-15)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
    np.testing.assert_allclose(found.states["m"][5], m, rtol=1e-12)
    assert path(BOWL, "adam", betas=(0.5, 0.6), steps=1).hyperparameters["beta2"] == 0.6
    np.testing.assert_allclose(found.points[1], [1.9, 0.9], rtol=1e-6)  # the first step is lr long in each coordinate


@pytest.mark.parametrize("rule", rules.ALL.values(), ids=lambda rule: rule.name)
def test_every_rule_leaves_a_whole_path(rule: Rule) -> None:
    missing: dict[str, Any] = {name: 0.01 for name, default in rule.hyperparameters.items() if default is None}
    found = path(BOWL, rule, steps=3, **missing)
    assert np.isfinite(found.points).all()
    assert found.states.keys() == {state.name for state in rule.tensor_states}
    assert all(values.shape == (4, 2) and np.isfinite(values).all() for values in found.states.values())


def test_a_coordinate_without_slope_has_no_effective_rate() -> None:
    found = path(surfaces.sharp_and_flat, "adam", steps=4, lr=0.01)
    assert np.isnan(found.effective_rates[:, 1]).all()
    assert (found.points[:, 1] == 0).all()


@pytest.mark.parametrize(("surface", "lr"), [(surfaces.beale, 0.1), (BOWL, 1e60)])
def test_what_runs_off_ends_in_nan(surface: Surface, lr: float) -> None:
    found = path(surface, "sgd", steps=50, lr=lr)
    gone = np.flatnonzero(np.isnan(found.points[:, 0]))
    assert 0 < len(gone) < 50
    assert np.isnan(found.points[gone[0] :]).all()
    assert np.isnan(found.losses[gone]).all()


def test_noise_is_added_to_the_gradient_and_the_same_for_every_rule() -> None:
    quiet = Surface("level", lambda x, y: 0 * x * y, view=((-1, 1), (-1, 1)), start=(0, 0))
    first, second = (path(quiet, rule, steps=50, noise=3.0, seed=7, lr=0.1) for rule in ("sgd", "adam"))
    np.testing.assert_array_equal(first.gradients, second.gradients)
    np.testing.assert_array_equal(first.gradients, 3 * np.random.default_rng(7).standard_normal((51, 2)))
    np.testing.assert_allclose(first.points[1:], -0.1 * first.gradients[:-1].cumsum(0), rtol=1e-12)
    assert (first.losses == 0).all()
    shorter = path(quiet, "sgd", steps=20, noise=3.0, seed=7, lr=0.1)
    np.testing.assert_array_equal(shorter.points, first.points[:21])
    assert (path(surfaces.sharp_and_flat, "sgd", steps=9, noise=1.0).points[:, 1] == 0).all()


def test_a_schedule_multiplies_the_learning_rate() -> None:
    schedule = schedules.exponential(0.5)
    found = path(BOWL, "sgd", steps=4, lr=0.1, schedule=schedule)
    np.testing.assert_allclose(found.effective_rates[:, 0], schedule.curve(4, 0.1), rtol=1e-12)
    assert found.hyperparameters == {"lr": 0.1}


def described(surface: Surface, method: str, **given: Any) -> str:
    found: Path = path(surface, method, **given)
    return found.description


@pytest.mark.parametrize(
    ("surface", "method", "given", "words"),
    [
        (BOWL, "sgd", {"lr": 0.3}, "reached (0, 0) at step 11"),
        (BOWL, "sgd", {"lr": 0.6}, "left the map at step 4 because the learning rate, 0.6, is over 2/curvature = 0.5"),
        (BOWL, "momentum", {"lr": 1.0, "momentum": 0.5}, "left the map at step 2 because the learning rate, 1, is over "
         "2(1+μ)/curvature = 0.75"),
        (BOWL, "nesterov", {"lr": 0.5, "momentum": 0.5}, "left the map at step 2 because the learning rate, 0.5, is "
         "over 2(1+μ)/((1+2μ)·curvature) = 0.375"),
        (BOWL, "sgd", {"lr": 6.0, "schedule": schedules.constant(0.1)}, "left the map at step 4 because the learning "
         "rate, 0.6, is over 2/curvature = 0.5"),
        (BOWL, "adam", {"lr": 9.0, "steps": 1}, "left the map at step 1"),
        (BOWL, "sgd", {"lr": 0.01, "steps": 2}, "still moving after 2 steps, at (1.96, 0.922), 2.2 from the nearest "
         "minimum"),
        (surfaces.rastrigin, "sgd", {"lr": 0.001}, "trapped at (-1.99, 2.985), a local minimum, from step 13 on"),
        (surfaces.saddle, "sgd", {"lr": 0.03, "start": (1.5, 0.0)}, "trapped at (0, 0), a saddle point, from "
         "step 55 on"),
        (Surface("dome", lambda x, y: -(x**2) - y**2, view=((-1, 1), (-1, 1)), start=(0, 0)), "sgd", {"steps": 9},
         "trapped at (0, 0), a maximum, from step 0 on"),
        (Surface("slope", lambda x, y: x + y, view=((-1, 1), (-1, 1)), start=(0, 0)), "sgd", {"lr": 0.01, "steps": 9},
         "still moving after 9 steps, at (-0.09, -0.09)"),
    ],
)  # fmt: skip
def test_what_became_of_it_in_words(surface: Surface, method: str, given: dict[str, Any], words: str) -> None:
    assert described(surface, method, **given) == words


@pytest.mark.parametrize("share", [0.99, 1.01])
@pytest.mark.parametrize("method", ["sgd", "momentum", "nesterov"])
def test_limits_of_stability_hold_on_both_sides(method: str, share: float) -> None:
    factor = {"sgd": 2, "momentum": 2 * 1.9, "nesterov": 2 * 1.9 / 2.8}[method]
    found = path(surfaces.ravine, method, steps=3000, lr=share * factor / 50)
    assert found.outcome.ending == ("reached" if share < 1 else "left")
    assert ("because" in found.description) == (share > 1)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"rule": "adamm"}, LookupError, "did you mean 'adam"),
        ({"start": (1.0, np.nan)}, ValueError, "start must be two finite numbers"),
        ({"start": (1.0,)}, ValueError, "start must be two finite numbers"),
        ({"steps": 0}, ValueError, "steps must be a whole number from 1; got 0"),
        ({"lr": -1.0}, ValueError, "lr"),
        ({"noise": -1.0}, ValueError, "noise must be a finite number, at least 0"),
        ({"noise": np.inf}, ValueError, "noise must be a finite number, at least 0"),
        ({"rule": rateless, "schedule": schedules.constant()}, ValueError, "'rateless' has no learning rate"),
        ({"beta": 0.9}, TypeError, "no hyperparameter 'beta'"),
    ],
)
def test_refusals(given: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        path(BOWL, **{"rule": "adam", **given})
