"""A program that says `from fallline import optim` instead of `from torch import optim` behaves as it did.

Most tests are a scenario: a function of the module `optim` and a class's name. It is played with both modules, and must
return the same, or raise the same in the same words.
"""

import copy
import importlib
import inspect
import io
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.testing._internal.common_optimizers import optim_db

from fallline import optim
from tests.optim.oracle import (
    CAN_FUSE,
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
    loss_of,
    network,
    outcome,
    parameters_of,
    play_both,
    raised,
    relative,
    same,
    states_of,
    teach,
    tolerance,
)

# One line a class: options under which it has all its states.
FULL: dict[str, Options] = {
    "SGD": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "Adagrad": {"lr": 0.05, "lr_decay": 0.1, "initial_accumulator_value": 0.1},
    "RMSprop": {"lr": 0.005, "momentum": 0.5, "centered": True},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01, "weight_decay": 0.1},
    "Adadelta": {"lr": 0.5, "rho": 0.8, "eps": 1e-4},
    "Adamax": {"lr": 0.01, "weight_decay": 0.1},
    "NAdam": {"lr": 0.01, "momentum_decay": 0.1, "weight_decay": 0.1},
    "RAdam": {"lr": 0.01, "betas": (0.9, 0.9), "weight_decay": 0.1},
}
each_class = pytest.mark.parametrize("name", NAMES)


def made(module: Any, name: str, model: nn.Module, **options: Any) -> torch.optim.Optimizer:
    """The optimizer of that name, with all its states."""
    optimizer: torch.optim.Optimizer = getattr(module, name)(model.parameters(), **(FULL[name] | options))
    return optimizer


# ---------------------------------------------------------------------------------------------------------------------
# Signatures, groups and states
# ---------------------------------------------------------------------------------------------------------------------


@each_class
def test_signature_is_that_of_torch(name: str) -> None:
    ours, theirs = (
        [(p.name, p.kind, p.default) for p in inspect.signature(getattr(module, name)).parameters.values()]
        for module in (optim, torch.optim)
    )
    assert ours == theirs


@each_class
def test_has_every_public_attribute_of_torch(name: str) -> None:
    ours, theirs = ({n for n in dir(getattr(module, name)) if n[0] != "_"} for module in (optim, torch.optim))
    assert theirs - ours == set()


@each_class
def test_is_an_optimizer_of_torch(name: str) -> None:
    assert issubclass(getattr(optim, name), torch.optim.Optimizer)
    assert getattr(optim, name).__name__ == name


def test_adamw_is_an_adam_as_in_torch() -> None:
    assert issubclass(optim.AdamW, optim.Adam)


def described(module: Any, name: str, options: Options) -> Any:
    optimizer = getattr(module, name)(network().parameters(), **options)
    return optimizer.defaults, [{**group, "params": len(group["params"])} for group in optimizer.param_groups]


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name in NAMES for options in ({}, FULL[name], {"lr": torch.tensor(0.1)}, {"maximize": True})],
)
def test_defaults_and_groups_are_those_of_torch(name: str, options: Options) -> None:
    same(described(optim, name, options), described(torch.optim, name, options))


@each_class
def test_prints_as_torch_does(name: str) -> None:
    ours, theirs = (repr(made(module, name, network())) for module in (optim, torch.optim))
    assert ours == theirs


STATE_OPTIONS: list[tuple[str, Options]] = [
    *((entry.name, row.kwargs) for entry in optim_db if entry.name in NAMES for row in entry.optim_inputs_func("cpu")),
    *((name, {"fused": True}) for name in CAN_FUSE),
    *((name, {"foreach": True}) for name in NAMES),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {"amsgrad": True}),
]
STATE_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.complex64)


def about_states(module: Any, name: str, options: Options, dtype: torch.dtype) -> Any:
    """Keys, types, dtypes, shapes before and after a step."""
    parameters = [torch.ones(shape, dtype=dtype, requires_grad=True) for shape in [(3, 2), (), (0,), (4,)]]
    optimizer = getattr(module, name)(parameters, **options)
    before = [sorted(state) for state in states_of(optimizer)]
    follow(optimizer, parameters[:3], [[torch.ones_like(p) for p in parameters[:3]]])
    return before, [
        {key: (type(v), v.dtype, v.shape, v.device, v.is_leaf, v.requires_grad) for key, v in state.items()}
        for state in states_of(optimizer)
    ]


@pytest.mark.parametrize(
    ("name", "options", "dtype"),
    [
        (name, options, dtype)
        for name, options in STATE_OPTIONS
        for dtype in STATE_DTYPES
        if not (dtype.is_complex and options.get("fused"))  # torch refuses
    ],
)
def test_states_have_torchs_keys_dtypes_and_shapes(name: str, options: Options, dtype: torch.dtype) -> None:
    ours, theirs = (outcome(partial(about_states, module, name, options, dtype)) for module in (optim, torch.optim))
    assert ours == theirs


@each_class
def test_step_counts_follow_the_default_dtype(name: str) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        ours, theirs = (about_states(module, name, FULL[name], torch.float32) for module in (optim, torch.optim))
    finally:
        torch.set_default_dtype(torch.float32)
    assert ours == theirs


# ---------------------------------------------------------------------------------------------------------------------
# Bad arguments
# ---------------------------------------------------------------------------------------------------------------------


def leaves(count: int = 2) -> list[Tensor]:
    return [torch.ones(2, 2, requires_grad=True) for _ in range(count)]


ADAMS = ("Adam", "AdamW")
WITH_BETAS = (*ADAMS, "Adamax", "NAdam", "RAdam")
WITH_EPS = ("Adagrad", "Adadelta", "RMSprop", *WITH_BETAS)
BAD_OPTIONS: list[tuple[tuple[str, ...], Options]] = [
    (NAMES, {"lr": -0.1}),
    (WITH_EPS, {"lr": float("nan")}),
    (NAMES, {"lr": torch.tensor([0.1, 0.2])}),
    (NAMES, {"lr": torch.tensor(-0.1)}),
    (NAMES, {"weight_decay": -1}),
    (NAMES, {"learning_rate": 0.1}),
    (("SGD", "RMSprop"), {"momentum": -0.5}),
    (("SGD",), {"nesterov": True}),
    (("SGD",), {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    (WITH_EPS, {"eps": -1e-8}),
    (("Adagrad",), {"lr_decay": -0.5}),
    (("Adagrad",), {"initial_accumulator_value": -0.1}),
    (("RMSprop",), {"alpha": -0.1}),
    (("Adadelta",), {"rho": -0.1}),
    (("Adadelta",), {"rho": 1.5}),
    (WITH_BETAS, {"betas": (1.0, 0.999)}),
    (WITH_BETAS, {"betas": (-0.1, 0.999)}),
    (WITH_BETAS, {"betas": (0.9, 1.0)}),
    (WITH_BETAS, {"betas": (0.9, -0.5)}),
    (ADAMS, {"betas": (0.9, torch.tensor(0.99))}),
    (ADAMS, {"betas": (torch.tensor(0.9), 0.99)}),
    (ADAMS, {"betas": (torch.tensor([0.9, 0.8]), torch.tensor([0.99, 0.9]))}),
    (ADAMS, {"betas": (torch.tensor([0.9]), torch.tensor([0.99, 0.9]))}),
    (ADAMS, {"betas": (torch.tensor(0.9), torch.tensor(0.99)), "foreach": True}),
    (ADAMS, {"lr": torch.tensor(0.1), "foreach": True}),
    (CAN_FUSE, {"foreach": True, "fused": True}),
    (CAN_FUSE, {"differentiable": True, "fused": True}),
]
BAD_PARAMETERS: dict[str, Callable[[], Any]] = {
    "no parameters": list,
    "a tensor": lambda: leaves()[0],
    "a number": lambda: [1.0],
    "a name": lambda: ["weight"],
    "None": lambda: None,
    "a set within a group": lambda: [{"params": set(leaves())}],
    "a non-leaf": lambda: [leaves()[0] * 2],
    "no params in a group": lambda: [{"lr": 0.1}],
    "a list of lists": lambda: [leaves()],
    "the same twice in a group": lambda: leaves(1) * 2,
    "the same in two groups": lambda: [{"params": p} for p in leaves(1) * 2],
    "some with names": lambda: [("weight", leaves()[0]), leaves()[0]],
    "one group with names": lambda: [{"params": leaves()}, {"params": [("weight", leaves()[0])]}],
}


@pytest.mark.parametrize(("name", "options"), [(name, options) for names, options in BAD_OPTIONS for name in names])
def test_bad_options_are_refused_in_torchs_words(name: str, options: Options) -> None:
    play_both(lambda module, _: getattr(module, name)(leaves(), **options), name, raises=True)


@each_class
@pytest.mark.parametrize("parameters", BAD_PARAMETERS.values(), ids=BAD_PARAMETERS)
def test_bad_parameters_are_refused_in_torchs_words(name: str, parameters: Callable[[], Any]) -> None:
    play_both(lambda module, _: getattr(module, name)(parameters()), name, raises=True)


@each_class
def test_parameters_are_required(name: str) -> None:
    play_both(lambda module, _: getattr(module, name)(), name, raises=True)


def test_alpha_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alpha.*1\.5"):
        optim.RMSprop(leaves(), alpha=1.5)


def bad_group(module: Any, name: str) -> None:
    made(module, name, network()).add_param_group([leaves()])  # type: ignore[arg-type]


def group_with_a_known_parameter(module: Any, name: str) -> None:
    model = network()
    made(module, name, model).add_param_group({"params": list(model.parameters())[:1]})


def checkpoint_of_other_groups(module: Any, name: str) -> None:
    other = getattr(module, name)([{"params": [p]} for p in network().parameters()])
    made(module, name, network()).load_state_dict(other.state_dict())


def checkpoint_of_other_sizes(module: Any, name: str) -> None:
    made(module, name, network()).load_state_dict(getattr(module, name)(leaves(1)).state_dict())


def pre_hook_that_returns_a_number(module: Any, name: str) -> None:
    optimizer = made(module, name, network())
    optimizer.register_step_pre_hook(lambda *_: 1)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        optimizer.step()
    raise RuntimeError("refused")


BAD_CALLS: list[tuple[tuple[str, ...], Scenario]] = [
    (NAMES, bad_group),
    (NAMES, group_with_a_known_parameter),
    (NAMES, checkpoint_of_other_groups),
    (NAMES, checkpoint_of_other_sizes),
    (NAMES, pre_hook_that_returns_a_number),
]


@pytest.mark.parametrize(("name", "scenario"), [(name, scenario) for names, scenario in BAD_CALLS for name in names])
def test_bad_calls_are_refused_in_torchs_words(name: str, scenario: Scenario) -> None:
    play_both(scenario, name, raises=True)


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


def plain(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    teach(model, optimizer, range(10))
    return journal(optimizer)


def all_defaults(module: Any, name: str) -> Any:
    model = network()
    optimizer = getattr(module, name)(model.parameters())
    teach(model, optimizer, range(10))
    return journal(optimizer)


def named_parameters(module: Any, name: str) -> Any:
    model = network()
    optimizer = getattr(module, name)(model.named_parameters(), **FULL[name])
    teach(model, optimizer, range(3))
    return journal(optimizer), optimizer.state_dict()["param_groups"]


def gradients_kept_and_zeroed(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    teach(model, optimizer, range(3))
    kept = [p.grad for p in model.parameters()]
    optimizer.zero_grad(set_to_none=False)
    zeroed = [
        (p.grad is g, p.grad.clone()) for p, g in zip(model.parameters(), kept, strict=True) if p.grad is not None
    ]
    torch.autograd.backward(loss_of(model, 3))
    optimizer.step()
    optimizer.zero_grad()
    return zeroed, [p.grad for p in model.parameters()], journal(optimizer)


def gradients_accumulated_and_clipped(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    norms = []
    for index in range(6):
        optimizer.zero_grad(set_to_none=bool(index % 2))
        for part in range(3):
            torch.autograd.backward(loss_of(model, 3 * index + part))
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 0.1))
        optimizer.step()
    return norms, journal(optimizer)


def closure(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    seen: list[bool] = []

    def evaluate() -> Any:
        seen.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = loss_of(model, len(seen))
        torch.autograd.backward(loss)
        return loss

    with torch.no_grad():
        losses = [optimizer.step(evaluate), optimizer.step(closure=evaluate)]
    return seen, losses, torch.is_grad_enabled(), optimizer.step(), journal(optimizer)


def group_added_in_mid_training(module: Any, name: str) -> Any:
    model, other = network(), network(1)
    optimizer = made(module, name, model)
    teach(model, optimizer, range(3))
    optimizer.add_param_group({"params": list(other.parameters()), "lr": 0.02})
    for index in range(3, 6):
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(model, index) + loss_of(other, index))
        optimizer.step()
    return journal(optimizer)


def some_without_gradients(module: Any, name: str) -> Any:
    """The first never has one, the second at some steps, the rest always: their step counts differ."""
    parameters = [torch.linspace(1, 2, 5, dtype=torch.float64).requires_grad_() for _ in range(4)]
    optimizer = getattr(module, name)(parameters, **FULL[name])
    for index in range(7):
        has = [False, index in (2, 3, 5), True, True]
        for place, parameter in enumerate(parameters):
            parameter.grad = torch.full_like(parameter, 1.0 + index + place) if has[place] else None
        optimizer.step()
    return journal(optimizer), [p in optimizer.state for p in parameters]


def no_gradient_at_all(module: Any, name: str) -> Any:
    optimizer = made(module, name, network())
    return optimizer.step(), journal(optimizer)


def frozen_after_its_gradient(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    torch.autograd.backward(loss_of(model, 0))
    model[0].requires_grad_(False)
    optimizer.step()
    return journal(optimizer)


def rate_changed_by_hand(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    for index, rate in enumerate((0.1, 0.01, 0.0, 1e-3, 2)):
        optimizer.param_groups[0]["lr"] = rate
        teach(model, optimizer, [index])
    return journal(optimizer)


def rate_tensor_changed_in_place(module: Any, name: str) -> Any:
    model = network()
    rate = torch.tensor(0.05, dtype=torch.float64)
    optimizer = made(module, name, model, lr=rate)
    for index in range(5):
        teach(model, optimizer, [index])
        rate.mul_(0.5)
    return journal(optimizer), optimizer.param_groups[0]["lr"] is rate


def options_changed_by_hand(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    changes: list[Options] = [{}, {"weight_decay": 0.2}, {"maximize": True}, {"maximize": False, "weight_decay": 0}]
    for index, change in enumerate(changes + MORE_CHANGES.get(name, [])):
        optimizer.param_groups[0].update(change)
        teach(model, optimizer, [2 * index, 2 * index + 1])
    return journal(optimizer)


MORE_CHANGES: dict[str, list[Options]] = {
    "SGD": [{"nesterov": True}, {"nesterov": False, "dampening": 0.5}, {"momentum": 0}, {"momentum": 0.5}],
    "Adagrad": [{"lr_decay": 0.0}, {"eps": 0.1}],
    "RMSprop": [{"centered": False}, {"momentum": 0}, {"momentum": 0.9, "alpha": 0.5}],
    "Adam": [
        {"amsgrad": False},
        {"betas": (0.5, 0.6)},
        {"amsgrad": True, "eps": 0.1},
        {"decoupled_weight_decay": True},
    ],
    "AdamW": [{"betas": (0.5, 0.6)}, {"eps": 0.1}],
    "Adadelta": [{"rho": 0.5}, {"eps": 0.1}],
    "Adamax": [{"betas": (0.5, 0.6)}, {"eps": 0.1}],
    "NAdam": [{"betas": (0.5, 0.6)}, {"momentum_decay": 0.5, "eps": 0.1}, {"decoupled_weight_decay": True}],
    "RAdam": [{"betas": (0.5, 0.6)}, {"betas": (0.5, 0.99), "eps": 0.1}, {"decoupled_weight_decay": True}],
}


def subclass_with_its_own_step(module: Any, name: str) -> Any:
    """Hooks fire as often for each `step` in the chain of classes, once torch has marked them all."""
    made(module, name, network())
    calls: list[str] = []

    class Mine(getattr(module, name)):  # type: ignore[misc]
        def step(self, closure: Any = None) -> Any:
            calls.append("mine")
            return super().step(closure)

    model = network()
    optimizer = Mine(model.parameters(), **FULL[name])
    optimizer.register_step_post_hook(lambda *_: calls.append("hook"))
    teach(model, optimizer, range(3))
    return calls, journal(optimizer)


def within_the_backward_pass(module: Any, name: str) -> Any:
    model = network()
    optimizers = {p: getattr(module, name)([p], **FULL[name]) for p in model.parameters()}

    def update(parameter: Any) -> None:
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in optimizers:
        parameter.register_post_accumulate_grad_hook(update)  # type: ignore[no-untyped-call]
    for index in range(4):
        torch.autograd.backward(loss_of(model, index))
    return [journal(optimizer) for optimizer in optimizers.values()]


def parameters_and_states_swapped_in(module: Any, name: str) -> Any:
    model, other = network(), network(1)
    optimizer = made(module, name, model)
    teach(model, optimizer, range(3))
    state = copy.deepcopy(optimizer.state_dict())
    with module.swap_in_optimizer_params_and_state(optimizer, dict(other.named_parameters()), state):
        teach(other, optimizer, range(3, 6))
    inside = [p.detach().clone() for p in other.parameters()]
    teach(model, optimizer, range(6, 8))
    return inside, [p.detach() for p in other.parameters()], journal(optimizer)


def averaged_model(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    averaged = module.swa_utils.AveragedModel(model, multi_avg_fn=module.swa_utils.get_ema_multi_avg_fn(0.9))
    scheduler = module.swa_utils.SWALR(optimizer, swa_lr=0.02, anneal_epochs=3)
    for index in range(6):
        teach(model, optimizer, [index])
        averaged.update_parameters(model)
        scheduler.step()
    return [p.detach() for p in averaged.parameters()], journal(optimizer)


def as_the_profiler_sees_it(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    with torch.autograd.profiler.profile() as profile:
        teach(model, optimizer, range(2))
    return sorted((event.key, event.count) for event in profile.key_averages() if "Optimizer" in event.key)


TRAINING: list[Any] = [
    plain,
    all_defaults,
    named_parameters,
    gradients_kept_and_zeroed,
    gradients_accumulated_and_clipped,
    closure,
    group_added_in_mid_training,
    some_without_gradients,
    no_gradient_at_all,
    frozen_after_its_gradient,
    rate_changed_by_hand,
    rate_tensor_changed_in_place,
    options_changed_by_hand,
    subclass_with_its_own_step,
    within_the_backward_pass,
    averaged_model,
    as_the_profiler_sees_it,
    pytest.param(
        parameters_and_states_swapped_in,
        marks=pytest.mark.skipif(
            not hasattr(torch.optim, "swap_in_optimizer_params_and_state"), reason="this torch does not have it"
        ),
    ),
]


@each_class
@pytest.mark.parametrize("scenario", TRAINING)
def test_trains_as_torch_does(name: str, scenario: Scenario) -> None:
    play_both(scenario, name)


# ---------------------------------------------------------------------------------------------------------------------
# Schedulers and hooks
# ---------------------------------------------------------------------------------------------------------------------

SCHEDULERS: dict[str, Callable[[Any, torch.optim.Optimizer], Any]] = {
    "StepLR": lambda s, o: s.StepLR(o, step_size=3, gamma=0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, milestones=[2, 5]),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, gamma=0.9),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, T_max=8, eta_min=1e-4),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=3),
    "LinearLR": lambda s, o: s.LinearLR(o, total_iters=4),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, total_iters=8, power=2.0),
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda epoch: 0.95**epoch),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.9),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.StepLR(o, 2), s.ExponentialLR(o, 0.9)]),
    "SequentialLR": lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.1), s.ExponentialLR(o, 0.9)], milestones=[3]),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, max_lr=0.05, total_steps=12, three_phase=True),
    "OneCycleLR, rates alone": lambda s, o: s.OneCycleLR(o, max_lr=0.05, total_steps=12, cycle_momentum=False),
    "CyclicLR": lambda s, o: s.CyclicLR(o, base_lr=0.01, max_lr=0.05, step_size_up=3),
    "CyclicLR, rates alone": lambda s, o: s.CyclicLR(o, base_lr=0.01, max_lr=0.05, cycle_momentum=False),
}
HAS_NO_MOMENTUM = {
    (name, law) for name in ("Adagrad", "Adadelta") for law in ("OneCycleLR", "CyclicLR")
}  # torch refuses them


def scheduled(module: Any, name: str, make: Callable[[Any, torch.optim.Optimizer], Any], **options: Any) -> Any:
    model = network()
    optimizer = made(module, name, model, **options)
    scheduler = make(module.lr_scheduler, optimizer)
    seen = []
    for index in range(10):
        teach(model, optimizer, [index])
        scheduler.step()
        seen.append((scheduler.get_last_lr(), journal(optimizer)["groups"]))
    return copy.deepcopy(seen), journal(optimizer)


@each_class
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers_steer_as_in_torch(name: str, scheduler: str) -> None:
    play_both(
        lambda module, name: scheduled(module, name, SCHEDULERS[scheduler]),
        name,
        raises=(name, scheduler) in HAS_NO_MOMENTUM,
    )


@each_class
@pytest.mark.parametrize("scheduler", ["StepLR", "CosineAnnealingLR", "OneCycleLR, rates alone"])
def test_schedulers_steer_a_tensor_rate(name: str, scheduler: str) -> None:
    def scenario(module: Any, name: str) -> Any:
        return scheduled(module, name, SCHEDULERS[scheduler], lr=torch.tensor(0.05, dtype=torch.float64))

    play_both(scenario, name)


def reduced_on_a_plateau(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    scheduler = module.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=1)
    rates = []
    for index, metric in enumerate([1.0, 0.5, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4]):
        teach(model, optimizer, [index])
        scheduler.step(metric)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates, journal(optimizer)


def scheduler_resumed(module: Any, name: str) -> Any:
    """Optimizer and scheduler are saved in mid-course and go on in others."""
    model, saved = network(), None
    for _ in range(2):
        optimizer = made(module, name, model)
        scheduler = module.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
        if saved:
            scheduler.load_state_dict(saved[1])
            optimizer.load_state_dict(saved[0])
        for index in range(4):
            teach(model, optimizer, [index])
            scheduler.step()
        saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    return saved, journal(optimizer)


def hooks_of_one_optimizer(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    bias = parameters_of(optimizer)[1]
    calls: list[Any] = []

    def before(this: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        calls.append(("before", this is optimizer, len(arguments), sorted(keywords), bias[0].item()))
        return (this, lambda: 7.0), {}

    handles = [
        optimizer.register_step_pre_hook(before),
        optimizer.register_step_post_hook(lambda this, a, k: calls.append(("after", len(a), bias[0].item()))),
    ]
    torch.autograd.backward(loss_of(model, 0))
    returned = [optimizer.step(), optimizer.step(closure=None)]
    for handle in handles:
        handle.remove()
    returned.append(optimizer.step())
    return returned, calls, journal(optimizer)


def hooks_of_all_optimizers(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    calls: list[Any] = []
    handles = [
        register_optimizer_step_pre_hook(lambda this, a, k: calls.append(("before", this is optimizer, len(a)))),
        register_optimizer_step_post_hook(lambda this, a, k: calls.append(("after", this is optimizer, len(a)))),
    ]
    try:
        teach(model, optimizer, range(3))
    finally:
        for handle in handles:
            handle.remove()
    teach(model, optimizer, range(2))
    return calls


def hooks_of_the_state_dict(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    calls: list[str] = []

    def renamed(_: Any, state: dict[str, Any]) -> dict[str, Any]:
        calls.append("after saving")
        return state | {"note": 1}

    def checked(_: Any, state: dict[str, Any]) -> dict[str, Any]:
        calls.append(f"before loading, note {state['note']}")
        return {"state": state["state"], "param_groups": [{**group, "lr": 0.5} for group in state["param_groups"]]}

    optimizer.register_state_dict_pre_hook(lambda _: calls.append("before saving"))
    optimizer.register_state_dict_post_hook(renamed)
    optimizer.register_load_state_dict_pre_hook(checked)
    optimizer.register_load_state_dict_post_hook(lambda _: calls.append("after loading"))
    teach(model, optimizer, range(3))
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    teach(model, optimizer, range(3))
    return calls, journal(optimizer)


STEERED: list[Scenario] = [
    reduced_on_a_plateau,
    scheduler_resumed,
    hooks_of_one_optimizer,
    hooks_of_all_optimizers,
    hooks_of_the_state_dict,
]


@each_class
@pytest.mark.parametrize("scenario", STEERED)
def test_is_steered_as_in_torch(name: str, scenario: Scenario) -> None:
    play_both(scenario, name)


# ---------------------------------------------------------------------------------------------------------------------
# Checkpoints and copies
# ---------------------------------------------------------------------------------------------------------------------


def saved_and_loaded(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


DIRECTIONS: dict[str, tuple[Any, Any, int]] = {  # from, to, steps that the receiver took before it was loaded
    "torch to ours": (torch.optim, optim, 0),
    "ours to torch": (optim, torch.optim, 0),
    "ours to ours": (optim, optim, 0),
    "torch to ours that has stepped": (torch.optim, optim, 3),
    "ours to torch that has stepped": (optim, torch.optim, 3),
}
CHECKPOINTS = [
    pytest.param(entry.name, row.kwargs, id=f"{entry.name}: {row.desc}")
    for entry in optim_db
    if entry.name in NAMES
    for row in entry.optim_inputs_func("cpu")
]


@pytest.mark.parametrize(("name", "options"), CHECKPOINTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_checkpoints_move(name: str, options: Options, direction: str, dtype: torch.dtype) -> None:
    source, target, earlier = DIRECTIONS[direction]
    course = draw({"matrix": dense(5, 7), "vector": dense(9), "0-d": dense(), "empty": dense(0)}, dtype)
    doubles, steps = course.in_double(), [list(step.values()) for step in course.gradients]
    follow(theirs := for_loop(name, doubles.tensors(), options), doubles.tensors(), [
        [gradient.double() for gradient in step] for step in steps
    ])  # fmt: skip
    first = getattr(source, name)(course.tensors(), **copy.deepcopy(options))
    follow(first, course.tensors(), steps[:10])
    weights = [tensor.detach().clone() for tensor in course.tensors()]
    second = getattr(target, name)(course.tensors(), **FULL[name])
    follow(second, course.tensors(), steps[:earlier])
    with torch.no_grad():
        for tensor, weight in zip(course.tensors(), weights, strict=True):
            tensor.copy_(weight)
    second.load_state_dict(saved_and_loaded(first.state_dict()))
    follow(second, course.tensors(), steps[10:])
    assert beyond(differences(second, theirs, [*course.parameters]), tolerance(name, options, dtype)) == {}


def of_an_old_version(module: Any, name: str) -> Any:
    """Its step counts are numbers, and options that came later are missing."""
    model = network()
    optimizer = made(module, name, model)
    teach(model, optimizer, range(5))
    state = copy.deepcopy(optimizer.state_dict())
    for entry in state["state"].values():
        entry |= {"step": int(entry["step"])} if "step" in entry else {}
    for group in state["param_groups"]:
        for late in ("maximize", "foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay"):
            group.pop(late, None)
    optimizer.load_state_dict(state)
    teach(model, optimizer, range(5, 10))
    return journal(optimizer)


def of_a_version_that_saved_no_buffers(module: Any, name: str) -> Any:
    """SGD once saved None for a momentum buffer that did not exist yet."""
    model = network()
    optimizer = made(module, name, model)
    state = copy.deepcopy(optimizer.state_dict())
    state["state"] = {index: {"momentum_buffer": None} for index in range(len(list(model.parameters())))}
    optimizer.load_state_dict(state)
    teach(model, optimizer, range(3))
    return journal(optimizer)


def loaded_into_another_dtype(module: Any, name: str) -> Any:
    model, other = network(), network(dtype=torch.float32)
    optimizer, receiver = made(module, name, model), made(module, name, other)
    teach(model, optimizer, range(5))
    receiver.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for index in range(5):
        receiver.zero_grad()
        torch.autograd.backward(loss_of(other, index, torch.float32))
        receiver.step()
    return {key: value for key, value in journal(receiver).items() if key != "groups"}


def deep_copied(module: Any, name: str) -> Any:
    """A copy goes on by itself, and the original as if there were none."""
    model = network()
    optimizer = made(module, name, model)
    teach(model, optimizer, range(5))
    second, copied = copy.deepcopy((model, optimizer))
    before = journal(optimizer)
    teach(second, copied, range(5, 10))
    same(journal(optimizer), before, tolerance=0.0)
    teach(model, optimizer, range(5, 8))
    return type(copied).__name__, journal(copied), journal(optimizer)


def deep_copied_alone(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    teach(model, optimizer, range(5))
    copied = copy.deepcopy(optimizer)
    before = journal(optimizer)
    follow(copied, parameters_of(copied), [[torch.ones_like(p) for p in parameters_of(copied)]] * 3)
    same(journal(optimizer), before, tolerance=0.0)
    return journal(copied)


def pickled(module: Any, name: str) -> Any:
    model = network()
    optimizer = made(module, name, model)
    teach(model, optimizer, range(5))
    second, loaded = pickle.loads(pickle.dumps((model, optimizer)))
    before = journal(optimizer)
    teach(second, loaded, range(5, 10))
    same(journal(optimizer), before, tolerance=0.0)
    return type(loaded).__name__, journal(loaded)


def pickled_before_the_first_step(module: Any, name: str) -> Any:
    model, optimizer = pickle.loads(pickle.dumps(((m := network()), made(module, name, m))))
    teach(model, optimizer, range(5))
    return journal(optimizer)


def state_dict_shows_later_steps(module: Any, name: str) -> Any:
    """It holds the states themselves, not copies."""
    model = network()
    optimizer = made(module, name, model)
    teach(model, optimizer, range(2))
    state = optimizer.state_dict()["state"]
    teach(model, optimizer, range(2, 5))
    return {index: {key: state[index][key] for key in sorted(state[index])} for index in state}


def copies_of_one_checkpoint(module: Any, name: str) -> Any:
    """Two optimizers that loaded one checkpoint go their own ways, in turn."""
    model = network()
    optimizer = made(module, name, model)
    teach(model, optimizer, range(3))
    state = saved_and_loaded(optimizer.state_dict())
    others = [(other := copy.deepcopy(model), made(module, name, other)) for _ in range(2)]
    for _, receiver in others:
        receiver.load_state_dict(copy.deepcopy(state))
    for index in range(6):
        teach(*others[index % 2], [index, index + 1])
    return [journal(receiver) for _, receiver in others]


COPIES: list[Scenario] = [
    of_an_old_version,
    loaded_into_another_dtype,
    deep_copied,
    deep_copied_alone,
    pickled,
    pickled_before_the_first_step,
    state_dict_shows_later_steps,
    copies_of_one_checkpoint,
]
COPY_TOLERANCE: dict[Scenario, float] = {loaded_into_another_dtype: 1e-5}  # float32


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        *((name, scenario) for name in NAMES for scenario in COPIES),
        ("SGD", of_a_version_that_saved_no_buffers),
    ],
)
def test_is_copied_as_in_torch(name: str, scenario: Scenario) -> None:
    play_both(scenario, name, tolerance=COPY_TOLERANCE.get(scenario, 1e-9))


@each_class
def test_a_checkpoint_is_no_larger_than_torchs(name: str) -> None:
    sizes = []
    for module in (optim, torch.optim):
        model = nn.Linear(100, 100)
        optimizer = getattr(module, name)(model.parameters(), **FULL[name])
        follow(optimizer, parameters_of(optimizer), [[torch.ones_like(p) for p in model.parameters()]])
        torch.save(optimizer.state_dict(), file := io.BytesIO())
        sizes.append(file.tell())
    assert sizes[0] <= 1.1 * sizes[1]


# ---------------------------------------------------------------------------------------------------------------------
# Mixed precision, torch.compile, differentiable steps
# ---------------------------------------------------------------------------------------------------------------------


def scaled(module: Any, name: str, **options: Any) -> Any:
    """With a gradient scaler: of five steps the third has an infinite gradient and must be left out."""
    model = network(dtype=torch.float32)
    optimizer = made(module, name, model, **options)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scales = []
    for index in range(5):
        optimizer.zero_grad()
        torch.autograd.backward(scaler.scale(loss_of(model, index, torch.float32)))
        if index == 2:
            model[0].bias.grad.fill_(torch.inf)  # type: ignore[union-attr,operator]
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return scales, [p.detach() for p in model.parameters()], [state.get("step") for state in states_of(optimizer)]


def scaled_and_clipped(module: Any, name: str) -> Any:
    model = network(dtype=torch.float32)
    optimizer = made(module, name, model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for index in range(3):
        optimizer.zero_grad()
        torch.autograd.backward(scaler.scale(loss_of(model, index, torch.float32)))
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        scaler.step(optimizer)
        scaler.update()
    return [p.detach() for p in model.parameters()]


SCALED: list[tuple[str, Scenario]] = [
    *((name, scaled) for name in NAMES),
    *((name, lambda module, name: scaled(module, name, fused=True)) for name in CAN_FUSE),
    *((name, scaled_and_clipped) for name in NAMES),
]


@pytest.mark.parametrize(("name", "scenario"), SCALED)
def test_gradient_scalers_work(name: str, scenario: Scenario) -> None:
    play_both(scenario, name, tolerance=1e-5)


FLAGS: list[tuple[str, Options]] = [
    *((name, {"foreach": flag}) for name in NAMES for flag in (True, False)),
    *((name, {"fused": flag}) for name in CAN_FUSE for flag in (True, False)),
]


@pytest.mark.parametrize(("name", "options"), FLAGS)
def test_flags_change_nothing(name: str, options: Options) -> None:
    def scenario(module: Any, name: str) -> Any:
        model = network()
        optimizer = made(module, name, model, **options)
        teach(model, optimizer, range(5))
        return journal(optimizer)

    play_both(scenario, name)


# What torch refuses on the CPU though nothing stands in the way, and what it would then equal.
REFUSED_OR_RIGHT: list[tuple[Sequence[str], torch.dtype, Options, Options]] = [
    (("Adadelta", "RMSprop", *WITH_BETAS), torch.float64, {"capturable": True}, {}),
    (CAN_FUSE, torch.complex128, {"fused": True}, {}),
]


@pytest.mark.parametrize(
    ("name", "dtype", "options", "plain_options"), [(name, *row) for names, *row in REFUSED_OR_RIGHT for name in names]
)
def test_flags_that_torch_refuses_are_refused_or_change_nothing(
    name: str, dtype: torch.dtype, options: Options, plain_options: Options
) -> None:
    def steps(module: Any, options: Options) -> Any:
        parameter = torch.linspace(1, 2, 5, dtype=dtype).requires_grad_()
        follow(getattr(module, name)([parameter], **options), [parameter], [[torch.ones(5, dtype=dtype)]] * 3)
        return parameter.detach()

    ours = outcome(lambda: steps(optim, options))
    assert raised(outcome(lambda: steps(torch.optim, options)))
    assert raised(ours) or relative(ours, steps(torch.optim, plain_options)) <= 1e-12


BACKENDS = [*((name, "eager") for name in NAMES), ("SGD", "aot_eager"), ("Adam", "aot_eager")]


@pytest.mark.filterwarnings("default")  # the compiler has deprecations of its own
@pytest.mark.parametrize(("name", "backend"), BACKENDS)
def test_training_step_compiles(name: str, backend: str) -> None:
    def scenario(module: Any, name: str) -> Any:
        model = network()
        optimizer = made(module, name, model)

        def training_step(index: int) -> None:
            teach(model, optimizer, [index])

        step = torch.compile(training_step, backend=backend) if module is optim else training_step
        for index in range(4):
            step(index)
        return journal(optimizer)

    torch._dynamo.reset()
    play_both(scenario, name)


@pytest.mark.filterwarnings("default")
@each_class
def test_step_compiles(name: str) -> None:
    def scenario(module: Any, name: str) -> Any:
        model = network()
        optimizer = made(module, name, model)
        step = torch.compile(optimizer.step, backend="eager") if module is optim else optimizer.step
        for index in range(4):
            optimizer.zero_grad()
            torch.autograd.backward(loss_of(model, index))
            step()
        return journal(optimizer)

    torch._dynamo.reset()
    play_both(scenario, name)


# With as many steps as torch itself can go. It cuts the momentum of SGD off from its first gradient, and raises where
# Adadelta has a traced rate or Adamax goes on: these derivatives are compared with differences alone.
DIFFERENTIABLE: list[tuple[str, int, Options]] = [
    ("SGD", 3, {"weight_decay": 0.1}),
    ("SGD", 3, {"lr": "traced"}),
    ("Adagrad", 3, {"lr": 0.1, "weight_decay": 0.1}),
    ("RMSprop", 1, {"momentum": 0.5, "centered": True}),
    ("RMSprop", 3, {"weight_decay": 0.1}),
    ("Adam", 1, {"amsgrad": True, "weight_decay": 0.1}),
    ("Adam", 3, {"lr": "traced"}),
    ("AdamW", 3, {"weight_decay": 0.1, "maximize": True}),
    ("Adadelta", 1, {"weight_decay": 0.1, "eps": 0.1}),
    ("Adamax", 1, {"weight_decay": 0.1}),
    ("NAdam", 1, {"weight_decay": 0.1}),
    ("RAdam", 1, {"weight_decay": 0.1}),
    ("RAdam", 3, {"lr": "traced"}),
]
BEYOND_TORCH: list[tuple[str, int, Options]] = [
    ("SGD", 3, {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    ("SGD", 3, {"momentum": 0.9, "dampening": 0.5}),
    ("Adadelta", 3, {"lr": "traced", "eps": 0.1}),
    ("Adamax", 3, {"lr": "traced", "eps": 0.1}),
]


def stepped(module: Any, name: str, options: Options, start: Tensor, rate: Tensor, *gradients: Tensor) -> Tensor:
    """Where a parameter is after a step with each gradient, as a function that autograd follows."""
    parameter = start.clone()
    rates = {"lr": rate} if options.get("lr") == "traced" else {}
    optimizer = getattr(module, name)([parameter], differentiable=True, **(options | rates))
    for gradient in gradients:
        parameter.grad = gradient
        optimizer.step()
    return parameter


def traced(steps: int) -> tuple[Tensor, ...]:
    """A first parameter, a learning rate, and gradients."""
    start = torch.linspace(0.5, 2, 6, dtype=torch.float64).requires_grad_()
    rate = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    return (
        start,
        rate,
        *(torch.linspace(low, 3, 6, dtype=torch.float64).requires_grad_() for low in (1, -1.3, 2)[:steps]),
    )


@pytest.mark.parametrize(("name", "steps", "options"), DIFFERENTIABLE)
def test_differentiates_through_the_step_as_torch_does(name: str, steps: int, options: Options) -> None:
    def scenario(module: Any, name: str) -> Any:
        end = stepped(module, name, options, *(inputs := traced(steps)))
        found = torch.autograd.grad((end**2).sum(), inputs, allow_unused=options.get("lr") != "traced")
        return end.detach(), list(found)

    play_both(scenario, name, tolerance=1e-5)  # torch corrects the bias from float32 step counts here


@pytest.mark.parametrize(("name", "steps", "options"), DIFFERENTIABLE + BEYOND_TORCH)
def test_derivatives_through_the_step_are_right(name: str, steps: int, options: Options) -> None:
    assert torch.autograd.gradcheck(lambda *inputs: stepped(optim, name, options, *inputs), traced(steps))


# ---------------------------------------------------------------------------------------------------------------------
# Tensors that the kernels do not take
# ---------------------------------------------------------------------------------------------------------------------

# Options under which torch's own float16 does not divide by zero.
HALF: dict[str, Options] = {
    "Adagrad": {"eps": 1e-3},
    "RMSprop": {"eps": 1e-3},
    "Adam": {"eps": 1e-3},
    "AdamW": {"eps": 1e-3},
    "Adadelta": {"eps": 1e-3},
    "Adamax": {"eps": 1e-3},
    "NAdam": {"eps": 1e-3},
    "RAdam": {"eps": 1e-3},
}
CHANCE = 1.1  # the roundings of two equally accurate ways differ by chance


@each_class
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"maximize": True}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_low_precision_is_no_less_accurate_than_torch(name: str, options: Options, dtype: torch.dtype) -> None:
    errors = []
    options = HALF.get(name, {}) | options
    for module in (optim, torch.optim):
        course = draw({"dense": dense(2000), "[:, ::2]": Layout((40, 50), (100, 2), (50, 1))}, dtype)
        doubles = course.in_double()
        optimizer, exact = (
            getattr(module, name)(course.tensors(), **options),
            for_loop(name, doubles.tensors(), options),
        )
        for taken, path in ((optimizer, course), (exact, doubles)):
            follow(taken, path.tensors(), [step.values() for step in path.gradients])
        errors.append([relative(*pair) for pair in zip(course.tensors(), doubles.tensors(), strict=True)])
    assert all(ours <= CHANCE * theirs for ours, theirs in zip(*errors, strict=True)), errors


SPARSE: list[tuple[str, Options, bool]] = [  # whether torch refuses
    ("SGD", {}, False),
    ("SGD", {"maximize": True}, False),
    ("SGD", {"momentum": 0.9, "dampening": 0.1}, False),
    ("SGD", {"momentum": 0.9, "nesterov": True}, False),
    ("Adagrad", {"lr_decay": 0.1}, False),
    ("Adagrad", {"initial_accumulator_value": 0.1, "maximize": True}, False),
    ("Adagrad", {"eps": 0.0}, False),
    ("RMSprop", {}, True),
    ("Adam", {}, True),
    ("AdamW", {}, True),
    ("Adadelta", {}, True),
    ("Adamax", {}, True),
    ("NAdam", {}, True),
    ("RAdam", {}, True),
]


def embedding(module: Any, name: str, options: Options, sparse: bool = True) -> Any:
    """Rows that occur twice in a batch, rows that never occur, and a dense parameter beside."""
    table = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(8, 3).clone().requires_grad_()
    bias = torch.ones(3, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(module, name)([bias, table], **options)
    for rows in ([0, 1, 1, 5], [5, 5, 2, 0], [7, 1, 0, 0]):
        optimizer.zero_grad()
        found = nn.functional.embedding(torch.tensor(rows), table, sparse=sparse)
        torch.autograd.backward(((found + bias) ** 2).sum())
        optimizer.step()
    states = [{key: v.to_dense() for key, v in sorted(state.items())} for state in states_of(optimizer)]
    return table.detach(), bias.detach(), states


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize(("name", "options", "refused"), SPARSE)
def test_sparse_gradients_end_as_in_torch(name: str, options: Options, refused: bool) -> None:
    play_both(lambda module, name: embedding(module, name, options), name, raises=refused)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"weight_decay": 0.1}),
        ("SGD", {"weight_decay": 0.1, "momentum": 0.9}),
        ("Adagrad", {"weight_decay": 0.1}),
    ],
)
def test_decay_with_sparse_gradients_is_refused_or_acts_on_all_rows(name: str, options: Options) -> None:
    """Torch refuses."""
    ours = outcome(lambda: embedding(optim, name, options))
    assert raised(outcome(lambda: embedding(torch.optim, name, options)))
    if not raised(ours):
        same(ours, embedding(torch.optim, name, options, sparse=False))


@pytest.mark.parametrize(("name", "options"), [(name, options) for name in NAMES for options in ({}, FULL[name])])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_complex_parameters_end_as_in_torch(name: str, options: Options, dtype: torch.dtype) -> None:
    def scenario(module: Any, name: str) -> Any:
        values = torch.complex(
            torch.linspace(-1, 1, 7, dtype=torch.float64), torch.linspace(2, 3, 7, dtype=torch.float64)
        )
        parameters = [values.to(dtype).requires_grad_(), torch.ones(2, requires_grad=True)]
        optimizer = getattr(module, name)(parameters, **options)
        steps = [[(values * (1 + 2j) ** index).to(dtype), torch.ones(2)] for index in range(4)]
        follow(optimizer, parameters, steps)
        return journal(optimizer)

    play_both(scenario, name, tolerance=1e-5)


@contextmanager
def process_group() -> Iterator[None]:
    """A distributed world of one."""
    from torch._C._distributed_c10d import HashStore

    torch.distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed tensors")
@pytest.mark.filterwarnings("default")
@each_class
def test_distributed_tensors_are_refused(name: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import distribute_tensor

    with process_group():
        parameter = distribute_tensor(torch.ones(4), init_device_mesh("cpu", (1,))).requires_grad_()
        torch.autograd.backward(parameter.sum())
        with pytest.raises((TypeError, ValueError, NotImplementedError, RuntimeError), match="DTensor"):
            getattr(optim, name)([parameter]).step()


# ---------------------------------------------------------------------------------------------------------------------
# The module
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", torch.optim.__all__)
def test_every_public_name_of_torch_is_there(name: str) -> None:
    assert hasattr(optim, name)
    assert name in optim.__all__


@pytest.mark.parametrize("name", ["lr_scheduler", "swa_utils"])
def test_submodules_hold_what_torchs_hold(name: str) -> None:
    ours, theirs = (importlib.import_module(f"{package}.{name}") for package in ("fallline.optim", "torch.optim"))
    assert ours is getattr(optim, name)
    assert [n for n in theirs.__all__ if getattr(ours, n, None) is not getattr(theirs, n)] == []


IMPORTS = (
    "import fallline.optim.lr_scheduler; fallline.optim.lr_scheduler.StepLR",
    "import fallline.optim.swa_utils; fallline.optim.swa_utils.AveragedModel",
    "from fallline.optim.lr_scheduler import StepLR, LRScheduler",
    "from fallline.optim.swa_utils import AveragedModel, SWALR",
    "from fallline.optim import *; Adam, LBFGS, lr_scheduler",
    "from fallline.optim import Adam, AdamW, Optimizer, lr_scheduler",
    "from fallline import optim; optim.lr_scheduler.StepLR, optim.swa_utils.SWALR, optim.Muon, optim.Adam",
)


def test_all_forms_of_import_work_in_a_fresh_process() -> None:
    """Each in a child of one process that has imported torch alone."""
    script = f"""
import multiprocessing, torch

def attempt(line):
    exec(line, {{}})

failed = []
for line in {IMPORTS!r}:
    process = multiprocessing.get_context("fork").Process(target=attempt, args=(line,))
    process.start(); process.join()
    failed += [line] if process.exitcode else []
print(failed)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
