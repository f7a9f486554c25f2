"""The tables of a diagnosis, as a terminal shows them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fallline._text import counted, table
from fallline.landscape.diagnosis.along_run import AlongRun
from fallline.landscape.diagnosis.record import Diagnosis
from fallline.landscape.diagnosis.signals import Signals
from fallline.landscape.diagnosis.update_ratios import UpdateRatios

if TYPE_CHECKING:
    from rich.table import Table


def tables_of(diagnosis: Diagnosis) -> list[Table]:
    """What was measured, a table for each kind that there is."""
    found = []
    if diagnosis.along is not None:
        found.append(_along(diagnosis.along))
    if diagnosis.signals is not None:
        found.append(_layers(diagnosis.signals, diagnosis.updates))
        if diagnosis.signals.activations:
            found.append(_activations(diagnosis.signals))
    numbers = _numbers(diagnosis)
    if numbers:
        found.append(table({"at the weights": [*numbers], "": [*numbers.values()]}, left=("at the weights", "")))
    return found


def _along(along: AlongRun) -> Table:
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


def _layers(signals: Signals, updates: UpdateRatios | None) -> Table:
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


def _activations(signals: Signals) -> Table:
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


def _numbers(diagnosis: Diagnosis) -> dict[str, str]:
    found = {}
    if diagnosis.signals is not None:
        found["loss"] = shown(diagnosis.signals.loss)
        found["length of the gradient"] = shown(diagnosis.signals.gradient_norm)
    if (curved := diagnosis.curvature) is not None:
        found["top curvature"] = f"{shown(curved.top[0])} ± {curved.top_residuals[0]:.1g}"
        found["lowest curvature"] = f"{shown(curved.bottom[0])} ± {curved.bottom_residuals[0]:.1g}"
    if (noise := diagnosis.noise) is not None:
        ends = f"{shown(noise.low)} to {shown(noise.high)}" if math.isfinite(noise.high) else "not told"
        found["noise scale (95 %)"] = ends
    if (rates := diagnosis.rates) is not None:
        found["rates that train"] = (
            "none" if rates.trains is None else f"{rates.trains[0]:.2g} to {rates.trains[1]:.2g}"
        )
        low, high = rates.edge_ends
        found["edge of divergence"] = f"{shown(low)} to {shown(high)}" if math.isfinite(high) else "not found"
    return found


def shown(value: float) -> str:
    """Three digits; nothing for what is no number."""
    return "" if math.isnan(value) else f"{value:.3g}"
