"""Charts as a page holds them: still for a first look, as data for Plotly, and Plotly itself."""

from __future__ import annotations

import gzip
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

from fallline.pages.charts.picture import Picture
from fallline.pages.charts.renderers import live
from fallline.pages.charts.stills import still


def embedded(picture: Picture, above: Sequence[str] = (), *, few: int = 0) -> dict[str, Any]:
    """What the template `figure.html` draws: the picture, and its notes but for those that stand above it.

    With `few`, arms and single runs are picked elsewhere on the page, and the still chart has the medians of the first
    few arms alone; without, it has a picker of its own and all that there is.
    """
    first = [arm for arm in picture.key if arm < few] or [*picture.key][:few]
    still_one = picture.medians().of(first) if few and picture.key else picture
    return {
        "picked_here": not few,
        "first": [*still_one.key],
        "picture": picture,
        "notes": [note for note in picture.notes if note not in above],
        "still": f"data:image/svg+xml,{quote(still(still_one), safe=_SAFE)}",
        "live": live(picture),
    }


#: Characters that stand for themselves in an address and in an attribute, so that the still charts stay small.
_SAFE = " /:=;,.()-_!*?@+{}[]|~^$"


@cache
def plotly() -> tuple[str, str]:
    """Plotly's script, as it is and packed."""
    from plotly.offline import get_plotlyjs

    script = str(get_plotlyjs())
    return script, packed(script)


def packed(text: str) -> str:
    """Text, compressed, in base64; the same text gives the same."""
    return b64encode(gzip.compress(text.encode(), mtime=0)).decode()
