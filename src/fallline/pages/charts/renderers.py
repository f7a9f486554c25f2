"""The two that draw a picture: Matplotlib for papers, Plotly in a page."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from fallline._text import shortened
from fallline.pages.assets import colour, dash, rounded, symbol
from fallline.pages.charts.picture import Array, Axis, Mark, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_PANEL = (5.0, 3.4)  # inches
_NARROWEST = 2.5  # of a panel, and of a column of the key
_TITLE = 2.6  # points of a title's letters for each inch of its panel
_KEY_ROW = 0.22
_LONGEST_NAME = 48  # characters
_RESOLUTION = 200  # dots an inch
#: The same picture gives the same bytes.
_SETTINGS: Any = {"svg.hashsalt": "fallline", "font.size": 9.0, "pdf.fonttype": 42}


def drawn(pictures: Sequence[Picture], kind: str, *, x: str | None = None, width: float | None = None) -> bytes:
    """Draw pictures side by side, over one key, as a file of the kind "png", "svg" or "pdf".

    `x` chooses the axis among those of the pictures. All of it is `width` inches wide, with the pictures beneath each
    other where that leaves too little for several beside each other.
    """
    from matplotlib import rc_context

    with rc_context(_SETTINGS), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        file = io.BytesIO()
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        _figure(pictures, x, width).savefig(file, format=kind, dpi=_RESOLUTION, metadata=dates.get(kind))
    return file.getvalue()


def _figure(pictures: Sequence[Picture], x: str | None, width: float | None) -> Figure:
    from matplotlib.figure import Figure

    key = pictures[0].key
    width = _PANEL[0] * len(pictures) if width is None else width
    beside = max(1, min(len(pictures), int(width / _NARROWEST)))
    beneath = -(-len(pictures) // beside)
    columns = max(1, int(width / _NARROWEST))
    room = _KEY_ROW * -(-len(key) // columns)
    rows = max((len(picture.y.ticks) for picture in pictures), default=0)
    height = max(_PANEL[1] / _PANEL[0] * max(width / beside, _NARROWEST), 0.8 + 0.25 * rows)
    figure = Figure(figsize=(width, beneath * height + room), layout="constrained")
    places = figure.subplots(beneath, beside, squeeze=False).ravel()
    for empty in places[len(pictures) :]:
        empty.set_axis_off()
    for axes, picture in zip(places, pictures, strict=False):
        _draw(axes, picture, next(iter(picture.x)) if x is None else x)
        pad = None if picture.upright is None else 16.0  # room for what is marked
        axes.set_title(
            picture.title, fontsize=min(10.0, _TITLE * width / beside), loc="left", pad=pad, parse_math=False
        )
    if key:
        _add_key(figure, key, columns)
    return figure


def _draw(axes: Axes, picture: Picture, x: str) -> None:
    _set_axis(axes, "x", picture.x[x], [mark.x[x] for mark in picture.marks])
    _set_axis(axes, "y", picture.y, [mark.y for mark in picture.marks])
    for mark in picture.marks:
        _add(axes, mark, x)
    if picture.ceiling is not None:
        axes.axhline(picture.ceiling, color="0.6", linewidth=0.6, linestyle=":", zorder=0)
        right = axes.get_yaxis_transform()
        axes.text(
            1.0, picture.ceiling, "diverged or off the scale", fontsize=7, ha="right", va="bottom", transform=right
        )
    if picture.upright is not None:
        place, text = picture.upright
        axes.axvline(place, color="0.4", linewidth=0.8, linestyle=":", zorder=0)
        top = axes.get_xaxis_transform()
        axes.text(place, 1.0, text, fontsize=7, ha="center", va="bottom", transform=top, parse_math=False)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _set_axis(axes: Axes, which: str, axis: Axis, values: Sequence[Array]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    settings: dict[str, Any] = {f"{which}label": axis_title(axis)}
    if axis.logarithmic:
        settings[f"{which}scale"] = "log"
    if axis.ticks:
        settings |= {f"{which}ticks": range(len(axis.ticks)), f"{which}ticklabels": axis.ticks}
    if axis.view is not None:
        settings[f"{which}lim"] = axis.view
    axes.set(**settings)
    own = axes.xaxis if which == "x" else axes.yaxis
    if axis.logarithmic and (places := between(values)):
        own.set_major_locator(FixedLocator(places))
        own.set_major_formatter("{x:g}")
        own.set_minor_locator(NullLocator())
    # What is called with dollar signs is not meant as a formula.
    for text in (own.label, *(own.get_ticklabels() if axis.ticks else ())):
        text.set_parse_math(False)


def _add(axes: Axes, mark: Mark, x: str) -> None:
    across, ink, shape = mark.x[x], colour(mark.arm)[0], symbol(mark.arm)[1]
    if mark.kind == "band":
        axes.fill_between(across, mark.y, mark.top, color=ink, alpha=0.15, linewidth=0)  # type: ignore[arg-type]
    elif mark.kind == "faint":
        axes.plot(across, mark.y, color=ink, alpha=0.2, linewidth=0.4)
    elif mark.kind in ("line", "interval"):
        style = _dashes(mark.arm) if mark.kind == "line" else "solid"
        axes.plot(across, mark.y, color=ink, linewidth=1.4, linestyle=style)
    elif mark.kind == "crosses":
        axes.plot(across, mark.y, color=ink, linestyle="none", marker="x", markersize=5, zorder=4)
    else:
        face = "none" if mark.kind == "hollow" else ink
        axes.plot(across, mark.y, color=ink, linestyle="none", marker=shape, markersize=4, markerfacecolor=face)


def _dashes(arm: int) -> Any:
    lengths = dash(arm)
    return (0, lengths) if lengths else "solid"


def _add_key(figure: Figure, key: Mapping[int, str], columns: int) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour(arm)[0], linestyle=_dashes(arm), linewidth=1.4,
               marker=symbol(arm)[1], markersize=4)
        for arm in key
    ]  # fmt: skip
    names = [shortened(name, _LONGEST_NAME) for name in key.values()]
    legend = figure.legend(handles, names, loc="outside lower left", ncols=columns, fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


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
    return rounded(np.r_[x, x[::-1]] if mark.top is not None else x, _DIGITS)


def _up(mark: Mark) -> list[float | None]:
    return rounded(mark.y if mark.top is None else np.r_[mark.y, mark.top[::-1]], _DIGITS)


def _layout(picture: Picture) -> dict[str, Any]:
    name, across = next(iter(picture.x.items()))
    layout: dict[str, Any] = {
        "xaxis": _axis(across, [mark.x[name] for mark in picture.marks]),
        "yaxis": _axis(picture.y, [mark.y for mark in picture.marks]),
    }
    lines = []
    if picture.ceiling is not None:
        lines.append(_marked("y", picture.y, picture.ceiling, "diverged or off the scale", "right"))
    if picture.upright is not None:
        lines.append(_marked("x", across, *picture.upright, "center"))
    if lines:
        layout["shapes"], layout["annotations"] = (list(parts) for parts in zip(*lines, strict=True))
    return layout


def _marked(which: str, axis: Axis, place: float, text: str, anchor: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A line through the chart at a place of an axis, and the text at its right or its upper end."""
    other = "x" if which == "y" else "y"
    at = float(np.log10(place)) if axis.logarithmic else place
    line = {
        "type": "line", f"{other}ref": "paper", f"{other}0": 0, f"{other}1": 1, f"{which}0": place, f"{which}1": place,
        "line": {"width": 1, "dash": "dot"}, "layer": "below",
    }  # fmt: skip
    told = {
        "text": _literal(text), f"{other}ref": "paper", other: 1, which: at, "xanchor": anchor, "yanchor": "bottom",
        "showarrow": False, "font": {"size": 11},
    }  # fmt: skip
    return line, told


def _axis(axis: Axis, values: Sequence[Array]) -> dict[str, Any]:
    found: dict[str, Any] = {"title": {"text": _literal(axis_title(axis))}, "automargin": True, "zeroline": False}
    if axis.logarithmic:
        places = between(values)
        found |= {"type": "log", "dtick": 1, "exponentformat": "power"}
        found |= {"tickvals": places, "ticktext": [f"{place:g}" for place in places]} if places else {}
    if axis.ticks:
        found |= {"tickvals": list(range(len(axis.ticks))), "ticktext": [_literal(tick) for tick in axis.ticks]}
    if axis.view is not None:
        found["range"] = [float(np.log10(end)) for end in axis.view] if axis.logarithmic else list(axis.view)
    return found


def between(values: Sequence[Array]) -> list[float]:
    """What is named on a logarithmic axis over few powers of ten: these and what lies between; nothing over many."""
    every = np.concatenate([np.empty(0), *values])
    powers = np.log10(every[(every > 0) & np.isfinite(every)])
    if not len(powers) or np.ptp(powers) > _FEW_DECADES:
        return []
    digits = (1, 2, 5) if np.ptp(powers) > 1 else (1, 1.5, 2, 3, 5, 7)
    around = range(math.floor(powers.min()) - 1, math.ceil(powers.max()) + 1)
    places = (float(f"{digit}e{power}") for power in around for digit in digits)
    return [place for place in places if 0 < place < math.inf]


def axis_title(axis: Axis) -> str:
    """The label, and that a scale is logarithmic.

    >>> axis_title(Axis("validation loss", logarithmic=True))
    'validation loss (log scale)'
    """
    return f"{axis.label} (log scale)" if axis.logarithmic else axis.label
