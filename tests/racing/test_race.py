"""Whole races on small problems: what is promised of the protocol, and bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline import rules
from fallline.math import sqrt
from fallline.racing import Arm, Effort, RaceResult
from fallline.training import digits

SMALL = Effort(trials=4, finalists=2, seeds=3)
_generator = torch.Generator().manual_seed(0)
X = torch.randn(96, 4, generator=_generator)
Y = (X @ torch.tensor([1.0, -2.0, 0.5, 0.0]) + 0.1 * torch.randn(96, generator=_generator))[:, None]


def regression(**changes: Any) -> fl.Problem:
    given: dict[str, Any] = {
        "model": lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)),
        "loss": nn.functional.mse_loss,
        "train": (X[:48], Y[:48]),
        "valid": (X[48:72], Y[48:72]),
        "test": (X[72:], Y[72:]),
        "batch": 16,
        "epochs": 4,
        "name": "regression",
    }
    return fl.Problem(**{**given, **changes})


@fl.rule
def my_rmsprop(p, g, v, *, lr=1e-2, alpha=0.99, eps=1e-8):  # type: ignore[no-untyped-def]
    v = alpha * v + (1 - alpha) * g * g
    return lr * g / (sqrt(v) + eps), v


def scores(result: RaceResult, name: str) -> list[list[float]]:
    return [final.scores.tolist() for final in result[name].entry.finals]


def test_a_users_rule_and_a_torch_class_race(tmp_path: Path) -> None:
    result = fl.race(regression(), ["sgd", my_rmsprop, torch.optim.Adamax], SMALL, storage=tmp_path / "races.db")
    assert {arm.name for arm in result.arms} == {"sgd", "my_rmsprop", "Adamax"}
    p = nn.Parameter(torch.ones(2))
    assert isinstance(result["my_rmsprop"].optimizer([p]), fl.Optimizer)
    assert isinstance(result["Adamax"].optimizer([p]), torch.optim.Adamax)
    assert all(name in str(result) for name in ("sgd", "my_rmsprop", "Adamax"))


def test_json_has_everything(tmp_path: Path) -> None:
    result = fl.race(regression(), ["sgd", "adam"], SMALL, storage=tmp_path / "races.db")
    result.write_json(tmp_path / "race.json")
    read = json.loads((tmp_path / "race.json").read_text())
    assert set(read) == {"protocol", "arms", "verdict"}
    assert set(read["verdict"]) >= {"winner", "ties", "sentence", "warnings"}
    for arm in read["arms"]:
        assert set(arm) >= {"name", "best", "trials", "finals", "statistics"}
        assert len(arm["trials"]) == SMALL.trials
        assert [len(final["scores"]) for final in arm["finals"]] == [SMALL.seeds] * SMALL.finalists
    assert read["protocol"]["steps"] == 12
    assert read["protocol"]["samples"] == 4 * 48
    assert read["protocol"]["step_zero_largest_relative_difference"] < 1e-6


def test_every_run_is_stored(tmp_path: Path) -> None:
    import optuna

    path = tmp_path / "races.db"
    result = fl.race(regression(), ["sgd", "adam"], SMALL, storage=path)
    study = optuna.load_study(study_name=result.protocol["storage"]["study"], storage=f"sqlite:///{path}")
    kinds = [trial.user_attrs["run"]["kind"] for trial in study.trials]
    assert kinds.count("trial") == 2 * SMALL.trials
    assert kinds.count("final") == 2 * SMALL.finalists * SMALL.seeds
    assert study.user_attrs["verdict"]["sentence"] == result.verdict.sentence
    fl.race(regression(), ["sgd"], SMALL, storage=path)
    assert len(optuna.get_all_study_names(f"sqlite:///{path}")) == 2


def test_the_order_of_the_arms_changes_nothing() -> None:
    there = fl.race(regression(), ["sgd", "adam", "momentum"], SMALL, storage=None)
    back = fl.race(regression(), ["momentum", "adam", "sgd"], SMALL, storage=None)
    assert there.verdict.ranking == back.verdict.ranking
    assert there.verdict.winner == back.verdict.winner
    for name in ("sgd", "adam", "momentum"):
        np.testing.assert_allclose(scores(there, name), scores(back, name), rtol=1e-5)


def test_an_absurd_arm_comes_last_and_moves_nobody() -> None:
    sound = fl.race(regression(), ["sgd", "adam"], SMALL, storage=None)
    absurd = Arm("absurd", rules.gradient_descent, {"lr": (1e6, 1e9)})
    mixed = fl.race(regression(), ["sgd", absurd, "adam"], SMALL, storage=None)
    assert mixed.verdict.ranking[-1] == "absurd"
    assert mixed["absurd"].diverged_trials == SMALL.trials
    assert any("absurd" in warning for warning in mixed.verdict.warnings)
    for name in ("sgd", "adam"):
        np.testing.assert_allclose(scores(mixed, name), scores(sound, name), rtol=1e-5)


def test_all_arms_diverge_without_a_crash() -> None:
    arms = [Arm(name, rules.gradient_descent, {"lr": (1e6, 1e9)}) for name in ("a", "b")]
    result = fl.race(regression(), arms, SMALL, storage=None)
    assert result.verdict.winner is None
    json.dumps(result.to_json(), allow_nan=False)


def test_finals_run_on_fresh_seeds_and_the_same_for_all() -> None:
    result = fl.race(regression(), ["sgd", "adam"], SMALL, seed=5, storage=None)
    protocol = result.protocol
    assert protocol["tuning_seed"] not in protocol["final_seeds"]
    assert len(set(protocol["final_seeds"])) == SMALL.seeds


def test_a_race_repeats_itself() -> None:
    first, second = (fl.race(regression(), ["sgd", "adam"], SMALL, seed=3, storage=None) for _ in range(2))
    assert scores(first, "adam") == scores(second, "adam")
    assert first.verdict.sentence.split("cheapest")[0] == second.verdict.sentence.split("cheapest")[0]


def test_a_final_is_reproduced_from_its_seed_alone() -> None:
    """An ordinary loop with the stored seed and configuration ends where the lane ended."""
    problem = regression()
    result = fl.race(problem, ["adam"], SMALL, storage=None)
    from fallline.training import Batches

    seed = result.protocol["final_seeds"][0]
    model = problem.build(seed)
    optimizer = result["adam"].optimizer(model.parameters())
    batches = Batches(len(problem.train), problem.batch, [seed])
    for step in range(problem.steps):
        rows = batches.at(step)[0]
        optimizer.zero_grad()
        nn.functional.mse_loss(model(problem.train.inputs[rows]), problem.train.targets[rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert problem.test is not None
    loss = nn.functional.mse_loss(model(problem.test.inputs), problem.test.targets).item()
    assert loss == pytest.approx(result["adam"].entry.finals[0].scores[0], rel=1e-4)


def test_target_and_ladder() -> None:
    ladder = fl.race(regression(epochs=20), ["adam"], SMALL, storage=None)["adam"].reached
    goals = [goal.goal for goal in ladder]
    assert goals == sorted(goals, reverse=True)
    assert ladder[0].reached == SMALL.seeds
    assert ladder[0].steps is not None
    missed = fl.race(regression(target=1e-12), ["adam"], SMALL, storage=None)
    assert (missed["adam"].reached[0].reached, missed["adam"].reached[0].steps) == (0, None)
    assert any("target" in warning for warning in missed.verdict.warnings)


def test_a_model_that_cannot_be_batched_races_one_at_a_time() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h: torch.Tensor = self.layer(x)
            return h if h.sum() > 0 else 2 * h

    with pytest.warns(UserWarning, match="one at a time"):
        result = fl.race(regression(model=Branching), ["sgd"], Effort(4, 1, 4), storage=None)
    assert math.isfinite(result["sgd"].entry.finals[0].scores[0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"problem": None}, "must be a fallline.Problem"),
        ({"problem": regression(test=None)}, "judged on a test split"),
        ({"problem": regression(loss=lambda o, t: (o - t).sum() * math.nan)}, "nan at the start"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"effort": "extreme"}, "effort must be one of"),
        ({"arms": ["adm"]}, "did you mean 'adam'"),
        ({"storage": "/dev/null/races.db"}, "can't be written"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    given = {"problem": regression(), "effort": SMALL, "storage": None, **arguments}
    with pytest.raises((ValueError, OSError), match=sentence):
        fl.race(**given)


def test_storage_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for one " * 40)
    with pytest.raises(OSError, match="no Optuna database"):
        fl.race(regression(), ["sgd"], SMALL, storage=path)
    assert path.read_text().startswith("not a database")


def test_quick_race_on_the_digits_is_a_ranking() -> None:
    result = fl.race(digits(epochs=3), ["sgd", "adam"], "quick", storage=None)
    assert result.verdict.winner is None
    assert len(result.verdict.ranking) == 2
