"""The descent player's fragment: what it holds, and what it refuses."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from fallline.landscape import path, surfaces
from fallline.pages.player import Scene, Trajectory, message, player, scene_of, script, stylesheet, trajectory_of
from fallline.pages.player.scene import map_of
from fallline.pages.player.shapes import chart

SQUARE = ((-1.0, 1.0), (-1.0, 1.0))
BOWL = np.add.outer(np.linspace(-1, 1, 9) ** 2, np.linspace(-1, 1, 9) ** 2)
WAY = Trajectory("way", [[-1.0, -1.0], [0.0, 0.5]], [2, 0.25], 0.1)


def data_of(fragment: str) -> Any:
    found = re.findall(r'<script type="application/json" class="fl-scene">(.*?)</script>', fragment, re.DOTALL)
    (only,) = found
    return json.loads(only)


def test_holds_all_that_was_computed() -> None:
    found = path(surfaces.ravine, "adam", lr=0.2, steps=30)
    fragment = player(scene_of(surfaces.ravine, [found]))
    (one,) = data_of(fragment)["trajectories"]
    np.testing.assert_allclose(one["points"], found.points, rtol=1e-5)
    np.testing.assert_allclose(one["losses"], found.losses, rtol=1e-3)
    np.testing.assert_allclose(one["rates"], found.effective_rates, rtol=1e-2)
    assert one["learningRate"] == 0.2
    assert one["outcome"] == found.description
    assert "learning rate 0.2" in fragment
    assert found.description in fragment


def test_arrows_are_directions_on_the_map() -> None:
    # The map is twice as wide as high, as is the view: a slope of 1 is a slope of 1, downwards.
    scene = Scene(
        "", ((0, 4), (0, 2)), BOWL, [Trajectory("", [[0, 0]] * 3, [0] * 3, gradients=[[-1, -1], [1, 0], [0, 0]])]
    )
    assert data_of(player(scene))["trajectories"][0]["arrows"] == {"gradient": [-45, 180, None], "momentum": None}


@pytest.mark.parametrize(
    ("rule", "way"),
    [("momentum", -1), ("adam", -1), ("lion", -1), ("velocity_momentum", 1), ("sgd", 0), ("rmsprop", 0)],
)
def test_momentum_is_the_state_that_gathers_gradients(rule: str, way: int) -> None:
    found = path(surfaces.ravine, rule, lr=0.01, steps=1)
    momentum = trajectory_of(found).momentum
    if way == 0:
        assert momentum is None
    else:
        downhill = -np.sign(found.gradients[0])
        np.testing.assert_array_equal(-np.sign(np.asarray(momentum)[1]), downhill)


def test_ends_where_it_ran_off_to_infinity() -> None:
    found = path(surfaces.rosenbrock, "sgd", lr=1.0, steps=50)
    last = int(np.flatnonzero(np.isfinite(np.c_[found.points, found.losses]).all(1))[-1])
    assert last < 50
    data = data_of(player(scene_of(surfaces.rosenbrock, [found])))
    assert len(data["trajectories"][0]["points"]) == last + 1
    assert data["steps"] == last


def test_names_that_occur_twice_are_told_apart() -> None:
    ways = [Trajectory("sgd", WAY.points, WAY.losses, rate) for rate in (0.1, 0.2)]
    data = data_of(player(Scene("", SQUARE, BOWL, [*ways, WAY])))
    assert [one["name"] for one in data["trajectories"]] == ["sgd 0.1", "sgd 0.2", "way"]


def test_colours_stay_with_whom_they_are_given_to() -> None:
    given = Trajectory("adam", WAY.points, WAY.losses, colour=5, dash=3)
    parts = message(Scene("", SQUARE, BOWL, [given, WAY]))["parts"]
    colours = re.findall(r'class="fl-trail fl-colour-(\d)".*?fl-dash-(\d)', parts["trails"])
    assert colours == [("5", "3"), ("1", "1")]


def test_a_message_holds_what_a_fresh_page_would() -> None:
    scene = Scene("bowl", SQUARE, BOWL, [WAY], minima=[(0, 0)], start=(-1, -1))
    sent, fragment = json.loads(json.dumps(message(scene))), str(player(scene))
    for name, part in sent.pop("parts").items():
        assert part in fragment, name
    assert sent == data_of(fragment)


def test_fits_a_strict_policy() -> None:
    fragment = str(player(Scene("bowl", SQUARE, BOWL, [WAY], minima=[(0, 0)], start=(-1, -1))))
    assert not re.findall(r"\s(?:style|id|on\w+)=", fragment)
    assert fragment.count("<script") == 1
    assert not re.findall(r"\beval\b|\bFunction\(|https?:(?!//www\.w3\.org)", script() + stylesheet())


HOSTILE = "</script><img src=x onerror=alert(1)><!-- \"'&"


def test_hostile_names_are_escaped() -> None:
    way = Trajectory(HOSTILE, WAY.points, WAY.losses, outcome=HOSTILE)
    fragment = str(player(Scene(HOSTILE, SQUARE, BOWL, [way], axes=(HOSTILE, HOSTILE))))
    assert "<img" not in fragment
    assert "<!--" not in fragment
    assert fragment.count("</script>") == 1
    assert data_of(fragment)["trajectories"][0]["outcome"] == HOSTILE


@pytest.mark.parametrize(("rim", "told"), [(0.5, False), (np.inf, True), (np.nan, True)])
def test_blank_places_are_explained(rim: float, told: bool) -> None:
    heights = BOWL.copy()
    heights[0] = rim
    assert ("Left blank: no finite height" in player(Scene("", SQUARE, heights))) == told


def test_a_curve_is_drawn_at_its_losses() -> None:
    parabola = np.tile(np.linspace(-1, 1, 101) ** 2, (2, 1))
    scene = Scene("parabola", SQUARE, parabola, [WAY], start=(-1, 0), dimensions=1)
    box = map_of(scene)
    # The curve runs from 0 to 1 with margins of 0.08: 1000 units stand for 1.16.
    np.testing.assert_allclose(box.units([[0, 7]], [1.0]), [[1000, 0.08 / 1.16 * 1000]])
    data = data_of(player(scene))
    assert data["relief"] is None
    np.testing.assert_allclose(data["startPlace"], [0, 0.08 / 1.16])


def test_far_points_keep_their_direction() -> None:
    box = map_of(Scene("", SQUARE, BOWL))
    near = box.units([[1e3, 1e3], [1e300, 1e300], [-1e300, 0]], [0, 0, 0]) - 1000
    np.testing.assert_allclose(near, [[6000, -6000], [6000, -6000], [-6000, 0]], rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize(
    ("series", "title"),
    [
        ([1.0, 0.5, 0.2], "Loss (linear scale)"),
        ([1.0, 0.5, 0.001], "Loss (log scale)"),
        ([1.0, 0.001, 0.0], "Loss (log scale)"),
        ([1.0, 0.001, -1.0], "Loss (linear scale)"),
        ([2.0, np.inf, 1.0], "Loss (linear scale)"),
    ],
)
def test_a_chart_says_what_scale_it_has(series: list[float], title: str) -> None:
    found = chart("Loss", [np.array(series)], 2)
    assert found is not None
    assert found.title == title


@pytest.mark.parametrize(
    ("series", "line"),
    [
        ([0.0, 1.0, 2.0], "M0 200l600-200"),
        ([0.0, 1.0, np.nan], "M0 200l300-200"),
        ([0.0, 2.0, np.nan, 0.0, 2.0], "M0 200l150-200M450 200l150-200"),
        ([3.0, 3.0, 3.0], "M0 100l600 0"),
    ],
)
def test_a_chart_has_gaps_where_there_is_no_number(series: list[float], line: str) -> None:
    found = chart("Loss", [np.array(series)], len(series) - 1)
    assert found is not None
    assert found.lines == (line,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"points": [[0, 0]] * 3}, "points of 'way' must have shape (2, 2), as losses do; got (3, 2)"),
        ({"gradients": [[0, 0]]}, "gradients of 'way' must have shape (2, 2)"),
        ({"effective_rates": [[0, 0]] * 2}, "effective_rates of 'way' must have shape (1, 2)"),
        ({"points": [[np.nan, 0], [0, 0]]}, "points of 'way' must begin at two finite numbers"),
        ({"points": np.empty((0, 2)), "losses": []}, "points of 'way' must begin at two finite numbers"),
    ],
)
def test_a_trajectory_that_does_not_fit_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Trajectory(**{"name": "way", "points": WAY.points, "losses": WAY.losses} | arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"view": ((0, 1), (1, 0))}, "view: y runs from 1 to 0; give finite numbers, the lower one first"),
        ({"heights": [1, 2, 3]}, "heights must be at least 2 rows of 2 columns"),
        ({"heights": np.full((3, 3), np.nan)}, "got 0 finite numbers of shape (3, 3)"),
        ({"start_movable": True}, "start must be given where start_movable is True"),
    ],
)
def test_a_scene_that_can_not_be_drawn_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Scene(**{"title": "", "view": SQUARE, "heights": BOWL} | arguments)
