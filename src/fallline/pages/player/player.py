"""The player's HTML, the message that brings it a new scene, its script and its stylesheet."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fallline.pages.assets import asset, template
from fallline.pages.palette import COLOURS, DASHES
from fallline.pages.player.drawing import Drawing, Trail, drawing_of, number
from fallline.pages.player.map import WIDTH
from fallline.pages.player.scene import Scene

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

#: The parts of the fragment that a new scene replaces.
_PARTS = ("ground", "trails", "labels", "key", "charts", "tables", "title")
#: Rows and columns of the tilted view, at most.
_RELIEF = 49


def player(scene: Scene) -> Markup:
    """An HTML fragment that shows the scene whole, and plays it where `script()` is on the page too.

    It has no ids, no inline styles and no inline scripts but one of type application/json, so any number of them go
    on a page with a strict Content-Security-Policy.

    >>> player(Scene("<b>", ((0, 1), (0, 1)), [[0, 1], [1, 2]]))[:74]
    Markup('<figure class="fl-player fl-still" aria-label="Descent player: &lt;b&gt;">')
    """
    drawing = drawing_of(scene)
    module: Any = _template().module
    return module.player(drawing, _data(drawing))  # type: ignore[no-any-return]


def message(scene: Scene) -> dict[str, Any]:
    """What `update` of the player's script takes to show another scene, ready for JSON."""
    drawing = drawing_of(scene)
    module = _template().module
    return _data(drawing) | {"parts": {name: str(getattr(module, name)(drawing)) for name in _PARTS}}


def script() -> str:
    """The script that makes every player of a page play: for a script element, once a page."""
    return _asset("tilted.js") + _asset("start.js") + _asset("player.js")


def stylesheet() -> str:
    """The players' stylesheet: for a style element, once a page."""
    inks = (f".fl-colour-{i}{{--ink:light-dark({light},{dark})}}" for i, (light, dark) in enumerate(COLOURS))
    dashes = (f".fl-dash-{i}{{stroke-dasharray:{' '.join(map(str, dash)) or 'none'}}}" for i, dash in enumerate(DASHES))
    return "\n".join([*inks, *dashes, _asset("player.css")])


def _asset(name: str) -> str:
    return asset(__package__, name)


@cache
def _template() -> Template:
    return template(__package__, "player.html", number=number)


def _data(drawing: Drawing) -> dict[str, Any]:
    """What the script needs besides the picture itself."""
    scene = drawing.scene
    return {
        "title": scene.title,
        "steps": drawing.steps,
        "width": WIDTH,
        "height": drawing.map.height,
        "view": [list(scene.view[0]), list(scene.view[1])],
        "axes": list(scene.axes),
        "dimensions": scene.dimensions,
        "start": None if scene.start is None else [float(value) for value in scene.start],
        "startPlace": drawing.start,
        "startMovable": scene.start_movable,
        "relief": _relief(drawing.contours.fractions) if scene.dimensions == 2 else None,
        "trajectories": [_trajectory(drawing, trail) for trail in drawing.trails],
    }


def _trajectory(drawing: Drawing, trail: Trail) -> dict[str, Any]:
    trajectory, count = trail.trajectory, trail.last + 1
    arrows = {"gradient": trajectory.gradients, "momentum": trajectory.momentum}
    return {
        "name": trail.label.text,
        "learningRate": trajectory.learning_rate,
        "points": _rounded(trail.points, 6),
        "losses": _rounded(trail.losses, 4),
        "rates": _rounded(trail.rates, 3),
        "outcome": trajectory.outcome,
        "outcomeStep": trail.last if trajectory.outcome_step is None else trajectory.outcome_step,
        "arrows": {
            name: None if vectors is None else drawing.map.directions(-np.asarray(vectors)[:count])
            for name, vectors in arrows.items()
        },
    }


def _rounded(values: NDArray[np.float64], digits: int) -> list[Any]:
    """Nested lists of numbers with so many significant digits; None for what isn't finite."""
    flat = [float(f"{value:.{digits}g}") if abs(value) < np.inf else None for value in values.ravel().tolist()]
    return flat if values.ndim == 1 else [flat[row : row + 2] for row in range(0, len(flat), 2)]


def _relief(fractions: NDArray[np.float64]) -> dict[str, Any]:
    """Heights for the tilted view, in thousandths of the bands' scale, on fewer rows and columns."""
    rows, columns = (
        np.unique(np.linspace(0, size - 1, min(size, _RELIEF)).round().astype(int)) for size in fractions.shape
    )
    thousandths = np.rint(fractions[np.ix_(rows, columns)] * 1000)
    values = [None if value != value else int(value) for value in thousandths.ravel().tolist()]
    return {"rows": len(rows), "columns": len(columns), "values": values}
