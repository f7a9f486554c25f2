"""Points as the data of an SVG path: whole units, each relative to the last, none that changes nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def outline(points: ArrayLike, *, closed: bool = False) -> str:
    """Path data through points [n, 2] in the drawing's units; "" for less than two different points.

    >>> outline([[0, 0], [5, 0], [10, 0], [10, 10.2]])
    'M0 0l10 0 0 10'
    >>> outline([[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]], closed=True)
    'M0 0l10 0 0 10-10 0z'
    """
    whole = np.rint(np.asarray(points, np.float64)).astype(np.int64).reshape(-1, 2)
    moves = np.diff(whole, axis=0)
    kept = whole[np.r_[True, (moves != 0).any(1)]]
    if len(kept) > 2:
        before, after = np.diff(kept[:-1], axis=0), np.diff(kept[1:], axis=0)
        straight = (before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]) & ((before * after).sum(1) > 0)
        kept = kept[np.r_[True, ~straight, True]]
    if closed and (kept[0] == kept[-1]).all():
        kept = kept[:-1]  # z draws the last line
    if len(kept) < 2:
        return ""
    x, y = kept[0].tolist()
    # A minus sign parts two numbers as well as a space does.
    moved = " ".join(map(str, np.diff(kept, axis=0).ravel().tolist())).replace(" -", "-")
    return f"M{x} {y}l{moved}" + ("z" if closed else "")
