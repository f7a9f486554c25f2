"""The equations that rules print."""

from __future__ import annotations

import pytest

from fallline import rules

LINES = {
    "gradient_descent": [r"\theta_t &= \theta_{t-1} - \eta g_t"],
    "nesterov": [r"b_t &= \mu b_{t-1} + g_t", r"\theta_t &= \theta_{t-1} - \eta (g_t + \mu b_t)"],
    "rmsprop": [
        r"v_t &= \alpha v_{t-1} + (1 - \alpha) g_t^2",
        r"\theta_t &= \theta_{t-1} - \frac{\eta g_t}{\sqrt{v_t} + \epsilon}",
    ],
    "adam": [
        r"m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t",
        r"\hat{m}_t &= \frac{m_t}{1 - \beta_1^t}",
        r"v_t &= \beta_2 v_{t-1} + (1 - \beta_2) g_t^2",
        r"\hat{v}_t &= \frac{v_t}{1 - \beta_2^t}",
        r"\theta_t &= \theta_{t-1} - \frac{\eta \hat{m}_t}{\sqrt{\hat{v}_t} + \epsilon}",
    ],
}


@pytest.mark.parametrize("name", LINES)
def test_equations(name: str) -> None:
    printed = rules.find(name).latex().splitlines()[1:-1]
    assert [line.removesuffix(r" \\") for line in printed] == LINES[name]
