"""What every rule keeps and takes: states, defaults, whether it counts steps, a name and a description."""

from __future__ import annotations

import ast
import inspect
import math

import pytest

from fallline import rules
from fallline.symbolic import Combinator

MOMENTUM = {"lr": 1e-3, "momentum": 0.9}
ADAM = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
NO_DECAY = {**ADAM, "weight_decay": 0.0}
SIGNATURES: dict[str, tuple[list[str], dict[str, float], bool]] = {
    "gradient_descent": ([], {"lr": 1e-3}, False),
    "momentum": (["b"], MOMENTUM, False),
    "ema_momentum": (["m"], MOMENTUM, False),
    "velocity_momentum": (["v"], MOMENTUM, False),
    "dampened_momentum": (["b"], {**MOMENTUM, "dampening": 0.0}, False),
    "nesterov": (["b"], MOMENTUM, False),
    "velocity_nesterov": (["v"], MOMENTUM, False),
    "adagrad": (["s"], {"lr": 1e-2, "lr_decay": 0.0, "eps": 1e-10}, True),
    "adagrad_keras": (["s"], {"lr": 1e-3, "eps": 1e-7}, False),
    "adadelta": (["v", "u"], {"lr": 1.0, "rho": 0.9, "eps": 1e-6}, False),
    "rmsprop": (["v"], {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8}, False),
    "centered_rmsprop": (["v", "g_bar"], {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8}, False),
    "rmsprop_tensorflow": (["b", "v"], {"lr": 1e-2, "alpha": 0.9, "momentum": 0.0, "eps": 1e-10}, False),
    "adam": (["m", "v"], ADAM, True),
    "adam_uncorrected": (["m", "v"], ADAM, False),
    "adam_eps_hat": (["m", "v"], {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps_hat": 1e-8}, True),
    "amsgrad": (["m", "v", "v_max"], ADAM, True),
    "amsgrad_corrected": (["m", "v", "v_max"], ADAM, True),
    "adamw": (["m", "v"], {**ADAM, "weight_decay": 1e-2}, True),
    "adamax": (["m", "u"], {**ADAM, "lr": 2e-3}, True),
    "radam": (["m", "v"], ADAM, True),
    "radam_paper": (["m", "v"], ADAM, True),
    "radam_authors": (["m", "v"], NO_DECAY, True),
    "adamp": (["m", "v"], {**NO_DECAY, "delta": 0.1, "wd_ratio": 0.1, "nesterov": False}, True),
    "nadam": (["m", "v", "mu_product"], {**ADAM, "lr": 2e-3, "momentum_decay": 4e-3}, True),
    "normalized_gradient": (["v"], {"lr": 1e-3, "beta2": 0.999, "eps": 1e-8}, True),
    "lion": (["m"], {"lr": 1e-4, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0}, False),
    "lars": (["b"], {"lr": 1.0, "momentum": 0.9, "weight_decay": 5e-4, "trust_coefficient": 1e-3, "eps": 1e-8}, False),
    "lamb": (["m", "v"], {**ADAM, "eps": 1e-6, "weight_decay": 1e-2}, True),
    "ademamix": (
        ["m1", "m2", "v"],
        {**NO_DECAY, "beta3": 0.9999, "alpha": 5.0, "alpha_warmup": 1.0, "beta3_warmup": 1.0},
        True,
    ),
    "prodigy": (
        ["m", "v", "s", "p0", "numerator", "ratio", "highest"],
        {**NO_DECAY, "lr": 1.0, "d0": 1e-6, "d_coef": 1.0, "growth_rate": math.inf},
        False,
    ),
    "schedule_free_sgd": (["z", "weight_sum", "lr_max"], {"lr": 1e-3, "beta": 0.9, "warmup": 0.0}, True),
    "schedule_free_adam": (
        ["z", "weight_sum", "lr_max", "v"],
        {"lr": 1e-3, "beta2": 0.999, "eps": 1e-8, "beta": 0.9, "warmup": 0.0},
        True,
    ),
}
#: The states and hyperparameters that a combinator adds, before and after those of its rule.
ADDED: dict[str, tuple[list[str], dict[str, float | None]]] = {
    "averaged": (["average"], {"average_decay": 0.999}),
    "cautious": ([], {}),
    "clip_norm": ([], {"max_norm": 1.0}),
    "clip_value": ([], {"clip_value": 1.0}),
    "decoupled_decay": ([], {"weight_decay": 1e-2}),
    "fully_decoupled_decay": ([], {"weight_decay": 1e-5, "lr_max": None}),
    "l2": ([], {"weight_decay": 0.0}),
    "maximize": ([], {}),
    "heavy_ball": (["b"], {"momentum": 0.9}),
    "proximal_l1": ([], {"lambda1": 1e-4}),
    "schedule_free": (["z", "weight_sum", "lr_max"], {"beta": 0.9, "warmup": 0.0}),
}


def test_every_rule_and_combinator_stands_in_its_table() -> None:
    assert rules.ALL.keys() == SIGNATURES.keys()
    assert {name for name, value in vars(rules).items() if isinstance(value, Combinator)} == ADDED.keys()


@pytest.mark.parametrize("name", ADDED)
def test_what_a_combinator_adds(name: str) -> None:
    combinator = vars(rules)[name]
    made, (states, hyperparameters) = combinator(rules.adam), ADDED[name]
    assert [state.name for state in made.states] == [*states, "m", "v"]
    assert made.hyperparameters == {**ADAM, **hyperparameters}
    assert made.uses_t
    assert combinator(rules.gradient_descent).uses_t == (name == "schedule_free")
    assert combinator.__doc__


@pytest.mark.parametrize("name", SIGNATURES)
def test_states_and_defaults(name: str) -> None:
    rule = rules.find(name)
    assert ([state.name for state in rule.states], rule.hyperparameters, rule.uses_t) == SIGNATURES[name]
    assert rules.name_of(rule) == name
    assert getattr(rules, name) is rule
    assert rule.__doc__


def test_what_is_public_is_listed() -> None:
    assert {*rules.ALL} <= {*rules.__all__}


COURSE = [
    "gradient_descent", "momentum", "dampened_momentum", "ema_momentum", "velocity_momentum", "nesterov",
    "velocity_nesterov", "adagrad", "adagrad_keras", "adadelta", "rmsprop", "centered_rmsprop", "rmsprop_tensorflow",
    "adam", "adam_uncorrected", "adam_eps_hat", "amsgrad", "amsgrad_corrected", "adamax", "nadam", "radam",
    "radam_authors", "radam_paper", "adamp",
]  # fmt: skip


@pytest.mark.parametrize("name", COURSE)
def test_a_rule_of_the_course_takes_no_more_than_15_lines(name: str) -> None:
    """Beside its docstring, its decorator included."""
    (function,) = ast.parse(inspect.getsource(rules.find(name).function)).body
    assert isinstance(function, ast.FunctionDef)
    first, documented = function.decorator_list[0].lineno, function.body[0]
    assert isinstance(documented, ast.Expr)
    lines = (function.end_lineno or 0) - first + 1 - ((documented.end_lineno or 0) - documented.lineno + 1)
    assert lines <= 15
