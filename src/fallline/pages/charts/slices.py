"""Slices through the landscape around the best runs, as a `Slice` gives them in plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline.pages.charts.picture import Axis, Mark, Picture, Table, score_scale, shown_number

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
