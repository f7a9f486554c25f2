"""Plain arrays: the numbers are those of the torch optimizer of the same rule, however the arrays lie."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import fallline as fl
from fallline import arrays, rules
from fallline.arrays.optimizer import Named

Array = NDArray[Any]
NAMED = [value for value in vars(arrays).values() if isinstance(value, type) and issubclass(value, Named)]
SHAPES = {"w": (3, 4), "b": (4,), "scale": ()}


def given(dtype: Any, seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {name: np.array(random.normal(size=shape), dtype) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", NAMED, ids=lambda kind: kind.__name__)
def test_as_the_torch_optimizer_of_the_rule(kind: type[Named], dtype: Any) -> None:
    params = given(dtype)
    tensors = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in params.items()}
    optimizer, reference = kind(lr=0.1), fl.Optimizer(list(tensors.values()), kind.follows, lr=0.1)
    for step in range(1, 6):
        grads = given(dtype, step)
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(grads[name])
        optimizer.update(params, grads)
        reference.step()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(params[name], tensor.detach().numpy())


def misaligned(array: Array) -> Array:
    room = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    room[...] = array
    return room


def every_other(array: Array) -> Array:
    room = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    room[..., ::2] = array
    return room[..., ::2]


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran": np.asfortranarray,
    "every other": every_other,
    "reversed": lambda array: np.ascontiguousarray(array[::-1])[::-1],
    "foreign bytes": lambda array: array.astype(array.dtype.newbyteorder()),
    "misaligned": misaligned,
    "subclass": lambda array: array.view(np.recarray),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", [rules.adam, rules.adamp, rules.dampened_momentum, rules.clip_norm(rules.nadam)])
def test_however_the_arrays_lie(layout: str, rule: fl.symbolic.Rule) -> None:
    plain, odd = {"w": given(np.float64)["w"]}, {"w": LAYOUTS[layout](given(np.float64)["w"])}
    first, second = arrays.Optimizer(rule, lr=0.1), arrays.Optimizer(rule, lr=0.1)
    for step in range(1, 4):
        gradient = given(np.float64, step)["w"]
        first.update(plain, {"w": gradient})
        second.update(odd, {"w": LAYOUTS[layout](gradient)})
    np.testing.assert_array_equal(plain["w"], odd["w"])


def test_half_precision_is_computed_with_in_single() -> None:
    # A squared gradient of 1e-8 is nought in float16, and dividing by its root would be by ε alone.
    params = {"w": np.full(3, 1.0, np.float16)}
    optimizer = arrays.Adam(lr=0.25)
    for expected in (0.75, 0.5):
        optimizer.update(params, {"w": np.full(3, 1e-4, np.float16)})
        np.testing.assert_array_equal(params["w"], np.full(3, expected, np.float16))
    assert optimizer.state_dict()["states/w/v"].dtype == np.float32


def test_the_array_is_what_counts_also_where_it_is_copied() -> None:
    column = np.zeros((3, 2))[:, 0]
    optimizer = arrays.SGD(lr=1.0)
    optimizer.update({"w": column}, {"w": np.ones(3)})
    column[:] = 5.0
    optimizer.update({"w": column}, {"w": np.ones(3)})
    assert column.tolist() == [4.0, 4.0, 4.0]


@pytest.mark.parametrize(("names", "steps"), [(["w"], {"w": 3, "b": 1}), (["w", "b"], {"w": 3, "b": 3})])
@pytest.mark.parametrize("as_none", [True, False])
def test_a_name_without_a_gradient_rests(names: list[str], steps: dict[str, int], as_none: bool) -> None:
    params = given(np.float64)
    optimizer = arrays.Adam(lr=0.1)
    optimizer.update(params, {name: np.ones(SHAPES[name]) for name in ("w", "b")})
    before = params["b"].copy()
    for _ in range(2):
        grads: dict[str, Any] = {name: np.ones(SHAPES[name]) for name in names}
        optimizer.update(params, {**({"b": None} if as_none else {}), **grads})
    saved = optimizer.state_dict()
    assert {name: int(saved[f"states/{name}/step"]) for name in ("w", "b")} == steps
    assert np.array_equal(params["b"], before) == ("b" not in names)
    assert "states/scale/step" not in saved


def test_names_join_and_begin_then() -> None:
    optimizer = arrays.Adam(lr=0.5)
    early, late = np.zeros(2), np.zeros(2)
    optimizer.update({"early": early}, {"early": np.ones(2)})
    optimizer.update({"early": early, "late": late}, {"early": np.ones(2), "late": np.ones(2)})
    np.testing.assert_allclose(early, [-1.0, -1.0], rtol=1e-7)
    np.testing.assert_allclose(late, [-0.5, -0.5], rtol=1e-7)


def test_another_array_for_a_name_keeps_its_states() -> None:
    moved = np.zeros(2)
    optimizer = arrays.Momentum(lr=1.0, momentum=0.5)
    optimizer.update({"w": moved}, {"w": np.ones(2)})
    other = np.full(2, 10.0)
    optimizer.update({"w": other}, {"w": np.ones(2)})
    assert (moved.tolist(), other.tolist()) == ([-1.0, -1.0], [8.5, 8.5])


def test_arrays_may_change_places() -> None:
    x, y = np.zeros(1), np.zeros(1)
    optimizer = arrays.Momentum(lr=1.0, momentum=0.5)
    optimizer.update({"a": x, "b": y}, {"a": np.ones(1), "b": np.zeros(1)})
    optimizer.update({"a": y, "b": x}, {"a": np.ones(1)})
    optimizer.update({"a": y, "b": x}, {"b": np.ones(1)})
    assert (x.item(), y.item()) == (-2.0, -1.5)


@pytest.mark.parametrize("order", ["xy", "yx"])
def test_gradients_that_are_parameters_are_read_before_anything_moves(order: str) -> None:
    # The bilinear game x·y: each one's gradient is the other one's array.
    x, y = np.array([1.0]), np.array([3.0])
    params, grads = {"x": x, "y": y}, {"x": y, "y": x[:]}
    optimizer = arrays.SGD(lr=0.5)
    optimizer.update(params, {name: grads[name] for name in order})
    assert (x.item(), y.item()) == (-0.5, 2.5)


def test_a_gradient_that_is_the_parameter_itself() -> None:
    x = np.arange(100.0)
    arrays.SGD(lr=0.5).update({"x": x}, {"x": x})
    np.testing.assert_array_equal(x, np.arange(100.0) / 2)


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_empty_arrays(shape: tuple[int, ...]) -> None:
    params = {"none": np.zeros(shape), "w": np.ones(1)}
    arrays.Adam(lr=0.5).update(params, {name: np.ones_like(array) for name, array in params.items()})
    assert params["w"].round(6).tolist() == [0.5]


def test_sums_run_over_all_arrays_whatever_their_type() -> None:
    params: dict[str, Array] = {"a": np.zeros(1), "b": np.zeros(1, np.float32), "c": np.zeros((1, 2))[:, 0]}
    grads: dict[str, Array | None] = {"a": np.array([2.0]), "b": np.array([1.0], np.float32), "c": np.array([2.0])}
    arrays.Optimizer(rules.clip_norm(rules.gradient_descent), lr=1.0, max_norm=1.5).update(params, grads)
    np.testing.assert_allclose([array.item() for array in params.values()], [-1.0, -0.5, -1.0], rtol=1e-6)


def test_columns_of_one_array_are_apart() -> None:
    both = np.zeros((2, 4))
    params = {"left": both[:, :2], "right": both[:, 2:], "odd": np.zeros(4)[1::2]}
    arrays.SGD(lr=1.0).update(params, {name: np.ones_like(array) for name, array in params.items()})
    assert both.tolist() == [[-1.0] * 4] * 2


@pytest.mark.parametrize("owns", [True, False])
def test_read_only_gradients_are_taken(owns: bool) -> None:
    params = {"w": np.zeros((2, 2))}
    gradient = np.broadcast_to(np.array([1.0, 2.0]), (2, 2))
    if owns:
        gradient = gradient.copy()
        gradient.flags.writeable = False
    arrays.SGD(lr=1.0).update(params, {"w": gradient})
    assert params["w"].tolist() == [[-1.0, -2.0]] * 2


def test_no_gradients_no_step() -> None:
    w = np.ones(2)
    arrays.SGD(lr=1.0).update({"w": w}, {})
    assert w.tolist() == [1.0, 1.0]


def set_strides(w: Array) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        w.strides = (16, 8) if w.strides == (8, 16) else (8, 16)


def read_only_and_back(w: Array) -> None:
    w.setflags(write=False)
    w.setflags(write=True)


IN_PLACE: dict[str, Callable[[dict[str, Array]], object]] = {
    "strides set": lambda params: set_strides(params["w"]),
    "a view in its place": lambda params: params.update(w=params["w"][:]),
    "a copy in its place": lambda params: params.update(w=params["w"].copy()),
    "another order": lambda params: params.update(w=np.asfortranarray(params["w"])),
    "other bytes": lambda params: params.update(w=params["w"].astype(">f8")),
    "no contiguous array": lambda params: params.update(w=every_other(params["w"])),
    "resized to what it was": lambda params: params["w"].resize((2, 2), refcheck=False),
    "read-only and back": lambda params: read_only_and_back(params["w"]),
}


@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE)
def test_whatever_was_done_to_the_array_since_the_last_update(change: Any) -> None:
    params = {"w": np.arange(4.0).reshape(2, 2)}
    optimizer = arrays.Momentum(lr=0.5, momentum=0.5)
    optimizer.update(params, {"w": np.ones((2, 2))})
    change(params)
    expected = params["w"] - 0.75
    optimizer.update(params, {"w": np.ones((2, 2))})
    np.testing.assert_array_equal(params["w"], expected)


def test_arrays_in_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.ones(3))
    mapped = np.load(tmp_path / "w.npy", mmap_mode="r+")
    optimizer = arrays.SGD(lr=0.5)
    optimizer.update({"w": mapped}, {"w": np.ones(3)})
    copy, own = pickle.loads(pickle.dumps((optimizer, {"w": mapped})))
    copy.update(own, {"w": np.ones(3)})
    mapped.flush()
    assert np.load(tmp_path / "w.npy").tolist() == [0.5] * 3
    assert own["w"].tolist() == [0.0] * 3


@pytest.mark.parametrize("dtypes", [(">f8", "<f8"), ("<f8", ">f8"), (">f4", "=f4")])
def test_the_order_of_bytes_is_no_other_type(dtypes: tuple[str, str]) -> None:
    w = np.ones(2, dtypes[0])
    arrays.SGD(lr=0.5).update({"w": w}, {"w": np.ones(2, dtypes[1])})
    assert w.tolist() == [0.5, 0.5]
