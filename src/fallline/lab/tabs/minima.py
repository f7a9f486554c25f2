"""In which of two hollows gradient descent ends, by its learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from fallline.lab.fields import Fields
from fallline.lab.tabs.experiment import experiment, series
from fallline.lab.work import Ticket
from fallline.landscape import path, surfaces


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
