"""What arrays' optimizers refuse: in a sentence that names the array, and before anything is moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fallline import arrays, rules

READ_ONLY = np.ones(2)
READ_ONLY.flags.writeable = False
BASE = np.ones(4)

REFUSED: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "list": ([np.ones(2)], [np.ones(2)], TypeError, "params must be a dictionary .* got list.*dict\\(zip"),
    "grads no dictionary": ({"w": np.ones(2)}, np.ones(2), TypeError, "grads must be a dictionary"),
    "nested": ({"w": {"a": np.ones(2)}}, {"w": {"a": np.ones(2)}}, TypeError, "params\\['w'\\] is a dict; nested"),
    "nested gradient": ({"w": np.ones(2)}, {"w": [np.ones(2)]}, TypeError, "grads\\['w'\\] is a list; nested"),
    "tensor": ({"w": torch.ones(2)}, {"w": np.ones(2)}, TypeError, "is a Tensor; it must be a NumPy array"),
    "masked": ({"w": np.ma.ones(2)}, {"w": np.ones(2)}, TypeError, "is a MaskedArray"),
    "number": ({"w": np.float64(1)}, {"w": np.ones(())}, TypeError, "is a float64; it must be a NumPy array"),
    "name": ({3: np.ones(2)}, {3: np.ones(2)}, TypeError, "names of params must be strings; got 3"),
    "integers": ({"w": np.ones(2, int)}, {"w": np.ones(2)}, TypeError, "holds int64, and only float16, float32"),
    "complex": ({"w": np.ones(2, complex)}, {"w": np.ones(2, complex)}, TypeError, "view its real and imaginary"),
    "long double": ({"w": np.ones(2, np.longdouble)}, {"w": np.ones(2)}, TypeError, "can be trained; convert it"),
    "read-only": ({"w": READ_ONLY}, {"w": np.ones(2)}, ValueError, "params\\['w'\\] is read-only.*\\.copy\\(\\)"),
    "shape": ({"w": np.ones(2)}, {"w": np.ones((2, 1))}, ValueError, "grads\\['w'\\] has shape \\(2, 1\\).*\\(2,\\)"),
    "type": ({"w": np.ones(2, "f4")}, {"w": np.ones(2)}, TypeError, "holds float64, and params\\['w'\\] holds float32"),
    "unknown": ({"w": np.ones(2)}, {"v": np.ones(2)}, KeyError, "grads has 'v', and params has no such name.*'w'"),
    "same array": ({"a": BASE, "b": BASE}, {"a": BASE, "b": BASE}, ValueError, "'a'.*'b'.* share memory"),
    "overlap": ({"a": BASE[:3], "b": BASE[2:]}, {"a": np.ones(3), "b": np.ones(2)}, ValueError, "share memory"),
}


@pytest.mark.parametrize(("params", "grads", "error", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(params: Any, grads: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        arrays.Adam().update(params, grads)


@pytest.mark.parametrize(("name", "bad"), [("v", np.ones(3)), ("v", np.ones(2, int)), ("w", np.ones(2, "f4"))])
def test_a_refused_update_moves_nothing(name: str, bad: Any) -> None:
    params = {"u": np.ones(2), "v": np.ones(2), "w": np.ones((2, 2))[:, 0]}
    grads = {name: np.ones(2) for name in params}
    optimizer = arrays.Adam(lr=0.5)
    with pytest.raises((TypeError, ValueError)):
        optimizer.update(params, {**grads, name: bad})
    assert all(array.tolist() == [1.0, 1.0] for array in params.values())
    optimizer.update(params, grads)
    assert all(array.round(6).tolist() == [0.5, 0.5] for array in params.values())


def test_a_name_may_be_set_right_after_a_refusal() -> None:
    optimizer, w = arrays.SGD(lr=1.0), np.ones(3)
    with pytest.raises(ValueError, match="has shape"):
        optimizer.update({"w": np.ones(2)}, {"w": np.ones(3)})
    optimizer.update({"w": w}, {"w": np.ones(3)})
    assert w.tolist() == [0.0, 0.0, 0.0]


def setting(array: Any, name: str, value: Any) -> Any:
    """The same array, changed in place."""
    setattr(array, name, value)
    return array


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: np.ones(3), "is now float64 of shape \\(3,\\), and it was float64 of shape \\(2,\\)"),
        (lambda w: w.astype("f4"), "is now float32 of shape \\(2,\\)"),
        (lambda w: (w.setflags(write=False), w)[1], "read-only"),
        (lambda w: setting(w, "shape", (2, 1)), "is now float64 of shape \\(2, 1\\), and it was float64 of"),
        (lambda w: setting(w, "shape", (1, 2)), "is now float64 of shape \\(1, 2\\)"),
        (lambda w: setting(w, "dtype", np.float32), "is now float32 of shape \\(4,\\)"),
        (lambda w: setting(w, "dtype", np.float16), "is now float16 of shape \\(8,\\)"),
        (lambda w: (w.resize((3,), refcheck=False), w)[1], "is now float64 of shape \\(3,\\)"),
        (lambda w: np.resize(w, (1,)), "is now float64 of shape \\(1,\\)"),
    ],
)
@pytest.mark.parametrize("kind", [arrays.SGD, arrays.Adam, arrays.AdamP])
@pytest.mark.parametrize("contiguous", [True, False])
def test_a_name_that_stands_for_something_else(change: Any, sentence: str, kind: Any, contiguous: bool) -> None:
    w = np.ones(2) if contiguous else np.ones(2, ">f8")
    optimizer, rest = kind(lr=0.5), np.ones(2)
    for _ in range(2):
        optimizer.update({"a": rest, "w": w}, {"a": np.ones(2), "w": np.ones(2)})
    before = rest.copy()
    changed = change(w)
    for _ in range(2):
        with pytest.raises(ValueError, match=sentence):
            optimizer.update({"a": rest, "w": changed}, {"a": np.ones(2), "w": np.ones(changed.shape, changed.dtype)})
    assert rest.tolist() == before.tolist()
    optimizer.update({"a": rest, "w": changed}, {"a": np.ones(2)})  # the others go on
    assert rest.tolist() != before.tolist()


@pytest.mark.parametrize(
    ("made", "error", "sentence"),
    [
        (lambda: arrays.Adam(lr=-1.0), ValueError, "'lr' of the rule 'adam' must be at least 0"),
        (lambda: arrays.Adam(learning_rate=1.0), TypeError, "no hyperparameter 'learning_rate'"),
        (lambda: arrays.Adam(betas=(0.9,)), TypeError, "'betas' of the rule 'adam' must be 2 numbers"),
        (lambda: arrays.Optimizer("adam"), TypeError, "takes a rule"),  # type: ignore[arg-type]
        (lambda: setattr(arrays.Adam(), "beta1", 1.0), ValueError, "'beta1'.* less than 1"),
        (lambda: setattr(arrays.Adam(), "learning_rate", 1.0), AttributeError, "Adam has no hyperparameter"),
        (lambda: setattr(arrays.Lion(), "weight_deacy", 0.5), AttributeError, "did you mean 'weight_decay'"),
        (lambda: arrays.SGD().momentum, AttributeError, "SGD has no attribute 'momentum'"),
        (lambda: arrays.Optimizer(rules.fully_decoupled_decay(rules.adam)), TypeError, "needs a value for 'lr_max'"),
    ],
)
def test_hyperparameters(made: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        made()
