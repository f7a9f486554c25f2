"""`fallline.fit`: the plain loop's numbers, whatever makes the optimizer, and a result whatever happens."""

from __future__ import annotations

import copy
import csv
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

import fallline as fl
from fallline import optim, rules
from fallline.averaging import WeightAverage
from fallline.optim.schedule_free import ScheduleFree
from fallline.schedules import exponential
from fallline.training.evaluation import Evaluator
from tests.training.models import batch_norm, make_problem, mlp, plain_training


def dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.Dropout(0.5), nn.Linear(8, 3))


def weights(result: fl.training.FitResult) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in result.model.parameters()])


@pytest.mark.parametrize("model", [mlp, batch_norm])
@pytest.mark.parametrize("seed", [0, 3])
def test_as_the_loop_that_anybody_would_write(model: Callable[[], nn.Module], seed: int) -> None:
    problem = make_problem(model)  # 42 examples in batches of 16: the last has 10
    module, curves = plain_training(problem, seed, 0.1)
    result = fl.fit(problem, torch.optim.SGD, lr=0.1, seed=seed)
    for parameter, expected in zip(result.model.parameters(), module.parameters(), strict=True):
        assert torch.equal(parameter, expected)
    found = [(row.training_loss, row.validation_loss, row.metric) for row in result.curves[1:]]
    np.testing.assert_allclose(np.array(found, float).T, curves, rtol=1e-6)
    assert [(row.epoch, row.step) for row in result.curves] == [(epoch, 3 * epoch) for epoch in range(5)]
    assert result.curves[0].training_loss is None
    assert (result.finished, result.reason) == (True, "All 4 epochs were trained.")
    assert not result.model.training


@pytest.mark.parametrize(("batch", "steps"), [(1, 42), (16, 3), (20, 3), (42, 1), ("all", 1), (None, 3)])
def test_batches_of_any_size(batch: Any, steps: int) -> None:
    result = fl.fit(make_problem(mlp), "sgd", batch=batch, epochs=2)
    assert [row.step for row in result.curves] == [0, steps, 2 * steps]


@pytest.mark.parametrize("model", [mlp, dropout])
def test_the_seed_says_everything(model: Callable[[], nn.Module]) -> None:
    problem, state = make_problem(model), torch.get_rng_state()
    first, same, other = (fl.fit(problem, "adam", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(weights(first), weights(same))
    assert first.curves == same.curves
    assert not torch.equal(weights(first), weights(other))
    assert torch.equal(torch.get_rng_state(), state)


def test_masks_of_dropout_follow_the_seed() -> None:
    same = torch.ones(8, 16), torch.zeros(8, dtype=torch.int64)  # so that their order says nothing
    problem = make_problem(dropout, train=same, batch=4)
    start = problem.build(0)
    first, again, other = (fl.fit(problem, "sgd", model=copy.deepcopy(start), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


class WithoutClosure(torch.optim.SGD):
    """What people write who never need a closure."""

    def step(self) -> None:  # type: ignore[override]
        super().step()


def test_all_ways_to_say_which_optimizer() -> None:
    problem = make_problem(mlp)
    model = problem.build(0)
    results = [
        fl.fit(problem, "gradient_descent", lr=0.1),
        fl.fit(problem, " SGD", lr=0.1),
        fl.fit(problem, rules.gradient_descent, lr=0.1),
        fl.fit(problem, optim.SGD, lr=0.1),
        fl.fit(problem, WithoutClosure, lr=0.1),
        fl.fit(problem, lambda params: torch.optim.SGD(params, lr=0.1)),
        fl.fit(problem, torch.optim.SGD(model.parameters(), lr=0.1), model=model),
    ]
    assert results[-1].model is model
    for result in results[1:]:
        torch.testing.assert_close(weights(result), weights(results[0]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("muon", optim.Muon), ("Adafactor", optim.Adafactor), ("SOAP", optim.SOAP), ("newton", fl.Newton),
     ("look-ahead-nesterov", optim.LookAheadNesterov), ("FullMatrixAdagrad", optim.FullMatrixAdagrad)],
)  # fmt: skip
def test_classes_by_name(name: str, kind: type[torch.optim.Optimizer]) -> None:
    problem = make_problem(lambda: nn.Linear(16, 3, bias=False))
    assert type(fl.fit(problem, name, epochs=1).optimizer) is kind


@pytest.mark.parametrize(
    ("optimizer", "given"),
    [(torch.optim.LBFGS, {"line_search_fn": "strong_wolfe"}), (fl.Newton, {}), (optim.LookAheadNesterov, {"lr": 0.1})],
)
def test_those_that_evaluate_the_batch_again(optimizer: Any, given: dict[str, Any]) -> None:
    random = torch.Generator().manual_seed(0)
    X = torch.randn(20, 3, generator=random, dtype=torch.float64)
    y = X @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    problem = fl.Problem(
        model=lambda: nn.Linear(3, 1, dtype=torch.float64), loss=nn.functional.mse_loss,
        train=(X, y), valid=(X, y), batch=20, epochs=100,
    )  # fmt: skip
    result = fl.fit(problem, optimizer, **given)
    assert result.curves[-1].step == 100
    assert result.curves[-1].validation_loss == pytest.approx(0, abs=1e-8)


class Doubling(nn.Linear):
    """Writes into its inputs."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.mul_(2))


class Twice(torch.optim.SGD):
    """Evaluates each batch twice, and notes both losses."""

    losses: list[list[float]]

    def step(self, closure: Any = None) -> Any:
        self.losses = [*getattr(self, "losses", []), [float(closure().detach()) for _ in range(2)]]
        return super().step()


def test_a_model_may_write_into_its_inputs() -> None:
    problem = make_problem(lambda: Doubling(16, 3))
    before = [split.inputs.clone() for split in problem.splits().values()]
    result = fl.fit(problem, Twice, epochs=1)
    assert isinstance(result.optimizer, Twice)
    assert [first == second for first, second in result.optimizer.losses] == [True] * 3
    assert all(map(torch.equal, before, (split.inputs for split in problem.splits().values())))


def test_a_model_is_trained_on_from_where_it_is() -> None:
    problem = make_problem(mlp)
    model = problem.build(0)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    first = fl.fit(problem, optimizer, model=model, epochs=1)
    second = fl.fit(problem, optimizer, model=model, epochs=1, seed=1)
    assert second.curves[0].validation_loss == first.curves[-1].validation_loss
    assert int(optimizer.state[next(model.parameters())]["step"]) == 6


RATES: dict[str, tuple[Any, list[float]]] = {
    "none": (None, [0.4, 0.4, 0.4]),
    "by steps": (exponential(0.5), [0.4 / 2**2, 0.4 / 2**5, 0.4 / 2**8]),
    "by epochs": (exponential(0.5).per_epoch(3), [0.4, 0.2, 0.1]),
    "torch, by epochs": (lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.5), [0.4, 0.2, 0.1]),
    "torch, by steps": (
        lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.0, 0.8, 8, cycle_momentum=False),
        [0.2, 0.5, 0.8],
    ),
    "torch, by a validation loss that falls": (lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0), [0.4] * 3),
    "torch, by one that should rise": (
        lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=0),
        [0.4, 0.4, 0.2],
    ),
}


@pytest.mark.parametrize("name", RATES)
def test_the_rate_of_each_epoch(name: str) -> None:
    schedule, expected = RATES[name]
    result = fl.fit(make_problem(mlp), optim.SGD, lr=0.4, epochs=3, schedule=schedule)
    assert [row.learning_rate for row in result.curves[1:]] == pytest.approx(expected)


def test_a_torch_scheduler_that_is_made() -> None:
    problem = make_problem(mlp)
    model = problem.build(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
    result = fl.fit(problem, optimizer, model=model, epochs=2, schedule=lr_scheduler.StepLR(optimizer, 1, 0.5))
    assert [row.learning_rate for row in result.curves] == [0.4, 0.4, 0.2]


@pytest.mark.parametrize("as_number", [True, False])
def test_averages_are_what_is_evaluated(as_number: bool) -> None:
    problem = make_problem(mlp)
    model = problem.build(0)
    averages = 0.9 if as_number else WeightAverage(model, 0.9)
    result = fl.fit(problem, "sgd", lr=0.3, model=model, averages=averages)
    plain = fl.fit(problem, "sgd", lr=0.3)
    assert torch.equal(weights(result), weights(plain))
    assert result.averages is not None
    assert result.averages.count == 12
    with result.averages.swapped():
        assert Evaluator(model, problem, 0)(problem.valid, 0)[0] == result.curves[-1].validation_loss
    assert result.curves[-1].validation_loss != plain.curves[-1].validation_loss
    assert result.curves[0] == plain.curves[0]


@pytest.mark.parametrize(
    ("averages", "words"),
    [
        (
            0.99,
            "averages about the last 100 steps, and the run has 12, so that the average, .* give at most 0.58, train",
        ),
        (0.8, "averages about the last 5 steps, and the run has 12"),
        (0.5, None),
        (0.0, None),
        (None, None),
    ],
)
def test_an_average_that_lags_is_warned_of(averages: float | None, words: str | None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fl.fit(make_problem(mlp), "sgd", lr=0.3, averages=averages)
    told = [str(one.message) for one in caught if "averages" in str(one.message)]
    assert len(told) == (words is not None)
    assert words is None or re.search(words, told[0])
    which = "with the weights of each row's step" if averages is None else "averaged weights, which result.averages.sw"
    assert which in result.evaluated
    assert (result.evaluated in repr(result)) == (averages is not None)


def test_the_result_says_that_the_optimizer_keeps_the_average() -> None:
    result = fl.fit(make_problem(mlp), "schedule_free_sgd", lr=0.3)
    assert "with the optimizer's average of the weights, which the model has now" in result.evaluated
    assert repr(result).endswith(f"{result.evaluated}\n{result.reason}")


@pytest.mark.parametrize(
    "optimizer",
    [
        optim.ScheduleFreeSGD,
        "schedule_free_sgd",
        rules.schedule_free_sgd,
        rules.l2(rules.schedule_free(rules.momentum)),
    ],
)
def test_an_optimizer_that_keeps_the_average_is_evaluated_there(optimizer: Any) -> None:
    problem = make_problem(mlp)
    result = fl.fit(problem, optimizer, lr=0.3)
    at_average = Evaluator(result.model, problem, 0)(problem.valid, 0)[0]
    assert at_average == pytest.approx(result.curves[-1].validation_loss)
    assert isinstance(result.optimizer, ScheduleFree)
    with pytest.raises(RuntimeError, match=r"the average would be lost; call eval\(\).* and make a new optimizer"):
        result.optimizer.switch(rules.adam)
    result.optimizer.train()
    assert Evaluator(result.model, problem, 0)(problem.valid, 0)[0] != pytest.approx(at_average)


def test_a_loss_that_is_not_finite_ends_training() -> None:
    result = fl.fit(make_problem(mlp), "sgd", lr=1e30)
    assert not result.finished
    assert result.reason.startswith("Training ended before step 2, in epoch 1: the loss was ")
    assert [(row.epoch, row.step, row.validation_loss) for row in result.curves[1:]] == [(1, 1, None)]
    assert math.isfinite(result.curves[-1].training_loss or math.nan)


class Interrupted(torch.optim.SGD):
    """Ctrl-C in its fifth step."""

    left = 4

    def step(self, closure: Any = None) -> Any:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().step(closure)


def test_an_interrupted_run_returns_what_there_is() -> None:
    problem = make_problem(mlp)
    result = fl.fit(problem, Interrupted, lr=0.1)
    whole = fl.fit(problem, torch.optim.SGD, lr=0.1)
    assert (result.finished, [row.step for row in result.curves]) == (False, [0, 3, 4])
    assert result.curves[:2] == whole.curves[:2]
    assert result.reason == "Training was interrupted after 4 steps; the weights are those it had then."


def test_the_table_in_a_file_and_on_the_screen(tmp_path: Path) -> None:
    result = fl.fit(make_problem(mlp), "adam", epochs=20)
    result.to_csv(tmp_path / "curves.csv")
    with open(tmp_path / "curves.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["epoch", "step", "training_loss", "validation_loss", "accuracy", "learning_rate"]
    assert rows[0][:3] == ["0", "0", ""]
    assert [float(row[3]) for row in rows] == [row.validation_loss for row in result.curves]
    lines = repr(result).splitlines()
    assert lines[0].split() == header
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing; make it first"):
        result.to_csv(tmp_path / "missing" / "curves.csv")
    assert [line.split()[0] for line in lines[1:-1]] == ["0", "1", "2", "...", *map(str, range(12, 21))]
    assert lines[-1] == "All 20 epochs were trained."


@pytest.mark.parametrize(("terminal", "shown", "word"), [("1", True, "epoch 2"), ("1", False, ""), ("", True, "")])
def test_the_bar_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: str, shown: bool, word: str
) -> None:
    monkeypatch.setenv("FORCE_COLOR", terminal)
    monkeypatch.setenv("TERM", "xterm")
    fl.fit(make_problem(mlp), "sgd", epochs=2, progress=shown)
    printed = capsys.readouterr()
    assert (word in printed.err, bool(printed.err), printed.out) == (True, bool(word), "")


def test_checkpoints_are_the_models_of_their_steps() -> None:
    problem = make_problem(batch_norm)  # 3 steps an epoch, 4 epochs
    result = fl.fit(problem, "sgd", lr=0.1, checkpoints=5)
    assert [(one.step, one.learning_rate) for one in result.checkpoints] == [(step, 0.1) for step in (0, 3, 6, 9, 12)]
    shorter = fl.fit(problem, "sgd", lr=0.1, epochs=2).model.state_dict()
    for name, value in result.checkpoints[2].state.items():
        assert torch.equal(value, shorter[name]), name
    for name, value in result.model.state_dict().items():
        assert torch.equal(value, result.checkpoints[-1].state[name]), name
    assert fl.fit(problem, "sgd", lr=0.1, epochs=1).checkpoints == []


def test_a_run_that_ends_early_keeps_the_checkpoints_that_it_came_to() -> None:
    result = fl.fit(make_problem(mlp), "sgd", lr=1e30, checkpoints=13)
    assert not result.finished
    assert [one.step for one in result.checkpoints] == [*range(len(result.checkpoints))]
    assert len(result.checkpoints) < 13


@pytest.mark.parametrize("wrong", [1, -1, 2.5])
def test_a_number_of_checkpoints_that_there_can_not_be(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^checkpoints"):
        fl.fit(make_problem(mlp), "sgd", checkpoints=wrong)
