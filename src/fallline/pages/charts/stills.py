"""A chart as a small SVG picture: what a page shows on paper, and where scripts are off."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from fallline._text import printable, shortened
from fallline.pages.assets import colour, dash, symbol
from fallline.pages.charts.picture import Array, Axis, Mark, Picture
from fallline.pages.charts.renderers import axis_title, between

#: In pixels, as all that follows; a row of names takes at least so much, and a character about so much.
_WIDTH, _HEIGHT, _ROW, _CHARACTER = 480, 326, 24, 7
_TOP, _RIGHT, _BOTTOM = 18, 14, 46
_LONGEST_NAME, _MOST_TICKS = 32, 6
_LARGEST = 1e300  # beyond it differences may be infinite
_EXPONENT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def still(picture: Picture) -> str:
    """Draw a picture, without its title and its key, over the first of the axes to choose from.

    >>> still(Picture("", {"x": Axis("steps")}, Axis("loss"), (), {}, None)).count("<text")
    12
    """
    name, across = next(iter(picture.x.items()))
    height = max(_HEIGHT, _TOP + _BOTTOM + _ROW * len(picture.y.ticks))
    bottom = height - _BOTTOM
    heights = [one for mark in picture.marks for one in (mark.y, mark.top) if one is not None]
    up = _scale(picture.y, heights, bottom, _TOP)
    left = 30 + _CHARACTER * max((len(text) for _, text in up.ticks), default=0)
    x = _scale(across, [mark.x[name] for mark in picture.marks], left, _WIDTH - _RIGHT)
    right, middle = _WIDTH - _RIGHT, (_TOP + bottom) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="12" fill="none" stroke-width="1">',
        f'<clipPath id="c"><path d="M{left - 5} {_TOP - 5}H{right + 5}V{bottom + 5}H{left - 5}z"/></clipPath>',
        f'<path stroke="#000" d="M{left} {_TOP}V{bottom}H{right}"/>',
    ]
    for place, text in x.ticks:
        parts += [f'<path stroke="#000" d="M{place:.1f} {bottom}v4"/>', _text(place, bottom + 17, text, "middle")]
    for place, text in up.ticks:
        parts += [f'<path stroke="#000" d="M{left} {place:.1f}h-4"/>', _text(left - 7, place + 4, text, "end")]
    parts.append(_text((left + right) / 2, height - 8, axis_title(across), "middle"))
    if picture.y.label:
        turned = f' transform="rotate(-90 12 {middle:.1f})"'
        parts.append(_text(12, middle, axis_title(picture.y), "middle", turned))
    if picture.ceiling is not None:
        place = up.at(np.array([picture.ceiling]))[0]
        parts.append(f'<path stroke="#999" stroke-dasharray="1 2" d="M{left} {place:.1f}H{right}"/>')
        parts.append(_text(right, place - 3, "diverged or off the scale", "end", ' font-size="10"'))
    if picture.upright is not None:
        place, told = x.at(np.array([picture.upright[0]]))[0], picture.upright[1]
        parts.append(f'<path stroke="#666" stroke-dasharray="1 2" d="M{place:.1f} {_TOP}V{bottom}"/>')
        parts.append(_text(place, _TOP - 6, told, "middle", ' font-size="10"'))
    drawn = "".join(_drawn(mark, x.at(mark.x[name]), up) for mark in picture.marks)
    return f'{"".join(parts)}<g clip-path="url(#c)">{drawn}</g></svg>'


@dataclass(frozen=True)
class _Scale:
    """Where numbers stand: from `low` and `high`, powers of ten if `logarithmic`, to the pixels `begin` and `end`."""

    logarithmic: bool
    low: float
    high: float
    begin: float
    end: float
    ticks: tuple[tuple[float, str], ...] = ()

    def at(self, values: Array) -> Array:
        """The pixels of numbers, NaN where there is no place for them."""
        with np.errstate(all="ignore"):
            places = np.log10(np.where(values > 0, values, np.nan)) if self.logarithmic else np.asarray(values, float)
            found = self.begin + (places - self.low) / (self.high - self.low) * (self.end - self.begin)
        return np.where(np.isfinite(found), np.clip(found, -1e4, 1e4), np.nan)


def _scale(axis: Axis, values: list[Array], begin: float, end: float) -> _Scale:
    every = np.concatenate([np.empty(0), *values])
    every = every[np.isfinite(every) & ((every > 0) | (not axis.logarithmic))]
    shown = np.array(axis.view) if axis.view is not None else every if len(every) else np.array([1.0, 10.0])
    places = np.log10(shown) if axis.logarithmic else shown
    low, high = np.clip([places.min(), places.max()], -_LARGEST, _LARGEST).tolist()
    least = 1e-9 * max(abs(low), abs(high)) or 1.0
    room = max(0.0 if axis.view is not None else 0.05 * (high - low), least if high - low < least else 0.0)
    low, high = low - room, high + room
    bare = _Scale(axis.logarithmic, low, high, begin, end)
    ticks = dict(_ticks(axis, bare, values))
    pixels = bare.at(np.array([*ticks]))
    inside = (min(begin, end) - 0.5 <= pixels) & (pixels <= max(begin, end) + 0.5)
    found = zip(pixels[inside].tolist(), np.array([*ticks.values()], object)[inside], strict=True)
    return replace(bare, ticks=tuple(found))


def _ticks(axis: Axis, scale: _Scale, values: list[Array]) -> Iterator[tuple[float, str]]:
    """Numbers of an axis and what stands there."""
    if axis.ticks:
        yield from ((float(place), shortened(text, _LONGEST_NAME)) for place, text in enumerate(axis.ticks))
    elif not axis.logarithmic:
        rough = (scale.high - scale.low) / _MOST_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= rough * (1 - 1e-9))
        for number in range(math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9) + 1):
            yield number * step, f"{number * step:.6g}"
    elif places := between(values):
        yield from ((place, f"{place:g}") for place in places)
    else:
        powers = range(math.ceil(scale.low), math.floor(scale.high) + 1)
        for power_of_ten in powers[:: -(-len(powers) // _MOST_TICKS) or 1]:
            yield 10.0**power_of_ten, f"10{str(power_of_ten).translate(_EXPONENT)}"


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    told = escape(printable(text), quote=False)
    return f'<text fill="#000" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{told}</text>'


def _drawn(mark: Mark, x: Array, up: _Scale) -> str:
    """A mark whose points lie at the pixels `x` across."""
    ink, y = colour(mark.arm)[0], up.at(mark.y)
    if mark.kind == "band" and mark.top is not None:
        top = up.at(mark.top)
        parts = _stretches(x, y, top)
        paths = (f"M{_points(a, b)}L{_points(a[::-1], c[::-1])}z" for a, b, c in parts)
        return f'<path fill="{ink}" fill-opacity=".15" d="{"".join(paths)}"/>'
    if mark.kind in ("line", "interval", "faint"):
        line = "".join(f"M{_points(*part)}" for part in _stretches(x, y))
        if mark.kind == "faint":
            return f'<path stroke="{ink}" stroke-opacity=".2" stroke-width=".5" d="{line}"/>'
        dashes = " ".join(map(str, dash(mark.arm))) if mark.kind == "line" else ""
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        return f'<path stroke="{ink}" stroke-width="1.8"{dashed} d="{line}"/>'
    outline = "M-3-3 3 3M-3 3 3-3" if mark.kind == "crosses" else symbol(mark.arm)[2]
    look = f'fill="{ink}"' if mark.kind == "dots" else f'stroke="{ink}"'
    places = [point for part in _stretches(x, y) for point in zip(*part, strict=True)]
    symbols = (f'<path transform="translate({a:.1f} {b:.1f}) scale(.65)" d="{outline}"/>' for a, b in places)
    return f"<g {look}>{''.join(symbols)}</g>"


def _stretches(*coordinates: Array) -> list[tuple[Array, ...]]:
    """The stretches along which all coordinates are numbers."""
    sound = np.isfinite(np.stack(coordinates)).all(0)
    ends = np.flatnonzero(np.diff(np.r_[False, sound, False].astype(int)))
    return [tuple(one[a:b] for one in coordinates) for a, b in zip(ends[::2], ends[1::2], strict=True)]


def _points(x: Array, y: Array) -> str:
    return " ".join(f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
