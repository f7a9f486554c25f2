"""Optimizers as people write them: `fallline.fit`, the lanes of a race and a plain loop take the same steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import fallline as fl
from fallline import optim, rules
from fallline.training import make_lanes, needs_closure, train
from fallline.training.updates import LaneRule, LaneUpdate
from tests.training.models import make_problem, mlp

Optimizer = torch.optim.Optimizer


def clipping(base: Any) -> Any:
    """Clips the gradients before its step."""

    class Clipping(base):  # type: ignore[misc]
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                torch.nn.utils.clip_grad_norm_(group["params"], 0.01)
            return super().step(closure)

    return Clipping


class AnyArguments(torch.optim.SGD):
    def step(self, *args: Any, **kwargs: Any) -> Any:
        for group in self.param_groups:
            torch.nn.utils.clip_grad_value_(group["params"], 1e-3)
        return super().step(*args, **kwargs)


class Centralised(torch.optim.Adam):
    """Takes the mean out of the gradients of matrices, in place."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim > 1:
                    parameter.grad -= parameter.grad.mean(1, keepdim=True)
        return super().step(closure)


class Hooked(torch.optim.SGD):
    """Clips in a hook."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr, foreach=True)
        self.register_step_pre_hook(lambda optimizer, args, kwargs: self.clip())

    def clip(self) -> None:
        for group in self.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 0.01)


class Lookahead(Optimizer):
    """Goes back half the way after every second step of another optimizer."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})
        self.inner = clipping(torch.optim.SGD)([p for g in self.param_groups for p in g["params"]], lr=lr)
        self.slow: list[Tensor] = []
        self.steps = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        params = self.inner.param_groups[0]["params"]
        if not self.slow:
            self.slow = [p.clone() for p in params]
        loss = self.inner.step(closure)
        self.steps += 1
        if self.steps % 2 == 0:
            for p, slow in zip(params, self.slow, strict=True):
                p.copy_(slow.lerp_(p, 0.5))
        return loss


class Accumulating(torch.optim.SGD):
    """Clears its gradients at every other step only, and keeps their tensors."""

    calls = 0

    def zero_grad(self, set_to_none: bool = False) -> None:
        if self.calls % 2 == 0:
            super().zero_grad(set_to_none=False)
        self.calls += 1


class Sharpness(Optimizer):
    """Sharpness-aware minimisation as it is published: gradients are there, and a closure gives those further on."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})
        self.inner = torch.optim.SGD([p for g in self.param_groups for p in g["params"]], lr=lr)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        assert closure is not None, "sharpness-aware minimisation requires a closure"
        params = self.inner.param_groups[0]["params"]
        norm = torch.stack([p.grad.norm() for p in params]).norm()
        moves = [0.05 * p.grad / norm for p in params]
        torch._foreach_add_(params, moves)
        self.zero_grad()
        with torch.enable_grad():
            closure()
        torch._foreach_sub_(params, moves)
        self.inner.step()


class Forwarding(Optimizer):
    """Hands whatever it is given on to an LBFGS."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})
        self.inner = torch.optim.LBFGS([p for g in self.param_groups for p in g["params"]], lr=lr)

    def step(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner.step(*args, **kwargs)  # type: ignore[no-untyped-call]


class RequiresOne(torch.optim.SGD):
    """Needs the closure under a name of its own."""

    def step(self, evaluate: Callable[[], Any]) -> Any:  # type: ignore[override]
        return super().step(evaluate)


PLAIN: dict[str, Callable[..., Optimizer]] = {
    "clips": clipping(torch.optim.SGD),
    "clips, Adam": clipping(torch.optim.Adam),
    "clips, ours": clipping(optim.SGD),
    "clips, our RMSprop": clipping(optim.RMSprop),
    "any arguments": AnyArguments,
    "centralises": Centralised,
    "a hook": Hooked,
    "wraps": Lookahead,
    "accumulates": Accumulating,
    "foreach": lambda params, lr: torch.optim.Adam(params, lr=lr, foreach=True),
    "Schedule-Free": optim.ScheduleFreeSGD,
    "a rule": lambda params, lr: fl.Optimizer(params, rules.adam, lr=lr),
}
WITH_CLOSURE: dict[str, Callable[..., Optimizer]] = {
    "LBFGS": torch.optim.LBFGS,
    "ours": optim.LookAheadNesterov,
    "required": RequiresOne,
}


def plain_loop(problem: fl.Problem, make: Callable[..., Optimizer], *, ahead: bool, closure: bool) -> list[Tensor]:
    """The weights after the loop that anybody would write, with a closure after backward, instead of it, or none."""
    model = problem.build(0)
    optimizer = make([*model.parameters()], lr=0.1)
    batches = problem.batches([0])
    for step in range(problem.steps):
        rows = batches.at(step)[0]
        inputs, targets = problem.train.inputs[rows], problem.train.targets[rows]

        def evaluate(inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
            optimizer.zero_grad()
            loss = problem.training_loss(model, inputs, targets)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        if ahead:
            evaluate()
        given: list[Any] = [evaluate] if closure else []
        optimizer.step(*given)
    if hasattr(optimizer, "eval"):
        optimizer.eval()
    return [parameter.detach() for parameter in model.parameters()]


def assert_fit_agrees(make: Callable[..., Optimizer], expected: list[Tensor]) -> None:
    problem = make_problem(mlp)
    ways: list[tuple[Any, dict[str, Any]]] = [(lambda params: make(params, lr=0.1), {}), (make, {"lr": 0.1})]
    for given, settings in ways:
        if settings and not isinstance(make, type):
            continue
        for found, other in zip(fl.fit(problem, given, **settings).model.parameters(), expected, strict=True):
            assert torch.equal(found, other)


@pytest.mark.parametrize("name", PLAIN)
def test_no_closure_where_none_is_needed(name: str) -> None:
    assert_fit_agrees(PLAIN[name], plain_loop(make_problem(mlp), PLAIN[name], ahead=True, closure=False))


@pytest.mark.parametrize("name", WITH_CLOSURE)
def test_a_closure_where_one_is_needed(name: str) -> None:
    assert_fit_agrees(WITH_CLOSURE[name], plain_loop(make_problem(mlp), WITH_CLOSURE[name], ahead=False, closure=True))


def test_gradients_and_a_closure_where_both_are_wanted() -> None:
    assert_fit_agrees(Sharpness, plain_loop(make_problem(mlp), Sharpness, ahead=True, closure=True))
    assert_fit_agrees(Forwarding, plain_loop(make_problem(mlp), torch.optim.LBFGS, ahead=False, closure=True))


@pytest.mark.parametrize("name", [name for name, make in PLAIN.items() if isinstance(make, type)])
def test_the_lanes_of_a_race_take_the_same_steps(name: str) -> None:
    make, problem = PLAIN[name], make_problem(mlp)
    if make in (Accumulating, optim.ScheduleFreeSGD):  # a race clears gradients itself, and averages in the end
        return
    lanes = make_lanes(problem, [0, 0, 0, 0], batched=False)
    train(lanes, LaneUpdate(lanes.parameters, [LaneRule(make, {"lr": 0.1})] * 4), steps=problem.steps)
    for found, expected in zip(lanes.parameters, plain_loop(problem, make, ahead=True, closure=False), strict=True):
        torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-6)


class Failing(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        super().step()
        raise RuntimeError("after it moved")


class Broken(torch.optim.SGD):
    def step(self) -> Any:  # type: ignore[override]
        raise RuntimeError("before it moved")


@pytest.mark.parametrize(("kind", "words"), [(Failing, "after it moved"), (Broken, "before it moved")])
def test_a_step_that_fails_for_another_reason(kind: type[Optimizer], words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        fl.fit(make_problem(mlp), kind, lr=0.1)


def test_which_classes_need_a_closure() -> None:
    needing = [torch.optim.LBFGS, fl.Newton, optim.LookAheadNesterov, RequiresOne]
    assert all(map(needs_closure, needing))
    assert not any(map(needs_closure, (make for make in PLAIN.values() if isinstance(make, type))))
