"""Twenty steps of every drop-in with every combination of options, in every memory layout, beside torch's for-loop."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch.testing._internal.common_optimizers import _get_optim_inputs_including_global_cliquey_kwargs, optim_db

from fallline import optim
from tests.optim.oracle import (
    NAMES,
    STEPS,
    TOLERANCE,
    Course,
    Layout,
    Options,
    beyond,
    contiguous,
    dense,
    differences,
    draw,
    follow,
    for_loop,
    in_double,
    tolerance,
)

GRID = (6, 10)
PARAMETER_STRIDES = {
    "contiguous": (10, 1),
    "transposed": (1, 6),
    "[:, ::2]": (20, 2),
    "[::2]": (20, 1),
    "[::2].T": (1, 12),
}
GRADIENT_STRIDES = PARAMETER_STRIDES | {
    "expanded row": (0, 1),
    "expanded column": (1, 0),
    "expanded number": (0, 0),
}
SIZES = (1, 2, 7, 8, 9, 15, 16, 17, 1000)
IMAGES, CHANNELS_LAST = (2, 3, 4, 5), (60, 1, 15, 3)

LAYOUTS: dict[str, Layout] = {
    **{
        f"{p}, gradient {g}": Layout(GRID, parameter, gradient)
        for p, parameter in PARAMETER_STRIDES.items()
        for g, gradient in GRADIENT_STRIDES.items()
    },
    **{f"{n} elements": dense(n) for n in SIZES},
    "gradients of either sign": dense(50, 40, mean=0.0),
    "17 elements, every other": Layout((17,), (2,), (2,)),
    "1000 elements, every third of the gradient": Layout((1000,), (1,), (3,)),
    "0-d": dense(),
    "empty": dense(0),
    "empty matrix": dense(3, 0),
    "one row, odd stride": Layout((1, 7), (999, 1), (1, 1)),
    "one column, odd stride": Layout((7, 1), (1, 999), (2, 3)),
    "channels last": Layout(IMAGES, CHANNELS_LAST, CHANNELS_LAST),
    "channels last, gradient contiguous": Layout(IMAGES, CHANNELS_LAST, contiguous(IMAGES)),
    "contiguous, gradient channels last": Layout(IMAGES, contiguous(IMAGES), CHANNELS_LAST),
    "gaps in every dimension": Layout((2, 3, 4), (96, 16, 2), (1, 4, 15)),
    "five dimensions, permuted": Layout((2, 3, 2, 2, 2), (1, 16, 8, 2, 4), (24, 1, 3, 12, 6)),
}

# What the database of torch does not list for the CPU.
MORE_OPTIONS: dict[str, list[Options]] = {
    "SGD": [
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "nesterov": True, "maximize": True, "weight_decay": 0.1},
        {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1, "maximize": True},
        {"momentum": 0.9, "lr": torch.tensor([0.01])},
    ],
    "Adagrad": [
        {"lr_decay": 0.5, "maximize": True},
        {"initial_accumulator_value": 0.1, "eps": 1e-3},
    ],
    "RMSprop": [
        {"centered": True},
        {"momentum": 0.9, "alpha": 0.9, "eps": 1e-2},
        {"lr": torch.tensor(0.001), "momentum": 0.9, "weight_decay": 0.1},
    ],
    "Adam": [
        {"amsgrad": True, "maximize": True, "weight_decay": 0.1},
        {"lr": torch.tensor([[0.001]]), "amsgrad": True},
        {"lr": torch.tensor(0.001), "betas": (torch.tensor([[[0.9]]]), torch.tensor([[0.99]]))},
        {"decoupled_weight_decay": True, "weight_decay": 0.1},
        {"betas": (0.0, 0.9), "eps": 1e-2},
    ],
    "AdamW": [
        {"weight_decay": 0.0},
        {"lr": torch.tensor(0.001), "weight_decay": 0.1, "amsgrad": True, "maximize": True},
        {"betas": (0.8, 0.95), "eps": 1e-3},
    ],
    "Adadelta": [
        {"lr": torch.tensor(0.5), "eps": 1e-3},
        {"rho": 0.0},
    ],
    "Adamax": [
        {"betas": (0.5, 0.6), "eps": 1e-3},
        {"lr": torch.tensor([0.001]), "maximize": True},
    ],
    "NAdam": [
        {"betas": (0.5, 0.9), "eps": 1e-3, "momentum_decay": 0.1},
        {"lr": torch.tensor(0.001), "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "RAdam": [
        {"betas": (0.9, 0.6)},
        {"betas": (0.5, 0.9), "eps": 1e-3},
        {"lr": torch.tensor(0.001), "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
}


def listed(name: str) -> list[tuple[str, Options]]:
    """Torch's combinations for a class, the flags that choose an implementation included, then ours."""
    information = next(entry for entry in optim_db if entry.name == name)
    inputs = _get_optim_inputs_including_global_cliquey_kwargs("cpu", torch.float32, information)
    ours = [(", ".join(options), options) for options in MORE_OPTIONS[name]]
    return [(entry.desc, entry.kwargs) for entry in inputs] + ours


LISTED = [(name, *row) for name in NAMES for row in listed(name)]
COMBINATIONS = [(name, options) for name, _, options in LISTED]
each_combination = pytest.mark.parametrize(
    "combination", range(len(LISTED)), ids=[f"{name}: {description}" for name, description, _ in LISTED]
)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: str(dtype).removeprefix("torch."))


@dataclass(frozen=True)
class Journey:
    """What one combination of options did to every layout."""

    differences: dict[str, float]  # after the first and after the last step
    written_beside: list[str]
    gradients_changed: list[str]


def journey(combination: int, dtype: torch.dtype) -> Journey:
    """Twenty steps of ours and of torch's for-loop."""
    name, options = COMBINATIONS[combination]
    course = draw(LAYOUTS, dtype, requires_grad=not options.get("differentiable"))
    doubles = course.in_double()
    ours = getattr(optim, name)(course.tensors(), **copy.deepcopy(options))
    theirs = for_loop(name, doubles.tensors(), options)
    found: dict[str, float] = {}
    for steps in (slice(0, 1), slice(1, STEPS)):
        for optimizer, path in ((ours, course), (theirs, doubles)):
            follow(optimizer, path.tensors(), [step.values() for step in path.gradients[steps]])
        found |= {f"{key}, step {steps.stop}": value for key, value in differences(ours, theirs, [*LAYOUTS]).items()}
    untouched = pristine(dtype)
    return Journey(
        found,
        [key for key in LAYOUTS if not torch.equal(*(c.parameters[key].surroundings() for c in (course, untouched)))],
        [
            key
            for key in LAYOUTS
            if not all(torch.equal(a[key], b[key]) for a, b in zip(course.gradients, untouched.gradients, strict=True))
        ],
    )


@cache
def pristine(dtype: torch.dtype) -> Course:
    """What every journey starts from."""
    return draw(LAYOUTS, dtype)


@each_combination
@each_dtype
def test_is_within_tolerance_of_torch(combination: int, dtype: torch.dtype) -> None:
    """And writes nothing beside the parameters, nor into the gradients: one test, so that each journey is made once."""
    name, options = COMBINATIONS[combination]
    made = journey(combination, dtype)
    assert beyond(made.differences, tolerance(name, options, dtype)) == {}
    assert made.written_beside == []
    assert made.gradients_changed == []


# Two groups: the options of both, then those of the second.
GROUPS: list[tuple[str, Options, Options]] = [
    *((name, {}, {"lr": 0.05}) for name in NAMES),
    ("SGD", {"weight_decay": 0.1}, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"momentum": 0.9}, {"momentum": 0.5, "maximize": True}),
    ("Adagrad", {"lr_decay": 0.1}, {"lr_decay": 0.2, "weight_decay": 0.1, "eps": 1e-3}),
    ("RMSprop", {"momentum": 0.9}, {"momentum": 0, "centered": True, "alpha": 0.9}),
    ("Adam", {"lr": 0.01}, {"betas": (0.8, 0.95), "amsgrad": True, "eps": 1e-4}),
    ("Adam", {"lr": torch.tensor(0.01)}, {"lr": torch.tensor(0.02), "maximize": True}),
    ("AdamW", {"lr": 0.01}, {"weight_decay": 0.0, "lr": 0.02}),
    ("Adadelta", {"rho": 0.8}, {"rho": 0.95, "weight_decay": 0.1, "eps": 1e-3}),
    ("Adamax", {"lr": 0.01}, {"betas": (0.8, 0.95), "eps": 1e-4, "maximize": True}),
    ("NAdam", {"lr": 0.01}, {"betas": (0.8, 0.9), "momentum_decay": 0.1, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.01}, {"betas": (0.8, 0.9), "weight_decay": 0.1, "decoupled_weight_decay": True}),
]


@pytest.mark.parametrize(("name", "options", "second"), GROUPS)
@each_dtype
def test_groups_keep_to_their_own_options(name: str, options: Options, second: Options, dtype: torch.dtype) -> None:
    course = draw(LAYOUTS, dtype)
    doubles = course.in_double()
    ours = getattr(optim, name)(in_two_groups(course, second), **options)
    theirs = for_loop(name, in_two_groups(doubles, second, in_double), options)
    for optimizer, path in ((ours, course), (theirs, doubles)):
        names = [*list(LAYOUTS)[::2], *list(LAYOUTS)[1::2]]
        steps = [[step[key] for key in names] for step in path.gradients]
        follow(optimizer, [path.parameters[key].tensor for key in names], steps)
    assert beyond(differences(ours, theirs, names), tolerance(name, options | second, dtype)) == {}


def in_two_groups(
    course: Course, second: Options, converted: Callable[[Any], Any] = lambda value: value
) -> list[dict[str, Any]]:
    """Every other parameter in a second group with options of its own."""
    tensors = course.tensors()
    options = {key: converted(value) for key, value in second.items()}
    return [{"params": tensors[::2]}, {"params": tensors[1::2], **options}]


# Enough elements that several threads share the work, whatever divides them among threads.
LARGE: dict[str, Layout] = {
    "one large": dense(300_001),
    "transposed": Layout((300, 400), (1, 300), (1, 300)),
    "transposed, gradient contiguous": Layout((300, 400), (1, 300), (400, 1)),
    "0-d between": dense(),
    "empty between": dense(0),
    **{f"small {n}": dense(n) for n in range(1, 200)},
}
LARGE_OPTIONS: list[tuple[str, Options]] = [("SGD", {}), ("RMSprop", {}), ("AdamW", {})]


@pytest.mark.parametrize(("name", "options"), LARGE_OPTIONS)
def test_threads_share_large_and_small_tensors(name: str, options: Options) -> None:
    course = draw(LARGE, torch.float32, steps=2)
    doubles = course.in_double()
    beside = {key: placed.surroundings() for key, placed in course.parameters.items()}
    ours, theirs = getattr(optim, name)(course.tensors(), **options), for_loop(name, doubles.tensors(), options)
    for optimizer, path in ((ours, course), (theirs, doubles)):
        follow(optimizer, path.tensors(), [step.values() for step in path.gradients])
    assert beyond(differences(ours, theirs, [*LARGE]), tolerance(name, options, torch.float32)) == {}
    assert [
        key for key, placed in course.parameters.items() if not torch.equal(placed.surroundings(), beside[key])
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_one_group_may_mix_dtypes(name: str) -> None:
    courses = {dtype: draw({str(dtype): dense(9), f"{dtype} 0-d": dense()}, dtype) for dtype in TOLERANCE}
    tensors = [tensor for course in courses.values() for tensor in course.tensors()]
    doubles = [tensor for course in courses.values() for tensor in course.in_double().tensors()]
    steps = list(zip(*(course.gradients for course in courses.values()), strict=True))
    ours, theirs = getattr(optim, name)(tensors), for_loop(name, doubles, {})
    follow(ours, tensors, [[g for part in step for g in part.values()] for step in steps])
    follow(theirs, doubles, [[g.double() for part in step for g in part.values()] for step in steps])
    found = differences(ours, theirs, [key for course in courses.values() for key in course.parameters])
    for dtype, limit in TOLERANCE.items():
        assert beyond({key: value for key, value in found.items() if key.startswith(str(dtype))}, limit) == {}
