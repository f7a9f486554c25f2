"""`fallline.Optimizer`: any rule, a user's own as well, behaves as a torch optimizer."""

import copy
import io
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

import fallline as fl
from fallline.math import maximum, sign, sqrt, sum, where
from tests.optim.oracle import (
    Layout,
    Options,
    dense,
    draw,
    follow,
    journal,
    loss_of,
    network,
    parameters_of,
    relative,
    same,
    teach,
)

# ---------------------------------------------------------------------------------------------------------------------
# A user's rules, and what each must do to one parameter, in plain torch
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def my_rmsprop(p: Any, g: Any, v: Any, *, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8) -> Any:
    v = alpha * v + (1 - alpha) * g * g
    return lr * g / (sqrt(v) + eps), v


@fl.rule
def sign_descent(p: Any, g: Any, *, lr: float) -> Any:
    return lr * sign(g)


@fl.rule
def corrected(p: Any, g: Any, m: Any, *, lr: float = 0.1, beta: float = 0.9, t: Any) -> Any:
    m = beta * m + (1 - beta) * g
    return lr * m / (1 - beta**t), m


@fl.rule
def from_one(p: Any, g: Any, v: Any = fl.state(init=1.0), *, lr: float = 0.1) -> Any:  # noqa: B008
    v = 0.5 * v + 0.5 * abs(g)
    return lr * g / maximum(v, 0.1), v


@fl.rule
def from_gradient(p: Any, g: Any, b: Any = fl.state(init=lambda g: g), *, lr: float = 0.1) -> Any:  # noqa: B008
    b = 0.9 * b + g
    return lr * b, b


@fl.rule
def cautious(p: Any, g: Any, m: Any, *, lr: float = 0.1, look_ahead: bool = False) -> Any:
    m = 0.9 * m + g
    ahead = g + 0.9 * m if look_ahead else m
    return where(ahead * g > 0, lr * ahead, 0.0), m


@fl.rule
def trusting(p: Any, g: Any, *, lr: float = 0.01, eps: float = 1e-6) -> Any:
    return lr * sqrt(sum(p * p)) / (sqrt(sum(g * g)) + eps) * g


@fl.combinator
def shrinking(rule: Any) -> Any:
    def step(p: Any, g: Any, *states: Any, lr: float, shrink: float = 0.1, **others: Any) -> Any:
        update, *new = rule(p, g, *states, lr=lr, **others)
        return update + lr * shrink * p, *new

    return step


@fl.combinator
def doubled(rule: Any) -> Any:
    def step(p: Any, g: Any, *states: Any, **hyperparameters: Any) -> Any:
        return rule(p, 2 * g, *states, **hyperparameters)

    return step


shrinking_rmsprop = shrinking(my_rmsprop)
doubled_from_gradient = doubled(from_gradient)

Memory = dict[str, Tensor]


def of_rmsprop(p: Tensor, g: Tensor, memory: Memory, t: int, lr: float = 1e-2, alpha: float = 0.99) -> Tensor:
    memory["v"] = memory.get("v", torch.zeros_like(p)) * alpha + (1 - alpha) * g**2
    return lr * g / (memory["v"].sqrt() + 1e-8)


def of_corrected(p: Tensor, g: Tensor, memory: Memory, t: int) -> Tensor:
    memory["m"] = 0.9 * memory.get("m", torch.zeros_like(p)) + 0.1 * g
    return 0.1 * memory["m"] / (1 - 0.9**t)


def of_one(p: Tensor, g: Tensor, memory: Memory, t: int) -> Tensor:
    memory["v"] = (memory.get("v", torch.ones_like(p)) + g.abs()) / 2
    return 0.1 * g / memory["v"].clamp(min=0.1)


def of_gradient(p: Tensor, g: Tensor, memory: Memory, t: int) -> Tensor:
    memory["b"] = 0.9 * memory.get("b", g) + g
    return 0.1 * memory["b"]


def of_caution(p: Tensor, g: Tensor, memory: Memory, t: int, look_ahead: bool = False) -> Tensor:
    memory["m"] = 0.9 * memory.get("m", torch.zeros_like(p)) + g
    ahead = g + 0.9 * memory["m"] if look_ahead else memory["m"]
    return torch.where(ahead * g > 0, 0.1 * ahead, torch.zeros_like(p))


@dataclass(frozen=True)
class Case:
    """A rule with hyperparameters, and its update in plain torch."""

    rule: Any
    hyperparameters: Options
    update: Callable[[Tensor, Tensor, Memory, int], Tensor]


CASES: dict[str, Case] = {
    "rmsprop": Case(my_rmsprop, {}, of_rmsprop),
    "rmsprop, other numbers": Case(
        my_rmsprop, {"lr": 0.1, "alpha": 0.5}, partial(of_rmsprop, lr=0.1, alpha=0.5)
    ),
    "no states": Case(sign_descent, {"lr": 0.1}, lambda p, g, memory, t: 0.1 * g.sign()),
    "step count": Case(corrected, {}, of_corrected),
    "state from one": Case(from_one, {}, of_one),
    "state from the gradient": Case(from_gradient, {}, of_gradient),
    "truth value": Case(cautious, {"look_ahead": True}, partial(of_caution, look_ahead=True)),
    "other truth value": Case(cautious, {}, of_caution),
    "reduction": Case(
        trusting, {"lr": 0.1}, lambda p, g, memory, t: 0.1 * p.norm() / (g.norm() + 1e-6) * g
    ),
    "combinator before a state from the gradient": Case(
        doubled_from_gradient, {}, lambda p, g, memory, t: of_gradient(p, 2 * g, memory, t)
    ),
    "combinator": Case(shrinking_rmsprop, {}, lambda p, *a: of_rmsprop(p, *a) + 0.001 * p),
}  # fmt: skip
LAYOUTS = {
    "vector": dense(9),
    "matrix": dense(5, 7),
    "transposed": Layout((5, 7), (1, 5), (7, 1)),
    "[:, ::2]": Layout((5, 7), (14, 2), (7, 1)),
    "0-d": dense(),
    "empty": dense(0),
}
TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-12, torch.bfloat16: 2e-2}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@each_case
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_follows_the_rule(case: Case, dtype: torch.dtype) -> None:
    course = draw(LAYOUTS, dtype)
    doubles = course.in_double()
    optimizer = fl.Optimizer(course.tensors(), case.rule, **case.hyperparameters)
    follow(optimizer, course.tensors(), [step.values() for step in course.gradients])
    for key, parameter in doubles.parameters.items():
        memory: Memory = {}
        expected = parameter.tensor.clone()
        for t, step in enumerate(doubles.gradients, start=1):
            expected -= case.update(expected, step[key], memory, t)
        assert relative(course.parameters[key].tensor, expected) <= TOLERANCE[dtype], key


def test_a_users_rmsprop_is_torchs() -> None:
    ours, theirs = network(), network()
    first, second = (
        fl.Optimizer(ours.parameters(), my_rmsprop, lr=1e-3),
        torch.optim.RMSprop(theirs.parameters(), lr=1e-3),
    )
    teach(ours, first, range(20))
    teach(theirs, second, range(20))
    same(journal(first)["parameters"], journal(second)["parameters"])


# ---------------------------------------------------------------------------------------------------------------------
# As a torch optimizer
# ---------------------------------------------------------------------------------------------------------------------


def groups_override(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    first, second = model[0], model[2]  # type: ignore[index]
    optimizer = make(
        [{"params": first.parameters(), "lr": 0.05}, {"params": second.parameters(), "alpha": 0.5}], lr=0.001
    )
    teach(model, optimizer, range(6))
    return journal(optimizer)["parameters"]


def group_added(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    other = network(1)
    optimizer = make(model.parameters(), lr=0.01)
    teach(model, optimizer, range(3))
    optimizer.add_param_group({"params": list(other.parameters()), "lr": 0.02})
    for index in range(3, 6):
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(model, index) + loss_of(other, index))
        optimizer.step()
    return journal(optimizer)["parameters"], [group["lr"] for group in optimizer.param_groups]


def rate_changed(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    optimizer = make(model.parameters(), lr=0.01)
    for index, rate in enumerate((0.1, 1e-3, 0.0, 1)):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.param_groups[0]["alpha"] = 0.5 + 0.1 * index
        teach(model, optimizer, [index])
    return journal(optimizer)["parameters"]


def rate_is_a_tensor(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    rate = torch.tensor(0.01, dtype=torch.float64)
    optimizer = make(model.parameters(), lr=rate)
    for index in range(4):
        teach(model, optimizer, [index])
        rate.mul_(0.5)
    return journal(optimizer)["parameters"]


def scheduled(make_scheduler: Callable[[torch.optim.Optimizer], Any]) -> Callable[..., Any]:
    def scenario(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
        optimizer = make(model.parameters(), lr=0.01)
        scheduler = make_scheduler(optimizer)
        rates = []
        for index in range(8):
            teach(model, optimizer, [index])
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
        return rates, journal(optimizer)["parameters"]

    return scenario


def on_a_plateau(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    optimizer = make(model.parameters(), lr=0.01)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for index in range(6):
        teach(model, optimizer, [index])
        scheduler.step(1.0)
    return optimizer.param_groups[0]["lr"], journal(optimizer)["parameters"]


def closures_and_hooks(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    optimizer = make(model.parameters(), lr=0.01)
    calls: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(model, 0)
        torch.autograd.backward(loss)
        return loss

    return optimizer.step(closure), calls, journal(optimizer)["parameters"]


def some_without_gradients(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    optimizer = make(model.parameters(), lr=0.01)
    for index in range(6):
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(model, index))
        for place, parameter in enumerate(model.parameters()):
            parameter.grad = parameter.grad if (index + place) % 3 and place else None
        optimizer.step()
    return journal(optimizer)["parameters"]


def saved_and_loaded(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    first = make(model.parameters(), lr=0.02, alpha=0.9)
    teach(model, first, range(5))
    torch.save(first.state_dict(), file := io.BytesIO())
    file.seek(0)
    second = make(model.parameters())
    second.load_state_dict(torch.load(file, weights_only=True))
    teach(model, second, range(5, 10))
    return journal(second)["parameters"], [group["lr"] for group in second.param_groups]


def pickled(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    optimizer = make(model.parameters(), lr=0.02)
    teach(model, optimizer, range(5))
    second, loaded = pickle.loads(pickle.dumps((model, optimizer)))
    before = journal(optimizer)
    teach(second, loaded, range(5, 10))
    same(journal(optimizer), before, tolerance=0.0)
    return journal(loaded)["parameters"]


def deep_copied(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    optimizer = make(model.parameters(), lr=0.02)
    teach(model, optimizer, range(5))
    second, copied = copy.deepcopy((model, optimizer))
    teach(second, copied, range(5, 10))
    teach(model, optimizer, range(5, 8))
    return journal(copied)["parameters"], journal(optimizer)["parameters"]


def named(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> Any:
    optimizer = make(model.named_parameters(), lr=0.02)
    teach(model, optimizer, range(3))
    return optimizer.param_groups[0]["param_names"], journal(optimizer)["parameters"]


SCENARIOS: dict[str, Callable[..., Any]] = {
    "groups override": groups_override,
    "group added": group_added,
    "rate changed": rate_changed,
    "rate is a tensor": rate_is_a_tensor,
    "StepLR": scheduled(lambda o: lr_scheduler.StepLR(o, 2, gamma=0.5)),
    "CosineAnnealingLR": scheduled(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=6)),
    "OneCycleLR": scheduled(lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=9, cycle_momentum=False)),
    "LambdaLR": scheduled(lambda o: lr_scheduler.LambdaLR(o, lambda epoch: math.sqrt(1 / (1 + epoch)))),
    "ReduceLROnPlateau": on_a_plateau,
    "closures and hooks": closures_and_hooks,
    "some without gradients": some_without_gradients,
    "saved and loaded": saved_and_loaded,
    "pickled": pickled,
    "deep copied": deep_copied,
    "named": named,
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_behaves_as_torchs_class_of_the_same_rule(scenario: Callable[..., Any]) -> None:
    def ours(parameters: Any, **hyperparameters: Any) -> torch.optim.Optimizer:
        return fl.Optimizer(parameters, my_rmsprop, **hyperparameters)

    same(scenario(network(), ours), scenario(network(), torch.optim.RMSprop))


def went_on(optimizer: fl.Optimizer, copied: fl.Optimizer) -> None:
    """Assert that a copy does with the same gradients what the original does."""
    for taken in (optimizer, copied):
        follow(taken, parameters_of(taken), [[torch.full_like(p, 0.5) for p in parameters_of(taken)]] * 3)
    same(journal(copied), journal(optimizer), tolerance=0.0)


def loaded(optimizer: fl.Optimizer, case: Case) -> fl.Optimizer:
    copied = fl.Optimizer([p.detach().clone().requires_grad_() for p in parameters_of(optimizer)], case.rule, lr=7.0)
    copied.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return copied


COPIES: dict[str, Callable[[Any, Case], Any]] = {
    "state_dict": loaded,
    "pickle": lambda optimizer, case: pickle.loads(pickle.dumps(optimizer)),
    "deep copy": lambda optimizer, case: copy.deepcopy(optimizer),
}


@each_case
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_in_mid_training_go_on(case: Case, copied: Callable[[Any, Case], Any]) -> None:
    parameters = [torch.linspace(1, 2, n, dtype=torch.float64).requires_grad_() for n in (9, 4)]
    optimizer = fl.Optimizer(parameters, case.rule, **case.hyperparameters)
    follow(optimizer, parameters, [[torch.ones_like(p) * n for p in parameters] for n in (1.0, -0.5, 2.0)])
    went_on(optimizer, copied(optimizer, case))


def test_states_lie_under_the_names_in_the_rule() -> None:
    parameter = torch.ones(3, requires_grad=True)
    optimizer = fl.Optimizer([parameter], my_rmsprop)
    follow(optimizer, [parameter], [[torch.ones(3)]])
    assert optimizer.state[parameter]["v"].tolist() == pytest.approx([0.01] * 3)


def test_is_an_optimizer_of_torch() -> None:
    assert isinstance(fl.Optimizer(network().parameters(), my_rmsprop), torch.optim.Optimizer)


def test_a_hyperparameter_without_a_default_may_come_from_every_group() -> None:
    parameters = [torch.zeros(2, requires_grad=True) for _ in range(2)]
    optimizer = fl.Optimizer(
        [{"params": [p], "lr": rate} for p, rate in zip(parameters, (1, 2.0), strict=True)], sign_descent
    )
    follow(optimizer, parameters, [[torch.ones(2), torch.ones(2)]])
    assert [p.tolist() for p in parameters] == [[-1.0, -1.0], [-2.0, -2.0]]


def test_a_step_refused_leaves_no_state_half_begun() -> None:
    """States begin with the first gradient after a refusal too."""
    parameters = [leaf(), leaf()]
    optimizer = fl.Optimizer(parameters, from_gradient, lr=1.0)
    optimizer.state[parameters[1]]["b"] = torch.ones(7)
    for p in parameters:
        p.grad = torch.ones_like(p)
    with pytest.raises(ValueError, match="shape"):
        optimizer.step()
    optimizer.state[parameters[1]].clear()
    optimizer.step()
    assert torch.stack(parameters).tolist() == [pytest.approx([1 - 1.9, 1 - 1.9])] * 2


@fl.rule
def compensated(p: Any, g: Any, lost: Any, *, lr: float = 1e-8) -> Any:
    """Kahan's summation: what a step loses to rounding is handed on to the next."""
    wanted = lr * g + lost
    update = p - (p - wanted)
    return update, wanted - update


def test_steps_below_the_precision_add_up_if_the_rule_says_so() -> None:
    parameter = torch.ones(3, requires_grad=True)
    optimizer = fl.Optimizer([parameter], compensated)
    parameter.grad = torch.ones(3)
    for _ in range(10_000):
        optimizer.step()
    assert parameter.tolist() == pytest.approx([1 - 1e-4] * 3, abs=1e-7)


def test_a_gradient_that_lay_oddly_once_keeps_no_parameter_from_the_kernel() -> None:
    parameter = torch.ones(3, 4, requires_grad=True)
    optimizer = fl.Optimizer([parameter], my_rmsprop)
    follow(optimizer, [parameter], [[torch.ones(4, 3).t()]])
    assert optimizer._prepare().has_eager
    follow(optimizer, [parameter], [[torch.ones(3, 4)]])
    assert not optimizer._prepare().has_eager


# ---------------------------------------------------------------------------------------------------------------------
# Refusals
# ---------------------------------------------------------------------------------------------------------------------


def plain_function(p: Any, g: Any, *, lr: float = 0.1) -> Any:
    return lr * g


def leaf() -> Tensor:
    return torch.ones(2, requires_grad=True)


def sparse_step() -> None:
    parameter = leaf()
    parameter.grad = torch.ones(2).to_sparse()
    fl.Optimizer([parameter], my_rmsprop).step()


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "unknown": (lambda: fl.Optimizer([leaf()], my_rmsprop, alhpa=0.9), TypeError, "my_rmsprop.*'alhpa'.*'alpha'"),
    "unlike any": (lambda: fl.Optimizer([leaf()], my_rmsprop, qqq=1), TypeError, "my_rmsprop.*'qqq'"),
    "unknown in a group": (
        lambda: fl.Optimizer([{"params": [leaf()], "esp": 1e-8}], my_rmsprop), TypeError, "my_rmsprop.*'esp'.*'eps'",
    ),
    "missing": (lambda: fl.Optimizer([leaf()], sign_descent), TypeError, "sign_descent.*'lr'"),
    "a function": (lambda: fl.Optimizer([leaf()], plain_function), TypeError, "rule.*function"),  # type: ignore[arg-type]
    "a name": (lambda: fl.Optimizer([leaf()], "adam"), TypeError, "rule.*str"),  # type: ignore[arg-type]
    "None": (lambda: fl.Optimizer([leaf()], None), TypeError, "rule.*None"),  # type: ignore[arg-type]
    "a combinator": (lambda: fl.Optimizer([leaf()], shrinking), TypeError, "rule.*Combinator"),  # type: ignore[arg-type]
    "no rule": (lambda: fl.Optimizer([leaf()]), TypeError, "rule"),  # type: ignore[call-arg]
    "a string for a number": (lambda: fl.Optimizer([leaf()], my_rmsprop, lr="fast"), TypeError, "'lr'.*number.*'fast'"),
    "None for a number": (lambda: fl.Optimizer([leaf()], my_rmsprop, lr=None), TypeError, "'lr'"),
    "a list for a number": (lambda: fl.Optimizer([leaf()], my_rmsprop, lr=[0.1]), TypeError, r"'lr'.*number.*\[0\.1\]"),
    "a truth value": (lambda: fl.Optimizer([leaf()], my_rmsprop, lr=True), TypeError, "'lr'.*number.*True"),
    "a complex number": (lambda: fl.Optimizer([leaf()], my_rmsprop, lr=1j), TypeError, "'lr'.*number.*1j"),
    "two numbers": (lambda: fl.Optimizer([leaf()], my_rmsprop, lr=torch.ones(2)), TypeError, "'lr'.*number"),
    "NaN": (lambda: fl.Optimizer([leaf()], my_rmsprop, lr=math.nan), ValueError, "'lr'.*number"),
    "a negative rate": (lambda: fl.Optimizer([leaf()], my_rmsprop, lr=-0.1), ValueError, "'lr'.*at least 0.*-0.1"),
    "a decay factor of 1": (
        lambda: fl.Optimizer([leaf()], fl.rules.adam, beta2=1.0), ValueError, "'beta2'.*less than 1.*got 1",
    ),
    "an infinite rate": (lambda: fl.Optimizer([leaf()], my_rmsprop, lr=math.inf), ValueError, "'lr'.*finite.*inf"),
    "a share above 1": (lambda: fl.Optimizer([leaf()], fl.rules.rmsprop, alpha=1.5), ValueError, "'alpha'.*at most 1"),
    "a norm below 0": (
        lambda: fl.Optimizer([leaf()], fl.rules.clip_norm(fl.rules.adam), max_norm=-1.0),
        ValueError,
        "'max_norm'.*more than 0",
    ),
    "no such group to switch": (
        lambda: fl.Optimizer([leaf()], my_rmsprop).switch(my_rmsprop, group=5), IndexError, "'group'.*0 to 0.*5",
    ),
    "a string in a group": (
        lambda: fl.Optimizer([{"params": [leaf()], "lr": "fast"}], my_rmsprop), TypeError, "'lr'.*number.*'fast'",
    ),
    "a string in a group added": (
        lambda: fl.Optimizer([leaf()], my_rmsprop).add_param_group({"params": [leaf()], "lr": "fast"}),
        TypeError,
        "'lr'.*number.*'fast'",
    ),
    "a number for a truth value": (
        lambda: fl.Optimizer([leaf()], cautious, look_ahead=0.5), TypeError, r"'look_ahead'.*bool.*0\.5",
    ),
    "no parameters": (lambda: fl.Optimizer([], my_rmsprop), ValueError, "empty parameter list"),
    "a tensor": (lambda: fl.Optimizer(leaf(), my_rmsprop), TypeError, "iterable of Tensors"),
    "a number for a parameter": (lambda: fl.Optimizer([1.0], my_rmsprop), TypeError, "can only optimize Tensors"),  # type: ignore[arg-type]
    "a non-leaf": (lambda: fl.Optimizer([leaf() * 2], my_rmsprop), ValueError, "non-leaf"),
    "a sparse gradient": (sparse_step, RuntimeError, "sparse"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize(("call", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_refuses_in_a_sentence(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.compile(words, re.DOTALL)):
        call()


# ---------------------------------------------------------------------------------------------------------------------
# Parts and phases: groups with rules of their own, and switching
# ---------------------------------------------------------------------------------------------------------------------


def quadratic_steps(optimizer: torch.optim.Optimizer, parameters: list[Tensor], steps: int) -> None:
    for _ in range(steps):
        for p in parameters:
            p.grad = 2 * p.detach()
        optimizer.step()


@pytest.mark.parametrize("rule", [fl.rules.gradient_descent, fl.rules.adam, fl.rules.rmsprop, my_rmsprop, cautious])
def test_a_group_with_its_own_rule_moves_as_with_an_optimizer_of_its_own(rule: fl.symbolic.Rule) -> None:
    parts, alone = ([torch.ones(3, requires_grad=True), torch.full((2,), 2.0, requires_grad=True)] for _ in range(2))
    groups: list[dict[str, Any]] = [{"params": parts[0]}, {"params": parts[1], "rule": rule}]
    together = fl.Optimizer(groups, fl.rules.momentum, lr=0.05)
    quadratic_steps(together, parts, 5)
    quadratic_steps(fl.Optimizer(alone[:1], fl.rules.momentum, lr=0.05), alone[:1], 5)
    quadratic_steps(fl.Optimizer(alone[1:], rule, lr=0.05), alone[1:], 5)
    assert all(torch.equal(p, q) for p, q in zip(parts, alone, strict=True))


def test_a_group_holds_the_hyperparameters_of_its_own_rule_alone() -> None:
    groups: list[dict[str, Any]] = [
        {"params": [leaf()]},
        {"params": [leaf()], "rule": fl.rules.adam, "betas": (0.5, 0.6)},
    ]
    optimizer = fl.Optimizer(groups, fl.rules.momentum, lr=0.05, momentum=0.8)
    assert [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups] == [
        {"rule": fl.rules.momentum, "lr": 0.05, "momentum": 0.8},
        {"rule": fl.rules.adam, "lr": 0.05, "betas": (0.5, 0.6), "eps": 1e-8},
    ]
    assert set(groups[0]) == {"params"}  # the caller's own dictionaries stay as they are


@pytest.mark.parametrize("given", [{"beta1": 0.8, "beta2": 0.9}, {"betas": (0.8, 0.9)}, {"betas": [0.8, 0.9]}])
def test_decay_factors_by_either_name(given: dict[str, Any]) -> None:
    optimizer = fl.Optimizer([leaf()], fl.rules.adam, **given)
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)


@pytest.mark.parametrize("rule", [fl.rules.adam, fl.rules.lion, fl.rules.momentum], ids=lambda rule: rule.name)
def test_one_cycle_moves_the_decay_factor_too(rule: fl.symbolic.Rule) -> None:
    optimizer = fl.Optimizer([leaf()], rule)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    group = optimizer.param_groups[0]
    assert (group["betas"][0] if "betas" in group else group["momentum"]) == pytest.approx(0.95)


def test_a_state_dict_loads_under_weights_only(tmp_path: Path) -> None:
    parameters = [leaf(), leaf()]
    groups: list[dict[str, Any]] = [{"params": parameters[:1]}, {"params": parameters[1:], "rule": fl.rules.adam}]
    optimizer = fl.Optimizer(groups, fl.rules.momentum, lr=0.1)
    quadratic_steps(optimizer, parameters, 2)
    torch.save(optimizer.state_dict(), tmp_path / "saved.pt")
    others = [p.detach().clone().requires_grad_() for p in parameters]
    groups = [{"params": others[:1]}, {"params": others[1:], "rule": fl.rules.adam}]
    restored = fl.Optimizer(groups, fl.rules.momentum)
    restored.load_state_dict(torch.load(tmp_path / "saved.pt", weights_only=True))
    quadratic_steps(optimizer, parameters, 2)
    quadratic_steps(restored, others, 2)
    assert all(torch.equal(p, q) for p, q in zip(parameters, others, strict=True))


def test_every_hyperparameter_of_ours_has_bounds() -> None:
    combined = [
        made(fl.rules.gradient_descent) for made in vars(fl.rules).values() if isinstance(made, fl.symbolic.Combinator)
    ]
    every = (*fl.rules.ALL.values(), *combined)
    names = {(rule, name) for rule in every for name in rule.hyperparameters if name not in rule.static}
    assert [name for rule, name in names if fl.rules.interval_of(rule, name) is None] == []
    assert fl.rules.HYPERPARAMETERS.keys() <= {name for _, name in names}


INCOMPLETE = [("v", "no v"), ("m", "no m"), ("step", "no step")]


@pytest.mark.parametrize(("key", "words"), INCOMPLETE)
def test_a_checkpoint_that_lacks_a_state_is_refused(key: str, words: str) -> None:
    parameter = leaf()
    optimizer = fl.Optimizer([parameter], fl.rules.adam, lr=0.1)
    quadratic_steps(optimizer, [parameter], 2)
    saved = copy.deepcopy(optimizer.state_dict())
    del saved["state"][0][key]
    other = fl.Optimizer([leaf()], fl.rules.adam)
    with pytest.raises(ValueError, match=words):
        other.load_state_dict(saved)
    assert not other.state


def test_numbers_are_as_precise_after_loading_as_before() -> None:
    """In bfloat16 a sum of weights would stand still."""
    parameter = leaf().bfloat16().detach().requires_grad_()
    optimizer = fl.optim.ScheduleFreeSGD([parameter], lr=1.0)
    quadratic_steps(optimizer, [parameter], 3)
    other = fl.optim.ScheduleFreeSGD([leaf().bfloat16().detach().requires_grad_()])
    other.load_state_dict(optimizer.state_dict())
    assert {v.dtype for v in other.state_dict()["state"][0].values() if not v.dim()} == {torch.float32}


@pytest.mark.parametrize("rule", [fl.rules.gradient_descent, fl.rules.adagrad], ids=lambda rule: rule.name)
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_sparse_gradients_move_the_rows_they_touch(rule: fl.symbolic.Rule) -> None:
    moved = []
    for sparse in (True, False):
        table = torch.ones(5, 2, requires_grad=True)
        optimizer = fl.Optimizer([table], rule, lr=0.1)
        for rows in ([0, 3, 3], [3, 1, 1]):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.embedding(torch.tensor(rows), table, sparse=sparse).pow(2).sum())
            optimizer.step()
        moved.append(table.detach())
    torch.testing.assert_close(*moved)


def test_what_all_tensors_share_must_follow_from_the_same_options() -> None:
    parameters = [leaf(), leaf()]
    groups: list[dict[str, Any]] = [{"params": parameters[:1]}, {"params": parameters[1:], "d_coef": 100.0}]
    optimizer = fl.optim.Prodigy(groups)
    with pytest.raises(ValueError, match=r"'d_coef'.*same in all param groups.*1 and 100"):
        quadratic_steps(optimizer, parameters, 1)


def test_options_that_can_change_where_they_lie_are_read_anew() -> None:
    parameters = [leaf(), leaf()]
    ours, theirs = fl.optim.Adam(parameters[:1], lr=0.1), torch.optim.Adam(parameters[1:], lr=0.1)
    for optimizer, p in ((ours, parameters[0]), (theirs, parameters[1])):
        optimizer.param_groups[0]["betas"] = [0.9, 0.99]
        quadratic_steps(optimizer, [p], 2)
        optimizer.param_groups[0]["betas"][0] = 0.1
        quadratic_steps(optimizer, [p], 2)
    torch.testing.assert_close(*parameters)


def test_a_step_count_whose_data_was_replaced_counts() -> None:
    parameters = [leaf(), leaf()]
    for module, p in ((fl.optim, parameters[0]), (torch.optim, parameters[1])):
        optimizer = module.Adam([p], lr=0.1)
        quadratic_steps(optimizer, [p], 2)
        optimizer.state[p]["step"].data = torch.tensor(1000.0)
        quadratic_steps(optimizer, [p], 2)
    torch.testing.assert_close(*parameters)


def test_a_negated_gradient_has_the_same_norm() -> None:
    """Groups that climb and groups that descend share one norm."""
    parameters = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    clipped = fl.rules.clip_norm(fl.rules.gradient_descent)
    groups: list[dict[str, Any]] = [
        {"params": parameters[:1]}, {"params": parameters[1:], "rule": fl.rules.maximize(clipped)},
    ]  # fmt: skip
    optimizer = fl.Optimizer(groups, clipped, lr=1.0)
    for p, g in zip(parameters, (3.0, 4.0), strict=True):
        p.grad = torch.tensor([g])
    optimizer.step()
    assert [p.item() for p in parameters] == pytest.approx([-0.6, 0.8], abs=1e-6)


def test_dampening_without_momentum_is_no_division_by_zero() -> None:
    p = leaf()
    quadratic_steps(fl.Optimizer([p], fl.rules.dampened_momentum, lr=0.25, momentum=0.0), [p], 1)
    assert p.tolist() == [0.5, 0.5]


WRONG_CHECKPOINTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "of another rule": (lambda saved: saved["param_groups"][0].update(rule="adam"), "'adam'.*'momentum'"),
    "without a hyperparameter": (lambda saved: saved["param_groups"][0].pop("momentum"), "has no momentum"),
    "of fewer groups": (lambda saved: saved["param_groups"].clear(), "different number of parameter groups"),
}


@pytest.mark.parametrize(("spoil", "words"), WRONG_CHECKPOINTS.values(), ids=WRONG_CHECKPOINTS)
def test_a_checkpoint_that_does_not_fit_is_refused(spoil: Callable[[dict[str, Any]], Any], words: str) -> None:
    optimizer = fl.Optimizer([leaf()], fl.rules.momentum)
    saved = optimizer.state_dict()
    spoil(saved)
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["rule"] is fl.rules.momentum


def test_momentum_goes_on_through_a_switch_from_its_average_to_its_sum() -> None:
    """From Adam to momentum with one decay factor: the buffer is what momentum would have summed itself."""
    switched, pure = (torch.ones(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer, momentum = (
        fl.Optimizer([switched], fl.rules.adam, lr=0.0),
        fl.Optimizer([pure], fl.rules.momentum, lr=0.0),
    )
    quadratic_steps(optimizer, [switched], 7)
    quadratic_steps(momentum, [pure], 7)
    optimizer.switch(fl.rules.momentum, lr=0.1)
    momentum.param_groups[0]["lr"] = 0.1
    assert set(optimizer.state[switched]) == {"b"}
    quadratic_steps(optimizer, [switched], 3)
    quadratic_steps(momentum, [pure], 3)
    torch.testing.assert_close(switched, pure, rtol=1e-12, atol=0)


#: The moment before and after, after three gradients of 2 at weights that rest: a sum at μ is 2 (1 + μ + μ²), an
#: average at β is (1 - β) times that. They go over into each other by the average's own factor, b = m / (1 - β).
OWN_FACTORS: dict[str, tuple[fl.symbolic.Rule, dict[str, float], fl.symbolic.Rule, dict[str, float], str, float]] = {
    "an average to a sum": (
        fl.rules.adam, {"beta1": 0.5}, fl.rules.momentum, {"momentum": 0.75}, "b", 2 * (1 + 0.5 + 0.25),
    ),
    "the slow rule's fast average to a sum": (
        fl.rules.ademamix, {"beta1": 0.5}, fl.rules.nesterov, {"momentum": 0.0}, "b", 2 * (1 + 0.5 + 0.25),
    ),
    "an average of another name to a sum": (
        fl.rules.ema_momentum, {"momentum": 0.5}, fl.rules.nesterov, {"momentum": 0.75}, "b", 2 * (1 + 0.5 + 0.25),
    ),
    "a sum to an average": (
        fl.rules.momentum, {"momentum": 0.5}, fl.rules.ema_momentum, {"momentum": 0.75}, "m", 0.25 * 2 * 1.75,
    ),
    "an average to an average": (
        fl.rules.adam, {"beta1": 0.5}, fl.rules.ema_momentum, {"momentum": 0.75}, "m", 0.5 * 2 * 1.75,
    ),
    "a sum to a sum": (fl.rules.nesterov, {"momentum": 0.5}, fl.rules.momentum, {"momentum": 0.75}, "b", 2 * 1.75),
    "squares to squares": (
        fl.rules.adam, {"beta2": 0.5}, fl.rules.rmsprop, {"alpha": 0.75}, "v", 0.5 * 4 * 1.75,
    ),
}  # fmt: skip


@pytest.mark.parametrize("moved", ["all groups", "one group"])
@pytest.mark.parametrize(("old", "olds", "new", "news", "key", "expected"), OWN_FACTORS.values(), ids=OWN_FACTORS)
def test_a_moment_goes_on_by_its_own_factor(
    old: fl.symbolic.Rule,
    olds: dict[str, float],
    new: fl.symbolic.Rule,
    news: dict[str, float],
    key: str,
    expected: float,
    moved: str,
) -> None:
    rows = [torch.ones(2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    own = {"lr": 0.0, **olds}
    # The group's own factors are those that count, and not the optimizer's.
    groups: list[dict[str, Any]] = [{"params": rows[:1]}, {"params": rows[1:], **own}]
    optimizer = fl.Optimizer(groups, old, **(own if moved == "all groups" else {"lr": 0.0}))
    quadratic_steps(optimizer, rows, 3)
    optimizer.switch(new, None if moved == "all groups" else 1, lr=0.1, **news)
    torch.testing.assert_close(optimizer.state[rows[1]][key], torch.full_like(rows[1], expected), rtol=1e-12, atol=0)


SWITCHES: dict[str, tuple[fl.symbolic.Rule, fl.symbolic.Rule, set[str], bool]] = {
    "Adam to AMSGrad: its highest moment is new, so all is": (fl.rules.adam, fl.rules.amsgrad, set(), False),
    "AMSGrad to Adam: both moments go on, and the count": (fl.rules.amsgrad, fl.rules.adam, {"m", "v"}, True),
    "Adam to AdamW": (fl.rules.adam, fl.rules.adamw, {"m", "v"}, True),
    "Adam to RMSprop": (fl.rules.adam, fl.rules.rmsprop, {"v"}, False),
    "Adam to gradient descent": (fl.rules.adam, fl.rules.gradient_descent, set(), False),
    "Adam to the same, clipped": (fl.rules.adam, fl.rules.clip_norm(fl.rules.adam), {"m", "v"}, True),
    "Adam to Adam that climbs": (fl.rules.adam, fl.rules.maximize(fl.rules.adam), set(), False),
    "a velocity is no second moment": (fl.rules.velocity_momentum, fl.rules.rmsprop, set(), False),
    "a buffer of steps is no sum of gradients": (fl.rules.rmsprop_tensorflow, fl.rules.momentum, set(), False),
    "a buffer of directions neither": (fl.rules.heavy_ball(fl.rules.rmsprop), fl.rules.momentum, set(), False),
    "but it goes on with another rule inside": (
        fl.rules.heavy_ball(fl.rules.rmsprop),
        fl.rules.heavy_ball(fl.rules.centered_rmsprop),
        {"b", "v"},
        False,
    ),
    "a user's rule with a state of a known name": (my_rmsprop, fl.rules.rmsprop, set(), False),
    "momentum to Nesterov": (fl.rules.momentum, fl.rules.nesterov, {"b"}, False),
    "momentum to Adam: its second moment is new, so all is": (fl.rules.momentum, fl.rules.adam, set(), False),
}


@pytest.mark.parametrize(("old", "new", "kept", "counts_on"), SWITCHES.values(), ids=SWITCHES)
def test_what_goes_on_and_what_begins_anew(
    old: fl.symbolic.Rule, new: fl.symbolic.Rule, kept: set[str], counts_on: bool
) -> None:
    p = leaf()
    optimizer = fl.Optimizer([p], old, lr=0.1)
    quadratic_steps(optimizer, [p], 3)
    before = {key: value.clone() for key, value in optimizer.state[p].items()}
    optimizer.switch(new, lr=0.1)
    after = optimizer.state[p]
    assert {key for key in after if key != "step"} == kept
    assert all(torch.equal(after[key], before[key]) for key in kept)
    quadratic_steps(optimizer, [p], 1)
    if new.uses_t:
        assert optimizer.state[p]["step"] == (4 if counts_on else 1)


def test_a_switch_before_the_first_gradient_begins_anew() -> None:
    p, never = leaf(), leaf()
    optimizer = fl.Optimizer([p, never], fl.rules.adam, lr=0.1)
    quadratic_steps(optimizer, [p], 1)
    optimizer.switch(fl.rules.momentum, lr=0.25)
    assert set(optimizer.state[p]) == {"b"}
    assert never not in optimizer.state
    quadratic_steps(optimizer, [never], 1)
    assert never.tolist() == [0.5, 0.5]


def test_one_group_can_switch_alone() -> None:
    parameters = [leaf(), leaf()]
    optimizer = fl.Optimizer([{"params": [p]} for p in parameters], fl.rules.adam, lr=0.1)
    optimizer.switch(fl.rules.gradient_descent, group=1, lr=0.25)
    quadratic_steps(optimizer, parameters, 1)
    assert parameters[1].tolist() == [0.5, 0.5]
    assert optimizer.param_groups[0]["rule"] is fl.rules.adam
