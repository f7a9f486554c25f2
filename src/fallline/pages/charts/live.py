"""A picture as Plotly draws it in a page: traces and layout as plain data, colours left to the page's theme."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np

from fallline.pages.charts.picture import Array, Axis, Mark, Picture
from fallline.pages.palette import dash, symbol

_DIGITS = 5
_FEW_DECADES = 3


def live(picture: Picture) -> dict[str, Any]:
    """What the report's script hands to Plotly.

    `traces` have the arm's number and the kind of mark under "meta", so that the script can colour and hide them;
    `x` gives, for each axis to choose, its title and every trace's numbers.
    """
    return {
        "traces": [_trace(picture, mark) for mark in picture.marks],
        "layout": _layout(picture),
        "x": {
            name: {"title": _literal(axis.label), "values": [_across(mark, mark.x[name]) for mark in picture.marks]}
            for name, axis in picture.x.items()
        },
    }


def _trace(picture: Picture, mark: Mark) -> dict[str, Any]:
    first = next(iter(mark.x.values()))
    label = picture.key.get(mark.arm, "")
    trace: dict[str, Any] = {
        "type": "scatter", "x": _across(mark, first), "y": _up(mark), "name": _literal(label), "showlegend": False,
        "meta": {"arm": mark.arm, "kind": mark.kind},
    }  # fmt: skip
    if mark.kind in ("band", "faint"):
        trace |= {"mode": "lines", "hoverinfo": "skip"}
    else:
        trace["hovertemplate"] = ("%{fullData.name}<br>" if label else "") + "%{x:.4~g}, %{y:.4~g}<extra></extra>"
    if mark.kind == "band":
        trace |= {"fill": "toself", "line": {"width": 0}}
    elif mark.kind == "faint":
        trace["line"] = {"width": 1}
    elif mark.kind in ("line", "interval"):
        lengths = dash(mark.arm) if mark.kind == "line" else ()
        trace |= {"mode": "lines", "line": {"width": 2, "dash": ",".join(f"{one}px" for one in lengths) or "solid"}}
    else:
        shape = "x" if mark.kind == "crosses" else symbol(mark.arm)[0]
        hollow = "-open" if mark.kind == "hollow" else ""
        trace |= {"mode": "markers", "marker": {"symbol": shape + hollow, "size": 8}}
    return trace


def _literal(text: str) -> str:
    """Text that Plotly shows as it is, where it would read tags."""
    return escape(text, quote=False)


def _across(mark: Mark, x: Array) -> list[float | None]:
    """A band goes there and back."""
    return _rounded(np.r_[x, x[::-1]] if mark.top is not None else x)


def _up(mark: Mark) -> list[float | None]:
    return _rounded(mark.y if mark.top is None else np.r_[mark.y, mark.top[::-1]])


def _rounded(values: Iterable[float]) -> list[float | None]:
    """In few digits, with None for what isn't finite."""
    return [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in values]


def _layout(picture: Picture) -> dict[str, Any]:
    name, across = next(iter(picture.x.items()))
    layout: dict[str, Any] = {
        "xaxis": _axis(across, [mark.x[name] for mark in picture.marks]),
        "yaxis": _axis(picture.y, [mark.y for mark in picture.marks]),
    }
    if picture.ceiling is not None:
        place = float(np.log10(picture.ceiling)) if picture.y.logarithmic else picture.ceiling
        layout["shapes"] = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": picture.ceiling, "y1": picture.ceiling,
             "line": {"width": 1, "dash": "dot"}, "layer": "below"}
        ]  # fmt: skip
        layout["annotations"] = [
            {"text": "diverged or off the scale", "xref": "paper", "x": 1, "xanchor": "right", "y": place,
             "yanchor": "bottom", "showarrow": False, "font": {"size": 11}}
        ]  # fmt: skip
    return layout


def _axis(axis: Axis, values: list[Array]) -> dict[str, Any]:
    found: dict[str, Any] = {"title": {"text": _literal(axis_title(axis))}, "automargin": True, "zeroline": False}
    if axis.logarithmic:
        # Over few powers of ten, 1, 2 and 5 of each are named.
        many = _decades(values) > _FEW_DECADES
        found |= {"type": "log", "dtick": 1 if many else "D2", "exponentformat": "power" if many else "none"}
    if axis.ticks:
        found |= {"tickvals": list(range(len(axis.ticks))), "ticktext": [_literal(tick) for tick in axis.ticks]}
    if axis.view is not None:
        found["range"] = [float(np.log10(end)) for end in axis.view] if axis.logarithmic else list(axis.view)
    return found


def _decades(values: list[Array]) -> float:
    every = np.concatenate([np.empty(0), *values])
    positive = every[(every > 0) & np.isfinite(every)]
    return float(np.log10(positive.max()) - np.log10(positive.min())) if len(positive) else 0.0


def axis_title(axis: Axis) -> str:
    """The label, and that a scale is logarithmic.

    >>> axis_title(Axis("validation loss", logarithmic=True))
    'validation loss (log scale)'
    """
    return f"{axis.label} (log scale)" if axis.logarithmic else axis.label
