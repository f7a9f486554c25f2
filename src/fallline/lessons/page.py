"""The page of all lessons, which holds everything and asks nothing of the network: each lesson on one screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fallline._text import counted, listed
from fallline.lessons.lesson import outcome_of
from fallline.lessons.registry import LESSONS
from fallline.lessons.result import Result
from fallline.pages import player
from fallline.pages.assets import COLOURS, asset, dash, policy, symbol, template
from fallline.pages.charts.embedded import embedded, plotly
from fallline.pages.player import Scene

_MANY_ROWS, _LONG_KEY = 10, 6
#: Of each finding, the badge's class and how the summary counts it.
_FINDINGS = {
    "holds": ("holds", "held"),
    "holds under these conditions": ("partly", "held under some of the conditions"),
    "does not hold here": ("fails", "did not hold here"),
    "was not shown to hold": ("open", "could not be shown to hold"),
}


def lessons_page(results: Sequence[tuple[Result, str]]) -> str:
    """The page as text.

    Args:
        results: What was measured, and for each a sentence on where it is from.

    Returns:
        One HTML page, complete with scripts off.
    """
    scripts = [asset("report.js"), player.script()]
    plotly_script, packed_plotly = plotly()
    return template("lessons.html").render(
        lessons=[_shown(result, origin) for result, origin in results],
        summary=_summary([result for result, _ in results]),
        missing=_missing([result for result, _ in results]),
        classes={finding: name for finding, (name, _) in _FINDINGS.items()},
        policy=policy([*scripts, plotly_script]),
        scripts=scripts,
        style=asset("report.css") + player.stylesheet() + asset("lessons.css"),
        plotly=packed_plotly,
        colours=COLOURS,
        dash=dash,
        symbol=symbol,
    )


def _shown(result: Result, origin: str) -> dict[str, Any]:
    picture: Any = result.evidence.picture
    moving = isinstance(picture, Scene)
    return {
        "result": result,
        "origin": origin,
        "player": player.player(picture) if moving else None,
        # Beside many numbers there is no room for all of the rest.
        "long": len(result.evidence.checks) + len(result.conditions) > _MANY_ROWS,
        "beneath": not moving and len(picture.key) <= _LONG_KEY,
        "shape": picture.shape if moving else 1.0,
        "chart": None if moving else embedded(picture),
        "outcomes": {condition: outcome_of(checks) for condition, checks in result.conditions.items()},
    }


def _summary(results: Sequence[Result]) -> str:
    counts = Counter(result.finding for result in results)
    told = [f"{counts[finding]} {counted_as}" for finding, (_, counted_as) in _FINDINGS.items() if counts[finding]]
    return f"Of {counted(len(results), 'claim')}, {listed(told)}." if told else "No lesson has been run."


def _missing(results: Sequence[Result]) -> str:
    there = {result.lesson.number for result in results}
    missing = [str(lesson.number) for lesson in LESSONS if lesson.number not in there]
    return f"Not run yet: {listed(missing)}; `fallline lessons {' '.join(missing)}` does." if missing else ""
