"""The report's landscape: charts of lines through the loss, maps of planes in the descent player."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fallline.pages.charts.race_data import RaceData
from fallline.pages.charts.slices import NamedSlice, named_slice
from fallline.pages.player import Scene, Trajectory

if TYPE_CHECKING:
    from collections.abc import Iterator


def slices_of(data: Mapping[str, Any], race: RaceData) -> tuple[NamedSlice, ...]:
    """The slices that the data holds under "slices", each as `Slice.to_json` with the models' names under "names"."""
    return tuple(named_slice(one, [arm.name for arm in race.arms]) for one in data.get("slices", ()))


def scenes(plane: NamedSlice) -> Iterator[Scene]:
    """A map for each model on random axes; on principal ones a single map with the models on it.

    The axes have the same length for all models, and so the maps of one slice can be compared.
    """
    view = tuple((float(offsets[0]), float(offsets[-1])) for offsets in plane.offsets)
    models = [
        Trajectory(name, place[None, :2], [loss], colour=number, dash=number)
        for name, number, place, loss in zip(
            plane.names, plane.numbers, plane.coordinates, plane.model_losses, strict=True
        )
    ]
    shared = len(plane.losses) < len(models)
    for heights, model in zip(plane.losses, models, strict=False):
        title = "The plane through the best runs" if shared else f"Loss around the best run of {model.name}"
        shown = models if shared else [model]
        yield Scene(title, (view[0], view[1]), heights, shown, axes=("first axis", "second axis"))
