"""Kernels write through raw addresses: they must see what became of every tensor, and touch nothing else.

An intervention does something to the tensors of an optimizer between two steps; what follows must be what follows in
torch, and tensors that the optimizer no longer owns must keep their numbers.
"""

import functools
import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from fallline import optim
from tests.optim.oracle import (
    NAMES,
    Layout,
    Options,
    Scenario,
    beyond,
    dense,
    differences,
    draw,
    follow,
    for_loop,
    journal,
    outcome,
    parameters_of,
    play_both,
    raised,
    same,
    tolerance,
)

FULL: dict[str, Options] = {
    "SGD": {"lr": 0.05, "momentum": 0.9},
    "Adagrad": {"lr": 0.05, "lr_decay": 0.1},
    "RMSprop": {"lr": 0.005, "momentum": 0.5, "centered": True},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01, "weight_decay": 0.1},
    "Adadelta": {"lr": 0.5, "eps": 1e-4},
    "Adamax": {"lr": 0.01},
    "NAdam": {"lr": 0.01, "momentum_decay": 0.1},
    "RAdam": {"lr": 0.01, "betas": (0.9, 0.9)},
}
STATELESS: Options = {"lr": 0.05}  # of SGD
each_class = pytest.mark.parametrize("name", NAMES)


def gradient(parameter: Tensor, index: int) -> Tensor:
    """Some numbers of the parameter's shape, other ones at every step."""
    count = torch.arange(parameter.numel(), dtype=torch.float64)
    return torch.sin(count + index).add(1.1).reshape(parameter.shape).to(parameter.dtype)


def advance(optimizer: torch.optim.Optimizer, steps: Sequence[int]) -> None:
    """Steps with gradients that fit the parameters as they are now."""
    for index in steps:
        parameters = parameters_of(optimizer)
        follow(optimizer, parameters, [[gradient(parameter, index) for parameter in parameters]])


def started(
    module: Any, name: str, dtype: torch.dtype = torch.float64, options: Options | None = None
) -> torch.optim.Optimizer:
    """An optimizer that has taken three steps, on a square matrix and on nine numbers."""
    parameters = [torch.linspace(1, 2, 25, dtype=dtype).reshape(5, 5), torch.linspace(-1, 1, 9, dtype=dtype)]
    optimizer: torch.optim.Optimizer = getattr(module, name)(
        [parameter.clone().requires_grad_() for parameter in parameters], **(FULL[name] if options is None else options)
    )
    advance(optimizer, range(3))
    return optimizer


def state_tensors(optimizer: torch.optim.Optimizer) -> list[tuple[dict[str, Any], str]]:
    """Where each state of a parameter's shape is kept."""
    return [
        (state, key)
        for parameter, state in optimizer.state.items()
        for key, value in sorted(state.items())
        if isinstance(value, Tensor) and key != "step" and value.shape == parameter.shape
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Interventions: each returns the tensors that later steps must leave alone
# ---------------------------------------------------------------------------------------------------------------------


def data_replaced(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = [parameter.detach() for parameter in parameters_of(optimizer)]
    for parameter in parameters_of(optimizer):
        parameter.data = parameter.data * 2
    return old


def data_replaced_by_a_transposed_one(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    matrix = parameters_of(optimizer)[0]
    old = matrix.detach()
    matrix.data = matrix.data.T.contiguous().T
    return [old]


def data_replaced_by_a_strided_one(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    matrix = parameters_of(optimizer)[0]
    old, wide = matrix.detach(), torch.full((5, 10), 7.0, dtype=matrix.dtype)
    wide[:, ::2] = matrix.data
    matrix.data = wide[:, ::2]
    return [old, wide[:, 1::2]]


def data_transposed_where_it_lies(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    matrix = parameters_of(optimizer)[0]
    matrix.data = matrix.data.T
    return []


def transposed_in_place(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    with torch.no_grad():
        parameters_of(optimizer)[0].t_()
    return []


def data_negated_by_a_bit(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    vector = parameters_of(optimizer)[1]
    vector.data = torch._neg_view(vector.data)
    return []


def data_swapped(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    first, second = parameters_of(optimizer)
    first.data, second.data = first.data.reshape(-1)[:9].clone(), second.data.repeat(3)[:25].reshape(5, 5).clone()
    first.data, second.data = second.data, first.data
    return []


def data_written_in_place(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    with torch.no_grad():
        for parameter in parameters_of(optimizer):
            parameter.copy_(parameter * 3)
    return []


def set_to_another_storage(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    vector = parameters_of(optimizer)[1]
    old, new = vector.detach().view(-1), torch.linspace(0, 1, 30, dtype=vector.dtype)
    with torch.no_grad():
        vector.set_(new.untyped_storage(), 5, (9,), (2,))
    return [old, new[:5], new[6:23:2], new[23:]]


def states_replaced(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = []
    for state, key in state_tensors(optimizer):
        old.append(state[key])
        state[key] = state[key] * 0.5
    return old


def states_replaced_by_transposed_ones(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = []
    for state, key in state_tensors(optimizer):
        if state[key].dim() == 2:
            old.append(state[key])
            state[key] = state[key].T.contiguous().T
    return old


def states_transposed_where_they_lie(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    for state, key in state_tensors(optimizer):
        if state[key].dim() == 2:
            state[key] = state[key].T
    return []


def states_negated_by_a_bit(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    for state, key in state_tensors(optimizer):
        state[key] = torch._neg_view(-state[key])
    return []


def states_written_in_place(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    for state, key in state_tensors(optimizer):
        state[key].mul_(0.5)
    return []


def state_data_replaced(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = []
    for state, key in state_tensors(optimizer):
        old.append(state[key].detach())
        state[key].data = state[key].data * 0.5
    return old


def entries_replaced(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    for parameter in parameters_of(optimizer):
        state = optimizer.state[parameter]
        optimizer.state[parameter] = {
            key: value.clone() if isinstance(value, Tensor) else value for key, value in state.items()
        }
    return old


def whole_state_replaced(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = optimizer.state
    optimizer.state = defaultdict(dict, {p: {k: v.clone() for k, v in old[p].items()} for p in old})
    return [value for state in old.values() for value in state.values()]


def groups_replaced(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    optimizer.param_groups = [{**group, "lr": 0.001} for group in optimizer.param_groups]
    return []


def one_entry_emptied(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    parameter = parameters_of(optimizer)[0]
    old = list(optimizer.state[parameter].values())
    optimizer.state[parameter] = {}
    return old


def states_cleared(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = [value for state in optimizer.state.values() for value in state.values()]
    optimizer.state.clear()
    return old


def step_replaced(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = []
    for state in list(optimizer.state.values())[:1]:
        old.append(state["step"])
        state["step"] = torch.tensor(50.0)
    return old


def step_written_in_place(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    for state in list(optimizer.state.values())[:1]:
        state["step"].fill_(50.0)
    return []


def state_loaded(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = [value for state in optimizer.state.values() for value in state.values()]
    loaded = optimizer.state_dict()
    loaded["state"] = {i: {k: v * 2 for k, v in state.items()} for i, state in loaded["state"].items()}
    optimizer.load_state_dict(loaded)
    return old


def parameters_and_states_to_float32(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = [parameter.detach() for parameter in parameters_of(optimizer)]
    for parameter in parameters_of(optimizer):
        parameter.grad = None
        parameter.data = parameter.data.to(torch.float32)
    optimizer.load_state_dict(optimizer.state_dict())
    return old


def parameter_replaced_in_its_group(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    old = parameters_of(optimizer)[1]
    optimizer.param_groups[0]["params"][1] = torch.ones(30, dtype=torch.float64, requires_grad=True)
    return [old.detach()]


def parameter_taken_out_of_its_group(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [optimizer.param_groups[0]["params"].pop(0).detach()]


def parameters_reordered(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    optimizer.param_groups[0]["params"].reverse()
    return []


def shrunk_where_it_lies(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    vector = parameters_of(optimizer)[1]
    whole = vector.detach()
    vector.grad = None
    vector.data = vector.data[:5]
    return [whole[5:]]


def every_other_where_it_lies(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    vector = parameters_of(optimizer)[1]
    whole = vector.detach()
    vector.grad = None
    vector.data = vector.data[::2]
    return [whole[1::2]]


def grown_anew(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    vector = parameters_of(optimizer)[1]
    vector.grad = None
    vector.data = torch.linspace(0, 1, 1000, dtype=vector.dtype)
    return []


def shrunk_and_states_dropped(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    vector = parameters_of(optimizer)[1]
    whole = vector.detach()
    vector.grad = None
    vector.data = vector.data[:5]
    optimizer.state[vector] = {}
    return [whole[5:]]


Intervention = Callable[[torch.optim.Optimizer], list[Tensor]]

# What torch carries on with, by the classes whose states it concerns.
HAVE_STEPS = tuple(name for name in NAMES if name != "SGD")
CARRIED_ON: list[tuple[Sequence[str], Intervention]] = [
    (NAMES, data_replaced),
    (NAMES, data_replaced_by_a_transposed_one),
    (NAMES, data_replaced_by_a_strided_one),
    (NAMES, data_transposed_where_it_lies),
    (NAMES, transposed_in_place),
    (NAMES, data_negated_by_a_bit),
    (NAMES, data_swapped),
    (NAMES, data_written_in_place),
    (NAMES, set_to_another_storage),
    (NAMES, states_replaced),
    (NAMES, states_replaced_by_transposed_ones),
    (NAMES, states_transposed_where_they_lie),
    (NAMES, states_negated_by_a_bit),
    (NAMES, states_written_in_place),
    (NAMES, state_data_replaced),
    (NAMES, entries_replaced),
    (NAMES, whole_state_replaced),
    (NAMES, groups_replaced),
    (NAMES, one_entry_emptied),
    (NAMES, states_cleared),
    (HAVE_STEPS, step_replaced),
    (HAVE_STEPS, step_written_in_place),
    (NAMES, state_loaded),
    (NAMES, parameters_and_states_to_float32),
    (NAMES, parameter_replaced_in_its_group),
    (NAMES, parameter_taken_out_of_its_group),
    (NAMES, parameters_reordered),
    (NAMES, shrunk_and_states_dropped),
]
TOLERANCE: dict[Intervention, float] = {parameters_and_states_to_float32: 1e-5}


# For SGD without states.
CARRIED_ON_WITHOUT_STATES: list[Intervention] = [
    data_replaced,
    data_replaced_by_a_strided_one,
    data_transposed_where_it_lies,
    transposed_in_place,
    data_swapped,
    set_to_another_storage,
    groups_replaced,
    parameters_reordered,
    shrunk_where_it_lies,
    every_other_where_it_lies,
    grown_anew,
]


@pytest.mark.parametrize(
    ("name", "options", "intervene"),
    [
        *(
            pytest.param(name, FULL[name], act, id=f"{name}-{act.__name__}")
            for names, act in CARRIED_ON
            for name in names
        ),
        *(pytest.param("SGD", STATELESS, act, id=f"no states-{act.__name__}") for act in CARRIED_ON_WITHOUT_STATES),
    ],
)
def test_goes_on_as_torch_does(name: str, options: Options, intervene: Intervention) -> None:
    def scenario(module: Any, name: str) -> Any:
        optimizer = started(module, name, options=options)
        left_alone = intervene(optimizer)
        before = [tensor.clone() for tensor in left_alone]
        advance(optimizer, range(3, 6))
        return journal(optimizer), [torch.equal(a, b) for a, b in zip(left_alone, before, strict=True)]

    play_both(scenario, name, tolerance=TOLERANCE.get(intervene, 1e-9))


# ---------------------------------------------------------------------------------------------------------------------
# Gradients that are not plain
# ---------------------------------------------------------------------------------------------------------------------


def reallocated(vector: Tensor) -> None:
    assert vector.grad is not None
    kept = vector.grad.clone()
    vector.grad.resize_(100_000).resize_(9)
    vector.grad.copy_(kept)


def given(make: Callable[[], Tensor]) -> Callable[[Tensor], None]:
    def replace(vector: Tensor) -> None:
        vector.grad = make()

    return replace


def written(vector: Tensor) -> None:
    assert vector.grad is not None
    vector.grad.mul_(3)


def data_of_gradient_replaced(vector: Tensor) -> None:
    assert vector.grad is not None
    vector.grad.data = torch.linspace(3, 4, 9, dtype=torch.float64)


def gradient_requires_a_gradient(vector: Tensor) -> None:
    vector.grad = vector * 2


GRADIENTS: dict[str, Callable[[Tensor], None]] = {
    "reallocated": reallocated,
    "written in place": written,
    "its data replaced": data_of_gradient_replaced,
    "every other element": given(lambda: torch.linspace(0, 4, 18, dtype=torch.float64)[::2]),
    "expanded": given(lambda: torch.tensor(2.0, dtype=torch.float64).expand(9)),
    "reversed": given(lambda: torch.linspace(0, 4, 9, dtype=torch.float64).flip(0)),
    "negated by a bit": given(lambda: torch._neg_view(torch.linspace(1, 4, 9, dtype=torch.float64))),
    "imaginary part of a conjugate": given(lambda: torch.linspace(1, 4, 9, dtype=torch.complex128).mul(1j).conj().imag),
    "real part of a complex one": given(lambda: torch.linspace(1, 4, 9, dtype=torch.complex128).real),
    "at the end of its storage": given(lambda: torch.linspace(1, 4, 21, dtype=torch.float64)[12:]),
    "from numpy": given(lambda: torch.from_numpy(torch.linspace(1, 4, 9, dtype=torch.float64).numpy().copy())),
    "with a graph": gradient_requires_a_gradient,
    "zero": given(lambda: torch.zeros(9, dtype=torch.float64)),
    "NaN": given(lambda: torch.tensor([1.0, torch.nan] + [0.5] * 7, dtype=torch.float64)),
    "infinite": given(lambda: torch.tensor([1.0, torch.inf, -torch.inf] + [0.5] * 6, dtype=torch.float64)),
    "huge": given(lambda: torch.tensor([1e200, -1e200] + [0.5] * 7, dtype=torch.float64)),
    "tiny": given(lambda: torch.tensor([1e-200, -1e-310] + [0.5] * 7, dtype=torch.float64)),
}


@each_class
@pytest.mark.parametrize("change", GRADIENTS.values(), ids=GRADIENTS)
@pytest.mark.parametrize("maximize", [False, True])
def test_takes_any_gradient_as_torch_does(name: str, change: Callable[[Tensor], None], maximize: bool) -> None:
    def scenario(module: Any, name: str) -> Any:
        optimizer = started(module, name)
        optimizer.param_groups[0]["maximize"] = maximize
        change(parameters_of(optimizer)[1])
        optimizer.step()
        return journal(optimizer), parameters_of(optimizer)[1].grad

    play_both(scenario, name)


def special(dtype: torch.dtype) -> Tensor:
    """NaN, infinities, zeros, and numbers whose squares overflow or vanish."""
    information = torch.finfo(dtype)
    big, small = information.max / 4, information.tiny
    values = [torch.nan, torch.inf, -torch.inf, 0.0, -0.0, big, -big, small, -small, small / 4, 1.0, -1.0]
    return torch.tensor(values * 3, dtype=dtype)


INFINITE_OR_NAN = ("RAdam",)  # in torch an infinite mean is NaN a step later; in others a division hides it


@pytest.mark.parametrize(("name", "options"), [(name, options) for name in NAMES for options in ({}, FULL[name])])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_special_numbers_spread_as_in_torch(name: str, options: Options, dtype: torch.dtype) -> None:
    """Twelve kinds of numbers three times over: more than a vector's width and a rest."""

    def scenario(module: Any, name: str) -> Any:
        parameter = torch.ones(36, dtype=dtype, requires_grad=True)
        optimizer = getattr(module, name)([parameter], **options)
        follow(optimizer, [parameter], [[special(dtype)], [torch.ones(36, dtype=dtype)]])
        up, down = (-77.0, -77.0) if name in INFINITE_OR_NAN else (-88.0, -99.0)
        return torch.nan_to_num(parameter.detach(), nan=-77.0, posinf=up, neginf=down)

    play_both(scenario, name, tolerance=1e-5)


# ---------------------------------------------------------------------------------------------------------------------
# What torch refuses, a kernel must not run over
# ---------------------------------------------------------------------------------------------------------------------


def shrunk(optimizer: torch.optim.Optimizer) -> None:
    vector = parameters_of(optimizer)[1]
    vector.grad = None
    vector.data = vector.data[:5].clone()
    advance(optimizer, [3])


def grown(optimizer: torch.optim.Optimizer) -> None:
    vector = parameters_of(optimizer)[1]
    vector.grad = None
    vector.data = torch.linspace(0, 1, 1000, dtype=vector.dtype)
    advance(optimizer, [3])


def states_shrunk(optimizer: torch.optim.Optimizer) -> None:
    for state, key in state_tensors(optimizer):
        state[key] = state[key].reshape(-1)[:3].clone()
    advance(optimizer, [3])


def states_shrunk_in_place(optimizer: torch.optim.Optimizer) -> None:
    for state, key in state_tensors(optimizer):
        state[key].resize_(3)
    advance(optimizer, [3])


def states_expanded(optimizer: torch.optim.Optimizer) -> None:
    for state, key in state_tensors(optimizer):
        state[key] = torch.ones(1, dtype=state[key].dtype).expand(state[key].shape)
    advance(optimizer, [3])


def states_expanded_where_they_lie(optimizer: torch.optim.Optimizer) -> None:
    for state, key in state_tensors(optimizer):
        state[key] = state[key].reshape(-1)[:1].expand(state[key].shape)
    advance(optimizer, [3])


def parameter_expanded(optimizer: torch.optim.Optimizer) -> None:
    vector = parameters_of(optimizer)[1]
    vector.data = torch.ones(1, dtype=vector.dtype).expand(9)
    advance(optimizer, [3])


def parameter_expanded_where_it_lies(optimizer: torch.optim.Optimizer) -> None:
    vector = parameters_of(optimizer)[1]
    vector.data = vector.data[:1].expand(9)
    advance(optimizer, [3])


def shrunk_with_its_storage(optimizer: torch.optim.Optimizer) -> None:
    shrunk_where_it_lies(optimizer)
    advance(optimizer, [3])


def gradient_resized(optimizer: torch.optim.Optimizer) -> None:
    vector = parameters_of(optimizer)[1]
    assert vector.grad is not None
    vector.grad.resize_(4)
    optimizer.step()


def gradient_of_another_shape_of_as_many(optimizer: torch.optim.Optimizer) -> None:
    matrix = parameters_of(optimizer)[0]
    assert matrix.grad is not None
    matrix.grad.resize_(5, 4)
    optimizer.step()


REFUSED: list[tuple[Sequence[str], Callable[[torch.optim.Optimizer], None]]] = [
    (NAMES, shrunk),
    (NAMES, grown),
    (NAMES, states_shrunk),
    (NAMES, states_shrunk_in_place),
    (NAMES, states_expanded),
    (NAMES, states_expanded_where_they_lie),
    (NAMES, parameter_expanded),
    (NAMES, parameter_expanded_where_it_lies),
    (NAMES, shrunk_with_its_storage),
    (NAMES, gradient_resized),
    (NAMES, gradient_of_another_shape_of_as_many),
]


@pytest.mark.parametrize(
    ("name", "act"), [pytest.param(name, act, id=f"{name}-{act.__name__}") for names, act in REFUSED for name in names]
)
def test_refuses_where_torch_does(name: str, act: Callable[[torch.optim.Optimizer], None]) -> None:
    for module in (torch.optim, optim):
        optimizer = started(module, name)
        assert raised(outcome(functools.partial(act, optimizer))), module.__name__


@pytest.mark.skipif(not hasattr(Tensor, "grad_dtype"), reason="gradients have their parameter's dtype in this torch")
@each_class
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_gradient_of_another_dtype_is_refused_or_taken_at_its_value(name: str, dtype: torch.dtype) -> None:
    ours, exact = started(optim, name), started(torch.optim, name)
    vector, other = parameters_of(ours)[1], parameters_of(exact)[1]
    vector.grad_dtype = None
    vector.grad = gradient(vector, 3).to(dtype)
    other.grad = vector.grad.double()
    result = outcome(ours.step)
    exact.step()
    if not raised(result):
        same(journal(ours), journal(exact))


@each_class
def test_a_module_moved_to_double_is_refused_or_right(name: str) -> None:
    """Torch refuses where it would mix the states' float32 with the gradients' float64; to convert them is as good."""

    def scenario(module: Any, convert_states: bool) -> Any:
        optimizer = started(module, name, torch.float32)
        for parameter in parameters_of(optimizer):
            parameter.grad = None
            parameter.data = parameter.data.to(torch.float64)
        if convert_states:
            optimizer.load_state_dict(optimizer.state_dict())
        advance(optimizer, range(3, 6))
        return journal(optimizer)["parameters"]

    ours, theirs = outcome(lambda: scenario(optim, False)), outcome(lambda: scenario(torch.optim, False))
    assert raised(theirs) or not raised(ours)
    if not raised(ours):
        same(ours, scenario(torch.optim, True), tolerance=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# Version counters
# ---------------------------------------------------------------------------------------------------------------------


def free(like: Tensor) -> Tensor:
    """A tensor whose derivative needs what it is multiplied with."""
    return torch.ones_like(like).requires_grad_()


def product(value: Tensor) -> Tensor:
    return (value * free(value)).sum()


def of_state(key: str) -> Callable[[torch.optim.Optimizer], Tensor]:
    return lambda optimizer: product(optimizer.state[parameters_of(optimizer)[0]][key])


def of_a_state(optimizer: torch.optim.Optimizer) -> Tensor:
    state, key = state_tensors(optimizer)[0]
    return product(state[key])


# A graph from before a step, and whether torch refuses to go back through it after the step.
SAVED: dict[str, tuple[Callable[[torch.optim.Optimizer], Tensor], bool]] = {
    "a parameter": (lambda o: (parameters_of(o)[0] ** 2).sum(), True),
    "the other parameter": (lambda o: (parameters_of(o)[1] ** 2).sum(), True),
    "a parameter, not its numbers": (lambda o: (parameters_of(o)[0] * 2).sum(), False),
    "a part of a parameter": (lambda o: (parameters_of(o)[0][1:] ** 2).sum(), True),
    "a detached parameter": (lambda o: product(parameters_of(o)[0].detach()), True),
    "a copy of a parameter": (lambda o: (parameters_of(o)[0].clone() ** 2).sum(), False),
    "the data of a parameter": (lambda o: product(parameters_of(o)[0].data), False),
    "a state": (of_a_state, True),
    "a gradient": (lambda o: product(parameters_of(o)[0].grad), False),  # type: ignore[arg-type]
}


@each_class
@pytest.mark.parametrize(("graph", "refused"), SAVED.values(), ids=SAVED)
def test_backward_after_the_step_raises_where_torch_does(
    name: str, graph: Callable[[torch.optim.Optimizer], Tensor], refused: bool
) -> None:
    for module in (torch.optim, optim):
        optimizer = started(module, name)
        loss = graph(optimizer)
        optimizer.step()
        result = outcome(loss.backward)
        assert raised(result) is refused, (module.__name__, result)
        assert not refused or "modified by an inplace operation" in result[1]


@pytest.mark.parametrize("name", HAVE_STEPS)
def test_backward_through_a_step_count_raises_as_in_torch(name: str) -> None:
    for module in (torch.optim, optim):
        optimizer = started(module, name)
        loss = of_state("step")(optimizer)
        optimizer.step()
        assert raised(outcome(loss.backward)), module.__name__


@each_class
def test_versions_rise_for_what_was_written_alone(name: str) -> None:
    """Of two parameters the second has no gradient at the step that is watched."""
    risen = []
    for module in (optim, torch.optim):
        optimizer = started(module, name)
        parameters = parameters_of(optimizer)
        given_up, parameters[1].grad = parameters[1].grad, None
        assert given_up is not None
        # Small states share a version, and step counts are gathered anew when other parameters move: the states of the
        # parameter that moves are compared, but for its numbers.
        moved = [v for key, v in optimizer.state[parameters[0]].items() if isinstance(v, Tensor) and v.dim()]
        kept = parameters[0].grad
        assert kept is not None
        watched = [*parameters, kept, given_up, *moved]
        before = [tensor._version for tensor in watched]
        optimizer.step()
        risen.append([tensor._version > version for tensor, version in zip(watched, before, strict=True)])
    assert risen[0] == risen[1]
    assert risen[0][:4] == [True, False, False, False]


# ---------------------------------------------------------------------------------------------------------------------
# Shared memory
# ---------------------------------------------------------------------------------------------------------------------

SHARED: dict[str, tuple[int, Callable[[Tensor], list[Tensor]]]] = {  # how many numbers, and the parameters made of them
    "the same memory": (9, lambda flat: [flat[:], flat[:]]),
    "overlapping": (20, lambda flat: [flat[:12], flat[7:]]),
    "a matrix and its transpose": (30, lambda flat: [flat.view(5, 6), flat.view(5, 6).T]),
    "even elements and all": (20, lambda flat: [flat[::2], flat]),
    "neighbours": (50, lambda flat: [flat[:7], flat[7:8], flat[8:31], flat[31:]]),
    "interleaved": (50, lambda flat: [flat[::2], flat[1::2]]),
    "halves of a matrix": (60, lambda flat: [flat.view(6, 10)[:, :5], flat.view(6, 10)[:, 5:]]),
}
SHARED_AND_LARGE: dict[str, tuple[int, Callable[[Tensor], list[Tensor]]]] = {
    "the same large memory": (300_001, lambda flat: [flat[:], flat[:]]),
    "large, overlapping by all but one": (300_001, lambda flat: [flat[1:], flat[:-1]]),
}


@pytest.mark.parametrize(
    ("name", "count", "parts"),
    [
        *(pytest.param(name, *row, id=f"{name}-{key}") for name in NAMES for key, row in SHARED.items()),
        *(pytest.param("SGD", *row, id=f"SGD-{key}") for key, row in SHARED_AND_LARGE.items()),
    ],
)
def test_shared_memory_ends_as_in_torch(name: str, count: int, parts: Callable[[Tensor], list[Tensor]]) -> None:
    def scenario(module: Any, name: str) -> Any:
        flat = torch.linspace(-1, 2, count, dtype=torch.float64)
        parameters = [part.detach().requires_grad_() for part in parts(flat)]
        optimizer = getattr(module, name)(parameters, **FULL[name])
        advance(optimizer, range(3))
        return flat

    play_both(scenario, name)


TWICE = FULL | {"SGD": STATELESS}  # torch's SGD begins with two momentum buffers, and drops one


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters")
@each_class
def test_a_parameter_entered_twice_steps_twice_as_in_torch(name: str) -> None:
    def scenario(module: Any, name: str) -> Any:
        parameter = torch.linspace(-1, 2, 9, dtype=torch.float64).requires_grad_()
        other = torch.ones(3, dtype=torch.float64, requires_grad=True)
        optimizer = getattr(module, name)([parameter, other, parameter], **TWICE[name])
        advance(optimizer, range(4))
        return journal(optimizer)

    play_both(scenario, name)


def one_gradient_for_two(module: Any, name: str) -> Any:
    parameters = [torch.full((9,), value, dtype=torch.float64, requires_grad=True) for value in (1.0, 2.0)]
    optimizer = getattr(module, name)(parameters, **FULL[name])
    shared = gradient(parameters[0], 1)
    follow(optimizer, parameters, [[shared, shared]] * 3)
    return journal(optimizer), shared


# ---------------------------------------------------------------------------------------------------------------------
# Tensors without memory, and modes
# ---------------------------------------------------------------------------------------------------------------------


def shapes(optimizer: torch.optim.Optimizer) -> Any:
    return [{key: (v.shape, v.dtype, v.device.type) for key, v in state.items()} for state in optimizer.state.values()]


def on_the_meta_device(module: Any, name: str) -> Any:
    parameters = [torch.ones(5, device=device, dtype=torch.float64, requires_grad=True) for device in ("meta", "cpu")]
    optimizer = getattr(module, name)(parameters, **FULL[name])
    follow(optimizer, parameters, [[torch.ones_like(p) for p in parameters]] * 2)
    return shapes(optimizer), parameters[1].detach()


def fake(module: Any, name: str) -> Any:
    with FakeTensorMode():
        parameter = torch.ones(5, requires_grad=True)
        optimizer = getattr(module, name)([parameter], **FULL[name])
        follow(optimizer, [parameter], [[torch.ones(5)]] * 2)
        return [{key: (v.shape, v.dtype) for key, v in state.items()} for state in optimizer.state.values()]


def in_inference_mode(module: Any, name: str) -> Any:
    optimizer = started(module, name)
    with torch.inference_mode():
        advance(optimizer, [3, 4])
    advance(optimizer, [5])
    return journal(optimizer)


def many_in_inference_mode(module: Any, name: str) -> Any:
    parameters = [torch.full((5,), float(i), dtype=torch.float64, requires_grad=True) for i in range(400)]
    optimizer = getattr(module, name)(parameters, **FULL[name])
    with torch.inference_mode():
        follow(optimizer, parameters, [[torch.ones_like(p) for p in parameters]] * 2)
    return torch.stack([p.detach() for p in parameters])


def with_gradients_enabled(module: Any, name: str) -> Any:
    optimizer = started(module, name)
    with torch.enable_grad():
        advance(optimizer, [3, 4])
    return journal(optimizer), [(p.is_leaf, p.requires_grad) for p in parameters_of(optimizer)]


class Tagged(Tensor):
    """A subclass that adds nothing."""


def a_subclass_of_tensor(module: Any, name: str) -> Any:
    parameter = torch.linspace(-1, 1, 9, dtype=torch.float64).as_subclass(Tagged).requires_grad_()
    optimizer = getattr(module, name)([parameter], **FULL[name])
    follow(optimizer, [parameter], [[torch.ones(9, dtype=torch.float64).as_subclass(Tagged)]] * 3)
    return parameter.detach().as_subclass(Tensor)


def subnormal_numbers_flushed(module: Any, name: str) -> Any:
    """A thread that flushes subnormal numbers to zero gets the answers of one that does not, or torch's."""
    parameter = torch.linspace(-1, 1, 9, dtype=torch.float64).requires_grad_()
    torch.set_flush_denormal(True)
    try:
        optimizer = getattr(module, name)([parameter], **FULL[name])
        follow(optimizer, [parameter], [[gradient(parameter, index)] for index in range(3)])
    finally:
        torch.set_flush_denormal(False)
    return journal(optimizer)


ODD: list[Scenario] = [
    one_gradient_for_two,
    on_the_meta_device,
    fake,
    in_inference_mode,
    many_in_inference_mode,
    with_gradients_enabled,
    a_subclass_of_tensor,
    subnormal_numbers_flushed,
]


@each_class
@pytest.mark.parametrize("scenario", ODD)
def test_odd_tensors_and_modes_end_as_in_torch(name: str, scenario: Scenario) -> None:
    play_both(scenario, name)


# ---------------------------------------------------------------------------------------------------------------------
# Processes and threads
# ---------------------------------------------------------------------------------------------------------------------

ENOUGH = 300_001  # elements: so many that a step is shared among threads
PROCESSES = f"""
import json, multiprocessing, torch
from fallline import optim

def train(module):
    torch.set_num_threads(1)  # torch's own threads do not survive a fork
    parameters = [torch.linspace(0, 1, count).requires_grad_() for count in (5, {ENOUGH})]
    optimizer = module.Adam(parameters, lr=0.1)
    for index in range(3):
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, index + 1.0)
        optimizer.step()
    return [float(parameter.detach().double().sum()) for parameter in parameters]

def freed():
    # A gradient whose memory was given back has no numbers to read.
    parameter = torch.ones(9, requires_grad=True)
    optimizer = optim.SGD([parameter], lr=1.0)
    for free in (False, True):
        parameter.grad = torch.ones(9)
        if free:
            parameter.grad.untyped_storage().resize_(0)
        try:
            optimizer.step()
        except RuntimeError:
            return "refused"
    return parameter.tolist()

def answer_freed(pipe, again):
    pipe.send((freed(), None))

def answer(pipe, again):
    pipe.send((train(optim), child("fork") if again else None))

def child(method, again=False, target=answer):
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(sender, again))
    process.start()
    sender.close()  # so that the death of the child is seen
    try:
        found = receiver.recv() if receiver.poll(60) else ("no answer in time", None)
    except EOFError:
        process.join()
        found = (f"no answer, exit code {{process.exitcode}}", None)
    process.kill()
    process.join()
    return found if again else found[0]

if __name__ == "__main__":
    found = {{"torch": train(torch.optim), "forked before the first step": child("fork")}}
    found["parent"] = train(optim)
    found["forked after the parent's steps"], found["a fork of a fork"] = child("fork", again=True)
    found["forked once more"] = child("fork")
    found["spawned"] = child("spawn")
    found["parent after its children"] = train(optim)
    found["freed gradient"] = child("fork", target=answer_freed)
    print(json.dumps(found))
"""
PLACES = (
    "forked before the first step",
    "parent",
    "forked after the parent's steps",
    "a fork of a fork",
    "forked once more",
    "spawned",
    "parent after its children",
)
FORKS_WITH_THREADS = "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """What each process found."""
    script = tmp_path_factory.mktemp("processes") / "processes.py"
    script.write_text(PROCESSES)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("place", PLACES)
def test_every_process_gets_the_right_numbers(answers: dict[str, list[float]], place: str) -> None:
    assert answers[place] == pytest.approx(answers["torch"], rel=1e-6)


def test_a_gradient_without_memory_is_refused(answers: dict[str, Any]) -> None:
    """In a process of its own: to read from no address ends it."""
    assert answers["freed gradient"] == "refused"


class Rows(torch.utils.data.Dataset[Tensor]):
    """Rows of numbers, worked out in the worker; where asked, by steps of an optimizer."""

    def __init__(self, stepping: bool) -> None:
        self.stepping = stepping

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Tensor:
        parameter = torch.full((ENOUGH,), float(index), requires_grad=True)
        if self.stepping:
            follow(optim.SGD([parameter], lr=1.0), [parameter], [[torch.ones(ENOUGH)]])
        return parameter.detach()[-2:] + self.stepping


@pytest.mark.filterwarnings(FORKS_WITH_THREADS)
@pytest.mark.parametrize("stepping", [False, True], ids=["workers read", "workers step"])
@pytest.mark.parametrize("persistent", [False, True], ids=["new workers", "the same workers"])
def test_forked_workers_of_a_data_loader_go_on(stepping: bool, persistent: bool) -> None:
    loader = torch.utils.data.DataLoader(
        Rows(stepping),
        batch_size=4,
        num_workers=2,
        multiprocessing_context="fork",
        persistent_workers=persistent,
        timeout=60,
    )
    parameter = torch.zeros(ENOUGH, requires_grad=True)
    optimizer = optim.SGD([parameter], lr=1.0)
    for epoch in range(2):
        for index, rows in enumerate(loader):
            assert rows[:, 0].tolist() == [4.0 * index + n for n in range(4)]
            follow(optimizer, [parameter], [[torch.ones(ENOUGH)]])
        assert parameter[-1].item() == -4.0 * (epoch + 1)


THREADS: list[tuple[str, Options, torch.dtype]] = [
    *((name, FULL[name], torch.float32) for name in NAMES),
    ("SGD", {}, torch.float64),
    ("Adam", {}, torch.float64),
]


def test_threads_with_optimizers_of_their_own_get_the_right_numbers() -> None:
    layouts = {"small": dense(9), "large": dense(ENOUGH), "transposed": Layout((30, 40), (1, 30), (40, 1))}
    courses = [draw(layouts, dtype, steps=2, seed=seed) for seed, (_, _, dtype) in enumerate(THREADS)]
    doubles = [course.in_double() for course in courses]
    ours = [getattr(optim, name)(c.tensors(), **o) for (name, o, _), c in zip(THREADS, courses, strict=True)]
    theirs = [for_loop(name, c.tensors(), o) for (name, o, _), c in zip(THREADS, doubles, strict=True)]
    start, failures = threading.Barrier(len(THREADS)), []

    def work(optimizer: torch.optim.Optimizer, course: Any) -> None:
        start.wait(timeout=60)
        result = outcome(lambda: follow(optimizer, course.tensors(), [step.values() for step in course.gradients]))
        failures.extend([result] if raised(result) else [])

    workers = [threading.Thread(target=work, args=pair) for pair in zip(ours, courses, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert failures == []
    for mine, other, course, (name, options, dtype) in zip(ours, theirs, doubles, THREADS, strict=True):
        follow(other, course.tensors(), [step.values() for step in course.gradients])
        assert beyond(differences(mine, other, [*layouts]), tolerance(name, options, dtype)) == {}
