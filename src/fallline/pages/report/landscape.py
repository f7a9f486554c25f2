"""The report's landscape: charts of lines through the loss, maps of planes in the descent player."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fallline.pages.charts.race_data import RaceData
from fallline.pages.charts.slices import NamedSlice, named_slice
from fallline.pages.player import Scene, Trajectory
from fallline.racing.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

_AXES = ("first axis", "second axis")


def slices_of(data: Mapping[str, Any], race: RaceData) -> tuple[NamedSlice, ...]:
    """The slices that the data holds under "slices", each as `Slice.to_json` with the models' names under "names"."""
    return tuple(named_slice(one, [arm.name for arm in race.arms]) for one in data.get("slices", ()))


def missing(slices: Sequence[NamedSlice], race: RaceData) -> tuple[str, ...]:
    """Notes on what the slices lack: arms that are in none of them, and points where the loss is not finite."""
    notes, shown = [], {name for one in slices for name in one.names}
    absent = [arm.name for arm in race.arms if arm.name not in shown]
    if slices and absent:
        notes.append(f"Not shown, as their runs diverged: {listed(absent)}.")
    points = sum(one.losses.size for one in slices)
    gaps = points - sum(int(np.isfinite(one.losses).sum()) for one in slices)
    if gaps:
        notes.append(f"Lines and maps have gaps where the loss is not finite: at {gaps:,} of {points:,} points.")
    return tuple(notes)


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
    yield Scene("Loss in the plane through the best runs", view, plane.losses[0], models, axes=_AXES)
