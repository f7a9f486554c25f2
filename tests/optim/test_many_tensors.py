"""Rules whose tensors know of each other, or keep numbers of their own, beside plain loops over lists of arrays."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import fallline as fl
from fallline import optim, rules

Arrays = list[NDArray[np.float64]]
SHAPES = [(4, 3), (5,), (), (2, 3, 2)]


def start() -> Arrays:
    generator = np.random.default_rng(0)
    return [generator.normal(size=shape) for shape in SHAPES]


def gradients(thetas: Arrays) -> Arrays:
    """Of a badly scaled quadratic about 1."""
    return [(0.5 + i) * (theta - 1.0) for i, theta in enumerate(thetas)]


def clipped_adam(max_norm: float) -> Iterator[Arrays]:
    thetas, t = start(), 0
    m, v = [0 * x for x in thetas], [0 * x for x in thetas]
    while True:
        t += 1
        found = gradients(thetas)
        norm = np.sqrt(sum(float((g**2).sum()) for g in found))
        for i, g in enumerate(found):
            g = g * min(1.0, max_norm / (norm + 1e-6))
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g**2
            thetas[i] = thetas[i] - 0.1 * (m[i] / (1 - 0.9**t)) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
        yield thetas


def defazio_sgd(warmup: int = 5, beta: float = 0.9, decay: float = 0.1, lr: float = 0.3) -> Iterator[Arrays]:
    """y, z and the weights of the average, as the authors' SGDScheduleFree has them."""
    ys, t, weights, highest = start(), 0, 0.0, 0.0
    zs = [y.copy() for y in ys]
    while True:
        rate = lr * min(1.0, (t + 1) / warmup)
        highest = max(highest, rate)
        weights += highest**2
        share = highest**2 / weights
        for i, g in enumerate(gradients(ys)):
            g = g + decay * ys[i]
            ys[i] = (1 - share) * ys[i] + share * zs[i]
            ys[i] = ys[i] + rate * (beta * (1 - share) - 1) * g
            zs[i] = zs[i] - rate * g
        t += 1
        yield ys


def defazio_adamw(beta1: float = 0.9, beta2: float = 0.99, decay: float = 0.1, lr: float = 0.1) -> Iterator[Arrays]:
    ys, t, weights = start(), 0, 0.0
    zs, v = [y.copy() for y in ys], [0 * y for y in ys]
    while True:
        t += 1
        weights += lr**2
        share = lr**2 / weights
        for i, g in enumerate(gradients(ys)):
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
            g = g / (np.sqrt(v[i] / (1 - beta2**t)) + 1e-8) + decay * ys[i]
            ys[i] = (1 - share) * ys[i] + share * zs[i]
            ys[i] = ys[i] + lr * (beta1 * (1 - share) - 1) * g
            zs[i] = zs[i] - lr * g
        yield ys


def mishchenko(d0: float = 1e-3, decay: float = 0.1, growth: float = np.inf) -> Iterator[Arrays]:
    """The authors' Prodigy, with decoupled decay and without bias correction."""
    thetas = start()
    origins = [x.copy() for x in thetas]
    m, v, s = [0 * x for x in thetas], [0 * x for x in thetas], [0 * x for x in thetas]
    d, highest, numerator, beta3 = d0, d0, 0.0, np.sqrt(0.999)
    while True:
        numerator, denominator, rate = beta3 * numerator, 0.0, d
        for i, g in enumerate(gradients(thetas)):
            numerator += (d / d0) * rate * float((g * (origins[i] - thetas[i])).sum())
            m[i] = 0.9 * m[i] + d * 0.1 * g
            v[i] = 0.999 * v[i] + d * d * 0.001 * g**2
            s[i] = beta3 * s[i] + (d / d0) * rate * g
            denominator += float(np.abs(s[i]).sum())
        estimate = numerator / denominator
        if d == d0:
            d = max(d, estimate)
        highest = max(highest, estimate)
        d = min(highest, d * growth)
        for i in range(len(thetas)):
            thetas[i] = thetas[i] - decay * rate * thetas[i]
            thetas[i] = thetas[i] - rate * m[i] / (np.sqrt(v[i]) + d * 1e-8)
        yield thetas


def dozat(decay: float = 0.1) -> Iterator[Arrays]:
    thetas, t, product = start(), 0, 1.0
    m, v = [0 * x for x in thetas], [0 * x for x in thetas]
    while True:
        t += 1
        mu, after = (0.9 * (1 - 0.5 * 0.96 ** ((t + k) * 4e-3)) for k in (0, 1))
        product *= mu
        for i, g in enumerate(gradients(thetas)):
            g = g + decay * thetas[i]
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g**2
            root = np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8
            thetas[i] = thetas[i] - 0.1 * ((1 - mu) * g / (1 - product) + after * m[i] / (1 - product * after)) / root
        yield thetas


Case = tuple[Callable[[list[Tensor]], torch.optim.Optimizer], Callable[[], Iterator[Arrays]]]
CASES: dict[str, Case] = {
    "clip_norm(adam), clipped": (
        lambda params: fl.Optimizer(params, rules.clip_norm(rules.adam), lr=0.1, max_norm=0.5),
        lambda: clipped_adam(0.5),
    ),
    "clip_norm(adam), never clipped": (
        lambda params: fl.Optimizer(params, rules.clip_norm(rules.adam), lr=0.1, max_norm=1e9),
        lambda: clipped_adam(1e9),
    ),
    "schedule-free SGD": (
        lambda params: optim.ScheduleFreeSGD(params, lr=0.3, weight_decay=0.1, warmup_steps=5),
        defazio_sgd,
    ),
    "schedule-free AdamW": (
        lambda params: optim.ScheduleFreeAdamW(params, lr=0.1, betas=(0.9, 0.99), weight_decay=0.1),
        defazio_adamw,
    ),
    "prodigy": (lambda params: optim.Prodigy(params, d0=1e-3, weight_decay=0.1), mishchenko),
    "prodigy, slowed": (
        lambda params: optim.Prodigy(params, d0=1e-3, weight_decay=0.1, growth_rate=1.02),
        lambda: mishchenko(growth=1.02),
    ),
    "nadam": (
        lambda params: fl.Optimizer(params, rules.l2(rules.nadam), lr=0.1, weight_decay=0.1),
        dozat,
    ),
}


def plain(value: NDArray[np.float64], index: int) -> Tensor:
    return torch.tensor(value)


def turned(value: NDArray[np.float64], index: int) -> Tensor:
    """Laid out so that no kernel takes it."""
    return torch.tensor(value) if value.ndim < 2 else torch.stack([torch.tensor(value)] * 2, -1)[..., 0]


def mixed(value: NDArray[np.float64], index: int) -> Tensor:
    """Some tensors through a kernel, some through the reference, some in another precision."""
    return plain(value, index) if index % 2 else turned(value, index)


@pytest.mark.parametrize("lay", [plain, turned, mixed])
@pytest.mark.parametrize(("make", "iteration"), CASES.values(), ids=CASES)
def test_all_tensors_together_follow_the_published_iteration(
    make: Callable[[list[Tensor]], torch.optim.Optimizer],
    iteration: Callable[[], Iterator[Arrays]],
    lay: Callable[[NDArray[np.float64], int], Tensor],
) -> None:
    params = [lay(value, i).requires_grad_() for i, value in enumerate(start())]
    optimizer = make(params)
    for _, expected in zip(range(30), iteration(), strict=False):
        for p, g in zip(params, gradients([p.detach().numpy() for p in params]), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        for p, value in zip(params, expected, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), value, rtol=1e-9, atol=1e-11)


def test_tensors_of_several_precisions_and_groups_share_one_norm() -> None:
    params = [torch.ones(3, requires_grad=True), torch.ones(4, dtype=torch.float64, requires_grad=True)]
    clipped = rules.clip_norm(rules.gradient_descent)
    optimizer = fl.Optimizer([{"params": [p]} for p in params], clipped, lr=1.0, max_norm=1.0)
    params[0].grad, params[1].grad = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 4.0, 0.0, 0.0]).double()
    optimizer.step()
    assert params[0].tolist() == pytest.approx([0.4, 1, 1], abs=1e-6)
    assert params[1].tolist() == pytest.approx([1, 0.2, 1, 1], abs=1e-6)


def test_a_group_that_does_not_clip_stays_out_of_the_norm() -> None:
    params = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    groups: list[dict[str, Any]] = [{"params": params[:1]}, {"params": params[1:], "rule": rules.gradient_descent}]
    optimizer = fl.Optimizer(groups, rules.clip_norm(rules.gradient_descent), lr=1.0, max_norm=1.0)
    params[0].grad, params[1].grad = torch.tensor([2.0]), torch.tensor([100.0])
    optimizer.step()
    assert [p.item() for p in params] == pytest.approx([-1.0, -100.0], rel=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_norm_that_is_no_number_spreads_as_in_torch(bad: float) -> None:
    """torch's clip_grad_norm_ leaves NaN (or zero, from infinity) in every tensor; so does the rule."""
    found = []
    for ours in (True, False):
        params = [torch.ones(2, requires_grad=True) for _ in range(2)]
        params[0].grad, params[1].grad = torch.tensor([1.0, bad]), torch.ones(2)
        if ours:
            fl.Optimizer(params, rules.clip_norm(rules.gradient_descent), lr=1.0).step()
        else:
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            torch.optim.SGD(params, lr=1.0).step()
        found.append([p.detach() for p in params])
    torch.testing.assert_close(found[0], found[1], equal_nan=True)


def test_a_tensor_that_joins_begins_with_what_all_share() -> None:
    params = [torch.tensor([3.0], requires_grad=True), torch.tensor([5.0], requires_grad=True)]
    optimizer = optim.Prodigy(params[:1], d0=1e-2)
    for _ in range(5):
        params[0].grad = params[0].detach().clone()
        optimizer.step()
    grown = optimizer.state[params[0]]["ratio"].item()
    assert grown > 1
    optimizer.add_param_group({"params": params[1:]})
    for p in params:
        p.grad = torch.zeros(1)
    optimizer.step()
    assert optimizer.state[params[1]]["ratio"].item() == grown


@pytest.mark.parametrize("lay", [plain, turned, mixed])
def test_a_tensor_that_rests_keeps_up_with_what_all_share(lay: Callable[[NDArray[np.float64], int], Tensor]) -> None:
    params = [lay(value, i).requires_grad_() for i, value in enumerate(start())]
    optimizer = optim.Prodigy(params, d0=1e-2)
    for step in range(6):
        for i, (p, g) in enumerate(zip(params, gradients([p.detach().numpy() for p in params]), strict=True)):
            p.grad = None if i == step % 3 else torch.tensor(g)
        optimizer.step()
        shared = {optimizer.state[p]["ratio"].item() for p in params if optimizer.state[p]}
        assert len(shared) == 1
    assert shared.pop() > 1


def test_numbers_come_back_from_a_checkpoint() -> None:
    def made() -> tuple[list[Tensor], Any]:
        params = [torch.tensor(value).requires_grad_() for value in start()]
        return params, optim.Prodigy(params, d0=1e-3)

    def go_on(params: list[Tensor], optimizer: Any, steps: int) -> None:
        for _ in range(steps):
            for p, g in zip(params, gradients([p.detach().numpy() for p in params]), strict=True):
                p.grad = torch.tensor(g)
            optimizer.step()

    params, optimizer = made()
    go_on(params, optimizer, 5)
    others, restored = made()
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    with torch.no_grad():
        for p, q in zip(params, others, strict=True):
            q.copy_(p)
    go_on(params, optimizer, 5)
    go_on(others, restored, 5)
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))


def test_schedule_free_goes_between_where_it_trains_and_the_average() -> None:
    p = torch.ones(3, dtype=torch.float64, requires_grad=True)
    optimizer = optim.ScheduleFreeSGD([p], lr=0.1, momentum=0.8)
    zs = []
    for _ in range(10):
        p.grad = p.detach().clone()
        optimizer.step()
        zs.append(optimizer.state[p]["z"].clone())
    trained_at = p.detach().clone()
    with optimizer.averaged():
        torch.testing.assert_close(p.detach(), torch.stack(zs).mean(0))  # a constant rate: every iterate weighs alike
    torch.testing.assert_close(p.detach(), trained_at)
    optimizer.eval()
    with pytest.raises(RuntimeError, match=r"optimizer\.train\(\)"):
        optimizer.step()
    optimizer.train()
    torch.testing.assert_close(p.detach(), trained_at)


def test_prodigy_rests_at_a_rate_of_nought() -> None:
    """As its authors' code does: a warm-up that begins at 0 shifts the path, and changes nothing else."""
    params, later = ([torch.tensor(value).requires_grad_() for value in start()] for _ in range(2))
    now, warmed = optim.Prodigy(params, d0=1e-3, weight_decay=0.1), optim.Prodigy(later, d0=1e-3, weight_decay=0.1)

    def step(optimizer: torch.optim.Optimizer, tensors: list[Tensor]) -> None:
        for p, g in zip(tensors, gradients([p.detach().numpy() for p in tensors]), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()

    for steps in (1, 4, 1):  # at the beginning, in between and at once
        warmed.param_groups[0]["lr"] = 0.0
        before = [p.detach().clone() for p in later]
        for _ in range(3):
            step(warmed, later)
        assert all(map(torch.equal, later, before))
        warmed.param_groups[0]["lr"] = 1.0
        for _ in range(steps):
            step(warmed, later)
            step(now, params)
        assert all(map(torch.equal, later, params))
        assert all(
            torch.equal(warmed.state[q][key], value)
            for p, q in zip(params, later, strict=True)
            for key, value in now.state[p].items()
        )


def test_prodigy_without_any_gradient_rests() -> None:
    p = torch.ones(3, requires_grad=True)
    optimizer = optim.Prodigy([p], weight_decay=0.1)
    p.grad = torch.zeros(3)
    optimizer.step()
    assert torch.equal(p, torch.ones(3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_prodigy_says_that_half_precision_hides_its_progress(dtype: torch.dtype) -> None:
    p = torch.ones(3, dtype=dtype, requires_grad=True)
    p.grad = torch.ones_like(p)
    with pytest.warns(UserWarning, match=f"'prodigy' estimates its rate .* {str(dtype)[6:]} rounds its first steps"):
        optim.Prodigy([p]).step()


@pytest.mark.parametrize("make", [optim.Prodigy, optim.NAdam, optim.ScheduleFreeAdamW, optim.SOAP, optim.Adam])
@pytest.mark.parametrize("count", [3, 300])
def test_saved_states_share_no_memory(make: Callable[..., torch.optim.Optimizer], count: int) -> None:
    """Formats that keep each tensor by itself, such as safetensors, refuse tensors that lie on one another."""
    params = [torch.ones(2, 2, requires_grad=True) for _ in range(count)]
    optimizer = make(params)
    for _ in range(2):
        for p in params:
            p.grad = torch.ones(2, 2)
        optimizer.step()
    states = optimizer.state_dict()["state"].values()
    tensors = [t for s in states for v in s.values() for t in (v if isinstance(v, list) else [v])]
    spans = sorted((t.data_ptr(), t.data_ptr() + t.numel() * t.element_size()) for t in tensors)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    assert all(t.is_contiguous() for t in tensors)
