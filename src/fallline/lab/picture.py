"""The answer to a request for a picture."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from fallline.lab.descent import Descent, walk
from fallline.lab.ground import drawable
from fallline.lab.rates import tuned
from fallline.lab.work import Ticket
from fallline.pages.player import Scene, message, player, scene_of, trajectory_of


def picture(descent: Descent, ticket: Ticket, *, fragment: bool = False) -> dict[str, Any]:
    """The scene as the player's `update` takes it, the learning rates, and the milliseconds that it took.

    With `fragment`, the player's HTML of that scene as well, for a page that has no player yet.
    """
    began = time.perf_counter()
    descent = settled(descent, ticket)
    scene = _scene(descent, ticket)
    return {
        "scene": message(scene),
        **({"fragment": str(player(scene))} if fragment else {}),
        "rates": [{"name": walker.name, "lr": walker.lr} for walker in descent.walkers],
        "milliseconds": round(1000 * (time.perf_counter() - began), 1),
    }


def settled(descent: Descent, ticket: Ticket) -> Descent:
    """The descent with the learning rates that it is walked with."""
    return tuned(descent, ticket) if descent.rates == "tuned" else descent


def _scene(descent: Descent, ticket: Ticket) -> Scene:
    paths = [walk(descent, walker, ticket) for walker in descent.walkers]
    scene = scene_of(descent.ground.surface, paths, start_movable=True)
    named = [trajectory_of(path, walker.name) for path, walker in zip(paths, descent.walkers, strict=True)]
    return replace(scene, heights=drawable(np.asarray(scene.heights)), trajectories=named)
