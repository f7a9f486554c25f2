"""The small experiments below the picture, each computed by the library's own code.

Each takes the fields of a request and returns plain data: {title, sentence, series: [{name, x, y}], x, y, table:
{columns, rows}}, where x and y name the axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fallline.lab.fields import Fields
from fallline.lab.tabs.batch import batch
from fallline.lab.tabs.ema import ema
from fallline.lab.tabs.initialisation import initialisation
from fallline.lab.tabs.minima import minima
from fallline.lab.tabs.schedules import schedules
from fallline.lab.work import Ticket

TABS: dict[str, Callable[[Fields, Ticket], dict[str, Any]]] = {
    "ema": ema,
    "batch": batch,
    "schedules": schedules,
    "initialisation": initialisation,
    "minima": minima,
}
