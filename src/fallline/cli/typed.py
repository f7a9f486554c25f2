"""What is typed as one word: lists, shares and times."""

from __future__ import annotations

import re

from fallline.cli.console import fail


def seconds_of(text: str) -> float:
    """The seconds of a time such as 90s, 5min or 2h."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h)", text.strip())
    if found is None:
        fail(f"--until {text}: give a number and its unit, such as 90s, 5min or 2h")
    return float(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]]


def listed_in(text: str) -> list[str]:
    """What stands between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
