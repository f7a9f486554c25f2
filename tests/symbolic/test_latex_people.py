"""Printed equations, as a person would write them."""

from __future__ import annotations

import math
from typing import Any

import pytest

import fallline as fl
import fallline.math
from fallline import rules
from fallline.math import abs, maximum, minimum, sqrt, sum, where
from fallline.rules import (
    adam,
    adamw,
    amsgrad,
    centered_rmsprop,
    dampened_momentum,
    decoupled_decay,
    gradient_descent,
    heavy_ball,
    l2,
    maximize,
    momentum,
    nesterov,
    rmsprop,
)  # fmt: skip
from fallline.symbolic import Rule
from fallline.symbolic.latex import indexed, symbol


def lines(rule: Rule, **static: Any) -> list[str]:
    """The equations of a rule, without what stands around them."""
    text = rule.latex(**static)
    assert text.startswith("\\begin{aligned}\n")
    assert text.endswith("\n\\end{aligned}")
    return text.removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}").split(" \\\\\n")


# ---------------------------------------------------------------------------------------------------------------------
# The rules
# ---------------------------------------------------------------------------------------------------------------------

ADAM_STEP = r"\theta_t &= \theta_{t-1} - \frac{\eta \hat{m}_t}{\sqrt{\hat{v}_t} + \epsilon}"
ADAM = [
    r"m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t",
    r"\hat{m}_t &= \frac{m_t}{1 - \beta_1^t}",
    r"v_t &= \beta_2 v_{t-1} + (1 - \beta_2) g_t^2",
    r"\hat{v}_t &= \frac{v_t}{1 - \beta_2^t}",
    ADAM_STEP,
]
DECAYED = r"(g_t + \lambda \theta_{t-1})"
MOMENTUM_STEP = r"\theta_t &= \theta_{t-1} - \eta b_t"
RMSPROP_STEP = r"\theta_t &= \theta_{t-1} - \frac{\eta g_t}{\sqrt{v_t} + \epsilon}"

GOLDEN: dict[str, tuple[Rule, list[str]]] = {
    "gradient_descent": (gradient_descent, [r"\theta_t &= \theta_{t-1} - \eta g_t"]),
    "momentum": (momentum, [r"b_t &= \mu b_{t-1} + g_t", MOMENTUM_STEP]),
    "dampened_momentum": (
        dampened_momentum,
        [r"b_0 &= \frac{\tau g_1}{\mu}", r"b_t &= \mu b_{t-1} + (1 - \tau) g_t", MOMENTUM_STEP],
    ),
    "nesterov": (nesterov, [r"b_t &= \mu b_{t-1} + g_t", r"\theta_t &= \theta_{t-1} - \eta (g_t + \mu b_t)"]),
    "adagrad": (
        rules.adagrad,
        [
            r"s_t &= s_{t-1} + g_t^2",
            r"\theta_t &= \theta_{t-1} - \frac{\eta g_t}{(1 + \gamma (t - 1)) (\sqrt{s_t} + \epsilon)}",
        ],
    ),
    "rmsprop": (rmsprop, [r"v_t &= \alpha v_{t-1} + (1 - \alpha) g_t^2", RMSPROP_STEP]),
    "centered_rmsprop": (
        centered_rmsprop,
        [
            r"v_t &= \alpha v_{t-1} + (1 - \alpha) g_t^2",
            r"\bar{g}_t &= \alpha \bar{g}_{t-1} + (1 - \alpha) g_t",
            r"\theta_t &= \theta_{t-1} - \frac{\eta g_t}{\sqrt{v_t - \bar{g}_t^2} + \epsilon}",
        ],
    ),
    "adam": (adam, ADAM),
    "amsgrad": (
        amsgrad,
        [
            *ADAM[:3],
            r"v^{\mathrm{max}}_t &= \max(v^{\mathrm{max}}_{t-1}, v_t)",
            r"\hat{v}_t &= \frac{v^{\mathrm{max}}_t}{1 - \beta_2^t}",
            ADAM_STEP,
        ],
    ),
    "adamw": (adamw, [*ADAM[:4], ADAM_STEP + r" - \eta \lambda \theta_{t-1}"]),
    "l2(gradient_descent)": (l2(gradient_descent), [rf"\theta_t &= \theta_{{t-1}} - \eta {DECAYED}"]),
    "l2(dampened_momentum)": (
        l2(dampened_momentum),
        [
            r"b_0 &= \frac{\tau (g_1 + \lambda \theta_0)}{\mu}",
            rf"b_t &= \mu b_{{t-1}} + (1 - \tau) {DECAYED}",
            MOMENTUM_STEP,
        ],
    ),
    "l2(adam)": (
        l2(adam),
        [
            rf"m_t &= \beta_1 m_{{t-1}} + (1 - \beta_1) {DECAYED}",
            ADAM[1],
            rf"v_t &= \beta_2 v_{{t-1}} + (1 - \beta_2) {DECAYED}^2",
            *ADAM[3:],
        ],
    ),
    "maximize(gradient_descent)": (maximize(gradient_descent), [r"\theta_t &= \theta_{t-1} + \eta g_t"]),
    "maximize(momentum)": (maximize(momentum), [r"b_t &= \mu b_{t-1} - g_t", MOMENTUM_STEP]),
    "maximize(maximize(momentum))": (maximize(maximize(momentum)), [r"b_t &= \mu b_{t-1} + g_t", MOMENTUM_STEP]),
    "maximize(rmsprop)": (
        maximize(rmsprop),
        [r"v_t &= \alpha v_{t-1} + (1 - \alpha) g_t^2", RMSPROP_STEP.replace("- \\frac", "+ \\frac")],
    ),
    "maximize(adam)": (maximize(adam), [r"m_t &= \beta_1 m_{t-1} - (1 - \beta_1) g_t", *ADAM[1:]]),
    "maximize(l2(amsgrad))": (
        maximize(l2(amsgrad)),
        [
            r"m_t &= \beta_1 m_{t-1} + (1 - \beta_1) (-g_t + \lambda \theta_{t-1})",
            ADAM[1],
            r"v_t &= \beta_2 v_{t-1} + (1 - \beta_2) (-g_t + \lambda \theta_{t-1})^2",
            r"v^{\mathrm{max}}_t &= \max(v^{\mathrm{max}}_{t-1}, v_t)",
            r"\hat{v}_t &= \frac{v^{\mathrm{max}}_t}{1 - \beta_2^t}",
            ADAM_STEP,
        ],
    ),
    "heavy_ball(rmsprop)": (
        heavy_ball(rmsprop),
        [
            r"v_t &= \alpha v_{t-1} + (1 - \alpha) g_t^2",
            r"\mathrm{direction}_t &= \frac{g_t}{\sqrt{v_t} + \epsilon}",
            r"b_t &= \mu b_{t-1} + \mathrm{direction}_t",
            MOMENTUM_STEP,
        ],
    ),
    "decoupled_decay(momentum)": (
        decoupled_decay(momentum),
        [r"b_t &= \mu b_{t-1} + g_t", MOMENTUM_STEP + r" - \eta \lambda \theta_{t-1}"],
    ),
}


@pytest.mark.parametrize(("rule", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_rules(rule: Rule, expected: list[str]) -> None:
    assert lines(rule) == expected


def test_every_rule_stands_in_the_table() -> None:
    assert rules.ALL.keys() <= GOLDEN.keys()


# ---------------------------------------------------------------------------------------------------------------------
# A user's rules
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def trust(p: Any, g: Any, *, lr: float = 0.1, eps: float = 1e-6) -> Any:
    return lr * sqrt(sum(p * p)) / (sqrt(sum(g * g)) + eps) * g


@fl.rule
def per_channel(p: Any, g: Any, v_row: Any, *, lr: float = 0.1, beta_2: float = 0.9) -> Any:
    norm = sqrt(sum(g * g, channels=True))
    v_row = beta_2 * v_row + (1 - beta_2) * norm
    return lr * g / v_row, v_row


@fl.rule
def cautious(p: Any, g: Any, m: Any, *, lr: float = 0.1, momentum: float = 0.9) -> Any:
    m = momentum * m + g
    return lr * where(m * g > 0, m, 0.0), m


@fl.rule
def lowest(p: Any, g: Any, low: Any = fl.state(init=math.inf), *, lr: float = 0.1) -> Any:  # noqa: B008
    low = minimum(low, abs(g))
    return lr * low, low


@fl.rule
def kept(p: Any, g: Any, p_old: Any, g_old: Any, a: Any, b: Any, c: Any, *, lr: float = 0.1) -> Any:
    return lr * (g - g_old), p, g, b, a, c


@fl.rule
def counted(p: Any, g: Any, x12: Any, v_max: Any, *, lr: float = 0.1, lr_min: float = 0.0) -> Any:
    v_max = maximum(v_max, x12**2)
    return lr * v_max**2 / lr_min**2, x12 * x12, v_max


@fl.rule
def spoken(p: Any, g: Any, *, lr: float = 0.1, trust_ratio: float = 0.1) -> Any:
    _ = g * g
    theta = trust_ratio * p
    grad_root = sqrt(_)
    return lr * theta * grad_root


@fl.rule
def looking(p: Any, g: Any, *, lr: float = 0.1, ahead: bool = False) -> Any:
    return lr * (g + p) if ahead else lr * g


USERS: dict[str, tuple[Rule, dict[str, Any], list[str]]] = {
    "norms": (
        trust,
        {},
        [r"\theta_t &= \theta_{t-1} - \frac{\eta \lVert \theta_{t-1} \rVert g_t}{\lVert g_t \rVert + \epsilon}"],
    ),
    "norms of channels": (
        per_channel,
        {},
        [
            r"\mathrm{norm}_t &= \lVert g_t \rVert_{\mathrm{channel}}",
            r"v^{\mathrm{row}}_t &= \beta_2 v^{\mathrm{row}}_{t-1} + (1 - \beta_2) \mathrm{norm}_t",
            r"\theta_t &= \theta_{t-1} - \frac{\eta g_t}{v^{\mathrm{row}}_t}",
        ],
    ),
    "state from infinity": (
        lowest,
        {},
        [
            r"\mathrm{low}_0 &= \infty",
            r"\mathrm{low}_t &= \min(\mathrm{low}_{t-1}, \left|g_t\right|)",
            r"\theta_t &= \theta_{t-1} - \eta \mathrm{low}_t",
        ],
    ),
    "states that are other tensors": (
        kept,
        {},
        [
            r"\theta^{\mathrm{old}}_t &= \theta_{t-1}",
            r"g^{\mathrm{old}}_t &= g_t",
            r"a_t &= b_{t-1}",
            r"b_t &= a_{t-1}",
            r"\theta_t &= \theta_{t-1} - \eta (g_t - g^{\mathrm{old}}_{t-1})",
        ],
    ),
    "one superscript and one subscript each": (
        counted,
        {},
        [
            r"v^{\mathrm{max}}_t &= \max(v^{\mathrm{max}}_{t-1}, x_{12,t-1}^2)",
            r"x_{12,t} &= x_{12,t-1}^2",
            r"\theta_t &= \theta_{t-1} - \frac{\eta (v^{\mathrm{max}}_t)^2}{\mathrm{lr\ min}^2}",
        ],
    ),
    "names of more than one word, and none": (
        spoken,
        {},
        [
            r"\mathrm{grad\ root}_t &= \sqrt{g_t^2}",
            r"\theta_t &= \theta_{t-1} - \eta \mathrm{trust\ ratio} \theta_{t-1} \mathrm{grad\ root}_t",
        ],
    ),
    "static, as by default": (looking, {}, [r"\theta_t &= \theta_{t-1} - \eta g_t"]),
    "static, given": (looking, {"ahead": True}, [r"\theta_t &= \theta_{t-1} - \eta (g_t + \theta_{t-1})"]),
}


@pytest.mark.parametrize(("rule", "static", "expected"), USERS.values(), ids=USERS)
def test_rules_of_a_user(rule: Rule, static: dict[str, Any], expected: list[str]) -> None:
    assert sorted(lines(rule, **static)[:-1]) == sorted(expected[:-1])
    assert lines(rule, **static)[-1] == expected[-1]


def test_a_choice() -> None:
    moved, stepped = lines(cautious)
    assert moved == r"m_t &= \mu m_{t-1} + g_t"
    choice = r"\begin{cases} m_t & \text{if } m_t g_t > 0 \\ 0 & \text{else} \end{cases}"
    assert choice in stepped


NAMES = {
    "p": (r"\theta", r"\theta_t"),
    "g": ("g", "g_t"),
    "lr": (r"\eta", r"\eta_t"),
    "eps": (r"\epsilon", r"\epsilon_t"),
    "beta1": (r"\beta_1", r"\beta_{1,t}"),
    "beta_1": (r"\beta_1", r"\beta_{1,t}"),
    "beta12": (r"\beta_{12}", r"\beta_{12,t}"),
    "x_12": ("x_{12}", "x_{12,t}"),
    "m_hat": (r"\hat{m}", r"\hat{m}_t"),
    "g_bar": (r"\bar{g}", r"\bar{g}_t"),
    "p_tilde": (r"\tilde{\theta}", r"\tilde{\theta}_t"),
    "v_max": (r"v^{\mathrm{max}}", r"v^{\mathrm{max}}_t"),
    "alpha_min": (r"\alpha^{\mathrm{min}}", r"\alpha^{\mathrm{min}}_t"),
    "trust": (r"\mathrm{trust}", r"\mathrm{trust}_t"),
    "trust_ratio": (r"\mathrm{trust\ ratio}", r"\mathrm{trust\ ratio}_t"),
    "lambda_": (r"\lambda", r"\lambda_t"),
}


@pytest.mark.parametrize(("name", "written"), NAMES.items(), ids=NAMES)
def test_names(name: str, written: tuple[str, str]) -> None:
    assert (symbol(name), indexed(name, "t")) == written


#: What a person would write for an update that is taken off the parameter.
UPDATES = {
    "lr * (g + p)": r"- \eta (g_t + \theta_{t-1})",
    "lr * -g": r"+ \eta g_t",
    "-(p - g)": r"+ \theta_{t-1} - g_t",
    "p - (g - m)": r"- \theta_{t-1} + g_t - m_{t-1}",
    "lr * (g - (p - m))": r"- \eta (g_t - \theta_{t-1} + m_{t-1})",
    "p / (g / m)": r"- \frac{\theta_{t-1} m_{t-1}}{g_t}",
    "lr * g / (1 - mu ** t)": r"- \frac{\eta g_t}{1 - \mu^t}",
    "p * g * g": r"- \theta_{t-1} g_t^2",
    "(p + g) ** 2": r"- (\theta_{t-1} + g_t)^2",
    "(p / g) ** 2": r"- \left(\frac{\theta_{t-1}}{g_t}\right)^2",
    "p ** (g + m)": r"- \theta_{t-1}^{g_t + m_{t-1}}",
    "(-2.0) ** t * g": r"- (-2)^t g_t",
    "g * lr * -2": r"+ g_t \eta \cdot 2",
    "-2 * g": r"+ 2 g_t",
    "1e-8 * g": r"- 10^{-8} g_t",
    "g * 0.5": r"- g_t \cdot 0.5",
    "g * (1 - 0.9)": r"- g_t \cdot 0.1",
    "sqrt(p + g)": r"- \sqrt{\theta_{t-1} + g_t}",
    "exp(-p * g)": r"- \exp(-\theta_{t-1} g_t)",
    "log(p / g)": r"- \log\left(\frac{\theta_{t-1}}{g_t}\right)",
    "abs(p - g) * m": r"- \left|\theta_{t-1} - g_t\right| m_{t-1}",
    "lr * sign(g)": r"- \eta \operatorname{sign}(g_t)",
    "minimum(maximum(g, -1), 1)": r"- \min(\max(g_t, -1), 1)",
    "dot(p, g) * m": r"- \langle \theta_{t-1}, g_t \rangle m_{t-1}",
    "g / sqrt(dot(g, g))": r"- \frac{g_t}{\lVert g_t \rVert}",
    "g / sqrt(sum(g ** 2))": r"- \frac{g_t}{\lVert g_t \rVert}",
    "sum(abs(g))": r"- \textstyle\sum \left|g_t\right|",
    "sum(p + g)": r"- \textstyle\sum (\theta_{t-1} + g_t)",
    "1 / (1 / g)": "- g_t",
    "g * 1": "- g_t",
}  # fmt: skip


@pytest.mark.parametrize(("update", "expected"), UPDATES.items(), ids=UPDATES)
def test_updates(update: str, expected: str) -> None:
    dialect = {name: getattr(fallline.math, name) for name in fallline.math.__all__}

    @fl.rule
    def formula(p: Any, g: Any, m: Any, *, lr: float = 0.5, mu: float = 0.9, t: Any) -> Any:
        return eval(update, {**dialect, "p": p, "g": g, "m": m, "lr": lr, "mu": mu, "t": t}), m

    assert lines(formula) == [rf"\theta_t &= \theta_{{t-1}} {expected}"]
