"""The printed equations of the rules, as their papers have them."""

from __future__ import annotations

import pytest

from fallline import rules
from fallline.rules import gradient_descent, momentum
from fallline.symbolic import Rule

M = r"m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t"
V = r"v_t &= \beta_2 v_{t-1} + (1 - \beta_2) g_t^2"
M_HAT = r"\hat{m}_t &= \frac{m_t}{1 - \beta_1^t}"
V_HAT = r"\hat{v}_t &= \frac{v_t}{1 - \beta_2^t}"
SQUARES = r"v_t &= \alpha v_{t-1} + (1 - \alpha) g_t^2"
BUFFER = r"b_t &= \mu b_{t-1} + g_t"
VELOCITY = r"v_t &= \mu v_{t-1} - \eta g_t"
STEP = r"\theta_t &= \theta_{t-1} "

EQUATIONS: dict[str, tuple[Rule, list[str]]] = {
    "ema_momentum": (rules.ema_momentum, [r"m_t &= \mu m_{t-1} + (1 - \mu) g_t", STEP + r"- \eta m_t"]),
    "velocity_momentum": (rules.velocity_momentum, [VELOCITY, STEP + "+ v_t"]),
    "velocity_nesterov": (rules.velocity_nesterov, [VELOCITY, STEP + r"- \eta g_t + \mu v_t"]),
    "adagrad_keras": (
        rules.adagrad_keras,
        ["s_0 &= 0.1", "s_t &= s_{t-1} + g_t^2", STEP + r"- \frac{\eta g_t}{\sqrt{s_t + \epsilon}}"],
    ),
    "adadelta": (
        rules.adadelta,
        [
            r"v_t &= \rho v_{t-1} + (1 - \rho) g_t^2",
            r"\delta_t &= \frac{\sqrt{u_{t-1} + \epsilon} g_t}{\sqrt{v_t + \epsilon}}",
            r"u_t &= \rho u_{t-1} + (1 - \rho) \delta_t^2",
            STEP + r"- \eta \delta_t",
        ],
    ),
    "rmsprop_tensorflow": (
        rules.rmsprop_tensorflow,
        ["v_0 &= 1", SQUARES, r"b_t &= \mu b_{t-1} + \frac{\eta g_t}{\sqrt{v_t + \epsilon}}", STEP + "- b_t"],
    ),
    "adam_uncorrected": (rules.adam_uncorrected, [M, V, STEP + r"- \frac{\eta m_t}{\sqrt{v_t} + \epsilon}"]),
    "adam_eps_hat": (
        rules.adam_eps_hat,
        [
            M,
            V,
            STEP + r"- \frac{\eta \sqrt{1 - \beta_2^t} m_t}{(1 - \beta_1^t) (\sqrt{v_t} + \hat{\epsilon})}",
        ],
    ),
    "amsgrad_corrected": (
        rules.amsgrad_corrected,
        [
            M,
            M_HAT,
            V,
            V_HAT,
            r"v^{\mathrm{max}}_t &= \max(v^{\mathrm{max}}_{t-1}, \hat{v}_t)",
            STEP + r"- \frac{\eta \hat{m}_t}{\sqrt{v^{\mathrm{max}}_t} + \epsilon}",
        ],
    ),
    "adamax": (
        rules.adamax,
        [
            M,
            M_HAT,
            r"u_t &= \max(\beta_2 u_{t-1}, \left|g_t\right| + \epsilon)",
            STEP + r"- \frac{\eta \hat{m}_t}{u_t}",
        ],
    ),
    "lion": (
        rules.lion,
        [
            r"c_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t",
            r"m_t &= \beta_2 m_{t-1} + (1 - \beta_2) g_t",
            STEP + r"- \eta (\operatorname{sign}(c_t) + \lambda \theta_{t-1})",
        ],
    ),
    "radam": (
        rules.radam,
        [
            M,
            M_HAT,
            r"\rho_t &= \frac{2}{1 - \beta_2} - 1 - \frac{2 t \beta_2^t}{1 - \beta_2^t}",
            r"r_t &= \sqrt{\max\left(\frac{(\rho_t - 4) (\rho_t - 2) \left(\frac{2}{1 - \beta_2} - 1\right)}"
            r"{\left(\frac{2}{1 - \beta_2} - 1 - 4\right) \left(\frac{2}{1 - \beta_2} - 1 - 2\right) \rho_t}"
            r", 0\right)}",
            V,
            STEP + r"- \eta \hat{m}_t \begin{cases} \frac{r_t \sqrt{1 - \beta_2^t}}{\sqrt{v_t} + \epsilon}"
            r" & \text{if } \rho_t > 5 \\ 1 & \text{else} \end{cases}",
        ],
    ),
    "lars": (
        rules.lars,
        [
            r"\mathrm{ratio}_t &= \begin{cases} \frac{\mathrm{trust\ coefficient} \lVert \theta_{t-1} \rVert}"
            r"{\lVert g_t \rVert + \lambda \lVert \theta_{t-1} \rVert + \epsilon} & \text{if } "
            r"(\lVert \theta_{t-1} \rVert > 0) \wedge (\lVert g_t \rVert > 0) \\ 1 & \text{else} \end{cases}",
            r"b_t &= \mu b_{t-1} + \mathrm{ratio}_t (g_t + \lambda \theta_{t-1})",
            STEP + r"- \eta b_t",
        ],
    ),
    "lamb": (
        rules.lamb,
        [
            M,
            M_HAT,
            V,
            V_HAT,
            r"r_t &= \frac{\hat{m}_t}{\sqrt{\hat{v}_t} + \epsilon}",
            r"\mathrm{direction}_t &= r_t + \lambda \theta_{t-1}",
            STEP + r"- \eta \begin{cases} \frac{\lVert \theta_{t-1} \rVert}{\lVert \mathrm{direction}_t \rVert}"
            r" & \text{if } (\lVert \theta_{t-1} \rVert > 0) \wedge (\lVert \mathrm{direction}_t \rVert > 0) \\"
            r" 1 & \text{else} \end{cases} \mathrm{direction}_t",
        ],
    ),
    "ademamix": (
        rules.ademamix,
        [
            r"m_{1,t} &= \beta_1 m_{1,t-1} + (1 - \beta_1) g_t",
            r"\hat{m}_t &= \frac{m_{1,t}}{1 - \beta_1^t}",
            r"\beta_{3,t} &= \exp\left(\frac{1}{\frac{1 - \min\left(\frac{t}{\beta^{\mathrm{warmup}}_3}, 1\right)}"
            r"{\log(\beta_1)} + \frac{\min\left(\frac{t}{\beta^{\mathrm{warmup}}_3}, 1\right)}{\log(\beta_3)}}\right)",
            r"m_{2,t} &= \beta_{3,t} m_{2,t-1} + (1 - \beta_{3,t}) g_t",
            V,
            V_HAT,
            STEP + r"- \eta \left(\frac{\hat{m}_t + \alpha \min\left(\frac{t}{\alpha^{\mathrm{warmup}}}, 1\right)"
            r" m_{2,t}}{\sqrt{\hat{v}_t} + \epsilon} + \lambda \theta_{t-1}\right)",
        ],
    ),
    "cautious(momentum)": (
        rules.cautious(momentum),
        [
            BUFFER,
            r"\mathrm{mask}_t &= \begin{cases} 1 & \text{if } \eta b_t g_t > 0 \\ 0 & \text{else} \end{cases}",
            r"\mathrm{share}_t &= \frac{\textstyle\sum \mathrm{mask}_t}"
            r"{\textstyle\sum \mathrm{mask}_t + \textstyle\sum (1 - \mathrm{mask}_t)}",
            STEP + r"- \frac{\eta b_t \mathrm{mask}_t}{\max(\mathrm{share}_t, 0.001)}",
        ],
    ),
    "clip_value(gradient_descent)": (
        rules.clip_value(gradient_descent),
        [STEP + r"- \eta \min(\max(g_t, -\mathrm{clip\ value}), \mathrm{clip\ value})"],
    ),
    "fully_decoupled_decay(momentum)": (
        rules.fully_decoupled_decay(momentum),
        [BUFFER, STEP + r"- \eta b_t - \frac{\eta \lambda \theta_{t-1}}{\mathrm{lr\ max}}"],
    ),
    "proximal_l1(gradient_descent)": (
        rules.proximal_l1(gradient_descent),
        [
            r"\mathrm{moved}_t &= \theta_{t-1} - \eta g_t",
            STEP
            + r"- \begin{cases} \theta_{t-1} & \text{if } \left|\mathrm{moved}_t\right| \le \eta \lambda_1 \\ "
            + r"\eta g_t + \eta \lambda_1 \operatorname{sign}(\mathrm{moved}_t) & \text{else} \end{cases}",
        ],
    ),
}


@pytest.mark.parametrize(("rule", "expected"), EQUATIONS.values(), ids=EQUATIONS)
def test_equations(rule: Rule, expected: list[str]) -> None:
    body = rule.latex().removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}")
    assert body.split(" \\\\\n") == expected
