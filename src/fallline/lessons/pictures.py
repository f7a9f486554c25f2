"""A lesson's picture from its numbers: lines over steps or settings, and intervals of what several seeds came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fallline._text import counted
from fallline.lessons.lesson import measured
from fallline.pages.charts.picture import Axis, Mark, Picture, Table, shown_number
from fallline.pages.charts.race_data import FEWEST_SEEDS, median

Array = NDArray[np.float64]

_POINTS = 200  # of a line that are drawn
_ROWS = 12  # of its table


def lines(
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    log_x: bool = False,
    log_y: bool = False,
    upright: tuple[float, str] | None = None,
    notes: Sequence[str] = (),
) -> Picture:
    """Draw a line for each series; of several seeds the median, with its interval and the seeds behind.

    Args:
        title: What is to be seen.
        x_label: What x counts.
        y_label: What y measures.
        series: By name, x [points] and y [points] or [seeds, points]. NaN, as of runs that diverged, ranks as highest.
        log_x: Whether x has a logarithmic scale.
        log_y: Whether y has; what is not above 0 then has no place.
        upright: A place on x that a line marks, and what it is.
        notes: What the chart alone does not say.

    Returns:
        The picture.

    >>> lines("Loss", "step", "loss", {"sgd": ([0, 1, 2], [[3, 2, 1], [4, 2, 1], [3, 2, 2]])}).table.rows[0]
    ('sgd', '0', '3', '3', '4', '3')
    """
    marks: list[Mark] = []
    rows: list[tuple[str, ...]] = []
    for number, (name, (across, up)) in enumerate(series.items()):
        x, y = np.asarray(across, np.float64), np.atleast_2d(np.asarray(up, np.float64))
        drawn = np.unique(np.linspace(0, x.size - 1, min(x.size, _POINTS)).round().astype(int))
        x, y = x[drawn], y[:, drawn]
        found = median(y, higher_is_better=False)
        for place in np.unique(np.linspace(0, x.size - 1, min(x.size, _ROWS)).round().astype(int)):
            ends = (found.value, found.low, found.high) if len(y) > 1 else (found.value,)
            cells = [shown_number(end[place]) for end in ends] + [""] * (3 - len(ends))
            rows.append((name, f"{x[place]:.4g}", *cells, str(len(y))))
        shown, middle, low, high = (
            _on(end, log_y) for end in (y, *(getattr(found, name) for name in ("value", "low", "high")))
        )
        if len(y) >= FEWEST_SEEDS:
            there = np.isfinite(low) & np.isfinite(high)
            gap = np.full((len(y), 1), np.nan)
            runs = np.hstack([np.tile(x, (len(y), 1)), gap]).ravel()
            marks += [
                Mark("band", number, {"x": x[there]}, low[there], high[there]),
                Mark("faint", number, {"x": runs}, np.hstack([shown, gap]).ravel()),
            ]
        marks.append(Mark("line", number, {"x": x}, middle))
    seeds = {len(np.atleast_2d(np.asarray(up))) for _, up in series.values()}
    over = [f"Lines are medians of {_counts(seeds)}, bands the interval of the median."] if max(seeds) > 1 else []
    return Picture(
        title,
        {"x": Axis(x_label, log_x)},
        Axis(y_label, log_y),
        tuple(marks),
        dict(enumerate(series)),
        Table(("line", x_label, y_label, "low", "high", "seeds"), tuple(rows)),
        notes=(*over, *notes),
        upright=upright,
    )


def intervals(
    title: str,
    x_label: str,
    values: Mapping[str, Mapping[str, ArrayLike]],
    *,
    log: bool = False,
    upright: tuple[float, str] | None = None,
    notes: Sequence[str] = (),
) -> Picture:
    """Draw numbers by condition: a row for each, and in it each series' mean with its interval, and its seeds.

    Args:
        title: What is to be seen.
        x_label: What the numbers are.
        values: By series, then by condition, one number or one a seed [seeds]; a lone series may be called "".
        log: Whether the scale is logarithmic; means are geometric then.
        upright: A number that a line marks, and what it is.
        notes: What the chart alone does not say.

    Returns:
        The picture.

    >>> picture = intervals("Steps", "steps", {"sgd": {"flat": [3, 5], "steep": [9, 9]}, "adam": {"flat": 2.0}})
    >>> picture.y.ticks, picture.table.rows[0][:3]
    (('steep', 'flat'), ('flat', 'sgd', '4'))
    """
    conditions = list(dict.fromkeys(condition for one in values.values() for condition in one))
    marks: list[Mark] = []
    rows: list[tuple[str, ...]] = []
    seeds = {np.size(numbers) for one in values.values() for numbers in one.values()}
    for row, condition in enumerate(conditions):
        for number, (name, one) in enumerate(values.items()):
            if condition not in one:
                continue
            found = _on(np.ravel(np.asarray(one[condition], np.float64)), log)
            height = len(conditions) - 1 - row + 0.6 * ((len(values) - 1) / 2 - number) / len(values)
            check = measured("", found, ratio=log) if found.size > 1 else None
            middle = check.estimate if check else float(found[0])
            marks += [Mark("dots", number, {"x": np.array([middle])}, np.array([height]))]
            ends = ("", "")
            if check:
                ends = (shown_number(check.low), shown_number(check.high))
                marks += [
                    Mark("interval", number, {"x": np.array([check.low, check.high])}, np.full(2, height)),
                    Mark("hollow", number, {"x": found}, np.full(found.size, height - 0.12)),
                ]
            rows.append((condition, name, shown_number(middle), *ends, str(found.size)))
    mean = "geometric mean" if log else "mean"
    over = [f"Filled: the {mean} of {_counts(seeds)} with its 95 % interval; hollow: each seed."]
    return Picture(
        title,
        {"x": Axis(x_label, log)},
        Axis("", ticks=tuple(reversed(conditions)), view=(-0.6, len(conditions) - 0.4)),
        tuple(marks),
        {number: name for number, name in enumerate(values) if name},
        Table(("condition", "series", x_label, "low", "high", "seeds"), tuple(rows)),
        notes=(*(over if max(seeds) > 1 else ()), *notes),
        upright=upright,
    )


def _on(values: Array, logarithmic: bool) -> Array:
    """The values that have a place on the scale, NaN for the others."""
    return np.where(np.isfinite(values) & ((values > 0) | (not logarithmic)), values, np.nan)


def _counts(seeds: set[int]) -> str:
    """How many seeds; what has a single number was not drawn."""
    return counted(max(seeds), "seed")
