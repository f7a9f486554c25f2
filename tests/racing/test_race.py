"""Whole races on small problems: what is promised of the protocol, and bad input."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline import rules
from fallline.math import sqrt
from fallline.problems import digits
from fallline.racing import Arm, Effort, RaceResult
from fallline.racing.evidence import sharing
from fallline.racing.output.data import lasting_part
from fallline.racing.runs import Outcome, goal_reached
from fallline.racing.stages import Watcher
from fallline.racing.storage.kept import kept_runs
from fallline.racing.storage.races import past_races

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


class Notes(Watcher):
    """Keeps the lines that a race tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def scores(result: RaceResult, name: str) -> list[list[float]]:
    return [final.scores.tolist() for final in result[name].entry.finals]


def test_a_users_rule_and_a_torch_class_race(tmp_path: Path) -> None:
    result = fl.race(regression(), ["sgd", my_rmsprop, torch.optim.Adamax], SMALL, storage=tmp_path / "races.db")
    assert {arm.name for arm in result.arms} == {"sgd", "my_rmsprop", "Adamax"}
    p = nn.Parameter(torch.ones(2))
    assert isinstance(result["my_rmsprop"].optimizer([p]), fl.Optimizer)
    assert isinstance(result["Adamax"].optimizer([p]), torch.optim.Adamax)
    assert all(name in str(result) for name in ("sgd", "my_rmsprop", "Adamax"))
    assert re.fullmatch(r"ArmResult\('sgd', lr=[\d.e-]+, test score [\d.e-]+\)", repr(result["sgd"]))
    assert repr(result).startswith("RaceResult('regression', take '")


def test_json_has_everything(tmp_path: Path) -> None:
    result = fl.race(regression(), ["sgd", "adam"], SMALL, storage=tmp_path / "races.db")
    result.write_json(tmp_path / "race.json")
    read = json.loads((tmp_path / "race.json").read_text())
    assert set(read) == {"protocol", "arms", "decision", "warnings", "slices", "occasion"}
    assert set(read["decision"]) >= {"take", "at_most_below_best", "distances", "behind", "speed", "next", "ranking"}
    assert set(read["decision"]["take"]) == {"arm", "configuration", "decided_by"}
    assert [arm["name"] for arm in read["arms"]] == read["decision"]["ranking"]
    assert read["arms"][0]["best"]["configuration"] == read["decision"]["take"]["configuration"]
    for arm in read["arms"]:
        assert set(arm) >= {"name", "best", "trials", "finals", "statistics"}
        assert set(arm["best"]["configuration"]) == {"lr"}
        assert set(arm["best"]["fixed"]) == set(rules.find(arm["name"]).hyperparameters) - {"lr"} | {"schedule"}
        assert len(arm["trials"]) == SMALL.trials
        assert [len(final["scores"]) for final in arm["finals"]] == [SMALL.seeds] * SMALL.finalists
    assert read["protocol"]["steps"] == 12
    assert read["protocol"]["samples"] == 4 * 48
    assert read["protocol"]["step_zero_largest_relative_difference"] < 1e-6


def test_every_run_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    result = fl.race(regression(), ["sgd", "adam"], SMALL, storage=path)
    assert result.occasion["storage"] == {"where": str(path), "race": past_races(path)[0].name}
    kept = kept_runs(path)
    assert sum(not run.scored for run in kept) == 2 * SMALL.trials
    assert sum(run.scored for run in kept) == 2 * SMALL.finalists * SMALL.seeds
    fl.race(regression(), ["sgd"], SMALL, storage=path)
    assert [race.arms for race in past_races(path)] == [("sgd",), ("sgd", "adam")]
    assert [run.key for run in kept_runs(path)] == [run.key for run in kept]


def test_the_order_of_the_arms_changes_nothing() -> None:
    there = fl.race(regression(), ["sgd", "adam", "momentum"], SMALL, storage=None)
    back = fl.race(regression(), ["momentum", "adam", "sgd"], SMALL, storage=None)
    assert there.decision.ranking == back.decision.ranking
    assert there.decision.winner == back.decision.winner
    for name in ("sgd", "adam", "momentum"):
        np.testing.assert_allclose(scores(there, name), scores(back, name), rtol=1e-5)


def test_an_absurd_arm_comes_last_and_moves_nobody() -> None:
    sound = fl.race(regression(), ["sgd", "adam"], SMALL, storage=None)
    absurd = Arm("absurd", rules.gradient_descent, {"lr": (1e6, 1e9)})
    mixed = fl.race(regression(), ["sgd", absurd, "adam"], SMALL, storage=None)
    assert mixed.decision.ranking[-1] == "absurd"
    assert mixed["absurd"].diverged_trials == SMALL.trials
    assert mixed.decision.apart == ("absurd",)
    for name in ("sgd", "adam"):
        np.testing.assert_allclose(scores(mixed, name), scores(sound, name), rtol=1e-5)


def test_all_arms_diverge_without_a_crash() -> None:
    given = {"a": rules.gradient_descent, "b": rules.momentum}
    arms = [Arm(name, rule, {"lr": (1e6, 1e9)}) for name, rule in given.items()]
    result = fl.race(regression(), arms, SMALL, storage=None)
    assert (result.decision.take, result.decision.winner) == (None, None)
    assert result.decision.lines[0] == "Nothing can be taken: a and b diverged."
    assert result.warnings == ()
    assert repr(result.best) == "ArmResult('a', diverged)"
    read = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert [arm["best"] for arm in read["arms"]] == [None, None]
    with pytest.raises(ValueError, match="none of its configurations is fit for use"):
        result.best.optimizer([nn.Parameter(torch.ones(2))])


def test_a_run_that_diverged_hides_no_shares_of_others() -> None:
    runs = [outcome(0.2, [0.1, 0.3]), outcome(math.nan, None)]
    assert sharing(runs) == 2
    assert sharing([*runs, outcome(0.2, None)]) is None
    assert sharing([outcome(math.nan, None)]) is None


def outcome(score: float, shares: list[float] | None) -> Outcome:
    """A run with a score on the test split and the shares of its examples; diverged where the score is NaN."""
    steps, curve = np.zeros(1, dtype=np.int64), np.zeros(1)
    examples = None if shares is None else np.array(shares)
    return Outcome(steps, steps, curve, curve, curve, 7 if math.isnan(score) else -1, score, examples)


def test_the_interval_of_an_accuracy_ends_at_one() -> None:
    result = fl.race(separable(), ["sgd"], Effort(4, 1, 3), storage=None)
    score = result["sgd"].score
    assert score is not None
    assert score.value > 0.9
    assert 0 <= score.low <= score.value <= score.high <= 1


def separable() -> fl.Problem:
    """Two classes that a linear model tells apart but for an example or two, depending on the seed."""
    labels = (X[:, 0] > 0.1).long()
    parts = {"train": slice(0, 48), "valid": slice(48, 72), "test": slice(72, 96)}
    data = {name: (X[rows], labels[rows]) for name, rows in parts.items()}
    return regression(model=lambda: nn.Linear(4, 2), loss=nn.functional.cross_entropy, metric="accuracy", **data)


def test_the_cost_is_told_before_and_again_after_tuning(tmp_path: Path) -> None:
    watcher = Notes()
    result = fl.race(regression(), ["sgd"], SMALL, storage=tmp_path / "races.db", watcher=watcher)
    checked, cost, kept, rest = watcher.lines
    assert checked == "Checking the problem and 1 arm."
    assert cost.startswith("1 arm: 10 runs (4 to tune, 6 finals), 120 steps and 1,920 samples in all, ")
    assert str(tmp_path / "races.db") in kept
    assert rest.startswith("Tuning took ")
    assert "the finals should take" in rest
    assert str(result).endswith(f"Every run is kept in {tmp_path / 'races.db'}.")


def test_the_table_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    wild = Arm("momentum", rules.momentum, {"lr": (1e6, 1e9)})
    result = fl.race(regression(), ["nesterov", wild], SMALL, storage=None)
    for columns, width in ((40, 80), (80, 80), (100, 100), (200, 120)):
        monkeypatch.setenv("COLUMNS", str(columns))
        text = str(result)
        assert max(map(len, text.splitlines())) <= width
        assert "the untrained model's halved" in " ".join(text.split())
        row = next(line for line in text[text.index("───") :].splitlines() if line.startswith("momentum"))
        assert row.endswith("4 + 3")  # trials, and runs of the best one
        assert "e+" not in row  # no best learning rate


def test_finals_run_on_fresh_seeds_and_the_same_for_all() -> None:
    result = fl.race(regression(), ["sgd", "adam"], SMALL, seed=5, storage=None)
    protocol = result.protocol
    assert protocol["tuning_seed"] not in protocol["final_seeds"]
    assert len(set(protocol["final_seeds"])) == SMALL.seeds


def test_a_race_repeats_itself() -> None:
    first, second = (fl.race(regression(), ["sgd", "adam"], SMALL, seed=3, storage=None) for _ in range(2))
    assert scores(first, "adam") == scores(second, "adam")
    plain = [lasting_part(race.to_json()) for race in (first, second)]
    assert plain[0] == plain[1]


def test_a_final_is_reproduced_from_its_seed_alone() -> None:
    """An ordinary loop with the stored seed and configuration ends where the lane ended."""
    problem = regression()
    result = fl.race(problem, ["adam"], SMALL, storage=None)
    from fallline.training import Batches

    seed = result.protocol["final_seeds"][0]
    model = problem.build(seed)
    optimizer, schedule = result["adam"].optimizer(model.parameters()), result["adam"].schedule()
    assert schedule is not None
    scheduler = schedule.drive(optimizer)
    batches = Batches(len(problem.train), problem.batch, [seed])
    for step in range(problem.steps):
        rows = batches.at(step)[0]
        optimizer.zero_grad()
        nn.functional.mse_loss(model(problem.train.inputs[rows]), problem.train.targets[rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
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
    assert any("target" in warning for warning in missed.warnings)


def test_a_model_that_cannot_be_batched_races_one_at_a_time() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h: torch.Tensor = self.layer(x)
            return h if h.sum() > 0 else 2 * h

    watcher = Notes()
    result = fl.race(regression(model=Branching), ["sgd"], Effort(4, 1, 4), storage=None, watcher=watcher)
    for told in (watcher.lines, result.warnings):
        assert sum("trained one at a time" in line for line in told) == 1
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
        ({"arms": ["muon"]}, "arm 'muon' can't take a step on this problem: .*2D"),
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
    with pytest.raises(OSError, match="can't be opened as a database"):
        fl.race(regression(), ["sgd"], SMALL, storage=path)
    assert path.read_text().startswith("not a database")


def test_a_quick_race_judges_other_draws_of_the_trials_too() -> None:
    result = fl.race(digits(epochs=3), ["sgd", "adam"], "quick", storage=None)
    assert result.decision.whole
    assert set(result.decision.ranking) == {"sgd", "adam"}


@pytest.mark.parametrize("training", ["batched", "in turn", "threads"])
@pytest.mark.parametrize("halving", [1, 2])
def test_the_decision_hangs_on_no_way_of_training(training: str, halving: int) -> None:
    effort = Effort(trials=8, finalists=2, seeds=3, halving=halving)
    usual = fl.race(regression(), ["sgd", "adam"], effort, storage=None)
    other = fl.race(regression(), ["sgd", "adam"], effort, storage=None, training=training)
    assert other.protocol["training"] == training
    assert other.decision.ranking == usual.decision.ranking
    assert other.decision.take is not None
    assert usual.decision.take is not None
    assert other.decision.take.configuration == usual.decision.take.configuration
    for name in ("sgd", "adam"):
        np.testing.assert_allclose(scores(other, name), scores(usual, name), rtol=1e-4)


@pytest.mark.parametrize(
    ("effort", "search", "runs_an_arm", "samples_an_arm"),
    [
        (Effort(8, 2, 3), ("lr",), 8 + 6, 14 * 4 * 48),
        (Effort(8, 2, 3, rounds=2), ("lr",), 8 + 6, 14 * 4 * 48),
        (Effort(8, 2, 3), ("batch", "schedule", "warm_up", "weight_decay"), 8 + 6, 14 * 4 * 48),
        (Effort(8, 2, 3, halving=2), ("lr",), 8 + 4 + 2 + 6, (8 + 4 * 2 + 2 * 4 + 6 * 4) * 48),
    ],
)
def test_every_arm_is_granted_the_same(
    effort: Effort, search: tuple[str, ...], runs_an_arm: int, samples_an_arm: int
) -> None:
    result = fl.race(regression(), ["sgd", "adam", "lion"], effort, search=search, storage=None)
    budgets = result.protocol["budget"]
    assert {name: (budget["runs"], budget["samples"]) for name, budget in budgets.items()} == dict.fromkeys(
        ("sgd", "adam", "lion"), (runs_an_arm, samples_an_arm)
    )
    for arm in result.arms:
        assert {"lr", *search} <= set(arm.configuration)
        assert len(arm.trials) == effort.trials
        assert [len(runs) for runs in arm.finals] == [effort.seeds] * effort.finalists
    assert any("proposed from earlier" in warning for warning in result.warnings) == (effort.rounds == 2)


def test_halving_keeps_the_best_and_runs_finalists_in_full() -> None:
    result = fl.race(regression(epochs=8), ["sgd"], Effort(8, 2, 2, halving=2), storage=None)
    steps = [int(outcome.steps[-1]) for outcome in result["sgd"].trials]
    full = result.protocol["steps"]
    assert sorted(steps) == [full // 4] * 4 + [full // 2] * 2 + [full] * 2
    assert [steps[final.trial] for final in result["sgd"].entry.finals] == [full] * 2


def test_a_race_as_a_frame_in_html_and_for_tensorboard(tmp_path: Path) -> None:
    wild = Arm("<b>wild</b>", rules.gradient_descent, {"lr": (1e-3, 1e-1)})
    result = fl.race(regression(), [wild, "adam"], SMALL, storage=None)
    frame = result.to_frame()
    assert len(frame) == 2 * (SMALL.trials + SMALL.finalists * SMALL.seeds)
    assert frame[frame.stage == "final"].test_score.notna().all()
    html = result._repr_html_()
    assert "&lt;b&gt;wild" in html
    assert "<b>wild" not in html
    result.to_tensorboard(tmp_path)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = tmp_path.glob("adam/trial 00")
    read = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in read.Scalars("valid_loss")] == result["adam"].trials[0].steps.tolist()


def test_the_code_of_the_best_runs() -> None:
    result = fl.race(regression(), ["sgd", "adam"], SMALL, storage=None, search=["schedule"])
    data = torch.utils.data.TensorDataset(X[:48], Y[:48])
    names: dict[str, Any] = {"model": regression().build(0), "train": data, "loss": nn.functional.mse_loss}
    exec(result.best.code(), names)
    assert isinstance(names["optimizer"], torch.optim.Optimizer)


def test_halved_trials_are_compared_at_one_length() -> None:
    halved = fl.race(regression(epochs=8), ["sgd"], Effort(8, 2, 2, halving=2), storage=None)
    short = fl.race(regression(epochs=2), ["sgd"], Effort(8, 2, 2), storage=None)
    early, whole = (
        np.array([trial.comparable for trial in result["sgd"].entry.trials], dtype=float) for result in (halved, short)
    )
    np.testing.assert_allclose(early, whole, rtol=1e-5)


@pytest.mark.parametrize("halving", [1, 2])
def test_batches_of_all_sizes_see_the_same_samples(halving: int) -> None:
    effort = Effort(8, 2, 3, halving=halving)
    result = fl.race(regression(epochs=8), ["sgd", "adam"], effort, search=["batch"], storage=None)
    samples = {budget["samples"] for budget in result.protocol["budget"].values()}
    assert len(samples) == 1
    assert not any("not granted the same" in warning for warning in result.warnings)


@pytest.mark.parametrize(("at", "met"), [(-1, [False, True, True]), (2, [False, False, False])])
def test_a_goal_is_reached_by_steps_of_a_sound_run(at: int, met: list[bool]) -> None:
    steps, curve = np.arange(3), np.array([0.1, 0.1, 0.1])
    found = goal_reached(0.2, [Outcome(steps, steps, curve, curve, curve, at)], lambda run: run.valid_loss <= 0.2)
    assert (found.reached, found.steps) == (int(any(met)), 1 if any(met) else None)


class Counting(nn.Module):
    """A model of the test's own that counts its passes, so that it can't be batched."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.passes = nn.Linear(4, 1), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return torch.as_tensor(self.inner(x))


@pytest.mark.parametrize("model", [None, Counting], ids=["batched", "in turn"])
def test_a_run_is_had_again_to_the_bit(model: Any) -> None:
    result = fl.race(regression(**({} if model is None else {"model": model})), ["adam", "sgd"], SMALL, storage=None)
    for arm in result.arms:
        for seed, run in zip(arm.final_seeds, arm.finals[0], strict=True):
            again = arm.train(seed)
            assert (again.seed, again.outcome.score) == (seed, run.score)
            for name in ("train_loss", "valid_loss", "valid_metric"):
                assert getattr(again.outcome, name).tobytes() == getattr(run, name).tobytes()
            with torch.no_grad():
                loss = nn.functional.mse_loss(again.model.eval()(X[72:]), Y[72:])
            np.testing.assert_allclose(float(loss), run.score, rtol=1e-5)
    if model is not None:
        assert result.protocol["training"] == "in turn"
        trained = result.best.model()
        assert isinstance(trained, Counting)
        assert trained.passes > 12


def test_one_worker_is_this_process_afterwards_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fallline.racing.engines.processes.ProcessEngine", lambda *_: pytest.fail("a process is begun"))
    result = fl.race(regression(), ["adam"], SMALL, storage=None, workers=1)
    assert isinstance(result.best.model(), nn.Module)
    assert result.with_slices().slices
