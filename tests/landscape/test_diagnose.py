"""`fallline.diagnose`: what it gathers, that it changes nothing, and how it ends where something can't be measured."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from fallline.landscape.diagnosis import PARTS, Stage
from fallline.landscape.measuring import copied
from fallline.problems import quadratic
from fallline.training import Problem, ProblemError

functional = nn.functional
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(120, 4, generator=GENERATOR) * torch.tensor([30.0, 1.0, 1.0, 1.0])
LABELS = (INPUTS[:, 1] > 0).long()


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 2))


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def problem(model: Callable[[], nn.Module] = network, **changes: Any) -> Problem:
    data = (INPUTS, LABELS)
    given = {"model": model, "loss": functional.cross_entropy, "train": data, "valid": data, "batch": 20, "epochs": 2}
    return Problem(**{**given, **changes})


def quiet(stage: Stage) -> None:
    """Nobody looks."""


def test_all_of_it() -> None:
    stages: list[Stage] = []
    found = fl.diagnose(problem(), progress=stages.append, seeds=3)
    every = (found.rates, found.scaling, found.along, found.curvature, found.noise, found.spectrum, found.signals)
    assert all(part is not None for part in every)
    assert found.updates is not None
    assert found.finished
    assert found.model == "after 12 steps of gradient_descent"
    # The cost is said before anything is done, and time only goes forwards.
    assert (stages[0].done, stages[0].doing) == (0.0, PARTS["rates"])
    assert all(stage.cost == found.cost and "gradients of 20 examples" in found.cost for stage in stages)
    assert [stage.done for stage in stages] == sorted(stage.done for stage in stages)
    assert list(dict.fromkeys(stage.doing for stage in stages)) == list(PARTS.values())
    assert stages[-1].done <= stages[-1].expected * 1.001
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [one["sentence"] for one in data["findings"]] == [finding.sentence for finding in found.findings]
    text = str(found)
    assert all(word in text for word in ("Along the run", "Layers", "Activations", "noise scale", found.headline))


class Flat(nn.Module):
    """x² - y², a little beside the saddle, which is never left for a floor."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.0, 1e-4], dtype=torch.float64))

    def forward(self, examples: Tensor) -> Tensor:
        return (1 + self.weights[0] ** 2 - self.weights[1] ** 2 / 9).expand(len(examples))


@pytest.mark.parametrize(("optimizer", "ways"), [("sgd", 2), ("momentum", 1)])
def test_the_cost_holds_at_a_saddle_too(optimizer: str, ways: int) -> None:
    """What is tried to leave it is foretold as what there is at most, and the race's look counts it."""
    given = problem(Flat, loss=lambda output, target: output.mean())
    stages: list[Stage] = []
    found = fl.diagnose(given, given.build(0), optimizer, lr=0.1, parts=["place"], seeds=3, progress=stages.append)
    assert len(found.escapes) == ways
    tried = sum(escape.gradients for escape in found.escapes)
    assert tried == ways * 3 * 200
    assert f"; at most {tried:,} of 20 and {tried / 5 / 3 + ways:,.0f} of 120 more, in " in found.cost
    assert found.cost.endswith("where the weights are at a saddle.")
    assert all(stage.most > stage.expected for stage in stages)


def test_the_cost_holds_where_the_range_has_to_grow() -> None:
    """From rates all of which train, or none, it grows as often as it may."""
    never = problem(loss=lambda output, target: (output * 0).mean(), epochs=1)
    found = fl.diagnose(never, parts=["rates"], seeds=2, progress=quiet)
    assert found.rates is not None
    foreseen, more = (
        int(number.replace(",", "")) for number in re.findall(r"([\d,]+)(?: gradients| of 20 more)", found.cost)
    )
    assert foreseen < found.rates.gradients <= foreseen + more


def test_a_feature_of_another_size_is_told() -> None:
    """One that is thirty times the others makes a curvature of nine hundred times theirs."""
    targets = INPUTS.sum(1, keepdim=True)
    line = problem(lambda: nn.Linear(4, 1), loss=functional.mse_loss, train=(INPUTS, targets), valid=(INPUTS, targets))
    found = fl.diagnose(line, parts=["scaling"], progress=quiet)
    assert found.findings[0].about == "features"
    assert found.findings[0].numbers["before"] > 900
    assert found.findings[0].numbers["after"] < 5
    scaled = (INPUTS / INPUTS.std(0), targets)
    even = problem(lambda: nn.Linear(4, 1), loss=functional.mse_loss, train=scaled, valid=scaled)
    assert fl.diagnose(even, parts=["scaling"], progress=quiet).findings == ()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_alone(part: Any) -> None:
    model = problem().build(1)
    found = fl.diagnose(problem(), None if part == "run" else model, parts=[part], seeds=2, progress=quiet)
    measured = {
        "rates": found.rates, "scaling": found.scaling, "run": found.along, "place": found.curvature,
        "noise": found.noise, "spectrum": found.spectrum, "layers": found.updates,
    }  # fmt: skip
    assert [name for name, one in measured.items() if one is not None] == [part]


@pytest.mark.parametrize(("part", "model"), [
    *((part, "after 12 steps of gradient_descent") for part in ("run", "place", "noise", "spectrum", "layers")),
    ("rates", "untrained weights of seed 0"), ("scaling", "untrained weights of seed 0"),
])  # fmt: skip
def test_a_model_is_trained_for_what_looks_at_weights(part: Any, model: str) -> None:
    stages: list[Stage] = []
    found = fl.diagnose(problem(), parts=[part], seeds=2, progress=stages.append)
    assert found.model == model
    assert stages[-1].done <= stages[-1].expected * 1.001
    assert ("gradients of 20 examples" in found.cost) == (part != "scaling")


def test_the_same_again() -> None:
    first, again = (fl.diagnose(problem(), seeds=2, progress=quiet).to_json() for _ in range(2))
    for data in (first, again):
        del data["cost"], data["seconds"]
    assert first == again


def test_the_rate_in_use() -> None:
    """Given, else the best of the range, else the optimizer's default."""
    given: dict[str, Any] = {"parts": ["rates"], "seeds": 2, "progress": quiet}
    assert fl.diagnose(quadratic(), lr=0.013, **given).hyperparameters["lr"] == 0.013
    assert 0.001 < fl.diagnose(quadratic(), **given).hyperparameters["lr"] < 0.02
    found = fl.diagnose(problem(), parts=["place"], optimizer="adam", progress=quiet)
    assert found.hyperparameters["lr"] == 1e-3
    found = fl.diagnose(problem(), parts=["place"], optimizer=torch.optim.Adam, progress=quiet)
    assert (found.optimizer, found.hyperparameters["lr"]) == ("Adam", 1e-3)


def test_a_rate_that_does_not_train_is_told() -> None:
    found = fl.diagnose(quadratic(), lr=5.0, parts=["rates"], progress=quiet)
    assert any("A learning rate of 5 is too high" in finding.sentence for finding in found.findings)


def test_a_run_of_fit() -> None:
    run = fl.fit(problem(), "sgd", lr=0.01, checkpoints=3, progress=False)
    found = fl.diagnose(problem(), run, lr=0.01, parts=["run", "place"], progress=quiet)
    assert found.along is not None
    assert found.along.steps.tolist() == [0, 6, 12]
    assert found.curvature is not None
    assert found.curvature.top[0] == pytest.approx(found.along.top[-1], rel=1e-3)
    assert found.curvature.loss == pytest.approx(found.along.losses[-1])


def test_a_run_that_ended_early_says_so() -> None:
    diverging = problem(loss=lambda output, target: (output**4).mean())
    found = fl.diagnose(diverging, lr=1e20, parts=["run", "noise"], progress=quiet)
    assert any("Training ended before step" in sentence for sentence in found.left_out)


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("build", [network, normalised])
def test_everything_is_left_as_it_was(build: Callable[[], nn.Module], mode: Any) -> None:
    given = problem(build)
    model: Any = given.build(0).train()
    model(INPUTS).sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    found = fl.diagnose(given, model, "momentum", lr=0.01, seeds=2, mode=mode, progress=quiet)
    assert found.model == "the model that was given"
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert model.training
    assert all(torch.equal(one.grad, old) for one, old in zip(model.parameters(), gradients, strict=True))
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1], states[2]) == (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]
    noisy = any("batch norm" in sentence for sentence in found.left_out)
    assert noisy == (build is normalised)


def test_ctrl_c_keeps_what_was_found() -> None:
    def watch(stage: Stage) -> None:
        if stage.doing == PARTS["place"]:
            raise KeyboardInterrupt

    found = fl.diagnose(problem(), parts=["rates", "place", "noise"], seeds=2, progress=watch)
    assert not found.finished
    assert found.rates is not None
    assert (found.curvature, found.noise) == (None, None)
    assert found.left_out == ("The diagnosis was interrupted while it measured the curvature at the weights.",)


class Counting(nn.Module):
    """Draws from a generator that it keeps from the user's eye: the number of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)
        self.calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(inputs) * (1 + 0.1 * (self.calls % 7))  # type: ignore[no-any-return]


def not_a_number() -> nn.Module:
    made = network()
    with torch.no_grad():
        next(made.parameters()).fill_(torch.nan)
    return made


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": not_a_number()}, "NaN or infinite"),
        ({"model": nn.Linear(3, 2)}, "does not fit the problem's model"),
        ({"model": nn.Linear(3, 2), "parts": ["layers"]}, "model: it does not fit the problem's model"),
        ({"model": 3}, r"give a torch\.nn\.Module"),
        ({"parts": ["plaice"]}, "parts: must be"),
        ({"parts": []}, "parts: there are none"),
        ({"mode": "on"}, "mode: must be"),
        ({"lr": -1.0}, "lr must be"),
        ({"seed": -1}, "seed must be"),
        ({"momentum": 0.9}, "momentum: 'gradient_descent' has no such hyperparameter"),
        ({"optimizer": "adm"}, "did you mean 'adam'"),
    ],
)
def test_refusals(arguments: dict[str, Any], said: str) -> None:
    given = {"parts": ["place", "noise"], "progress": quiet, **arguments}
    with pytest.raises((TypeError, ValueError, LookupError), match=said):
        fl.diagnose(problem(), **given)


def test_a_loss_that_differs_each_time() -> None:
    with pytest.raises(ProblemError, match="two evaluations at the same weights differ"):
        fl.diagnose(problem(Counting), parts=["place", "noise"], progress=quiet)


def test_a_model_that_is_too_large_is_refused_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[torch.device] = []

    def counted() -> nn.Module:
        made = network()
        built.extend(weight.device for weight in made.parameters())
        return made

    given = problem(counted)
    built.clear()
    monkeypatch.setattr(copied, "free_memory", lambda: 500)
    with pytest.raises(
        ProblemError, match=r"model: it has 58 weights, which take 928 bytes .*, and 500 bytes are free"
    ):
        fl.diagnose(given, parts=["rates"], progress=quiet)
    assert {device.type for device in built} == {"meta"}


def test_nothing_to_train() -> None:
    with pytest.raises(ProblemError, match="train"):
        fl.diagnose(problem(lambda: network().requires_grad_(False)), progress=quiet)


def test_what_can_not_be_measured_is_left_out_with_its_reason() -> None:
    found = fl.diagnose(quadratic(), quadratic().build(0), parts=["place", "noise"], progress=quiet)
    assert found.curvature is not None
    assert found.noise is None
    assert found.left_out == (
        "Left out is the noise of the gradient: examples: noise is told from 4 at least; got 1 of train.",
    )
