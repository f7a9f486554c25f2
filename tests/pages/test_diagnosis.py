"""A diagnosis on a page: its pictures, its section in a race's report, and pages of races that have none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fallline as fl
from fallline.pages.charts.diagnosis import (
    along_picture,
    rate_picture,
    read_diagnosis,
    signals_picture,
    spectrum_picture,
    write_figures,
)
from fallline.pages.charts.picture import Picture
from fallline.pages.charts.renderers import drawn, live
from fallline.pages.charts.stills import still
from fallline.pages.report import report_page
from fallline.problems import digits
from tests.pages.report_cases import HOSTILE, race_data
from tests.pages.test_report import Elements


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    found = fl.diagnose(digits(epochs=1), lr=0.1, seeds=3, examples=100, progress=lambda stage: None)
    return json.loads(json.dumps(found.to_json()))  # type: ignore[no-any-return]


def marks(picture: Picture, kind: str, arm: int | None = None) -> list[Any]:
    return [mark for mark in picture.marks if mark.kind == kind and arm in (None, mark.arm)]


def test_its_pictures_can_be_drawn(data: dict[str, Any]) -> None:
    pictures = read_diagnosis(data).pictures
    assert [picture.title for picture in pictures] == [
        "Loss by learning rate", "Curvature along the run", "Density of the curvatures",
        "Gradients and updates by depth",
    ]  # fmt: skip
    for picture in pictures:
        assert drawn([picture], "svg").startswith(b"<?xml")
        assert still(picture).startswith("<svg")
        json.dumps(live(picture), allow_nan=False)
        assert picture.table.rows


def test_no_two_charts_hide_each_others_lines(data: dict[str, Any]) -> None:
    keys = [set(picture.key) for picture in read_diagnosis(data).pictures]
    assert sum(map(len, keys)) == len(set().union(*keys))


def rates(**changes: Any) -> dict[str, Any]:
    losses = [[2.0, 0.5, None], [2.0, 0.7, 9.0]]
    return {
        "rates": [0.01, 0.1, 1.0], "losses": losses, "untrained_losses": [2.3, 2.3], "steps": 100, "edge": 0.5,
        "trains": [0.1, 0.1], "trains_told": "0.1 to 0.1", "description": "Runs.", **changes,
    }  # fmt: skip


def test_the_median_of_rates_and_what_failed() -> None:
    picture = rate_picture(rates())
    (line,) = marks(picture, "line")
    np.testing.assert_allclose(line.y, [2.0, 0.6, np.nan])
    crosses = marks(picture, "crosses")
    assert [mark.x["rate"].tolist() for mark in crosses] == [[1.0], [1.0]]
    assert all((mark.y == picture.ceiling).all() for mark in crosses)
    assert picture.upright == (0.5, "edge 0.5")
    assert picture.table.rows[-1] == ("1", "not a number", "2 of 2")


def test_rates_without_an_edge() -> None:
    picture = rate_picture(rates(losses=[[2.0, 0.5, 0.4]] * 2, edge=None, trains=None))
    assert (picture.upright, picture.ceiling, marks(picture, "crosses")) == (None, None, [])


def along(limits: list[float | None]) -> dict[str, Any]:
    return {
        "steps": [0, 10, 20], "top": [1.0, 3.0, 3.9], "bottom": [-0.4, -0.1, 0.0], "limits": limits, "examples": 100,
        "split": "train", "mode": "evaluation", "optimizer": "gradient_descent",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "lines", "note"),
    [
        ([4.0, 4.0, 4.0], 3, "Above the limit of its learning rate descent diverges"),
        ([40.0, 40.0, 40.0], 2, "The limit of the learning rate is above 7.8 all the way."),
        ([4.0, 8.0, None], 3, "Above the limit of its learning rate descent diverges"),
        ([None, None, None], 2, "Measured on 100 examples"),
    ],
)
def test_curvature_beside_its_limit(limits: list[float | None], lines: int, note: str) -> None:
    picture = along_picture(along(limits))
    assert len(marks(picture, "line")) == len(picture.key) == lines
    assert picture.notes[0].startswith(note)


def test_the_density_integrates_to_one() -> None:
    picture = spectrum_picture(
        {"nodes": [[0.0, 1.0], [0.0, 1.0]], "weights": [[0.75, 0.25], [0.75, 0.25]], "examples": 9, "split": "train",
         "mode": "evaluation"}
    )  # fmt: skip
    (line,) = marks(picture, "line")
    assert np.trapezoid(np.nan_to_num(line.y), line.x["curvature"]) == pytest.approx(1.0, abs=0.01)
    half = line.x["curvature"] > 0.5
    assert np.trapezoid(np.nan_to_num(line.y[half]), line.x["curvature"][half]) == pytest.approx(0.25, abs=0.01)


def test_signals_are_shares_of_the_weights() -> None:
    layers = [
        {"name": "0", "kind": "Linear", "weight_norm": 2.0, "gradient_norm": 1.0},
        {"name": "1", "kind": "Linear", "weight_norm": 0.0, "gradient_norm": 1.0},
        {"name": "2", "kind": "Linear", "weight_norm": 4.0, "gradient_norm": 0.0},
    ]
    updates = {"layers": ["0.weight"], "ratios": [[0.1], [None], [0.3]], "seeds": [0, 1, 2], "optimizer": "adam"}
    given = {"layers": layers, "examples": 9, "split": "train", "mode": "evaluation"}
    picture = signals_picture(given, updates)
    gradients = marks(picture, "line")[0]
    np.testing.assert_allclose(gradients.y, [0.5, np.nan, np.nan])
    assert picture.x["layer"].ticks == ("0", "1", "2")
    assert signals_picture(given, None).key.keys() < picture.key.keys()


def test_the_section_of_a_report(data: dict[str, Any]) -> None:
    page = report_page(race_data() | {"diagnosis": data})
    text = Elements(page).text
    assert "Diagnosis of sgd" in text
    assert all(finding["sentence"] in text and finding["evidence"] in text for finding in data["findings"])
    assert page.index('id="diagnosis"') < page.index('id="measured"')


@pytest.mark.parametrize("lacking", [{}, {"diagnosis": None}])
def test_a_race_without_a_diagnosis(lacking: dict[str, Any]) -> None:
    assert 'id="diagnosis"' not in report_page(race_data() | lacking)


def test_a_diagnosis_that_says_nothing(data: dict[str, Any]) -> None:
    silent = {**data, **dict.fromkeys(("rates", "along", "signals", "curvature", "noise", "spectrum")), "findings": []}
    text = Elements(report_page(race_data() | {"diagnosis": silent})).text
    assert "Nothing was found that is worth a sentence." in text


def test_no_text_gets_out_of_its_place(data: dict[str, Any]) -> None:
    hostile = {**data, "findings": [{"sentence": HOSTILE, "evidence": HOSTILE, "numbers": {}, "about": ""}]}
    layers = [{**layer, "name": HOSTILE} for layer in data["signals"]["layers"]]
    hostile["signals"] = {**data["signals"], "layers": layers}
    page = report_page(race_data() | {"diagnosis": hostile})
    assert "<img src=x" not in page
    assert Elements(page).text.count(HOSTILE) >= 2


def test_figures_as_files(data: dict[str, Any], tmp_path: Path) -> None:
    written = write_figures(data, tmp_path)
    assert [path.name for path in written] == [
        "loss-by-learning-rate.svg", "curvature-along-the-run.svg", "density-of-the-curvatures.svg",
        "gradients-and-updates-by-depth.svg",
    ]  # fmt: skip
    assert all(path.read_bytes().startswith(b"<?xml") for path in written)


def test_what_is_no_diagnosis() -> None:
    with pytest.raises(ValueError, match="diagnosis: it must be what Diagnosis"):
        report_page(race_data() | {"diagnosis": {"headline": "x"}})
