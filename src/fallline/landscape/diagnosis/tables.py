"""The tables of a diagnosis, as a terminal shows them, one for each kind of measurement."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fallline._text import counted, table
from fallline.landscape.diagnosis.along_run import AlongRun
from fallline.landscape.diagnosis.rate_range import RateRange
from fallline.landscape.diagnosis.signals import Signals
from fallline.landscape.diagnosis.update_ratios import UpdateRatios
from fallline.landscape.measuring import Curvature, NoiseScale

if TYPE_CHECKING:
    from rich.table import Table


def along_table(along: AlongRun) -> Table:
    """Curvature and noise by step."""
    columns = {
        "step": [f"{step:.0f}" for step in along.steps],
        "lr": [shown(rate) for rate in along.rates],
        "loss": [shown(one) for one in along.losses],
        "top\ncurvature": [shown(one) for one in along.top],
        "limit\nof lr": [shown(one) for one in along.limits],
        "lowest\ncurvature": [shown(one) for one in along.bottom],
        "noise scale": [
            f"{shown(low)} to {shown(high)}" if np.isfinite(high) else "not told"
            for low, high in zip(along.noise_low, along.noise_high, strict=True)
        ],
    }
    return table(columns, f"Along the run, on {counted(along.examples, 'example')} of {along.split}")


def layers_table(signals: Signals, updates: UpdateRatios | None) -> Table:
    """Weights, gradients and updates by layer."""
    names = [layer.name for layer in signals.layers]
    columns = {
        "layer": names,
        "kind": [layer.kind for layer in signals.layers],
        "length of\nweights": [shown(layer.weight_norm) for layer in signals.layers],
        "length of\ngradient": [shown(layer.gradient_norm) for layer in signals.layers],
    }
    if updates is not None:
        columns["a step moves\nits weights by"] = [_moved(name, updates) for name in names]
    return table(
        columns, f"Layers, on {counted(signals.examples, 'example')} of {signals.split}", left=("layer", "kind")
    )


def _moved(layer: str, updates: UpdateRatios) -> str:
    """Between which shares of their size the weights of a layer move, over the seeds."""
    own = [place for place, name in enumerate(updates.layers) if name.rpartition(".")[0] == layer]
    ratios = updates.ratios[:, own]
    ratios = ratios[np.isfinite(ratios)]
    return f"{ratios.min():.1e} to {ratios.max():.1e}" if ratios.size else ""


def activations_table(signals: Signals) -> Table:
    """What activations gave, and their dead units."""
    every = signals.activations
    return table(
        {
            "activation": [one.kind for one in every],
            "after": [one.after for one in every],
            "mean": [shown(one.mean) for one in every],
            "spread": [shown(one.spread) for one in every],
            "dead units": [f"{one.dead} of {one.units}" for one in every],
        },
        "Activations",
        left=("activation", "after"),
    )


def numbers_table(
    signals: Signals | None, curvature: Curvature | None, noise: NoiseScale | None, rates: RateRange | None
) -> Table | None:
    """What a number or two tell; None where there are none."""
    found = {}
    if signals is not None:
        found["loss"] = shown(signals.loss)
        found["length of the gradient"] = shown(signals.gradient_norm)
    if curvature is not None:
        found["top curvature"] = f"{shown(curvature.top[0])} ± {curvature.top_residuals[0]:.1g}"
        found["lowest curvature"] = f"{shown(curvature.bottom[0])} ± {curvature.bottom_residuals[0]:.1g}"
    if noise is not None:
        ends = f"{shown(noise.low)} to {shown(noise.high)}" if math.isfinite(noise.high) else "not told"
        found["noise scale (95 %)"] = ends
    if rates is not None:
        found["rates that train"] = rates.trains_told
        low, high = rates.edge_ends
        found["edge of divergence"] = f"{shown(low)} to {shown(high)}" if math.isfinite(high) else "not found"
    return table({"measured": [*found], "": [*found.values()]}, left=("measured", "")) if found else None


def shown(value: float) -> str:
    """Three digits; nothing for what is no number."""
    return "" if math.isnan(value) else f"{value:.3g}"
