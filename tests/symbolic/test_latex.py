"""Printed equations, as a person would write them."""

from __future__ import annotations

import math
import re
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
from fallline.symbolic.symbols import indexed, symbol


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
        [r"b_0 &= \frac{\tau g_1}{\max(\mu, 10^{-30})}", r"b_t &= \mu b_{t-1} + (1 - \tau) g_t", MOMENTUM_STEP],
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
            r"b_0 &= \frac{\tau (g_1 + \lambda \theta_0)}{\max(\mu, 10^{-30})}",
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


@fl.rule
def rectified(p: Any, g: Any, *, lr: float = 0.1, beta: float = 0.9, t: Any) -> Any:
    rho_max = 2 / (1 - beta) - 1 + beta**2
    correction = 1 - beta**t
    rho = rho_max - 2 * t * beta**t / correction
    along = p * g > 0
    return lr * where(along & (rho > 5), g / correction, p)


@fl.rule
def numbered(p: Any, g: Any, m: Any, mu: Any = fl.state("scalar", init=1.0), *, lr: float = 0.1) -> Any:  # noqa: B008
    m = mu * m + g
    return lr * m, m, 0.5 * mu


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
    "names of scalars that are long, and of conditions": (
        rectified,
        {},
        [
            r"\rho^{\mathrm{max}} &= \frac{2}{1 - \beta} - 1 + \beta^2",
            r"\rho_t &= \rho^{\mathrm{max}} - \frac{2 t \beta^t}{1 - \beta^t}",
            r"\mathrm{along}_t &= \left[\theta_{t-1} g_t > 0\right]",
            r"\theta_t &= \theta_{t-1} - \eta \begin{cases} \frac{g_t}{1 - \beta^t} & "
            r"\text{if } \mathrm{along}_t \wedge (\rho_t > 5) \\ \theta_{t-1} & \text{else} \end{cases}",
        ],
    ),
    "a state that is one number": (
        numbered,
        {},
        [
            r"\mu_0 &= 1",
            r"\mu_t &= 0.5 \mu_{t-1}",
            r"m_t &= \mu_{t-1} m_{t-1} + g_t",
            r"\theta_t &= \theta_{t-1} - \eta m_t",
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
    "v_max_old": (r"v^{\mathrm{max\ old}}", r"v^{\mathrm{max\ old}}_t"),
    "beta1_max": (r"\beta^{\mathrm{max}}_1", r"\beta^{\mathrm{max}}_{1,t}"),
    "m1_hat": (r"\hat{m}_1", r"\hat{m}_{1,t}"),
    "m_t": ("m_t", "m_t"),
}


@pytest.mark.parametrize(("name", "written"), NAMES.items(), ids=NAMES)
def test_names(name: str, written: tuple[str, str]) -> None:
    assert (symbol(name), indexed(name, "t")) == written


@fl.rule
def alike(p: Any, g: Any, theta: Any, *, lr: float = 0.1, eta: float = 0.1) -> Any:
    return lr * g + eta * theta, theta


def test_no_two_names_look_the_same() -> None:
    step = r"\theta_t &= \theta_{t-1} - \eta g_t - \mathrm{eta} \mathrm{theta}_{t-1}"
    assert lines(alike) == [step]


@fl.rule
def iterated(p: Any, g: Any, *, lr: float = 0.1, x1: float = 1.0) -> Any:
    for _ in range(100):
        g = g * g + g
        lr = lr * lr + lr
    return lr * x1 * g


@fl.rule
def nested(p: Any, g: Any, *, lr: float = 0.1) -> Any:
    for factor in range(2000):
        g = p * (g + factor)
    return lr * g


@pytest.mark.parametrize("rule", [iterated, nested], ids=str)
def test_what_is_too_long_for_a_line_is_cut(rule: Rule) -> None:
    """Each line is short, and uses names that lines above it explain."""
    printed = lines(rule)
    assert 10 < len(printed) < 1000
    assert max(map(len, printed)) < 3000
    known = {"x_1"}
    for line in printed:
        name, formula = line.split(" &= ")
        assert set(re.findall(r"x_(?:\d|{.*?})", formula)) <= known
        known.add(name)


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
    "sum(g, all_tensors=True) * p": r"- (\textstyle\sum_{\mathrm{all}} g_t) \theta_{t-1}",
    "g / sqrt(dot(g, g, all_tensors=True))": r"- \frac{g_t}{\lVert g_t \rVert_{\mathrm{all}}}",
    "sum(2 * g)": r"- \textstyle\sum 2 g_t",
    "sum(g) * p": r"- (\textstyle\sum g_t) \theta_{t-1}",
    "p * sum(g)": r"- \theta_{t-1} \textstyle\sum g_t",
    "sqrt(dot(-g, -g))": r"- \sqrt{\langle -g_t, -g_t \rangle}",
    "(-g) ** 2": "- g_t^2",
    "(-g) ** 3": "- (-g_t)^3",
    "-g * -p": r"- g_t \theta_{t-1}",
    "g / -p": r"+ \frac{g_t}{\theta_{t-1}}",
    "g ** (1 / 3)": r"- g_t^{\frac{1}{3}}",
    "g * 1e6": r"- g_t \cdot 10^6",
    "g * 2.5e-7": r"- g_t \cdot 2.5 \cdot 10^{-7}",
    "g * 123456": r"- g_t \cdot 123456",
    "minimum(g, math.inf)": r"- \min(g_t, \infty)",
    "1 / (1 / g)": "- g_t",
    "g * 1": "- g_t",
}  # fmt: skip


@pytest.mark.parametrize(("update", "expected"), UPDATES.items(), ids=UPDATES)
def test_updates(update: str, expected: str) -> None:
    dialect = {name: getattr(fallline.math, name) for name in fallline.math.__all__}

    @fl.rule
    def formula(p: Any, g: Any, m: Any, *, lr: float = 0.5, mu: float = 0.9, t: Any) -> Any:
        return eval(update, {**dialect, "math": math, "p": p, "g": g, "m": m, "lr": lr, "mu": mu, "t": t}), m

    assert lines(formula) == [rf"\theta_t &= \theta_{{t-1}} {expected}"]
