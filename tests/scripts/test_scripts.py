"""Scripts as people write them, raced: each final equals the same run by `fallline.fit`, and by a plain torch loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import fallline as fl
from fallline.racing import RaceResult
from fallline.racing.arm_result import ArmResult
from fallline.training import draws_of
from fallline.training.evaluation import Evaluator
from fallline.training.population import obstacle_to_batching
from tests.scripts.scripts import SCRIPTS

#: Where a rate is so high that rounding grows, a run can't be had again in another way.
_ARMS = [fl.Arm("sgd", space={"lr": (1e-4, 1.0)}), fl.Arm("adam", space={"lr": (1e-6, 0.1)})]
_EFFORT = fl.Effort(trials=4, finalists=2, seeds=2)
#: What is measured by hand where the author's own lines do it otherwise than the metric of that name.
_OWN_METRICS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "adder": lambda output, labels: (output.argmax(1) == labels)[labels >= 0].double().mean(),
}


@pytest.fixture(scope="module")
def races() -> dict[str, RaceResult]:
    """The races so far, so that every test of a script looks at one race."""
    return {}


def _race(races: dict[str, RaceResult], script: str) -> RaceResult:
    if script not in races:
        problem = SCRIPTS[script]()
        way = "in turn" if obstacle_to_batching(problem, 0) else "batched"
        races[script] = fl.race(problem, _ARMS, _EFFORT, schedule="constant", storage=None, training=way)
    return races[script]


def _finals(result: RaceResult) -> list[tuple[ArmResult, dict[str, object], int, list[float]]]:
    """Each final's arm, configuration and seed, and what it came to: the losses on the way, then the test score."""
    return [
        (arm, dict(arm.entry.trials[final.trial].configuration), seed, [*outcome.valid_loss, outcome.score])
        for arm in result.arms
        for final, outcomes in zip(arm.entry.finals, arm.finals, strict=True)
        for seed, outcome in zip(arm.final_seeds, outcomes, strict=True)
    ]


def _by_fit(arm: ArmResult, configuration: dict[str, object], seed: int) -> list[float]:
    problem = arm.problem

    def optimizer(params: object) -> torch.optim.Optimizer:
        return arm.arm.optimizer(params, configuration, problem)  # type: ignore[arg-type]

    fitted = fl.fit(problem, optimizer, seed=seed, progress=False)
    assert problem.test is not None
    steps = fitted.curves[-1].step
    return [
        *(float(point.validation_loss or torch.nan) for point in fitted.curves),
        Evaluator(fitted.model, problem, seed)(problem.test, steps)[1],
    ]


def _by_hand(arm: ArmResult, configuration: dict[str, object], seed: int) -> list[float]:
    """The loop that everybody writes; only what is random is told where to begin, as a race tells it."""
    problem = arm.problem
    model = problem.build(seed)
    optimizer = arm.arm.optimizer(model.parameters(), configuration, problem)
    found, step = [_measured(problem, model, seed, 0, "valid")[0]], 0
    for epoch in range(problem.epochs):
        for numbers in _batches(problem, seed, epoch):
            batch = problem.data.read(numbers, seed, epoch)
            step += 1
            model.train()
            with draws_of(seed, step):
                if problem.step is None:
                    assert problem.loss is not None
                    loss = problem.loss(model(batch.inputs), batch.targets)
                else:
                    loss = problem.step(model, batch.inputs, batch.targets)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        found.append(_measured(problem, model, seed, step, "valid")[0])
    return [*found, _measured(problem, model, seed, step, "test")[1]]


def _batches(problem: fl.Problem, seed: int, epoch: int) -> list[torch.Tensor]:
    batches = problem.batches([seed])
    return [batches.at(epoch * problem.steps_per_epoch + place)[0] for place in range(problem.steps_per_epoch)]


def _measured(problem: fl.Problem, model: torch.nn.Module, seed: int, step: int, name: str) -> tuple[float, float]:
    split = problem.splits()[name]
    model.eval()
    with draws_of(seed, step, name):
        if problem.loss is None:
            loss = float(problem.step(model, split.inputs.clone(), split.targets).detach())  # type: ignore[misc]
            return loss, loss
        with torch.no_grad():
            output = model(split.inputs)
    loss = float(problem.loss(output, split.targets))
    metric = _OWN_METRICS.get(problem.name, problem.metric.function)
    return loss, loss if problem.metric_is_loss else float(metric(output, split.targets))


@pytest.mark.filterwarnings("ignore:train. its examples differ")
@pytest.mark.parametrize("again", [_by_fit, _by_hand])
@pytest.mark.parametrize("script", SCRIPTS)
def test_each_final_is_had_again(script: str, again: Callable[..., list[float]], races: dict[str, RaceResult]) -> None:
    finals = _finals(_race(races, script))
    assert len(finals) == len(_ARMS) * _EFFORT.finalists * _EFFORT.seeds
    for arm, configuration, seed, found in finals:
        expected = again(arm, configuration, seed)
        torch.testing.assert_close(
            torch.tensor(found), torch.tensor(expected), rtol=1e-4, atol=1e-5, equal_nan=True, check_dtype=False
        )
