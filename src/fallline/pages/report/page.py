"""The report's page, put together from a race's plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fallline.pages import player
from fallline.pages.assets import asset, template
from fallline.pages.charts.budget import budget, budget_picture
from fallline.pages.charts.curves import curves, curves_picture, quantities
from fallline.pages.charts.finals import finals, finals_picture
from fallline.pages.charts.searched import dimensions, searched, searched_picture
from fallline.pages.charts.slices import slices_picture
from fallline.pages.charts.live import live
from fallline.pages.charts.picture import Picture, shown_number
from fallline.pages.charts.race_data import RaceData, read_race
from fallline.pages.charts.still import drawn
from fallline.pages.palette import COLOURS, dash, symbol
from fallline.pages.report.downloads import packed, race_json, runs_csv
from fallline.pages.report.landscape import missing, scenes, slices_of
from fallline.pages.report.leaderboard import leaderboard
from fallline.pages.report.measured import measured, not_tuned
from fallline.pages.report.policy import policy
from fallline.racing.wording import listed

if TYPE_CHECKING:
    from jinja2 import Template


def write_report(data: Mapping[str, Any], path: str | Path) -> None:
    """Write a race's report, one HTML page that needs no network, from what `RaceResult.to_json` gives.

    Raises ValueError, in a sentence, for data that are no race's, and OSError where nothing can be written.
    """
    Path(path).write_text(report_page(data), encoding="utf-8")


def report_page(data: Mapping[str, Any]) -> str:
    """The page as text; see `write_report`."""
    race = read_race(data)
    script, found = _asset("report.js"), slices_of(data, race)
    lines, planes = ([one for one in found if len(one.offsets) == count] for count in (1, 2))
    maps = [player.player(scene) for plane in planes for scene in scenes(plane)]
    scripts = [script, *([player.script()] if maps else [])]
    return _template().render(
        race=race,
        headline=_headline(race),
        board=leaderboard(race),
        scores=_chart(finals_picture(finals(race))),
        curves=[_chart(curves_picture(curves(race, what))) for what in quantities(race)],
        sensitivity=_searched(race, rate=True),
        budget=_chart(budget_picture(budget(race))),
        panels=_searched(race, rate=False),
        measured=measured(race),
        not_tuned=not_tuned(race),
        data=packed(race_json(data)),
        runs=packed(runs_csv(data)),
        policy=policy([*scripts, _plotly()]),
        lines=[_chart(slices_picture(one)) for one in lines],
        maps=maps,
        missing=missing(found, race),
        scripts=scripts,
        style=_asset("report.css") + (player.stylesheet() if maps else ""),
        plotly=_packed_plotly(),
        colours=COLOURS,
        dash=dash,
        symbol=symbol,
    )


@dataclass(frozen=True, eq=False)
class _Chart:
    """A chart as the page holds it: computed, still and for Plotly."""

    picture: Picture
    still: str
    live: dict[str, Any]


def _chart(picture: Picture) -> _Chart:
    still = drawn([picture], "svg", bare=True).decode()
    return _Chart(picture, f"data:image/svg+xml,{quote(still, safe=_SAFE)}", live(picture))


_MOST_NAMES = 4
#: Characters that stand for themselves in an address and in an attribute, so that the still charts stay small.
_SAFE = " /:=;,.()-_!*?@+{}[]|~^$"


def _searched(race: RaceData, *, rate: bool) -> list[_Chart]:
    names = [name for name in dimensions(race) if (name == "lr") == rate]
    return [_chart(searched_picture(searched(race, name))) for name in names]


def _headline(race: RaceData) -> str:
    """The verdict in few words. A race too short to name a winner calls nothing a tie either."""
    winner, first = race.verdict["winner"], race.verdict["ranking"][0]
    if winner is not None:
        return f"Winner: {winner}"
    group = next((group for group in race.verdict["ties"] if first in group), ())
    if not group or not race.protocol.get("names_winner", False):
        return "No winner is named"
    return f"A tie: {listed(group)}" if len(group) <= _MOST_NAMES else f"A tie of {len(group)} arms"


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@cache
def _packed_plotly() -> str:
    return packed(_plotly())


def _asset(name: str) -> str:
    return asset(__package__, name)


@cache
def _template() -> Template:
    return template(__package__, "report.html", short=shown_number)
