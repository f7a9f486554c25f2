"""`fallline.Optimizer`: any rule, a user's own as well, behaves as a torch optimizer."""

import copy
import io
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
