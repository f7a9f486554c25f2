"""One step of a kernel or of the reference on NumPy arrays, one dictionary of arrays for each tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.kernels import Kernel, SegmentTable, evaluate, host_scalars, kernel_for
from fallline.symbolic import Rule, make_plan

Arrays = dict[str, NDArray[Any]]
Numbers = Mapping[str, float]


def drawn(rule: Rule, shape: tuple[int, ...], dtype: str, seed: int = 0) -> Arrays:
    """A parameter, a gradient and states of a shape; states are positive, as second moments are."""
    generator = np.random.default_rng((seed, *shape))
    arrays = {name: generator.standard_normal(shape) for name in ("p", "g")}
    arrays |= {state.name: np.abs(generator.standard_normal(shape)) + 0.5 for state in rule.tensor_states}
    return {name: np.array(array, dtype) for name, array in arrays.items()}


def numbers(rule: Rule, t: int = 1, **given: float) -> dict[str, float]:
    """All the scalars that a rule may ask for: no state is absent unless `given` says so."""
    absent = {state.absent: 0.0 for state in rule.states} | {state.name: 0.5 for state in rule.number_states}
    return {**rule.defaults, **absent, "t": float(t), "dimensions": 2.0, **given}


def table_of(kernel: Kernel, tensors: Sequence[Arrays], owners: Sequence[int] | None = None) -> SegmentTable:
    """A table with the addresses of these tensors; a channel is an index of the first of several dimensions."""
    widths = [a["p"].size // a["p"].shape[0] if a["p"].ndim > 1 else a["p"].size for a in tensors]
    table = SegmentTable(kernel, [arrays["p"].size for arrays in tensors], widths, owners)
    for row, arrays in enumerate(tensors):
        assert all(arrays[name].flags.c_contiguous and arrays[name].dtype == kernel.dtype for name in kernel.columns)
        table.addresses[row] = [arrays[name].ctypes.data for name in kernel.columns]
    return table


def fill_in(table: SegmentTable, given: Sequence[Numbers]) -> None:
    """Give each tensor its numbers."""
    host = table.kernel.scalars
    for row, values in enumerate(given):
        if host.count:
            table.scalars[row] = host.values(*[values[name] for name in host.names])


def step(table: SegmentTable, given: Sequence[Numbers]) -> None:
    """Take a step with these numbers for each tensor."""
    fill_in(table, given)
    table.run()


def kernel_step(rule: Rule, dtype: str, tensors: Sequence[Arrays], given: Sequence[Numbers]) -> None:
    """Take a step of a rule's kernel, in place."""
    step(table_of(kernel_for(rule, dtype), tensors), given)


def reference(rule: Rule, arrays: Mapping[str, Any], given: Numbers) -> tuple[Any, dict[str, Any]]:
    """The update and the new states by the eager reference, in the arrays' own type."""
    plan = make_plan(rule.trace())
    host = host_scalars(plan)
    return evaluate(plan, arrays, host.values(*[given[name] for name in host.names]))


def reference_step(rule: Rule, arrays: Arrays, given: Numbers) -> Arrays:
    """What the tensors are after a step of the reference in double precision."""
    wide = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    update, states = reference(rule, wide, given)
    with np.errstate(invalid="ignore"):
        moved = wide["p"] - update
    return {**wide, "p": moved, **{name: np.array(value) for name, value in states.items()}}


def in_torch(arrays: Arrays, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """The same tensors in torch."""
    return {name: torch.tensor(array, dtype=dtype) for name, array in arrays.items()}


def relative(found: Any, expected: Any) -> float:
    """How far apart: ‖difference‖ / ‖expected‖; infinite if one has a NaN where the other has not."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    if not np.array_equal(np.isnan(found), np.isnan(expected)):
        return np.inf
    norm = float(np.linalg.norm(np.nan_to_num(expected)))
    difference = float(np.linalg.norm(np.nan_to_num(found) - np.nan_to_num(expected)))
    return difference if norm == 0 else difference / norm
