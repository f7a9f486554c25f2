"""The learning rates of schedules, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from fallline import schedules as laws
from fallline.lab.fields import Fields
from fallline.lab.tabs.experiment import experiment, series
from fallline.lab.walker import SCHEDULES
from fallline.lab.work import Ticket


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
