"""Slices through the landscape around the best runs: lines as charts, planes as maps in the descent player."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fallline._text import listed
from fallline.pages.charts.picture import Axis, Mark, Picture, Table, score_scale, shown_number
from fallline.pages.charts.race_data import RaceData
from fallline.pages.player import Scene, Trajectory

if TYPE_CHECKING:
    from collections.abc import Iterator


Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NamedSlice:
    """A slice whose models have the names of arms: `losses` [curves, points] or [maps, rows, columns].

    `numbers` are the arms' numbers, which give the colours. The rest is as in `fallline.landscape.slices.Slice`.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    offsets: tuple[Array, ...]
    losses: Array
    coordinates: Array
    model_losses: Array
    description: str


def named_slice(data: Mapping[str, Any], arms: Sequence[str]) -> NamedSlice:
    """Read what `Slice.to_json` gives, with the models' names under "names".

    Raises ValueError where there isn't a name for each model, all of arms.
    """
    names, losses = tuple(data["names"]), np.array(data["losses"], np.float64)
    if len(names) != len(data["coordinates"]) or not set(names) <= set(arms):
        raise ValueError(
            f"slices: each needs an arm's name for each of its {len(data['coordinates'])} models; got {names}."
        )
    return NamedSlice(
        names,
        tuple(arms.index(name) for name in names),
        tuple(np.array(offsets, np.float64) for offsets in data["offsets"]),
        losses,
        np.array(data["coordinates"], np.float64),
        np.array(data["model_losses"], np.float64),
        str(data["description"]),
    )


def slices_picture(found: NamedSlice) -> Picture:
    """Draw a slice of one dimension: one line for each model on random axes, a single one through all of them else."""
    alone = len(found.losses) == 1
    every = np.concatenate([found.losses.ravel(), found.model_losses])
    scale = score_scale(every, np.nan, higher_is_better=False)
    marks = [
        Mark("line", found.numbers[curve], {"offset": found.offsets[0]}, scale.shown(losses))
        for curve, losses in enumerate(found.losses)
    ]
    marks += [
        Mark("dots", number, {"offset": place[:1]}, scale.shown(np.array([loss])))
        for number, place, loss in zip(found.numbers, found.coordinates, found.model_losses, strict=True)
    ]
    names = ["all"] if alone else list(found.names)
    rows = zip(found.offsets[0], *found.losses, strict=True)
    return Picture(
        "A line through the loss around the best runs",
        {"offset": Axis("offset")},
        Axis("loss", scale.logarithmic, view=scale.view),
        tuple(marks),
        dict(zip(found.numbers, found.names, strict=True)),
        Table(("offset", *names), tuple((f"{offset:.3g}", *map(shown_number, losses)) for offset, *losses in rows)),
        notes=(found.description, *scale.left_out(every)),
    )


_AXES = ("first axis", "second axis")
#: How far a map's height may be from a model's own loss, as a part of it: what lies between the points of a grid.
_OFF = 0.05


def slices_of(data: Mapping[str, Any], race: RaceData) -> tuple[NamedSlice, ...]:
    """The slices that the data holds under "slices", each as `Slice.to_json` with the models' names under "names"."""
    return tuple(named_slice(one, [arm.name for arm in race.arms]) for one in data.get("slices", ()))


def missing(slices: Sequence[NamedSlice], race: RaceData) -> tuple[str, ...]:
    """Notes on what the slices lack: arms that are in none of them, and points where the loss is not finite."""
    notes, shown = [], {name for one in slices for name in one.names}
    absent = [arm.name for arm in race.arms if arm.name not in shown]
    if slices and absent:
        notes.append(f"Not shown, as their runs diverged: {listed(absent)}.")
    for plane in slices:
        if len(plane.offsets) == 2 and (wrong := contradictions(plane)):
            notes.append(f"A plane is not shown, as its map would have {listed(wrong)}. {plane.description}")
    points = sum(one.losses.size for one in slices)
    gaps = points - sum(int(np.isfinite(one.losses).sum()) for one in slices)
    if gaps:
        notes.append(f"Lines and maps have gaps where the loss is not finite: at {gaps:,} of {points:,} points.")
    return tuple(notes)


def contradictions(plane: NamedSlice) -> tuple[str, ...]:
    """Which models a map of a plane would show at a height that is not theirs, each in words.

    One may lie beside the plane, or where the loss turns within a cell of the grid.
    """
    x, y = plane.offsets
    told = []
    maps = plane.losses if len(plane.losses) == len(plane.names) else np.repeat(plane.losses, len(plane.names), 0)
    for name, heights, place, loss in zip(plane.names, maps, plane.coordinates, plane.model_losses, strict=True):
        height = _height(heights, _place(x, place[0]), _place(y, place[1]))
        if not abs(height - loss) <= _OFF * abs(loss):
            told.append(f"{name} at a height of {shown_number(height)}, whose own loss is {shown_number(loss)}")
    return tuple(told)


def _place(offsets: Array, at: float) -> float:
    """Where a place lies among evenly spaced offsets, counted from 0."""
    return float(np.clip((at - offsets[0]) / (offsets[-1] - offsets[0]), 0, 1)) * (len(offsets) - 1)


def _height(heights: Array, column: float, row: float) -> float:
    """What the map shows between its points; a neighbour that weighs nothing is not asked."""
    found = 0.0
    for i, across in ((int(column), 1 - column % 1), (int(column) + 1, column % 1)):
        for j, up in ((int(row), 1 - row % 1), (int(row) + 1, row % 1)):
            found += across * up * float(heights[j, i]) if across * up else 0.0
    return found


def scenes(plane: NamedSlice) -> Iterator[Scene]:
    """A map for each model on random axes, with the model's place; on principal ones a single map with them all."""
    (left, *_, right), (bottom, *_, top) = plane.offsets
    view = ((float(left), float(right)), (float(bottom), float(top)))
    places = [(float(x), float(y)) for x, y in plane.coordinates[:, :2]]
    if len(plane.losses) == len(plane.names):
        for name, heights, place in zip(plane.names, plane.losses, places, strict=True):
            yield Scene(f"Loss around the best run of {name}", view, heights, minima=[place], axes=_AXES)
        return
    models = [
        Trajectory(name, [place], [loss], colour=number, dash=number)
        for name, number, place, loss in zip(plane.names, plane.numbers, places, plane.model_losses, strict=True)
    ]
    yield Scene(f"Loss in the plane through {listed(plane.names)}", view, plane.losses[0], models, axes=_AXES)
