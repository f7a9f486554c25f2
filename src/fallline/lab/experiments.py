"""The small experiments below the lab's picture, each computed by the library's own code.

Each takes the fields of a request and returns plain data: {title, sentence, series: [{name, x, y}], x, y, table:
{columns, rows}}, where x and y name the axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from fallline import arrays, averaging, rules
from fallline import schedules as laws
from fallline.init import Scheme, he_normal, lecun_normal, xavier_normal
from fallline.lab.descent import SCHEDULES
from fallline.lab.requests import Fields
from fallline.lab.work import Ticket
from fallline.landscape import path, surfaces


def series(name: str, x: ArrayLike, y: ArrayLike) -> dict[str, Any]:
    """A line of a chart; what is not finite is null."""
    return {"name": name, "x": np.asarray(x).tolist(), "y": [_number(value) for value in np.asarray(y).tolist()]}


def experiment(
    title: str,
    sentence: str,
    axes: tuple[str, str],
    lines: Sequence[dict[str, Any]],
    columns: Sequence[str],
    rows: Sequence[Sequence[str | float]],
) -> dict[str, Any]:
    """A tab's answer as plain data; numbers of the table have four digits."""
    return {
        "title": title,
        "sentence": sentence,
        "x": axes[0],
        "y": axes[1],
        "series": list(lines),
        "table": {
            "columns": list(columns),
            "rows": [[_short(one) for one in row] for row in rows],
        },
    }


def _short(value: str | float) -> str | float | None:
    return value if isinstance(value, (str, int)) else _number(float(f"{value:.4g}"))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


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


_SAMPLES, _EPOCHS, _TRUTH = 128, 8, (2.0, -1.0)
Array = NDArray[np.float64]


def batch(fields: Fields, ticket: Ticket) -> dict[str, Any]:
    """Gradient descent with the learning rate `lr` on batches of 1, of 8 and of all samples, shuffled by `seed`."""
    lr, seed = fields.number("lr", 1e-6, 1.0, 0.05), fields.whole("seed", 0, 2**31 - 1, 0)
    fields.done()
    draws = np.random.default_rng(seed)
    inputs = draws.standard_normal((_SAMPLES, 2))
    targets = inputs @ _TRUTH + 0.5 * draws.standard_normal(_SAMPLES)
    best = np.asarray(np.linalg.lstsq(inputs, targets, rcond=None)[0], np.float64)
    lowest = _loss(inputs, targets, best)
    lines, rows = [], []
    for size in (1, 8, _SAMPLES):
        ticket.check()
        samples, losses = _descend(inputs, targets, size, lr, np.random.default_rng(seed))
        lines.append(series(f"all {size}" if size == _SAMPLES else f"batch {size}", samples, losses - lowest))
        after = losses[np.searchsorted(samples, _SAMPLES)] - lowest
        rows.append((size, _EPOCHS * _SAMPLES // size, after, losses[-1] - lowest))
    return experiment(
        "Batch size",
        "All begin at the same weights, with the same learning rate. Per sample seen, small batches get further at "
        "first, and then wander round the minimum; the whole batch goes down every step, and needs more samples.",
        ("samples seen", "loss above the lowest"),
        lines,
        ("batch size", "steps", "loss above the lowest after one epoch", f"after {_EPOCHS}"),
        rows,
    )


def _descend(inputs: Array, targets: Array, size: int, lr: float, draws: np.random.Generator) -> tuple[Array, Array]:
    """Samples seen and the loss over all samples, after each step and before the first."""
    weights = np.zeros(2)
    optimizer = arrays.Optimizer(rules.gradient_descent, lr=lr)
    losses = [_loss(inputs, targets, weights)]
    for _ in range(_EPOCHS):
        order = draws.permutation(_SAMPLES)
        for begin in range(0, _SAMPLES, size):
            some = order[begin : begin + size]
            errors = inputs[some] @ weights - targets[some]
            optimizer.update({"weights": weights}, {"weights": 2 * errors @ inputs[some] / size})
            losses.append(_loss(inputs, targets, weights))
    return size * np.arange(len(losses), dtype=np.float64), np.array(losses)


def _loss(inputs: Array, targets: Array, weights: Array) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.mean((inputs @ weights - targets) ** 2))


def schedules(fields: Fields, ticket: Ticket) -> dict[str, Any]:
    """Each schedule's learning rates over `steps` steps from the base rate `lr`; with the parameters' defaults."""
    steps, lr = fields.whole("steps", 10, 5000, 200), fields.number("lr", 0, 1e6, 0.1)
    fields.done()
    known = {"constant": laws.constant(), **{name: make(steps) for name, make in SCHEDULES.items()}}
    curves = {name.replace("_", " "): law.curve(steps, lr) for name, law in known.items()}
    return experiment(
        "Schedules",
        "A schedule multiplies the base rate in each step: large steps first, to get far, then small ones, to come to "
        "rest in spite of noise.",
        ("step", "learning rate"),
        [series(name, np.arange(steps), curve) for name, curve in curves.items()],
        ("schedule", "first", "half-way", "last"),
        [(name, curve[0], curve[steps // 2], curve[-1]) for name, curve in curves.items()],
    )


_WIDTH, _EXAMPLES = 128, 64
_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "linear": torch.positive}


def initialisation(fields: Fields, ticket: Ticket) -> dict[str, Any]:
    """The root mean square of the signal in each of `depth` layers of 128 with an `activation` after each."""
    depth, seed = fields.whole("depth", 2, 100, 30), fields.whole("seed", 0, 2**31 - 1, 0)
    activation = fields.choice("activation", list(_ACTIVATIONS), "relu")
    fields.done()
    schemes = {
        "LeCun": lecun_normal(),
        "Xavier": xavier_normal(),
        "He": he_normal(),
        "too small": Scheme("too small", "normal", "fan_in", 0.5),
        "too large": Scheme("too large", "normal", "fan_in", 2.5),
    }
    sizes = {name: _sizes(scheme, depth, activation, seed) for name, scheme in schemes.items()}
    return experiment(
        "Initialisation",
        "Each layer multiplies the signal's size by about the same factor, and only one close to 1 lets it through "
        "many layers: that is He's scheme with ReLU, LeCun's without an activation.",
        ("layer", "root mean square of the signal"),
        [series(name, np.arange(depth + 1), size) for name, size in sizes.items()],
        ("scheme", "standard deviation of a weight", "first layer", "last layer"),
        [(name, schemes[name].std(_WIDTH, _WIDTH), size[1], size[-1]) for name, size in sizes.items()],
    )


def _sizes(scheme: Scheme, depth: int, activation: str, seed: int) -> list[float]:
    draws = torch.Generator().manual_seed(seed)
    signal = torch.randn(_EXAMPLES, _WIDTH, dtype=torch.float64, generator=draws)
    found = [_size(signal)]
    for _ in range(depth):
        weight = torch.empty(_WIDTH, _WIDTH, dtype=torch.float64)
        scheme.fill(weight, draws)
        signal = _ACTIVATIONS[activation](signal @ weight.T)
        found.append(_size(signal))
    return found


def _size(signal: torch.Tensor) -> float:
    return float(signal.square().mean().sqrt())


def minima(fields: Fields, ticket: Ticket) -> dict[str, Any]:
    """Where gradient descent is at each step on the surface with a sharp and a flat hollow, for some rates `lr`."""
    rates = fields.numbers("lr", 6, 1e-4, 10, [0.02, 0.04, 0.1, 0.3])
    fields.done()
    surface = surfaces.sharp_and_flat
    sharp, flat = (f"{2 / surface.curvatures(x, y)[1]:.2g} in the {{}} one at x = {x:.3g}" for x, y in surface.minima)
    lines, rows = [], []
    for lr in rates:
        ticket.check()
        found = path(surface, "sgd", lr=lr)
        lines.append(series(f"learning rate {lr:g}", np.arange(len(found.points)), found.points[:, 0]))
        rows.append((lr, found.losses[-1], found.description))
    return experiment(
        "Sharp and flat",
        "A hollow holds gradient descent only while the learning rate is below 2/curvature: "
        f"{sharp.format('sharp')}, {flat.format('flat')}.",
        ("step", "x"),
        lines,
        ("learning rate", "last loss", "what became of it"),
        rows,
    )
