"""Every row of the course: its example runs, and shows what the row says."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, **settings: Any) -> Any:
    """What the example's main function returns."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(**settings)


def test_gradient_descent_by_batches_of_any_size() -> None:
    results = run("gradient_descent", epochs=2)
    steps = {batch: [point.step for point in result.curves] for batch, result in results.items()}
    assert steps == {1: [0, 1078, 2156], 64: [0, 17, 34], "all": [0, 1, 2]}
    start = {result.curves[0].validation_loss for result in results.values()}
    assert len(start) == 1
    assert all(result.curves[-1].validation_loss < next(iter(start)) for result in results.values())


def test_momentum_forms_agree_until_the_rate_changes() -> None:
    gaps = run("momentum", steps=40)
    assert max(gaps["constant"].values()) < 1e-13
    assert gaps["falling"]["average"] < 1e-13
    assert gaps["falling"]["velocity"] > 0.5


def test_nesterov_by_closure_and_by_change_of_variables() -> None:
    found = run("nesterov", steps=40)
    assert found["φ and θ + μv"] < 1e-13
    assert found["φ and θ"] > 0.1


def test_adagrad_with_the_full_matrix_turns_with_the_axes() -> None:
    found = run("adagrad", steps=10)
    gradient = np.array([3.0, 40.0])
    for name, step in (("diagonal", np.sign(gradient)), ("full matrix", gradient / np.linalg.norm(gradient))):
        np.testing.assert_allclose(found[name]["first step"], -0.5 * step, rtol=1e-9)
    assert found["full matrix"]["changed by turning"] < 1e-9
    assert found["diagonal"]["changed by turning"] > 0.1


def test_adadelta_hardly_sees_the_scale_of_the_loss() -> None:
    found = run("adadelta", steps=50)
    assert found["adadelta"] < 1e-5
    assert found["gradient descent"] > 1e6


def test_rmsprop_in_all_its_forms() -> None:
    steps, variance = run("rmsprop", count=60), 0.1 * 4.0 - 0.2**2
    first = {
        "as lectured": 0.01 / math.sqrt(0.1),
        "centred": 0.01 * 2 / math.sqrt(variance),
        "with momentum": 0.01 / math.sqrt(0.1),
        "ε outside the root": 0.01 * 2 / (math.sqrt(0.4) + 1),
        "ε inside the root": 0.01 * 2 / math.sqrt(0.9 + 0.4 + 1),
    }
    assert {name: lengths[0] for name, lengths in steps.items()} == pytest.approx(first, rel=1e-6)
    assert steps["as lectured"][-1] == pytest.approx(0.01, rel=2e-3)
    assert steps["with momentum"][-1] == pytest.approx(0.02, rel=2e-3)  # 1/(1-μ) times as long
    assert steps["centred"][-1] > 10 * steps["as lectured"][-1]


def test_adam_with_its_bias_corrected_and_not() -> None:
    expected = {
        "first step": 1.0,
        "first step, uncorrected": 0.1 / math.sqrt(0.001),
        "first step, uncorrected, slow m": 0.01 / math.sqrt(0.1),
        "long after a burst": 1.0,
        "long after a burst, amsgrad": 0.1 / math.sqrt(0.01 * 10.0**2),
        "decoupled decay alone": 0.1 * 2.0,
        "L2 alone": 1.0,
    }
    assert run("adam") == pytest.approx(expected, rel=1e-5)


def test_radam_waits_and_adamp_keeps_weights_short() -> None:
    found = run("radam_adamp", steps=100)
    assert found["radam"][:5] == pytest.approx([3.0] * 5)  # ηm̂: momentum alone
    rho_inf, power = 1999.0, 0.999**6
    rho = rho_inf - 12 * power / (1 - power)
    rectifier = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    assert found["radam"][5] == pytest.approx(rectifier)
    assert found["adamax"] == pytest.approx([1.0] * 8)
    mu = [0.9 * (1 - 0.5 * 0.96 ** (t * 4e-3)) for t in (1, 2)]
    assert found["nadam"][0] == pytest.approx(1 + mu[1] * 0.1 / (1 - mu[0] * mu[1]), rel=1e-6)
    assert found["length by adamp"] < 0.7 * found["length by adam"]


def test_newton_in_one_step_and_away_from_saddles() -> None:
    found = run("newton")
    assert found["least squares, error after 1 step"] < 1e-9
    for name in ("rosenbrock", "rosenbrock, strong Wolfe", "rosenbrock, conjugate gradients"):
        distance, iterations = found[name]
        assert distance < 1e-8
        assert iterations < 60
    x, y = found["from the saddle"]
    assert (x, abs(y)) == pytest.approx((0.0, 1.0), abs=1e-8)


def test_moving_averages_of_series_and_of_weights() -> None:
    found = run("moving_average", epochs=3)
    expected = {
        "window": 50.0,
        "first average of 7s, corrected": 7.0,
        "last average of 7s, corrected": 7.0,
        "first average of 7s, uncorrected": 7 * 0.02,
        "last average of 7s, uncorrected": 7 * (1 - 0.98**50),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["validation loss, averaged weights"] < found["validation loss, last weights"]


def test_learning_rates_follow_their_laws() -> None:
    expected = {
        "1/(1+rate·epoch)": [0.5 / (1 + epoch) for epoch in range(4)],
        "0.95^epoch": [0.5 * 0.95**epoch for epoch in range(4)],
        "k/√epoch": [0.5 * 0.5 / math.sqrt(epoch) for epoch in range(1, 5)],
        "staircase": [0.5, 0.5, 0.25, 0.25],
        "by hand": [0.5, 0.5, 0.15, 0.05],
        "k/√t": [0.5 / math.sqrt(17 * epoch) for epoch in range(1, 5)],
    }
    found = run("learning_rate_decay", epochs=4)
    assert found.keys() == expected.keys()
    for name, rates in expected.items():
        assert found[name] == pytest.approx(rates)


def test_the_recipe_of_large_batches() -> None:
    found = run("large_batches", batch=512, epochs=7)
    assert found["published"] == pytest.approx([0.1, 3.2, 3.2, 0.32, 0.032, 0.0032])
    climb = [0.1 + 0.1 * (3 * epoch - 1) / 15 for epoch in range(1, 6)]  # of an epoch's last of three steps
    assert found["followed"] == pytest.approx([*climb, 0.2, 0.2])


def test_he_keeps_the_signal_that_others_lose() -> None:
    found = run("initialisation", depth=12, width=128)
    for name in ("he", "he, uniform", "chosen by layer"):
        assert 0.1 < found[name] < 10
    for name in ("lecun", "xavier"):
        assert found[name] == pytest.approx(2.0**-11, rel=0.9)
    assert found["std 0.01"] < 1e-12
    assert found["std 0.2"] > 1e3


def test_a_friendlier_map() -> None:
    found = run("friendlier_map", epochs=20)
    assert found["L1 weights"][:2] == pytest.approx([2.7, 0.2])
    assert found["L1 weights"][2] == 0.0
    small, large = found["decoupled decay, small and large gradients"]
    assert small == pytest.approx(large, rel=1e-6)
    small, large = found["L2 in Adam, small and large gradients"]
    assert large - small > 0.1  # Adam divides the decay by the gradients' size
    assert found["condition, raw features"] > 1e6
    assert found["condition, scaled features"] < 2
    mean_off, variance_ratio, in_training = found["batch norm: mean off by, variance ratio, in training"]
    assert mean_off == pytest.approx(0.0, abs=0.2)
    assert variance_ratio == pytest.approx(1.0, abs=0.1)
    assert not in_training
    sigmoid = 1 / (1 + math.exp(10))
    assert found["slope of cross-entropy at -10"] == pytest.approx(sigmoid - 1)
    assert found["slope of squared error at -10"] == pytest.approx(2 * (sigmoid - 1) * sigmoid * (1 - sigmoid))


def test_choosing() -> None:
    found = run("choosing", epochs=4, batches=400)
    assert found["two rules, then one"]["after"] < found["two rules, then one"]["before"]
    assert found["two rules, then one"]["handed over, error"] < 1e-6
    assert found["drift, constant rate"] < 0.2 * found["drift, adagrad"]
    for name in ("sparse, SGD", "sparse, Adagrad"):
        assert found[name]["difference to dense"] < 1e-5
    assert found["sparse, Adagrad"]["loss"] < found["sparse, SGD"]["loss"]


def test_plain_arrays() -> None:
    found = run("plain_arrays", steps=60)
    assert found["resumed is the same"]
    assert found["last loss"] < 0.2 * found["first loss"]


def test_there_is_a_test_for_every_example() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    missing = [path.stem for path in EXAMPLES.glob("*.py") if f'run("{path.stem}"' not in source]
    assert not missing
