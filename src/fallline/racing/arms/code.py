"""A configuration as a program to paste: plain torch, where torch has the optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fallline.racing.arms.arm import Arm
from fallline.racing.arms.code_optimizer import optimizer_line
from fallline.racing.arms.code_schedule import law_lines, scheduler_line
from fallline.racing.arms.hyperparameters import averages, hyperparameters
from fallline.training import Problem
from fallline.training.updates import LaneRule

_LAMBDA = "torch.optim.lr_scheduler.LambdaLR(optimizer, {})"


def torch_code(arm: Arm, configuration: Mapping[str, Any], problem: Problem) -> str:
    """The training loop of a configuration.

    `model`, `loss` and `train`, a torch Dataset, are to be there, as in the problem; where that has a `step` of its
    own it is called as `training_step(model, inputs, targets)`. Rules and classes of the user's are imported from
    where they were defined, or are to be there too, and so are the `sampler` or the `batch_sampler` of a DataLoader.

    >>> from fallline import rules
    >>> from fallline.problems import digits
    >>> print(torch_code(Arm("sgd", rules.gradient_descent), {"lr": 0.1, "schedule": "cosine"}, digits()))
    import torch
    <BLANKLINE>
    loader = torch.utils.data.DataLoader(train, batch_size=64, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=340)
    for epoch in range(20):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss(model(inputs), targets).backward()
            optimizer.step()
            scheduler.step()
    <BLANKLINE>
    """
    settings, recipe = arm.settings(configuration), arm.recipe(configuration, problem)
    lane, law = recipe.lane, []
    scheduler = None
    if lane.schedule is not None and lane.then is None:
        rate = lane.values["lr"] if "lr" in lane.values else hyperparameters(lane.rule)["lr"]
        scheduler = scheduler_line(settings, recipe.steps, rate)
    if lane.schedule is not None and scheduler is None:
        # The law of the run's steps, since a scheduler of torch's that is made within the run would begin anew.
        law = law_lines(settings, recipe.steps)
        scheduler = _LAMBDA.format("factor")
    imports = {"import torch", *(["import math"] if any("math." in line for line in law) else [])}
    begins, needed = _begin(lane, scheduler)
    loop, more = _loop(lane, scheduler, problem)
    loader = f"loader = torch.utils.data.DataLoader(train, {_batching(problem, recipe.batch)})"
    lines = [*_sorted({*imports, *needed, *more}), "", *law, *([""] if law else []), loader, *begins, *loop]
    return "\n".join(lines) + "\n"


def _batching(problem: Problem, batch: int) -> str:
    """What a loader is told of batches and their order."""
    data = problem.data
    if data.own_batches:
        return "batch_sampler=batch_sampler"
    order = f"shuffle={data.shuffle}" if data.sampler is None else "sampler=sampler"
    return f"batch_size={batch}, {order}{', drop_last=True' if data.drop_last else ''}"


def _begin(lane: LaneRule, scheduler: str | None) -> tuple[list[str], frozenset[str]]:
    """The lines that make the optimizer and its scheduler, and their imports."""
    made = optimizer_line(lane.rule, lane.values)
    lines = [f"optimizer = {made.expression}"]
    if averages(lane.rule):
        lines.append("optimizer.train()")
    if scheduler is not None:
        lines.append(f"scheduler = {scheduler}")
    return lines, made.imports


def _loop(lane: LaneRule, scheduler: str | None, problem: Problem) -> tuple[list[str], frozenset[str]]:
    """The lines of the training loop, with the switch to a second optimizer where there is one, and its imports."""
    body, imports, last = [], frozenset[str](), lane
    if lane.then is not None:
        at, last = lane.then
        following = None if scheduler is None else _LAMBDA.format(f"lambda later: factor({at} + later)")
        begins, imports = _begin(last, following)
        body = [f"if step == {at}:", *_indented([*_end(lane), *begins])]
    body += ["optimizer.zero_grad()", *_backward(problem), "optimizer.step()"]
    body += ["scheduler.step()"] if scheduler is not None else []
    body += ["step += 1"] if lane.then is not None else []
    lines = [
        *(["step = 0"] if lane.then is not None else []),
        f"for epoch in range({problem.epochs}):",
        *_indented(["for inputs, targets in loader:", *_indented(body)]),
        *_end(last),
    ]
    return lines, imports


def _end(lane: LaneRule) -> list[str]:
    return ["optimizer.eval()  # puts the average of the weights in their place"] if averages(lane.rule) else []


def _backward(problem: Problem) -> list[str]:
    loss = "loss(model(inputs), targets)" if problem.step is None else "training_step(model, inputs, targets)"
    if problem.precision is None:
        return [f"{loss}.backward()"]
    under = f"with torch.autocast(inputs.device.type, torch.{problem.precision}):"
    return [under, f"    training_loss = {loss}", "training_loss.backward()"]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _sorted(imports: set[str]) -> list[str]:
    """Whole modules before names of them, by the alphabet."""
    return sorted(imports, key=lambda line: (line.startswith("from"), line))
