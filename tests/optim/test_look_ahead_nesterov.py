"""Nesterov's momentum at the look-ahead point, and the change of variables that does without it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from fallline.optim.look_ahead_nesterov import LookAheadNesterov

Loss = Callable[[Tensor], Tensor]
Setting = tuple[float, float]  # η, μ


def at(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def closure_of(loss: Loss, x: nn.Parameter, optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(x)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    return closure


def look_ahead(loss: Loss, start: Sequence[float], settings: Sequence[Setting]) -> list[tuple[Tensor, Tensor]]:
    """θ and v after every step."""
    x = at(*start)
    optimizer = LookAheadNesterov([x])
    path = []
    for lr, momentum in settings:
        optimizer.param_groups[0].update(lr=lr, momentum=momentum)
        optimizer.step(closure_of(loss, x, optimizer))
        path.append((x.detach().clone(), optimizer.state[x]["velocity"].clone()))
    return path


def by_formula(loss: Loss, start: Sequence[float], settings: Sequence[Setting]) -> list[tuple[Tensor, Tensor]]:
    """The same from the textbook's two lines."""
    x, v, path = torch.tensor(start, dtype=torch.float64), torch.zeros(len(start), dtype=torch.float64), []
    for lr, momentum in settings:
        v = momentum * v - lr * torch.func.grad(loss)(x + momentum * v)
        x = x + v
        path.append((x, v))
    return path


def stored_ahead(
    kind: str, loss: Loss, start: Sequence[float], settings: Sequence[Setting]
) -> list[tuple[Tensor, Tensor]]:
    """φ and b after every step of the form that stores the look-ahead point."""
    x = at(*start)
    lr, momentum = settings[0]
    optimizer: torch.optim.Optimizer = (
        fl.optim.SGD([x], lr=lr, momentum=momentum, nesterov=True)
        if kind == "SGD"
        else fl.Optimizer([x], fl.rules.nesterov, lr=lr, momentum=momentum)
    )
    path = []
    for lr, momentum in settings:
        optimizer.param_groups[0].update(lr=lr, momentum=momentum)
        optimizer.step(closure_of(loss, x, optimizer))
        path.append((x.detach().clone(), optimizer.state[x]["momentum_buffer" if kind == "SGD" else "b"].clone()))
    return path


def bowl(x: Tensor) -> Tensor:
    return (x[0] ** 2 + 2 * x[1] ** 2) / 2


def rosenbrock(x: Tensor) -> Tensor:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


RUNS: dict[str, tuple[Loss, tuple[float, float], list[Setting]]] = {
    "bowl": (bowl, (1, -3), [(0.1, 0.9)] * 60),
    "bowl, little momentum": (bowl, (1, -3), [(0.3, 0.1)] * 60),
    "rosenbrock": (rosenbrock, (-1.2, 1), [(2e-4, 0.95)] * 300),
}  # fmt: skip
each_run = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
each_form = pytest.mark.parametrize("kind", ["SGD", "rule"])


@each_run
def test_follows_the_textbook(run: Any) -> None:
    for ours, formula in zip(look_ahead(*run), by_formula(*run), strict=True):
        torch.testing.assert_close(ours, formula, rtol=1e-12, atol=1e-12)


@each_run
@each_form
def test_at_constant_lr_each_path_is_the_other(run: Any, kind: str) -> None:
    loss, start, settings = run
    for (theta, v), (phi, b), (lr, momentum) in zip(
        look_ahead(*run), stored_ahead(kind, loss, start, settings), settings, strict=True
    ):
        torch.testing.assert_close(phi, theta + momentum * v, rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(theta, phi + lr * momentum * b, rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(v, -lr * b, rtol=1e-10, atol=1e-11)


@each_form
def test_in_powers_of_two_they_are_equal_to_the_bit(kind: str) -> None:
    settings = [(0.25, 0.5)] * 8
    for (theta, v), (phi, b) in zip(
        look_ahead(bowl, (1, -4), settings), stored_ahead(kind, bowl, (1, -4), settings), strict=True
    ):
        assert torch.equal(phi, theta + 0.5 * v)
        assert torch.equal(v, -0.25 * b)


@each_form
def test_they_part_when_lr_changes(kind: str) -> None:
    # On x²/2 from 1 with η = ½ and μ = ½ both have v = -½ after a step. Then η halves, at the point ¼:
    # v = ½·(-½) - ¼·¼ = -5/16 looking ahead; but b = ½·1 + ¼ = ¾, so that -ηb = -3/16.
    settings = [(0.5, 0.5), (0.25, 0.5)]
    ahead = look_ahead(lambda x: (x**2).sum() / 2, (1,), settings)
    stored = stored_ahead(kind, lambda x: (x**2).sum() / 2, (1,), settings)
    assert (ahead[0][1].item(), -0.5 * stored[0][1].item()) == (-1 / 2, -1 / 2)
    assert (ahead[1][1].item(), -0.25 * stored[1][1].item()) == (-5 / 16, -3 / 16)
    assert ahead[1][0].item() == 1 / 2 - 5 / 16
    assert stored[1][0].item() == 1 / 4 - 1 / 4 * (1 / 4 + 1 / 2 * 3 / 4)


def test_parameters_rest_where_they_were_to_the_bit_and_the_closure_sees_the_point_ahead() -> None:
    x = at(0.1, 0.7)
    optimizer = LookAheadNesterov([x], lr=0.1, momentum=0.9)
    optimizer.step(closure_of(rosenbrock, x, optimizer))
    rest, v = x.detach().clone(), optimizer.state[x]["velocity"].clone()
    seen: list[Tensor] = []

    def failing() -> Tensor:
        seen.append(x.detach().clone())
        assert torch.is_grad_enabled()
        raise KeyError("no data")

    with pytest.raises(KeyError, match="no data"), torch.no_grad():
        optimizer.step(failing)
    assert torch.equal(seen[0], rest + 0.9 * v)
    assert torch.equal(x, rest)
    assert torch.equal(optimizer.state[x]["velocity"], v)


def test_a_parameter_without_a_gradient_stays_and_groups_differ() -> None:
    x, y, idle = at(1), at(1), at(1)
    groups: list[dict[str, Any]] = [{"params": [x, idle]}, {"params": [y], "lr": 0.5, "momentum": 0.0}]
    optimizer = LookAheadNesterov(groups, lr=0.25)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = ((x**2).sum() + (y**2).sum()) / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    assert optimizer.step(closure).item() == 1
    assert (x.item(), y.item(), idle.item()) == (0.75, 0.5, 1)
    assert idle not in optimizer.state


def test_a_copy_and_a_checkpoint_go_on_the_same_path() -> None:
    x = at(-1.2, 1)
    optimizer = LookAheadNesterov([x], lr=2e-4)
    optimizer.step(closure_of(rosenbrock, x, optimizer))
    copied = copy.deepcopy(optimizer)
    loaded = LookAheadNesterov([at(*x.tolist())])
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    ends = []
    for one in (optimizer, copied, loaded):
        (p,) = one.param_groups[0]["params"]
        one.step(closure_of(rosenbrock, p, one))
        ends.append(p.tolist())
    assert ends[0] == ends[1] == ends[2]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr": -1}, "Invalid lr value: -1"),
        ({"lr": float("nan")}, "Invalid lr value: nan"),
        ({"momentum": 1}, "Invalid momentum value: 1"),
        ({"momentum": -0.1}, "Invalid momentum value: -0.1"),
    ],
    ids=str,
)
def test_bad_hyperparameters(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LookAheadNesterov([at(1)], **options)
    group: dict[str, Any] = {"params": [at(1)], **options}
    with pytest.raises(ValueError, match=sentence):
        LookAheadNesterov([group])


def test_a_step_needs_a_closure() -> None:
    with pytest.raises(TypeError, match="needs a closure"):
        LookAheadNesterov([at(1)]).step()
