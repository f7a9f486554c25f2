"""What each address of the lab answers."""

from __future__ import annotations

import contextlib
import io
import re
from typing import Any

import matplotlib.pyplot
import numpy as np
import pytest
from starlette.testclient import TestClient

from fallline import averaging, rules, schedules
from fallline.landscape import path, surfaces

SGD, ADAM = {"rule": "sgd", "lr": 0.0392}, {"rule": "adam", "lr": 0.2}
BOWL = {"formula": "x**2 + 3*y**2", "view": [[-2, 2], [-1, 1]]}


def asked(lab: TestClient, address: str, body: dict[str, Any]) -> Any:
    answer = lab.post(address, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def outcomes(answer: dict[str, Any]) -> list[str]:
    return [trajectory["outcome"] for trajectory in answer["scene"]["trajectories"]]


def test_the_catalogue_names_all_there_is(lab: TestClient) -> None:
    catalogue = lab.get("/api/catalogue").json()
    assert [surface["name"] for surface in catalogue["surfaces"]] == list(surfaces.ALL)
    assert [rule["name"] for rule in catalogue["rules"]] == list(rules.ALL)
    for rule in catalogue["rules"]:
        assert rule["equation"].startswith("<math")
        assert "&<" not in rule["equation"]
        assert rule["lr"]["low"] <= rule["lr"]["default"] <= rule["lr"]["high"]
        assert rule["hyperparameters"].keys() <= rules.ALL[rule["name"]].hyperparameters.keys()
    assert {"name": "staircase", "parameters": {"every": 50, "factor": 0.5}} in catalogue["schedules"]
    assert len(catalogue["presets"]) >= 9


@pytest.mark.parametrize("name", rules.ALL)
def test_every_rule_walks_with_the_catalogues_learning_rate(lab: TestClient, name: str) -> None:
    rule = next(rule for rule in lab.get("/api/catalogue").json()["rules"] if rule["name"] == name)
    numbers = {key: one["default"] for key, one in rule["hyperparameters"].items()}
    body = {"rule": name, "lr": rule["lr"]["default"], "hyperparameters": numbers}
    answer = asked(lab, "/api/descent", {"surface": "ravine", "steps": 3, "optimizers": [body]})
    assert len(answer["scene"]["trajectories"][0]["points"]) == 4


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"surface": "ravine", "optimizers": [SGD, ADAM]}, ["reached (0, 0) at step 111", "reached (0, 0) at step 77"]),
        ({"surface": "ravine", "optimizers": [ADAM], "steps": 50, "start": [1, 1]}, ["still moving after 50 steps"]),
        ({"surface": "ravine", "optimizers": [SGD], "conditioning": 60}, ["left the map at step 2 because the learning "
         "rate, 0.0392, is over 2/curvature = 0.0333"]),
        ({"surface": "ravine", "optimizers": [{"rule": "momentum", "lr": 0.03}, {"rule": "sgd", "lr": 9}],
          "rates": "same"}, ["reached (0, 0) at step 80", "reached (0, 0) at step 144"]),
        ({"surface": BOWL, "optimizers": [{"rule": "sgd", "lr": 0.1}]}, ["reached (0, 0) at step 15"]),
        ({"surface": {"formula": "(x-1)**2", "view": [[-2, 2], [5, 6]]}, "start": [0, 5.5],
          "optimizers": [{"rule": "sgd", "lr": 0.1}]}, ["reached (1, 0) at step 14"]),
        ({"surface": "sharp-and-flat", "optimizers": [{"rule": "sgd", "lr": 0.3}]}, ["reached (1.469, 0) at step 35"]),
        ({"surface": "ravine", "optimizers": [{"rule": "lion", "lr": 0.2, "schedule": {"name": "cosine"}}]},
         ["reached (0, 0) at step 105"]),
        ({"surface": "ravine", "optimizers": [{"rule": "sgd", "lr": 0.01, "decay": 50}], "steps": 20},
         ["reached (0, 0) at step 7"]),
    ],
)  # fmt: skip
def test_pictures(lab: TestClient, body: dict[str, Any], expected: list[str]) -> None:
    answer = asked(lab, "/api/descent", body)
    for outcome, words in zip(outcomes(answer), expected, strict=True):
        assert outcome.startswith(words)
    assert answer["milliseconds"] > 0


def test_a_pictures_points_are_those_of_the_path(lab: TestClient) -> None:
    answer = asked(lab, "/api/descent", {"surface": "ravine", "noise": 2, "seed": 5, "optimizers": [ADAM]})
    expected = path(surfaces.ravine, "adam", lr=0.2, noise=2, seed=5)
    (trajectory,) = answer["scene"]["trajectories"]
    np.testing.assert_allclose(trajectory["points"], expected.points, rtol=1e-5, atol=1e-12)
    assert (trajectory["learningRate"], answer["rates"]) == (0.2, [{"name": "adam", "lr": 0.2}])


def test_a_page_without_a_player_gets_one(lab: TestClient) -> None:
    answer = asked(lab, "/api/descent", {"surface": "ravine", "optimizers": [ADAM], "fragment": True})
    assert answer["fragment"].startswith('<figure class="fl-player"')
    assert "fragment" not in asked(lab, "/api/descent", {"surface": "ravine", "optimizers": [ADAM]})


def test_tuned_rates_end_lowest_of_the_grid_and_stay_while_the_start_moves(lab: TestClient) -> None:
    body = {"surface": "ravine", "rates": "tuned", "steps": 60, "optimizers": [SGD, ADAM]}
    answer = asked(lab, "/api/descent", body)
    rates = [rate["lr"] for rate in answer["rates"]]
    assert rates == [trajectory["learningRate"] for trajectory in answer["scene"]["trajectories"]]
    ends = {lr: path(surfaces.ravine, "sgd", steps=60, lr=lr).losses[-6:].mean() for lr in (0.018, 0.032, 0.056)}
    assert rates[0] == min(ends, key=lambda lr: np.nan_to_num(ends[lr], nan=np.inf))
    assert asked(lab, "/api/descent", {**body, "start": [2, 1]})["rates"] == answer["rates"]


@pytest.mark.parametrize(
    "formula",
    ["sqrt(y)", "x**-1*y", "2**(y/x)", "log(x)*log(y)", "exp(x)*y", "tan(9*x)*y", "abs(x*y)**-1.5", "(x*y)**64",
     "((x**7)**7)**7*y", "tanh(tan(log(exp(cos(x/y)))))", "1e-40*x*y", "1e40*x*y", "x+0*y"],
)  # fmt: skip
def test_any_formula_makes_a_picture(lab: TestClient, formula: str) -> None:
    body = {"surface": {"formula": formula, "view": [[-0.9, 1], [-0.8, 1]]}, "start": [0.7, 0.6], "steps": 20}
    optimizers = [{"rule": rule, "lr": lr} for rule in ("sgd", "adam") for lr in (0.1, 1e6)]
    answer = asked(lab, "/api/descent", {**body, "noise": 1, "optimizers": optimizers})
    assert len(answer["scene"]["trajectories"]) == 4


OWN = "abs(x)+3*y**2-cos(2*x)"
PROGRAMS: list[dict[str, Any]] = [
    {"surface": "three-hump-camel", "optimizers": [{"rule": "momentum", "lr": 0.01}, {"rule": "adam", "lr": 0.3}]},
    {"surface": "ravine", "conditioning": 20, "noise": 0.5, "seed": 3, "steps": 40, "optimizers": [
        {"rule": "adam", "lr": 0.1, "decay": 0.1, "hyperparameters": {"beta1": 0.5}},
        {"rule": "adamw", "lr": 0.1, "decay": 0.2}]},
    {"surface": {"formula": OWN, "view": [[-2, 2], [-1, 1]]}, "steps": 30, "rates": "same", "start": [1.5, 0.5],
     "optimizers": [{"rule": "sgd", "lr": 0.05, "schedule": {"name": name}} for name in
                    ("linear", "cosine", "exponential", "inverse_time", "inverse_square_root", "staircase",
                     "one_cycle")]},
    {"surface": "beale", "steps": 30, "rates": "tuned", "optimizers": [{"rule": "nesterov", "lr": 1}]},
    {"surface": "sharp-and-flat", "steps": 50, "optimizers": [{"rule": "sgd", "lr": 0.05}]},
    {"surface": {"formula": "sqrt(y)+x**2", "view": [[-0.9, 1], [-0.8, 1]]}, "start": [0.7, 0.6], "steps": 5,
     "optimizers": [{"rule": "sgd", "lr": 0.05}]},
]  # fmt: skip


@pytest.mark.parametrize("body", PROGRAMS, ids=lambda body: str(body["surface"])[:12])
def test_the_copied_program_draws_the_picture(
    lab: TestClient, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matplotlib.pyplot, "show", lambda: None)
    drawn: dict[str, Any] = {}
    scene = asked(lab, "/api/descent", body)["scene"]
    python = asked(lab, "/api/code", body)["python"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), matplotlib.rc_context({"backend": "agg"}):
        exec(compile(python, "program", "exec"), drawn)
    axes = drawn["axes"]
    matplotlib.pyplot.close(axes.figure)
    lines = printed.getvalue().splitlines()
    for line, trajectory in zip(lines, scene["trajectories"], strict=True):
        x, y = trajectory["points"][-1]
        assert f": ({x:.6g}, {y:.6g}), loss " in line
        assert line.endswith(trajectory["outcome"])
    flat = scene["dimensions"] == 1
    assert bool(axes.collections) != flat  # the bands of a map
    shown = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
    for line, trajectory in zip(shown, scene["trajectories"], strict=True):
        assert str(line.get_label()).startswith(trajectory["name"].split("…")[0].strip())
        ends = np.c_[np.array(trajectory["points"])[:, 0], trajectory["losses"]] if flat else trajectory["points"]
        assert np.asarray(line.get_xydata()) == pytest.approx(np.array(ends), rel=2e-3, abs=1e-6)
    assert axes.get_xlim() == tuple(scene["view"][0])
    assert flat or axes.get_ylim() == tuple(scene["view"][1])


@pytest.mark.parametrize("formula", ['x+"""', "x');import os#", "x\\", "x\n+y"])
def test_nothing_typed_reaches_the_program_but_as_a_formula(lab: TestClient, formula: str) -> None:
    body = {"surface": {"formula": formula, "view": [[0, 1], [0, 1]]}, "optimizers": [ADAM]}
    answer = lab.post("/api/code", json=body)
    if answer.status_code == 200:
        assert f"Formula({formula!r})" in answer.json()["python"]
    else:
        assert "at character" in answer.json()["error"]


def series(answer: dict[str, Any]) -> dict[str, Any]:
    return {line["name"]: line["y"] for line in answer["series"]}


def test_averages_are_the_librarys(lab: TestClient) -> None:
    found = series(asked(lab, "/api/tab/ema", {"windows": [10], "noise": 1, "seed": 4}))
    np.testing.assert_allclose(found["window 10"], averaging.ema(found["values"], 0.9))
    assert found["window 10, uncorrected"][0] == pytest.approx(0.1 * found["values"][0])


def test_the_whole_batch_goes_down_every_step_and_one_sample_gets_furthest_in_an_epoch(lab: TestClient) -> None:
    answer = asked(lab, "/api/tab/batch", {})
    found = series(answer)
    assert (np.diff(found["all 128"]) < 0).all()
    assert (np.diff(found["batch 1"]) > 0).any()
    after_an_epoch = [row[2] for row in answer["table"]["rows"]]
    assert after_an_epoch == sorted(after_an_epoch)


def test_schedules_are_the_librarys(lab: TestClient) -> None:
    found = series(asked(lab, "/api/tab/schedules", {"steps": 100, "lr": 0.5}))
    np.testing.assert_allclose(found["cosine"], schedules.cosine(100).curve(100, 0.5))
    np.testing.assert_allclose(found["one cycle"], schedules.one_cycle(100).curve(100, 0.5))


@pytest.mark.parametrize(("activation", "keeps"), [("relu", "He"), ("linear", "LeCun")])
def test_one_scheme_keeps_the_signals_size(lab: TestClient, activation: str, keeps: str) -> None:
    found = series(asked(lab, "/api/tab/initialisation", {"activation": activation, "depth": 20}))
    assert 0.2 < found[keeps][-1] < 5
    assert found["too small"][-1] < 1e-3 < 1e3 < found["too large"][-1]


def test_sharp_and_flat(lab: TestClient) -> None:
    answer = asked(lab, "/api/tab/minima", {"lr": [0.02, 0.3]})
    assert [line["y"][-1] for line in answer["series"]] == pytest.approx([-1.999, 1.469], abs=1e-3)


@pytest.mark.parametrize("name", ["ema", "batch", "schedules", "initialisation", "minima"])
def test_tabs_answer_plain_data(lab: TestClient, name: str) -> None:
    answer = asked(lab, f"/api/tab/{name}", {})
    assert answer.keys() == {"title", "sentence", "x", "y", "series", "table"}
    assert all(len(line["x"]) == len(line["y"]) for line in answer["series"])
    assert all(len(row) == len(answer["table"]["columns"]) for row in answer["table"]["rows"])


@pytest.mark.parametrize(("address", "kind"), [("/player.js", "text/javascript"), ("/player.css", "text/css")])
def test_the_players_script_and_stylesheet(lab: TestClient, address: str, kind: str) -> None:
    answer = lab.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert "fl-" in answer.text


def test_the_page_and_its_files(lab: TestClient) -> None:
    page = lab.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for address in re.findall(r'(?:src|href)="(/[^"]*)"', page.text):
        answer = lab.get(address)
        assert answer.status_code == 200, address
        kind = {"js": "text/javascript", "css": "text/css"}[address.rpartition(".")[2]]
        assert answer.headers["content-type"].startswith(kind)


def test_without_a_storage_there_are_no_races(lab: TestClient) -> None:
    assert lab.get("/api/races").json() == {"races": []}
