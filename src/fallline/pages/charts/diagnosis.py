"""A diagnosis in pictures: rates by loss, curvature along the run, and signals by depth, from its plain data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fallline._text import counted
from fallline.pages.charts.picture import Array, Axis, Mark, Picture, Table, score_scale, shown_number


@dataclass(frozen=True, eq=False)
class DiagnosisData:
    """A diagnosis as a page shows it: a headline, the findings with their evidence, what is lacking, and pictures."""

    headline: str
    findings: tuple[tuple[str, str], ...]
    lacking: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...]
    pictures: tuple[Picture, ...]


def read_diagnosis(data: Mapping[str, Any]) -> DiagnosisData:
    """Read what `Diagnosis.to_json` gives.

    Raises ValueError, in a sentence, for what isn't that.
    """
    try:
        return DiagnosisData(
            str(data["headline"]),
            tuple((str(one["sentence"]), str(one["evidence"])) for one in data["findings"]),
            tuple(map(str, data["left_out"])),
            tuple(_numbers(data)),
            tuple(_pictures(data)),
        )
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"diagnosis: it must be what Diagnosis.to_json gives; {error!r}.") from error


def write_figures(data: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the pictures of what `Diagnosis.to_json` gives as SVG files, called after their titles.

    Args:
        data: The diagnosis.
        folder: Where to; it must be there.

    Returns:
        The files.

    Raises:
        OSError: They can't be written.
    """
    from fallline.pages.charts.renderers import drawn

    found = []
    for picture in read_diagnosis(data).pictures:
        found.append(folder / f"{picture.title.lower().replace(' ', '-')}.svg")
        found[-1].write_bytes(drawn([picture], "svg"))
    return found


def _numbers(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if (signals := data["signals"]) is not None:
        gradient = math.sqrt(sum(layer["gradient_norm"] ** 2 for layer in signals["layers"]))
        yield "Loss", f"{shown_number(signals['loss'])}, with a gradient of length {gradient:.3g}"
    if (curved := data["curvature"]) is not None:
        yield "Curvature", f"{curved['bottom'][0]:.3g} to {curved['top'][0]:.3g}, {_condition(curved)}"
    if (noise := data["noise"]) is not None and noise["high"] is not None:
        yield (
            "Noise scale",
            (f"{noise['low']:.3g} to {noise['high']:.3g} examples with 95 % confidence, {_condition(noise)}"),
        )
    if data["signals"] is not None and data["signals"]["activations"]:
        each = (
            f"{one['dead']} of {one['units']} after layer {one['after']!r}" for one in data["signals"]["activations"]
        )
        yield "Dead units", ", ".join(each)
    if (rates := data["rates"]) is not None and rates["trains"] is not None:
        yield "Rates that train", str(rates["trains_told"])


def _condition(measured: Mapping[str, Any]) -> str:
    return f"on {counted(measured['examples'], 'example')} of {measured['split']} in {measured['mode']} mode"


def _pictures(data: Mapping[str, Any]) -> Iterator[Picture]:
    if data["rates"] is not None:
        yield rate_picture(data["rates"])
    if data["along"] is not None:
        yield along_picture(data["along"])
    if data["spectrum"] is not None:
        yield spectrum_picture(data["spectrum"])
    if data["signals"] is not None and len(data["signals"]["layers"]) > 1:
        yield signals_picture(data["signals"], data["updates"])
    if data["signals"] is not None and len(data["signals"]["activations"]) > 1:
        yield activations_picture(data["signals"])


def rate_picture(rates: Mapping[str, Any]) -> Picture:
    """The loss after some steps against the learning rate: the seeds' median, each seed, and what failed.

    Args:
        rates: What `RateRange.to_json` gives.
    """
    across, losses = _array(rates["rates"]), _array(rates["losses"])
    limits = _array(rates["untrained_losses"])
    failed = ~(losses <= limits[:, None])
    scale = score_scale(np.where(failed, np.nan, losses).ravel(), float(np.median(limits)), higher_is_better=False)
    sound = np.where(failed, np.nan, scale.shown(losses))
    marks = [Mark("faint", 0, {"rate": across}, own) for own in sound]
    some = np.isfinite(sound).any(0)
    # A median of all seeds only: where one failed, that of the others would say too much.
    middle = np.where(failed.any(0), np.nan, np.median(np.where(failed, np.inf, losses), 0))
    marks.append(Mark("line", 0, {"rate": across}, scale.shown(middle)))
    for own, bad in zip(losses, failed, strict=True):
        marks.append(Mark("dots", 0, {"rate": across[~bad]}, scale.shown(own[~bad])))
        if bad.any():
            marks.append(Mark("crosses", 0, {"rate": across[bad]}, np.full(int(bad.sum()), scale.ceiling)))
    rows = tuple(
        (f"{rate:.3g}", shown_number(float(one)), f"{int(bad.sum())} of {len(bad)}")
        for rate, one, bad in zip(across, middle, failed.T, strict=True)
    )
    edge = rates["edge"]
    told = () if rates["trains"] is None else (f"Rates that train: {rates['trains_told']}.",)
    gone = () if some.all() else ("Crosses are runs that diverged or ended worse than an untrained model.",)
    return Picture(
        "Loss by learning rate",
        {"rate": Axis("learning rate", logarithmic=True)},
        Axis(f"loss after {counted(rates['steps'], 'step')}", scale.logarithmic, view=scale.high_view),
        tuple(marks),
        {},
        Table(("rate", "loss, median", "failed"), rows),
        ceiling=scale.ceiling if failed.any() else None,
        notes=(*told, *gone, str(rates["description"])),
        upright=None if edge is None else (float(edge), f"edge {edge:.2g}"),
    )


#: Lines are hidden in all charts that have one of the same number: each chart has its own, of the same colours.
_ALIKE = 24
_TOP, _LIMIT, _BOTTOM = _ALIKE, _ALIKE + 1, _ALIKE + 2
_GRADIENT, _UPDATE = 2 * _ALIKE, 2 * _ALIKE + 1
_FIRST_ACTIVATION = 3 * _ALIKE
#: Widths of a curvature's spread from the lowest to the highest, and the share of the highest density that is shown.
_PLACES, _LOWEST = 100, 1e-5


def along_picture(along: Mapping[str, Any]) -> Picture:
    """The top curvature by step, beside the limit of the learning rate, and the lowest one.

    Args:
        along: What `Diagnosis.to_json` gives under "along".
    """
    names = ("steps", "top", "limits", "bottom")
    steps, top, limits, bottom = (_array(along[name]) for name in names)
    highest = 2 * float(np.nanmax(top))  # where a rate decays the limit goes beyond all bounds
    near = np.where(limits <= highest, limits, np.nan)
    marks = [Mark("line", _TOP, {"step": steps}, top), Mark("dots", _TOP, {"step": steps}, top)]
    key = {_TOP: "top curvature"}
    notes = [f"Measured {_condition(along)}, along a run of {along['optimizer']}."]
    if np.isfinite(near).any():
        marks.append(Mark("line", _LIMIT, {"step": steps}, near))
        key[_LIMIT] = "limit of the learning rate"
        notes.insert(0, "Above the limit of its learning rate descent diverges on a quadratic.")
    elif np.isfinite(limits).any():
        notes.insert(0, f"The limit of the learning rate is above {highest:.3g} all the way.")
    marks.append(Mark("line", _BOTTOM, {"step": steps}, bottom))
    key[_BOTTOM] = "lowest curvature"
    rows = tuple(tuple(shown_number(float(one)) for one in row) for row in zip(steps, top, limits, bottom, strict=True))
    return Picture(
        "Curvature along the run", {"step": Axis("step")}, Axis("curvature"), tuple(marks), key,
        Table(("step", "top", "limit", "lowest"), rows), notes=tuple(notes),
    )  # fmt: skip


def spectrum_picture(spectrum: Mapping[str, Any]) -> Picture:
    """The density of the curvatures, each spread a little.

    Args:
        spectrum: What `Diagnosis.to_json` gives under "spectrum".
    """
    nodes, weights = _array(spectrum["nodes"]), _array(spectrum["weights"])
    width = float(np.ptp(nodes)) / _PLACES or 1.0
    places = np.linspace(nodes.min() - 4 * width, nodes.max() + 4 * width, 4 * _PLACES)
    heights = np.exp(-(((places[:, None, None] - nodes) / width) ** 2) / 2) * weights / (math.sqrt(2 * math.pi) * width)
    each = heights.sum(2)
    density = each.mean(1)
    low = float(density.max()) * _LOWEST
    return Picture(
        "Density of the curvatures", {"curvature": Axis("curvature")},
        Axis("density", logarithmic=True, view=(low, 2 * float(density.max()))),
        (*(Mark("faint", 0, {"curvature": places}, np.where(own >= low, own, np.nan)) for own in each.T),
         Mark("line", 0, {"curvature": places}, np.where(density >= low, density, np.nan))), {},
        Table(("curvature", "density"),
              tuple((f"{place:.3g}", shown_number(float(one)))
                    for place, one in zip(places[::20], density[::20], strict=True))),
        notes=(f"From {counted(len(nodes), 'random vector')}, each a faint line, {_condition(spectrum)}; a curvature "
               f"is spread by {width:.2g}.",),
    )  # fmt: skip


def signals_picture(signals: Mapping[str, Any], updates: Mapping[str, Any] | None) -> Picture:
    """The gradient of each layer by depth, and how far a step moves it, both measured by the length of its weights.

    Args:
        signals: What `Diagnosis.to_json` gives under "signals".
        updates: Likewise; None where no updates were measured.
    """
    layers = signals["layers"]
    names = [layer["name"] for layer in layers]
    places = np.arange(len(names), dtype=np.float64)
    gradients = np.array(
        [layer["gradient_norm"] / layer["weight_norm"] if layer["weight_norm"] else np.nan for layer in layers]
    )
    columns = {"gradient": gradients}
    marks = [*_through(_GRADIENT, places, gradients)]
    key = {_GRADIENT: "gradient"}
    if updates is not None:
        found = {
            name.rpartition(".")[0]: own
            for name, own in zip(updates["layers"], _array(updates["ratios"]).T, strict=True)
        }
        nothing = np.full(len(updates["seeds"]), np.nan)
        ratios = np.array([found.get(name, nothing) for name in names])
        columns["update"] = np.median(ratios, 1)
        marks += _through(_UPDATE, places, columns["update"])
        marks.append(Mark("band", _UPDATE, {"layer": places}, _positive(ratios.min(1)), _positive(ratios.max(1))))
        key[_UPDATE] = f"update of a step of {updates['optimizer']}"
    rows = tuple(
        (name, *(shown_number(float(values[place])) for values in columns.values())) for place, name in enumerate(names)
    )
    return Picture(
        "Gradients and updates by depth", {"layer": Axis("layer", ticks=tuple(names))},
        Axis("share of the weights' length", logarithmic=True), tuple(marks), key,
        Table(("layer", *columns), rows), notes=(f"Gradients {_condition(signals)}.",),
    )  # fmt: skip


def activations_picture(signals: Mapping[str, Any]) -> Picture:
    """The mean and the spread of each activation by depth, and the share of its units that are dead.

    Args:
        signals: What `Diagnosis.to_json` gives under "signals".
    """
    every = signals["activations"]
    names = [f"{one['kind']} {number}" for number, one in enumerate(every, 1)]
    places = np.arange(len(names), dtype=np.float64)
    columns = {
        "mean": np.array([one["mean"] for one in every]),
        "spread": np.array([one["spread"] for one in every]),
        "share of dead units": np.array([one["dead"] / one["units"] for one in every]),
    }
    marks = [
        mark
        for number, values in enumerate(columns.values(), _FIRST_ACTIVATION)
        for mark in (Mark("line", number, {"activation": places}, values),
                     Mark("dots", number, {"activation": places}, values))
    ]  # fmt: skip
    rows = tuple(
        (name, one["after"], shown_number(one["mean"]), shown_number(one["spread"]), f"{one['dead']} of {one['units']}")
        for name, one in zip(names, every, strict=True)
    )
    return Picture(
        "Activations by depth", {"activation": Axis("activation", ticks=tuple(names))}, Axis("output"), tuple(marks),
        dict(enumerate(columns, _FIRST_ACTIVATION)),
        Table(("activation", "after layer", "mean", "spread", "dead units"), rows),
        notes=(f"A unit is dead that passes no gradient on for any example; {_condition(signals)}.",),
    )  # fmt: skip


def _through(number: int, places: Array, values: Array) -> Sequence[Mark]:
    shown = _positive(values)
    return Mark("line", number, {"layer": places}, shown), Mark("dots", number, {"layer": places}, shown)


def _positive(values: Array) -> Array:
    """The values that a logarithmic axis has a place for."""
    return np.where(values > 0, values, np.nan)


def _array(values: Any) -> Array:
    """Numbers of the data, with NaN for None."""
    return np.array(values, np.float64)
