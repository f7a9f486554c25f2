"""What `fallline.fit` refuses, in sentences that name the argument."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

import fallline as fl
from fallline import rules
from fallline.averaging import WeightAverage
from fallline.optim.schedule_free import ScheduleFree
from tests.training.models import make_problem, mlp

MODEL = mlp()
REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no problem": ({"problem": 3}, TypeError, "problem: got int; give a fallline.Problem"),
    "no optimizer": ({"optimizer": 3}, TypeError, "optimizer: got int; give a rule"),
    "unknown rule": ({"optimizer": "adm"}, LookupError, "no rule 'adm'; did you mean 'adam'"),
    "unknown hyperparameter": ({"rl": 0.1}, TypeError, "has no hyperparameter 'rl'; it has lr"),
    "no maker": ({"optimizer": lambda params: 3}, TypeError, "the function returned int"),
    "maker with more": (
        {"optimizer": lambda params: torch.optim.SGD(params), "lr": 0.1},
        TypeError,
        "fit was given lr for it, but a function sets its own",
    ),
    "made, with more": (
        {"optimizer": torch.optim.SGD(MODEL.parameters()), "model": MODEL, "lr": 0.1},
        TypeError,
        "it is made already",
    ),
    "made, without its model": (
        {"optimizer": torch.optim.SGD(MODEL.parameters())},
        ValueError,
        "model: the optimizer holds the parameters of a model that fit does not know",
    ),
    "made, of another model": (
        {"optimizer": torch.optim.SGD(MODEL.parameters()), "model": mlp()},
        ValueError,
        "optimizer: 4 of its parameters are not the model's",
    ),
    "unknown class": ({"optimizer": "muonn"}, LookupError, "did you mean 'muon'"),
    "an average out of reach": (
        {"optimizer": lambda params: fl.Optimizer(params, rules.schedule_free_sgd)},
        ValueError,
        r"optimizer: it follows 'schedule_free\(gradient_descent\)', whose average .*; give fit the rule itself",
    ),
    "beta 0": ({"optimizer": "schedule_free_sgd", "beta": 0.0}, ValueError, "must be above 0 and below 1; got 0"),
    "not Schedule-Free": (
        {"optimizer": ScheduleFree, "rule": rules.adam},
        ValueError,
        "ScheduleFree takes a rule that .*; 'adam' is none",
    ),
    "no model": ({"model": mlp}, TypeError, "model: got function; give a torch.nn.Module"),
    "batch 0": ({"batch": 0}, ValueError, "batch: must be a whole number from 1; got 0"),
    "batch too large": ({"batch": 43}, ValueError, 'batch: must be at most 42, .*"all" takes them all'),
    "batch in words": ({"batch": "whole"}, ValueError, "batch: must be a whole number from 1; got 'whole'"),
    "epochs": ({"epochs": 0}, ValueError, "epochs: must be a whole number from 1; got 0"),
    "seed": ({"seed": -1}, ValueError, "seed: must be a whole number from 0"),
    "schedule": ({"schedule": 0.1}, TypeError, "schedule: got float; give one of fallline.schedules"),
    "schedule's maker": ({"schedule": lambda optimizer: 3}, TypeError, "schedule: got int"),
    "schedule of another": (
        {"schedule": lr_scheduler.StepLR(torch.optim.SGD(MODEL.parameters()), 1)},
        ValueError,
        "schedule: the torch scheduler drives another optimizer",
    ),
    "average of another": ({"averages": WeightAverage(MODEL)}, ValueError, "averages: the WeightAverage is of another"),
    "decay": ({"averages": 1.0}, ValueError, "decay must be a finite number, at least 0 and less than 1; got 1.0"),
}


@pytest.mark.parametrize(("given", "error", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(given: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        fl.fit(**{"problem": make_problem(mlp), "optimizer": "sgd", **given})
