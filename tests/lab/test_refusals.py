"""What the lab refuses: each with its status and a sentence that names what was wrong."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

ADAM = {"rule": "adam", "lr": 0.1}
GOOD: dict[str, Any] = {"surface": "ravine", "optimizers": [ADAM]}


def own(formula: str, **rest: Any) -> dict[str, Any]:
    return {"surface": {"formula": formula, "view": [[-1, 1], [-1, 1]], **rest}}


def optimizer(**rest: Any) -> dict[str, Any]:
    return {"optimizers": [{**ADAM, **rest}]}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"surface": None}, "The field surface is missing."),
        ({"surface": 3}, "The field surface must be a text; got 3."),
        ({"surface": "ravin"}, "there is no surface 'ravin'; did you mean 'ravine'?"),
        ({"surface": {"formula": "x"}}, "The field surface.view must be [[lowest x, highest x]"),
        ({"surface": {"formula": "x", "view": [[0, 1], [0]]}}, "The field surface.view.y must be a list of 2; got"),
        ({"surface": {"formula": "x", "view": [[1, 0], [0, 1]]}}, "surface.view: x runs from 1.0 to 0.0"),
        ({"surface": {"formula": "x", "view": [[-1e9, 1e9], [0, 1]]}}, "surface.view must be 1e-05 to 1e+06 wide"),
        ({"surface": {"view": [[0, 1], [0, 1]]}}, "The field surface.formula is missing."),
        (own("x", colour="red"), "There is no field 'surface.colour'; there are formula, view."),
        (own("x+"), "The formula, at character 3: a number, x, y, a function or a bracket is missing."),
        (own("3"), "The formula names neither x nor y"),
        (own("sqrt(-1-x**2)"), "The formula has no value up to 1e+50 in the view"),
        (own("1e90+x"), "The formula has no value up to 1e+50 in the view"),
        (own("0*x"), "The formula is level in the view; change one of them."),
        (own("1e20+x"), "The formula is level in the view"),
        ({"surface": {"formula": "x", "view": [[1e9, 1e9 + 1], [0, 1]]}}, "surface.view must be 1e-05 to 1e+06 wide"),
        ({**own("log(x)"), "start": [-0.5, 0]}, "the surface has no slope at (-0.5, 0.0); move it."),
        ({"start": [99, 0]}, "The field start: (99.0, 0.0) is outside the view ((-5, 5), (-2.5, 2.5))"),
        ({"start": [1]}, "The field start must be a list of 2; got [1]."),
        ({"start": ["1", 2]}, "The field start must be a number from -1e+12 to 1e+12; got '1'."),
        ({"steps": 0}, "The field steps must be a number from 1 to 5000; got 0."),
        ({"steps": 5001}, "The field steps must be a number from 1 to 5000"),
        ({"steps": 1.5}, "The field steps must be a whole number; got 1.5."),
        ({"steps": True}, "The field steps must be a number"),
        ({"noise": -1}, "The field noise must be a number from 0"),
        ({"seed": 2**31}, "The field seed must be a number from 0 to 2.14748e+09"),
        ({"conditioning": 0.5}, "The field conditioning must be a number from 1 to 10000"),
        ({"rates": "best"}, "The field rates must be one of each, tuned, same; got 'best'."),
        ({"fragment": 1}, "The field fragment must be true or false; got 1."),
        ({"colour": "red"}, "There is no field 'colour'; there are conditioning, fragment, noise"),
        ({"x" * 60_000: 1}, "There is no field 'xxxx"),
        ({"optimizers": []}, "The field optimizers must be a list of 1 to 12; got []."),
        ({"optimizers": [ADAM] * 13}, "The field optimizers must be a list of 1 to 12"),
        ({"optimizers": ["adam"]}, "The field optimizers[0] must be an object; got 'adam'."),
        ({"optimizers": [ADAM, {"rule": "adam"}]}, "The field optimizers[1].lr is missing."),
        (optimizer(rule="adamm"), "The field rule: there is no rule 'adamm'; did you mean 'adam"),
        (optimizer(rule="__class__"), "The field rule: there is no rule '__class__'"),
        (optimizer(lr=-0.1), "The field optimizers[0].lr must be a number from 0"),
        (optimizer(lr=10**400), "The field optimizers[0].lr must be a number from 0"),
        (optimizer(beta1=0.5), "There is no field 'optimizers[0].beta1'"),
        (optimizer(hyperparameters={"beta1": 2}), "The optimizer adam: 'beta1' of the rule 'adam' must be at least 0"),
        (optimizer(hyperparameters={"beta": 0.5}), "There is no field 'optimizers[0].hyperparameters.beta'"),
        (optimizer(hyperparameters={"lr": 0.5}), "There is no field 'optimizers[0].hyperparameters.lr'; there"),
        (optimizer(hyperparameters=[0.5]), "The field optimizers[0].hyperparameters must be an object"),
        (optimizer(hyperparameters={"params": 1}), "There is no field 'optimizers[0].hyperparameters.params'"),
        (optimizer(decay=-1), "The field optimizers[0].decay must be a number from 0"),
        (optimizer(schedule="cosine"), "The field optimizers[0].schedule must be an object"),
        (optimizer(schedule={"name": "wave"}), "optimizers[0].schedule.name must be one of constant, linear, cosine"),
        (optimizer(schedule={"name": "cosine", "floor": 2}), "The schedule cosine: floor must be a finite number"),
        (optimizer(schedule={"name": "cosine", "end": 0}), "There is no field 'optimizers[0].schedule.end'"),
        ({**optimizer(schedule={"name": "one_cycle"}), "steps": 1}, "The schedule one_cycle: steps must be"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
@pytest.mark.parametrize("address", ["/api/descent", "/api/code"])
def test_fields(lab: TestClient, address: str, changed: dict[str, Any], words: str) -> None:
    answer = lab.post(address, json={**GOOD, **changed})
    assert answer.status_code == 422, answer.text
    assert answer.json().keys() == {"error"}
    sentence = answer.json()["error"]
    assert words in sentence
    assert sentence.endswith(".")
    assert len(sentence) < 1000


@pytest.mark.parametrize(
    ("tab", "body", "words"),
    [
        ("ema", {"windows": []}, "The field windows must be a list of 1 to 6; got []."),
        ("ema", {"windows": [0.5]}, "The field windows must be a number from 1 to 1000"),
        ("ema", {"beta": 1}, "There is no field 'beta'; there are noise, seed, windows."),
        ("batch", {"lr": 2}, "The field lr must be a number from 1e-06 to 1"),
        ("schedules", {"steps": 5}, "The field steps must be a number from 10 to 5000"),
        ("initialisation", {"depth": 101}, "The field depth must be a number from 2 to 100"),
        ("initialisation", {"activation": "gelu"}, "The field activation must be one of relu, tanh, linear"),
        ("minima", {"lr": [1, 2, 3, 4, 5, 6, 7]}, "The field lr must be a list of 1 to 6"),
    ],
)  # fmt: skip
def test_fields_of_tabs(lab: TestClient, tab: str, body: dict[str, Any], words: str) -> None:
    answer = lab.post(f"/api/tab/{tab}", json=body)
    assert (answer.status_code, words in answer.json()["error"]) == (422, True), answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status", "words"),
    [
        (b"{}", "text/plain", 415, "Content-Type application/json"),
        (b"{}", None, 415, "Content-Type application/json"),
        (b"", "application/json", 400, "not JSON that can be read"),
        (b"{", "application/json; charset=utf-8", 400, "not JSON that can be read"),
        (b"\xff\xfe\x00", "application/json", 400, "not JSON that can be read"),
        (b'{"steps": NaN}', "application/json", 400, "not JSON that can be read"),
        (b'{"steps": -Infinity}', "application/json", 400, "not JSON that can be read"),
        (b'{"steps": ' + b"9" * 5000 + b"}", "application/json", 400, "not JSON that can be read"),
        (b"[" * 60_000, "application/json", 400, "not JSON that can be read"),
        (b"[]", "application/json", 422, "must be a JSON object"),
        (b'{"steps": 1e999, "surface": "ravine"}', "application/json", 422, "must be a number from 1 to 5000; got inf"),
        (b'{"surface": "\\ud800"}', "application/json", 422, "there is no surface"),
        (b" " * (64 * 1024 + 1), "application/json", 413, "longer than 64 kB"),
    ],
)  # fmt: skip
def test_bodies(lab: TestClient, content: bytes, kind: str | None, status: int, words: str) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = lab.post("/api/descent", content=content, headers=headers)
    assert answer.status_code == status
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "address", "status", "words"),
    [
        ("GET", "/nothing", 404, "There is nothing at this address"),
        ("GET", "/../../etc/passwd", 404, "There is nothing at this address"),
        ("GET", "/lab.js/..%2f..%2fapplication.py", 404, "There is nothing at this address"),
        ("GET", "/api/tab/nothing", 404, "There is nothing at this address"),
        ("GET", "/api/descent", 405, "This address is not asked that way"),
        ("POST", "/api/catalogue", 405, "This address is not asked that way"),
        ("PUT", "/", 405, "This address is not asked that way"),
        ("OPTIONS", "/api/descent", 405, "This address is not asked that way"),
        ("GET", "/api/live", 400, "Say which race"),
        ("GET", "/api/live?race=x", 404, "start it with --storage"),
    ],
)  # fmt: skip
def test_addresses(lab: TestClient, method: str, address: str, status: int, words: str) -> None:
    answer = lab.request(method, address)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
