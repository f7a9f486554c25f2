"""Exponential moving averages of a noisy series, with and without bias correction."""

from __future__ import annotations

from typing import Any

import numpy as np

from fallline import averaging
from fallline.lab.fields import Fields
from fallline.lab.tabs.experiment import experiment, series
from fallline.lab.work import Ticket

_LENGTH = 120


def ema(fields: Fields, ticket: Ticket) -> dict[str, Any]:
    """Averages over `windows` of a slow wave around 10 with noise of standard deviation `noise`, drawn by `seed`."""
    windows = fields.numbers("windows", 6, 1, 1000, [2, 10, 50])
    noise, seed = fields.number("noise", 0, 100, 2.0), fields.whole("seed", 0, 2**31 - 1, 0)
    fields.done()
    time = np.arange(_LENGTH)
    wave = 10 + 3 * np.sin(2 * np.pi * time / _LENGTH)
    values = wave + noise * np.random.default_rng(seed).standard_normal(_LENGTH)
    lines, rows = [series("values", time, values)], []
    for window in windows:
        beta = 1 - 1 / window
        corrected, plain = (averaging.ema(values, beta, bias_correction=corrects) for corrects in (True, False))
        lines += [series(f"window {window:g}", time, corrected), series(f"window {window:g}, uncorrected", time, plain)]
        rows.append((window, beta, corrected[0], plain[0], np.sqrt(np.mean((corrected - wave) ** 2))))
    return experiment(
        "Exponential moving averages",
        "About the last 1/(1 - β) values count. Without correction an average starts near 0 and takes some windows to "
        "forget it; a longer window is smoother, and later.",
        ("step", "value"),
        lines,
        ("window", "β", "first, corrected", "first, uncorrected", "distance from the wave"),
        rows,
    )
