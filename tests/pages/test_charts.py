"""The charts of a race: what they compute, what they mark, what they say, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fallline.pages.charts import FIGURES, figure
from fallline.pages.charts.curves import curves, curves_picture
from fallline.pages.charts.decision import distance_pictures, speed_pictures
from fallline.pages.charts.leaderboard import leaderboard_pictures
from fallline.pages.charts.picture import Picture, score_scale
from fallline.pages.charts.race_data import median, read_race
from fallline.pages.charts.renderers import live
from fallline.pages.charts.slices import named_slice, slices_picture
from fallline.pages.charts.trials import searched, searched_picture, sensitivity_pictures
from tests.pages.report_cases import (
    HOSTILE,
    also_searched,
    curves_of,
    diverge,
    diverged_trial,
    race_data,
    unsearched,
    untold,
)
from tests.pages.report_cases import slices as slice_data

TOO_FEW: Any = (2,)
BATCHES: dict[str, Any] = {"options": [8, 16]}
MOMENTA: dict[str, Any] = {"low": 0.5, "high": 0.999, "scale": "complement"}


def marks(picture: Picture, kind: str) -> list[list[float]]:
    """The heights of all marks of a kind, one list for each."""
    return [mark.y.tolist() for mark in picture.marks if mark.kind == kind]


def curves_drawn(data: dict[str, Any]) -> Picture:
    return curves_picture(curves(read_race(data), "valid_loss"))


def trials_picture(data: dict[str, Any], name: str = "lr") -> Picture:
    return searched_picture(searched(read_race(data), name))


@pytest.mark.parametrize(
    ("seeds", "rank", "confidence"),
    [(3, 1, 0.75), (5, 1, 0.9375), (6, 1, 0.96875), (8, 1, 0.9921875), (9, 2, 0.9609375), (10, 2, 0.978515625)],
)
def test_the_interval_of_a_median_is_that_of_order_statistics(seeds: int, rank: int, confidence: float) -> None:
    found = median(np.arange(float(seeds))[:, None], higher_is_better=False)
    assert (found.rank, found.confidence) == (rank, confidence)
    assert found.value == (seeds - 1) / 2
    assert (float(found.low[0]), float(found.high[0])) == (rank - 1, seeds - rank)


@pytest.mark.parametrize(
    ("values", "higher_is_better", "expected"),
    [
        ([1.0, 2.0, np.nan], False, 2.0),
        ([1.0, np.nan, np.nan], False, np.inf),
        ([1.0, 2.0, np.nan], True, 1.0),
        ([1.0, np.inf, -np.inf], True, -np.inf),
    ],
)
def test_a_run_without_a_number_ranks_worst(values: list[float], higher_is_better: bool, expected: float) -> None:
    assert median(np.array(values)[:, None], higher_is_better=higher_is_better).value == expected


@pytest.mark.parametrize(
    ("scores", "untrained", "higher_is_better", "logarithmic", "limit"),
    [
        ([0.9, 0.5], 0.1, True, False, -0.7),
        ([1.0, 0.5], 2.0, False, False, 3.5),
        ([0.01, 1.0], 1.0, False, True, 100.0),
        ([-3.0, -1.0], 0.0, False, False, 3.0),
        ([5.0, 6.0], 1.0, False, False, 7.0),
        ([0.5, np.nan, np.inf], np.nan, False, False, 0.5),
        ([1e300, 1e-3], np.nan, False, True, 1e308),
        ([1e-300, 1.0], 1e10, False, True, 1e308),
    ],
)
def test_a_scale_of_scores(
    scores: list[float], untrained: float, higher_is_better: bool, logarithmic: bool, limit: float
) -> None:
    found = score_scale(np.array(scores), untrained, higher_is_better=higher_is_better)
    assert found.logarithmic == logarithmic
    assert found.limit == pytest.approx(limit)
    assert found.view[0] < np.nanmin(scores) < found.view[1] < found.ceiling < found.high_view[1]


def test_curves_are_medians_over_the_runs() -> None:
    picture = curves_drawn(race_data())
    assert marks(picture, "line")[0] == pytest.approx([2.045, 1.045, 2 / 3 + 0.045, 0.545])
    assert marks(picture, "band")[0] == pytest.approx([2.01, 1.01, 2 / 3 + 0.01, 0.51])
    assert len(marks(picture, "faint")[0]) == 10 * 5  # ten runs of four points, with gaps between them
    assert not picture.has(0, "crosses")
    assert picture.key[1] == "adam (lr 0.1, n = 10)"
    assert picture.marks[0].x["seconds"].tolist() == pytest.approx([0, 0.1, 0.2, 0.3])
    assert "second worst to the second best" in picture.notes[0]
    assert "98 % confidence" in picture.notes[0]


def test_diverged_runs_are_counted_marked_and_ranked_last() -> None:
    picture = curves_drawn(diverge(race_data(), 0, 6))
    assert marks(picture, "line")[0] == pytest.approx([2.0, 1.5, np.nan, np.nan], nan_ok=True)
    assert marks(picture, "crosses") == [[1.5] * 6]
    assert picture.key[0] == "sgd (lr 0.1, n = 10, 6 diverged)"
    assert "sgd 6" in picture.notes[1]
    assert [row[-1] for row in picture.table.rows[:4]] == ["10", "10", "4", "4"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_are_dots(seeds: int) -> None:
    picture = curves_drawn(race_data(seeds=seeds))
    assert {mark.kind for mark in picture.marks} == {"dots"}
    assert f"{seeds} seed" in picture.notes[0]


def test_values_that_are_no_numbers_are_told_of() -> None:
    data = race_data()
    data["arms"][1]["finals"][0]["curves"][0] = curves_of([2.0, None, 1.0, 0.5])
    assert any("not numbers" in note and "adam 1" in note for note in curves_drawn(data).notes)


@pytest.mark.parametrize(
    ("higher_is_better", "good", "bad", "side"),
    [(False, [2.0, -0.5, -1.0, -1.0], [2.0, 50.0, 60.0, 70.0], "above"),
     (True, [0.1, 0.5, 0.9, 0.9], [0.1, -40.0, -50.0, -60.0], "beneath")],
)  # fmt: skip
def test_points_beyond_the_chart_are_told_of(
    higher_is_better: bool, good: list[float], bad: list[float], side: str
) -> None:
    data = race_data(metric="score", higher_is_better=higher_is_better, untrained_score=good[0])
    for arm, values in zip(data["arms"], (good, bad), strict=True):
        for one in arm["finals"][0]["curves"]:
            one["valid_metric"] = values
    picture = curves_picture(curves(read_race(data), "valid_metric"))
    assert picture.notes[-1].endswith(f"which lie {side} the chart: adam 30.")


@pytest.mark.parametrize(
    ("last", "view", "told"),
    [
        ([0.6, 0.8], (0.588, 0.812), True),  # the runs begin at 0.1
        ([0.1, 0.8], (0.058, 0.842), False),
        ([None, None], None, False),
    ],
)
def test_a_linear_chart_is_cropped_to_the_second_half(last: list[Any], view: Any, told: bool) -> None:
    data = race_data(metric="score", higher_is_better=True, untrained_score=0.1)
    for arm in data["arms"]:
        for one in arm["finals"][0]["curves"]:
            one["valid_metric"] = [0.1, 0.5, *last]
    picture = curves_picture(curves(read_race(data), "valid_metric"))
    assert picture.y.view == (view and pytest.approx(view)) or view is None
    assert any("second half" in note for note in picture.notes) == told


def test_a_zero_is_left_out_of_a_logarithmic_chart_and_counted() -> None:
    data = race_data()
    for one in data["arms"][0]["finals"][0]["curves"]:
        one.update(curves_of([2.0, 0.01, 1e-4, 0.0]))
    data["arms"][0]["trials"][3]["score"], data["arms"][0]["trials"][2]["score"] = 0.0, 1e-3
    line = slice_data(["sgd"], 1) | {"losses": [[10.0, 0.0, 0.1]]}
    pictures = (
        curves_drawn(data),
        trials_picture(data),
        slices_picture(named_slice(line, ["sgd"])),
    )
    for picture, zeros in zip(pictures, ("10 values", "1 value", "1 value"), strict=True):
        assert picture.y.logarithmic
        assert not any((mark.y == 0).any() for mark in picture.marks)
        assert picture.notes[-1] == f"Left out, as a logarithmic axis has no place for 0: {zeros}."


def test_trials_against_the_learning_rate() -> None:
    data = diverged_trial(race_data(), 0, 3)
    data["arms"][1]["trials"][0]["score"] = 1e6
    picture = trials_picture(data)
    assert marks(picture, "crosses") == [[picture.ceiling]]
    assert marks(picture, "hollow") == [[picture.ceiling]]
    assert picture.key == {0: "sgd (4 trials, 1 diverged)", 1: "adam (4 trials)"}
    assert ("sgd", "1", "diverged", "all") in picture.table.rows
    assert picture.x["value"].logarithmic
    assert trials_picture(race_data()).ceiling is None


def test_trials_that_were_cut_short_are_hollow() -> None:
    data = race_data()
    for trial in data["arms"][0]["trials"][:2]:
        trial["curves"] = {**trial["curves"], "samples": [80, 120]}
    picture = trials_picture(data)
    assert [len(heights) for heights in marks(picture, "hollow")] == [2]
    assert any("2 that were stopped" in note for note in picture.notes)


@pytest.mark.parametrize(
    ("space", "values", "across", "logarithmic"),
    [
        (BATCHES, [8, 16, 8, 16], [-0.15, -0.15, 0.85, 0.85], False),
        ({"options": ["cosine", "constant"]}, ["cosine"] * 4, [-0.15] * 4, False),
        (MOMENTA, [0.9, 0.99, 0.5, 0.999], [0.5, 0.1, 0.01, 0.001], True),
        ({"low": 0.0, "high": 0.2, "scale": "linear"}, [0.0, 0.1, 0.2, 0.05], [0.0, 0.05, 0.1, 0.2], False),
    ],
)
def test_what_else_was_searched(
    space: dict[str, Any], values: list[Any], across: list[float], logarithmic: bool
) -> None:
    picture = trials_picture(also_searched(race_data(), "that", space, values), "that")
    dots = next(mark for mark in picture.marks if mark.kind == "dots")
    assert dots.x["value"].tolist() == pytest.approx(across)
    assert picture.x["value"].logarithmic == logarithmic
    assert not picture.has(0, "line")  # neighbours in one of two dimensions have nothing to do with each other


def lines(picture: Picture) -> list[list[float]]:
    """The ends of all intervals, from the first row, which is at the top, to the last."""
    found = sorted((mark for mark in picture.marks if mark.kind == "interval"), key=lambda mark: -mark.y[0])
    return [mark.x["value"].tolist() for mark in found]


@pytest.mark.parametrize(
    ("changes", "intervals", "upright", "rows"),
    [
        ({}, [[0.0, 0.1], [0.0, 0.2]], (0.0, "the best"), [("0", "0.1"), ("0", "0.2")]),
        ({"margin": 0.3}, [[0.0, 0.1], [0.0, 0.2]], (0.3, "margin 0.3"), [("0", "0.1"), ("0", "0.2")]),
        ({"distances": {"sgd": [0.0, 0.0], "adam": [0.1, None]}}, [[0.0, 0.0], [0.1, 0.104]], (0.0, "the best"),
         [("0", "0"), ("0.1", "open")]),
    ],
)  # fmt: skip
def test_the_distances(
    changes: dict[str, Any], intervals: list[list[float]], upright: tuple[float, str], rows: list[tuple[str, str]]
) -> None:
    data = race_data()
    data["decision"] |= changes
    (picture,) = distance_pictures(read_race(data))
    assert lines(picture) == [pytest.approx(one) for one in intervals]
    assert picture.y.ticks == ("adam", "sgd (take)")
    assert picture.upright == upright
    assert [row[1:] for row in picture.table.rows] == rows
    low, high = picture.x["value"].view or (0.0, 0.0)
    assert low < 0
    assert max(upright[0], *(end for _, end in intervals)) <= high
    assert [mark.kind for mark in picture.marks] == ["interval", "dots", "interval", "hollow"]
    assert "With 95 % confidence" in picture.notes[0]


def test_an_arm_that_is_not_compared_has_no_distance() -> None:
    data = race_data(("sgd", "adam", "lion"))
    data["decision"]["distances"]["lion"] = None
    (picture,) = distance_pictures(read_race(data))
    assert (picture.y.ticks[0], len(lines(picture))) == ("lion", 2)
    assert picture.notes[-1] == "Not compared, as runs diverged: lion."


@pytest.mark.parametrize("distances", [None, {}, {"sgd": [0.0, 0.0], "adam": None}, {"sgd": None, "adam": None}])
def test_less_than_two_arms_have_no_distances(distances: Any) -> None:
    data = race_data()
    data["decision"]["distances"] = distances
    assert distance_pictures(read_race(data)) == ()


def test_the_speeds() -> None:
    data = race_data(("sgd", "adam", "lion", "adagrad"))
    data["decision"]["speed"] |= {"lion": [None, 1.5, None], "adagrad": [None, 0.0, None]}
    data["decision"]["speed_missed"] = {"lion": 4}
    data["decision"]["speed_seconds"] = {name: [1.0, 1.0, 1.0] for name in ("sgd", "adam")}
    steps, time = speed_pictures(read_race(data))
    assert (steps.title, time.title) == ("Steps against sgd", "Time against sgd")
    axis = steps.x["value"]
    assert axis.view is not None
    assert axis.logarithmic
    low, high = axis.view
    assert lines(steps) == [pytest.approx(one) for one in ([1, 1], [0.5, 2.5], [1.5, high], [low, high])]
    assert [row[1:] for row in steps.table.rows] == [
        ("1", "1", "1"), ("2", "0.5", "2.5"), ("not told", "1.5", "open"), ("not told", "0", "open"),
    ]  # fmt: skip
    assert steps.y.ticks[1] == "lion, 4 missed"
    assert steps.upright == (1.0, "sgd")
    assert "to a validation loss of 1" in steps.notes[0]
    assert "open end" in steps.notes[1]
    assert [row[1] for row in time.table.rows] == ["1", "1", "not told", "not told"]


@pytest.mark.parametrize("speed", [None, {}, {"sgd": [1.0, 1.0, 1.0]}])
def test_speeds_that_are_not_told(speed: Any) -> None:
    data = race_data()
    data["decision"]["speed"] = speed
    assert speed_pictures(read_race(data)) == ()


def test_an_arm_of_which_nothing_was_searched() -> None:
    data = unsearched(race_data(), 1)
    picture = trials_picture(data)
    assert picture.key == {0: "sgd (4 trials)", 1: "adam (10 finals)"}
    (dots,) = (mark for mark in picture.marks if mark.arm == 1)
    assert dots.kind == "dots"
    assert dots.x["value"].tolist() == [0.03] * 10
    assert dots.y.tolist() == pytest.approx([0.5 + (1 + seed) / 100 for seed in range(10)])
    assert picture.notes[-1] == "Of adam, of which nothing was searched, every dot is one of the finals."
    assert curves_drawn(data).key[1] == "adam (lr 0.03, n = 10)"
    assert trials_picture(diverge(data, 1, 2)).key[1] == "adam (10 finals, 2 diverged)"
    data["arms"][1]["best"]["fixed"] = {}
    assert trials_picture(data).notes[-1] == "Not searched by adam."
    with pytest.raises(ValueError, match="no learning rate was searched"):
        figure(unsearched(data, 0), "sensitivity")


def test_the_finals() -> None:
    picture = leaderboard_pictures(read_race(diverge(race_data(), 1, 2)))[0]
    assert [len(heights) for heights in marks(picture, "hollow")] == [10, 8]
    assert picture.y.ticks == ("adam (n = 10, 2 diverged)", "sgd (n = 10)")
    assert picture.marks[1].x["score"].tolist() == [0.52, 0.57]


def test_a_line_through_the_landscape() -> None:
    picture = slices_picture(named_slice(slice_data(["adam"], 1), ["sgd", "adam"]))
    assert picture.key == {1: "adam"}
    assert picture.table.rows[2] == ("1", "not a number")
    with pytest.raises(ValueError, match="slices: each needs an arm's name for each of its 1 models"):
        named_slice(slice_data(["lion"], 1), ["sgd", "adam"])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
@pytest.mark.parametrize("kind", FIGURES)
def test_figures_are_written(kind: str, ending: str, tmp_path: Path) -> None:
    data = also_searched(diverge(race_data((HOSTILE, "_名")), 0, 3), "batch", BATCHES, [8, 16, 8, 16])
    path = tmp_path / f"figure.{ending}"
    figure(data, kind).write(path)
    again = tmp_path / f"again.{ending}"
    figure(data, kind).write(again)
    assert path.read_bytes() == again.read_bytes()
    assert path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")


def without_lines() -> dict[str, Any]:
    data = race_data()
    data["occasion"]["lines"] = []
    return data


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: figure(race_data(), "pie"), "kind must be one of distance, speed, leaderboard, curves, .*; got 'pie'"),
        (lambda: figure(race_data(), "curves", x="days"), "x must be one of steps, samples, seconds; got 'days'"),
        (lambda: figure(race_data(), "searched"), "nothing but learning rates was searched"),
        (lambda: figure(race_data(), "distance").write("a.gif"), "path: a figure is written as png, svg, pdf; 'a.gif'"),
        (lambda: figure(race_data(), "curves", arms=["adm"]), "arms: there is no arm 'adm' .*; did you mean 'adam'?"),
        (lambda: figure(race_data(), "curves", arms=[]), "arms: name at least one of sgd and adam"),
        (lambda: figure(race_data(), "curves", limits={"loss": (0, 1)}), "no axis is called 'loss'; there are .*steps"),
        (
            lambda: figure(race_data(), "curves", limits={"steps": (2, 1)}),
            "limits of steps must be two numbers, the lo",
        ),
        (
            lambda: figure(race_data(), "curves", limits={"steps": TOO_FEW}),
            "limits of steps must be two numbers, the lowe",
        ),
        (
            lambda: figure(race_data(), "sensitivity", limits={"learning rate": (0, 1)}),
            "two numbers above 0, the lower",
        ),
        (lambda: figure(race_data(), "curves", width=0), "width must be .*0"),
        (lambda: figure(untold(race_data()), "speed"), "no steps to a level that its leading arms share are told"),
        (lambda: figure({}, "curves"), "'protocol' is missing"),
        (lambda: figure({**race_data(), "decision": {}}, "curves"), "'take' is missing"),
        (lambda: figure({**race_data(), "arms": []}, "curves"), "there are no arms"),
        (lambda: figure({**race_data(), "arms": [3]}, "curves"), "as RaceResult.to_json gives them"),
        (lambda: figure(without_lines(), "curves"), "'lines' are missing"),
    ],
)
def test_what_can_not_be_drawn_is_refused(ask: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ask()


def panels(kind: str, **asked: Any) -> tuple[Picture, ...]:
    return figure(race_data(("sgd", "adam", "lion")), kind, **asked).pictures


@pytest.mark.parametrize("kind", ["distance", "speed", "leaderboard"])
def test_a_figure_has_the_rows_that_were_asked_for(kind: str) -> None:
    (picture,) = panels(kind, arms=["lion", "sgd"])
    assert [tick.split(" ")[0] for tick in picture.y.ticks] == ["sgd", "lion"]  # from below


@pytest.mark.parametrize("kind", ["curves", "sensitivity"])
def test_a_figure_has_the_arms_that_were_asked_for(kind: str) -> None:
    for picture in panels(kind, arms=["lion", "sgd"]):
        assert [label.split(" ")[0] for label in picture.key.values()] == ["lion", "sgd"]
        assert {mark.arm for mark in picture.marks} == {0, 1}


def test_single_runs_are_drawn_on_demand() -> None:
    assert not any(mark.kind == "faint" for picture in panels("curves") for mark in picture.marks)
    assert all(picture.has(1, "faint") for picture in panels("curves", runs=True))


def test_the_limits_are_those_of_the_axes_that_they_name() -> None:
    limits = {"validation loss": (0.5, 1), "steps": (0.0, 20.0)}
    train, valid = panels("curves", limits=limits)
    assert (train.y.view, valid.y.view, valid.x["steps"].view, valid.x["samples"].view) == (
        panels("curves")[0].y.view, (0.5, 1.0), (0.0, 20.0), None,
    )  # fmt: skip


@pytest.mark.parametrize(("width", "inches"), [(None, (10.0, 3.4)), (7.0, (7.0, 2.38)), (3.3, (3.3, 4.488))])
def test_a_figure_is_as_wide_as_asked_and_puts_panels_beneath_each_other(
    width: Any, inches: Any, tmp_path: Path
) -> None:
    found = figure(race_data(), "curves", width=width)
    found.write(tmp_path / "a.svg")
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', (tmp_path / "a.svg").read_text())
    assert size is not None
    points = [float(one) / 72 for one in size.groups()]
    key = 0.22 * (2 if width == 3.3 else 1)
    assert points == pytest.approx([inches[0], inches[1] + key], abs=0.01)


@pytest.mark.parametrize("kind", FIGURES[:1])
def test_letters_in_a_pdf_are_truetype(kind: str, tmp_path: Path) -> None:
    figure(race_data(), kind).write(tmp_path / "a.pdf")
    written = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in written
    assert b"/Type3" not in written


@pytest.mark.parametrize(
    ("best", "view", "ceiling"),
    [
        # The better half of each arm's four trials, and 6 % of what they take up to each side.
        ([0.97, 0.96, 0.3, 0.1], (0.9594, 0.9706), None),
        ([0.97, 0.96, 0.3, None], (0.9594, 0.972), 0.9712),
    ],
)
def test_sensitivity_is_cropped_to_the_better_half_of_the_trials(best: Any, view: Any, ceiling: Any) -> None:
    data = race_data(metric="accuracy", higher_is_better=True, untrained_score=0.1)
    for one in data["arms"]:
        for trial, score in zip(one["trials"], best, strict=True):
            trial |= {"score": score, "diverged": score is None}
    (picture,) = sensitivity_pictures(read_race(data))
    assert picture.y.view == pytest.approx(view)
    assert picture.ceiling == (None if ceiling is None else pytest.approx(ceiling))
    assert "Cropped to the better half of every arm's trials; a double click on the chart shows all." in picture.notes


@pytest.mark.parametrize("kind", FIGURES)
def test_plotly_takes_the_page_s_charts(kind: str) -> None:
    from plotly.graph_objects import Figure

    data = also_searched(diverge(race_data((HOSTILE, "adam")), 0, 3), "batch", BATCHES, [8, 16, 8, 16])
    for picture in figure(data, kind).pictures:
        given = live(picture)
        Figure(data=given["traces"], layout=given["layout"])  # raises ValueError for what Plotly does not know
        assert all(len(axis["values"]) == len(given["traces"]) for axis in given["x"].values())
        assert "<img" not in str(given)
