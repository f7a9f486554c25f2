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


def embedded(picture: Picture, above: Sequence[str] = ()) -> dict[str, Any]:
    """What the template `figure.html` draws: the picture, and its notes but for those that stand above it."""
    return {
        "picture": picture,
        "notes": [note for note in picture.notes if note not in above],
        "still": f"data:image/svg+xml,{quote(still(picture), safe=_SAFE)}",
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
