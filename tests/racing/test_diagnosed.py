"""The diagnosis of a race's arm: cheap with the page, whole when asked for, and the same wherever it is made."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

import fallline as fl
from fallline.landscape.diagnosis import Stage
from fallline.racing import RaceResult, diagnosed
from fallline.racing.output.data import lasting_part
from fallline.training import Problem

INPUTS = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] > 0).long()


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))


def problem() -> Problem:
    parts = [(INPUTS[rows], LABELS[rows]) for rows in (slice(200), slice(200, 250), slice(250, 300))]
    train, valid, test = parts
    loss = nn.functional.cross_entropy
    return Problem(model=network, loss=loss, train=train, valid=valid, test=test, batch=50, epochs=5)


def raced(arms: Any, **asked: Any) -> RaceResult:
    return fl.race(problem(), arms, "quick", storage=None, training="in turn", workers=1, **asked)


@pytest.fixture(scope="module")
def result() -> RaceResult:
    return raced(["adam"], schedule="constant")


def test_what_comes_with_the_slices_is_of_the_network_that_was_trained(result: RaceResult) -> None:
    assert result.diagnosis is None
    found = result.with_slices().diagnosis
    assert found is not None
    by_hand = fl.landscape.curvature(problem(), result.best.model(), examples=200)
    assert found.curvature is not None
    assert found.curvature.top == pytest.approx(by_hand.top, rel=1e-3)
    assert (found.optimizer, found.rates, found.along) == ("adam", None, None)
    assert found.hyperparameters["lr"] == result.best.configuration["lr"]


def test_all_of_it_is_of_the_run_of_the_race(result: RaceResult) -> None:
    found = result.diagnose(parts=["run", "place"], progress=False)
    assert found.along is not None
    assert (found.along.steps[0], found.along.steps[-1]) == (0, 20)
    assert found.curvature is not None
    by_hand = fl.landscape.curvature(problem(), result.best.model(), examples=200)
    assert found.curvature.top == pytest.approx(by_hand.top, rel=1e-3)


def test_what_depends_on_a_clock_stands_under_occasion(result: RaceResult) -> None:
    first, again = (lasting_part(result.with_slices().to_json()) for _ in range(2))
    assert first == again
    data = result.with_slices().to_json()
    assert {"cost", "seconds"} == {*data["occasion"]["diagnosis"]}
    assert not {"cost", "seconds"} & {*data["diagnosis"]}
    json.dumps(data, allow_nan=False)
    assert "diagnosis" not in result.to_json()


def test_a_diagnosis_that_is_there_is_kept(result: RaceResult) -> None:
    found = result.diagnose(parts=["noise"], progress=False)
    assert result.with_diagnosis(found).with_slices().diagnosis is found


def test_what_is_not_cheap_is_left_out(result: RaceResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosed, "_SECONDS", 0.0)
    dear = result.with_slices()
    assert dear.slices
    assert dear.diagnosis is None
    assert not any("diagnosis" in warning for warning in dear.warnings)


def test_what_fails_is_a_warning(result: RaceResult, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **asked: Any) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(diagnosed, "diagnose", fail)
    failed = result.with_slices()
    assert failed.slices
    assert any(w.startswith("The diagnosis is left out (RuntimeError: no luck)") for w in failed.warnings)


@pytest.mark.parametrize(
    "arm",
    [
        {"mine": lambda params, lr: torch.optim.SGD(params, lr=lr)},
        {"torch's": torch.optim.Adam},
        [fl.Arm.phases("two", ["adam", "sgd"])],
        ["soap"],
        ["schedule_free_sgd"],
    ],
    ids=["a function", "a class", "phases", "a matrix method", "an average"],
)  # fmt: skip
def test_any_arm_can_be_diagnosed(arm: Any) -> None:
    result = raced(arm)
    stages: list[Stage] = []
    found = result.diagnose(seeds=2, progress=stages.append)
    assert found.curvature is not None
    assert found.along is not None
    assert stages
    assert result.with_slices().diagnosis is not None


def test_an_arm_that_diverged_has_none() -> None:
    lost = raced([fl.Arm("sgd", fl.rules.gradient_descent, fixed={"lr": 1e30})])
    assert lost.with_slices().diagnosis is None
    with pytest.raises(ValueError, match="diverged as a whole"):
        lost.diagnose()
