"""Hyperparameters that change, states that are saved and loaded, optimizers that are copied."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest

import fallline as fl
from fallline import arrays, rules
from fallline.arrays.optimizer import Named

NAMED = [value for value in vars(arrays).values() if isinstance(value, type) and issubclass(value, Named)]
RULES = [rules.adam, rules.nadam, rules.dampened_momentum, rules.prodigy, rules.adamp, rules.gradient_descent]


def step(optimizer: arrays.Optimizer, params: dict[str, Any], count: int) -> None:
    for k in range(count):
        grads = {name: np.asarray(np.sin(array + k), array.dtype) for name, array in params.items()}
        optimizer.update(params, grads)


def fresh() -> dict[str, Any]:
    return {"layer/w": np.linspace(-1, 1, 6).reshape(2, 3), "b": np.ones(3, np.float32)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_in_two_parts_with_a_file_between_as_in_one(rule: fl.symbolic.Rule) -> None:
    whole, parts = fresh(), fresh()
    one = arrays.Optimizer(rule, lr=0.1)
    step(one, whole, 3)
    step(one, whole, 3)
    first = arrays.Optimizer(rule, lr=0.1)
    step(first, parts, 3)
    file = io.BytesIO()
    np.savez(file, **first.state_dict())
    file.seek(0)
    second = arrays.Optimizer(rule)
    with np.load(file, allow_pickle=False) as saved:
        second.load_state_dict(saved)
    assert second.hyperparameters == first.hyperparameters
    step(second, parts, 3)
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[name], array)


def test_what_was_loaded_is_saved_again_before_it_is_used() -> None:
    optimizer, params = arrays.Adam(), fresh()
    step(optimizer, params, 2)
    again = arrays.Adam()
    again.load_state_dict(optimizer.state_dict())
    saved, expected = again.state_dict(), optimizer.state_dict()
    assert saved.keys() == expected.keys()
    assert {"rule", "hyperparameters/beta1", "states/layer/w/m", "states/b/step"} <= saved.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(saved[key], array)


def test_a_saved_state_is_a_copy() -> None:
    optimizer, params = arrays.Momentum(), fresh()
    step(optimizer, params, 1)
    saved = optimizer.state_dict()["states/b/b"].copy()
    kept = optimizer.state_dict()
    step(optimizer, params, 1)
    np.testing.assert_array_equal(kept["states/b/b"], saved)


@pytest.mark.parametrize(
    ("saved", "sentence"),
    [
        (arrays.SGD().state_dict(), "saved from the rule 'gradient_descent', and this optimizer follows 'adam'"),
        ({}, "saved from the rule 'none'"),
    ],
)
def test_a_state_of_another_rule(saved: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        arrays.Adam().load_state_dict(saved)


def test_a_state_of_another_shape() -> None:
    optimizer, params = arrays.Adam(), fresh()
    step(optimizer, params, 1)
    other = arrays.Adam()
    other.load_state_dict(optimizer.state_dict())
    with pytest.raises(ValueError, match=r"the loaded state 'm' of 'b' has shape \(3,\), and must have \(2,\)"):
        other.update({"b": np.ones(2)}, {"b": np.ones(2)})


def test_hyperparameters_change_between_updates() -> None:
    x = np.zeros(1)
    optimizer = arrays.Momentum(lr=1.0, momentum=0.5)
    optimizer.update({"x": x}, {"x": np.ones(1)})
    optimizer.lr, optimizer.momentum = 0.1, 1.0
    optimizer.update({"x": x}, {"x": np.ones(1)})
    assert x.item() == pytest.approx(-1.2)
    assert (optimizer.momentum, optimizer.hyperparameters) == (1.0, {"lr": 0.1, "momentum": 1.0})
    assert repr(optimizer) == "Momentum(lr=0.1, momentum=1.0)"
    assert repr(arrays.Optimizer(rules.lion)).startswith("Optimizer(lion, lr=0.0001, beta1=0.9")


def test_a_static_hyperparameter_changes_the_formula() -> None:
    optimizer, params = arrays.AdamP(lr=0.1), fresh()
    step(optimizer, params, 1)
    before = params["layer/w"].copy()
    optimizer.nesterov = True
    step(optimizer, params, 1)
    reference, plain = arrays.AdamP(lr=0.1), fresh()
    step(reference, plain, 1)
    np.testing.assert_array_equal(plain["layer/w"], before)
    step(reference, plain, 1)
    assert not np.array_equal(plain["layer/w"], params["layer/w"])


COPIES: dict[str, Any] = {
    "pickle": lambda pair: pickle.loads(pickle.dumps(pair)),
    "deepcopy": copy.deepcopy,
    "each by itself": lambda pair: (pickle.loads(pickle.dumps(pair[0])), copy.deepcopy(pair[1])),
    "shallow": lambda pair: (copy.copy(pair[0]), copy.deepcopy(pair[1])),
    "file": lambda pair: (loaded(pair[0]), copy.deepcopy(pair[1])),
    "names of the same arrays": lambda pair: (copy.copy(pair[0]), dict(copy.deepcopy(pair[1]))),
}


def loaded(optimizer: arrays.Optimizer) -> arrays.Optimizer:
    other = copy.copy(optimizer)
    other.load_state_dict(optimizer.state_dict())
    return other


def odd() -> dict[str, Any]:
    """Arrays that kernels move by way of a copy, beside one that they move where it lies."""
    return {
        "half": np.ones(3, np.float16),
        "column": np.linspace(-1, 1, 6).reshape(3, 2)[:, 0],
        "foreign": np.linspace(-1, 1, 3).astype(">f8"),
        "number": np.array(0.5),
        "w": np.linspace(-1, 1, 6).reshape(2, 3),
    }


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("kind", NAMED, ids=lambda kind: kind.__name__)
def test_copies_go_their_own_way(kind: Any, copied: Any) -> None:
    params = odd()
    optimizer = kind(lr=0.1)
    step(optimizer, params, 2)
    twin, own = copied((optimizer, params))
    assert twin.hyperparameters == optimizer.hyperparameters
    before = copy.deepcopy(params)
    step(twin, own, 2)
    for name in params:
        np.testing.assert_array_equal(params[name], before[name])  # the copy moved its own, and nothing else
    assert not np.array_equal(own["w"], before["w"])
    step(optimizer, params, 2)
    for name in params:
        np.testing.assert_array_equal(own[name], params[name])


def test_a_copy_of_a_copy_that_never_moved_has_the_states() -> None:
    optimizer, params = arrays.Adam(lr=0.1), fresh()
    step(optimizer, params, 2)
    again, own = copy.deepcopy(pickle.loads(pickle.dumps((optimizer, params))))
    step(again, own, 1)
    step(optimizer, params, 1)
    np.testing.assert_array_equal(own["b"], params["b"])


def test_a_pickled_optimizer_holds_no_parameters() -> None:
    optimizer, params = arrays.SGD(lr=0.1), {"w": np.ones(100_000)}
    step(optimizer, params, 1)
    assert len(pickle.dumps(optimizer)) < 10_000
