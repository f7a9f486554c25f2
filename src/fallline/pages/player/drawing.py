"""The player's HTML and messages, with all that a scene's first frame shows; the templates only write it down."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fallline._text import shortened
from fallline.pages.assets import COLOURS, DASHES, asset, rounded, template
from fallline.pages.player.scene import WIDTH, Label, Map, Scene, Trajectory, labels, map_of, ticks
from fallline.pages.player.shapes import Chart, Contours, chart, contours, outline

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
    return asset("tilted.js") + asset("start.js") + asset("player.js")


def stylesheet() -> str:
    """The players' stylesheet: for a style element, once a page."""
    inks = (f".fl-colour-{i}{{--ink:light-dark({light},{dark})}}" for i, (light, dark) in enumerate(COLOURS))
    dashes = (f".fl-dash-{i}{{stroke-dasharray:{' '.join(map(str, dash)) or 'none'}}}" for i, dash in enumerate(DASHES))
    return "\n".join([*inks, *dashes, asset("player.css")])


@cache
def _template() -> Template:
    return template("player.html", number=number)


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
    flat = rounded(values.ravel().tolist(), digits)
    return flat if values.ndim == 1 else [flat[row : row + 2] for row in range(0, len(flat), 2)]


def _relief(fractions: NDArray[np.float64]) -> dict[str, Any]:
    """Heights for the tilted view, in thousandths of the bands' scale, on fewer rows and columns."""
    rows, columns = (
        np.unique(np.linspace(0, size - 1, min(size, _RELIEF)).round().astype(int)) for size in fractions.shape
    )
    thousandths = np.rint(fractions[np.ix_(rows, columns)] * 1000)
    values = [None if value != value else int(value) for value in thousandths.ravel().tolist()]
    return {"rows": len(rows), "columns": len(columns), "values": values}


Array = NDArray[np.float64]

_TABLE_ROWS = 20
_LABEL_LENGTH = 20


@dataclass(frozen=True)
class Trail:
    """A trajectory as it is drawn: its places on the map, by step, and where its end is marked."""

    trajectory: Trajectory
    label: Label
    colour: int
    dash: int
    last: int
    points: Array
    losses: Array
    rates: Array
    places: Array
    end: tuple[float, float]

    @property
    def polyline(self) -> str:
        """The points of an SVG polyline, one for each step."""
        return " ".join(f"{x},{y}" for x, y in np.rint(self.places).astype(int).tolist())

    @property
    def learning_rate(self) -> str:
        """The learning rate in words."""
        rate = self.trajectory.learning_rate
        return "" if rate is None else f"learning rate {number(rate)}"

    def readout(self, step: int, axes: tuple[str, str]) -> str:
        """The loss and the effective step at a step, or at the last one before it."""
        here = min(step, self.last)
        rates = self.rates[min(here, len(self.rates) - 1)] if len(self.rates) else []
        steps = [f"{axis} {number(rate)}" for rate, axis in zip(rates, axes, strict=False) if rate == rate]
        return f"loss {number(self.losses[here])}" + (f", effective step size {', '.join(steps)}" if steps else "")


@dataclass(frozen=True)
class Drawing:
    """A scene with everything in its place."""

    scene: Scene
    map: Map
    contours: Contours
    profile: str
    trails: tuple[Trail, ...]
    charts: tuple[Chart, ...]
    steps: int
    rows: range
    ticks: tuple[list[tuple[float, str]], list[tuple[float, str]]]
    minima: list[tuple[float, float]]
    start: tuple[float, float] | None


def drawing_of(scene: Scene) -> Drawing:
    """Put a scene's parts in their places."""
    box = map_of(scene)
    bands = contours(scene.heights, WIDTH, box.height)
    trails = _trails(scene, box)
    steps = max((trail.last for trail in trails), default=0)
    heights = np.asarray(scene.heights)
    return Drawing(
        scene,
        box,
        bands,
        _profile(heights[0], box) if scene.dimensions == 1 else "",
        trails,
        _charts(scene, trails, steps, float(np.nanmax(heights))),
        steps,
        range(0, steps + 1, max(1, -(-steps // _TABLE_ROWS))),
        _ticks(box),
        [_part(box, minimum, heights, scene) for minimum in scene.minima],
        None if scene.start is None else _part(box, scene.start, heights, scene),
    )


def number(value: float) -> str:
    """Three significant digits, in few characters.

    >>> number(0.00001234), number(1500.0), number(-0.0), number(float("nan"))
    ('1.23e-5', '1500', '0', 'not a number')
    """
    if value != value:
        return "not a number"
    if 1000 <= abs(value) < 1e6:
        return str(round(float(f"{value:.3g}")))
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value + 0.0:.3g}")  # -0.0 is written 0


def _trails(scene: Scene, box: Map) -> tuple[Trail, ...]:
    texts = _texts(scene.trajectories)
    cut = [_finite_part(trajectory) for trajectory in scene.trajectories]
    places = [box.units(points, losses) for points, losses, _ in cut]
    ends = [_part_of(box, _last_shown(box, path)) for path in places]
    return tuple(
        Trail(
            trajectory,
            label,
            (index if trajectory.colour is None else trajectory.colour) % len(COLOURS),
            (index if trajectory.dash is None else trajectory.dash) % len(DASHES),
            len(points) - 1,
            points,
            losses,
            rates,
            path,
            end,
        )
        for index, (trajectory, label, (points, losses, rates), path, end) in enumerate(
            zip(scene.trajectories, labels(texts, ends), cut, places, ends, strict=True)
        )
    )


def _texts(trajectories: Sequence[Trajectory]) -> list[str]:
    """Short names; those that occur twice are told apart by their learning rates."""
    count = Counter(trajectory.name for trajectory in trajectories)
    return [
        shortened(one.name, _LABEL_LENGTH)
        + (f" {number(one.learning_rate)}" if count[one.name] > 1 and one.learning_rate is not None else "")
        for one in trajectories
    ]


def _finite_part(trajectory: Trajectory) -> tuple[Array, Array, Array]:
    """Points, losses and effective rates up to the first point that isn't finite or has no finite loss."""
    points, losses = np.asarray(trajectory.points), np.asarray(trajectory.losses)
    broken = np.flatnonzero(~np.isfinite(np.c_[points, losses]).all(1))
    count = max(1, int(broken[0])) if len(broken) else len(points)
    rates = np.empty((0, 2)) if trajectory.effective_rates is None else np.asarray(trajectory.effective_rates)
    return points[:count], losses[:count], rates[: max(0, count - 1)]


def _last_shown(box: Map, places: Array) -> Array:
    """The last place on the map; the start if there is none."""
    shown = np.flatnonzero(box.shows(places))
    return np.asarray(places[shown[-1] if len(shown) else 0])


def _part_of(box: Map, place: Array) -> tuple[float, float]:
    return float(place[0] / WIDTH), float(place[1] / box.height)


def _part(box: Map, point: tuple[float, float], heights: Array, scene: Scene) -> tuple[float, float]:
    """Where a point is in parts of the box; in one dimension, on the curve."""
    columns, known = np.linspace(*scene.view[0], heights.shape[1]), np.isfinite(heights[0])
    loss = float(np.interp(point[0], columns[known], heights[0][known])) if scene.dimensions == 1 else 0.0
    return _part_of(box, box.units([point], [loss])[0])


def _profile(curve: Array, box: Map) -> str:
    """The curve of a landscape of one dimension, closed along the bottom."""
    columns = np.linspace(box.left, box.right, len(curve))
    points = np.c_[columns, curve][np.isfinite(curve)]
    top = box.units(points, points[:, 1])
    return outline(np.r_[[[top[0, 0], box.height]], top, [[top[-1, 0], box.height]]], closed=True)


def _charts(scene: Scene, trails: tuple[Trail, ...], steps: int, highest: float) -> tuple[Chart, ...]:
    charts = [chart("Loss", [trail.losses for trail in trails], steps, highest)]
    for axis, name in enumerate(scene.axes[: scene.dimensions]):
        rates = [np.where(trail.rates[:, axis] >= 0, trail.rates[:, axis], np.nan) for trail in trails]
        uphill = any((trail.rates[:, axis] < 0).any() for trail in trails)
        charts.append(chart(f"Effective step size along {name}", rates, steps, note="gaps: uphill" * uphill))
    return tuple(found for found in charts if found is not None)


def _ticks(box: Map) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    """Parts of the width and of the height, and what stands there; none too near the corners."""

    def inside(low: float, high: float) -> list[tuple[float, str]]:
        parts = (((tick - low) / (high - low), f"{tick:g}") for tick in ticks(low, high))
        return [(part, text) for part, text in parts if 0.06 < part < 0.94]

    return inside(box.left, box.right), [(1 - part, text) for part, text in inside(box.bottom, box.top)]
