"""Where there are no kernels, here for once the CPU: torch's own step for its classes, lists of tensors for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from fallline import optim, rules
from fallline.kernels.foreach import program
from fallline.math import sqrt
from fallline.optim import layout
from fallline.rules import adam, adamw, averaged, cautious, clip_norm, decoupled_decay, l2, momentum
from fallline.symbolic import Rule, make_plan
from tests.optim.oracle import NAMES
from tests.optim.test_against_torch import MORE_OPTIONS

SHAPES = [(), (3,), (3, 2), (2, 2, 1, 3), (1, 4), (0,)]
COMPOSED = [
    clip_norm(averaged(adamw)), cautious(adam), l2(momentum), decoupled_decay(cautious(adam)),
    rules.proximal_l1(rules.gradient_descent), clip_norm(rules.prodigy),
    rules.heavy_ball(rules.prodigy),
]  # fmt: skip


@fl.rule
def swapping(p, g, a, b=fl.state(init=1.0), n=fl.state("scalar", init=1.0), s=fl.state(init=lambda g: g), *, lr=0.1, t):  # type: ignore[no-untyped-def]  # noqa: B008
    """States that take each other's place, one that is the gradient, and one number a tensor."""
    n = 0.5 * n + fl.math.sum(g * g) / t
    return lr * (b + s - 2 / (1 + a * a)) / sqrt(n), b, a, n, g


EVERY = {rules.name_of(rule): rule for rule in (*rules.ALL.values(), *COMPOSED, swapping)}
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 3e-2}


@pytest.fixture
def elsewhere() -> Iterator[Callable[[bool], None]]:
    """Says whether the CPU has kernels."""
    before = layout.DEVICES

    def has_none(none: bool) -> None:
        layout.DEVICES = () if none else before

    has_none(True)
    yield has_none
    layout.DEVICES = before


def parameters(dtype: torch.dtype) -> list[nn.Parameter]:
    draws = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=draws, dtype=torch.float64).to(dtype)) for shape in SHAPES]


def steps(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], count: int, start: int = 0) -> None:
    """Steps down a quartic; a parameter rests now and then."""
    for i in range(start, start + count):
        for j, p in enumerate(params):
            p.grad = None if (i + j) % 5 == 0 else p.detach() ** 3 - 0.5 * p.detach()
        optimizer.step()


def groups(rule: Rule, params: list[nn.Parameter]) -> list[dict[str, Any]]:
    own = {} if rule.global_states or "lr" not in rule.hyperparameters else {"lr": 0.05}
    return [{"params": params[:3]}, {"params": params[3:], **own}]


def apart(found: Tensor, expected: Tensor) -> float:
    if not expected.numel():
        return 0.0
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).abs().max() / (expected.abs().max() + 1e-2))


@pytest.mark.filterwarnings("ignore:the rule 'prodigy'", "ignore:the rule '.*prodigy")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("rule", EVERY.values(), ids=EVERY)
def test_lists_of_tensors_take_the_path_of_kernels(
    rule: Rule, dtype: torch.dtype, elsewhere: Callable[[bool], None]
) -> None:
    ends = []
    for none in (False, True):
        elsewhere(none)
        params = parameters(dtype)
        optimizer = fl.Optimizer(groups(rule, params), rule)
        steps(optimizer, params, 12)
        assert not none or all(row._p.numel() == 0 for row in optimizer._session._eager)  # type: ignore[union-attr]
        ends.append((params, optimizer))
    (expected, reference), (found, optimizer) = ends
    for p, q in zip(found, expected, strict=True):
        assert apart(p, q) < TOLERANCE[dtype]
        for key, value in reference.state[q].items():
            assert apart(optimizer.state[p][key], value) < 10 * TOLERANCE[dtype], key


@pytest.mark.parametrize("turns", [(True, False, True), (False, True, False)], ids=str)
@pytest.mark.parametrize("rule", [adamw, clip_norm(momentum), rules.prodigy, swapping], ids=lambda rule: str(rule.name))
def test_a_run_goes_on_in_the_other_way(rule: Rule, turns: tuple[bool, ...], elsewhere: Callable[[bool], None]) -> None:
    elsewhere(False)
    reference, params = parameters(torch.float64), parameters(torch.float64)
    steps(fl.Optimizer(reference, rule), reference, 15)
    optimizer = fl.Optimizer(params, rule)
    for i, none in enumerate(turns):
        elsewhere(none)
        optimizer.load_state_dict(optimizer.state_dict())
        steps(optimizer, params, 5, 5 * i)
    for p, q in zip(params, reference, strict=True):
        assert apart(p, q) < 1e-11


OF_TORCHS_LOOP = ("fused", "differentiable")
TWINS = [
    (name, {**options, "foreach": foreach})
    for name in NAMES
    for options in ({}, {"weight_decay": 0.1}, *MORE_OPTIONS.get(name, []))
    for foreach in (None, True)
    if not foreach or not (isinstance(options.get("lr"), Tensor) or any(map(options.get, OF_TORCHS_LOOP)))
]


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("name", "options"), TWINS, ids=str)
def test_torchs_classes_take_torchs_own_step(name: str, options: dict[str, Any]) -> None:
    ends = []
    for module in (torch.optim, optim):
        params = [p for p in parameters(torch.float32) if p.numel()]
        given = {key: value.clone() if isinstance(value, Tensor) else value for key, value in options.items()}
        optimizer = getattr(module, name)(params, **given)
        calls: list[int] = []
        optimizer.register_step_post_hook(lambda *_, calls=calls: calls.append(1))
        steps(optimizer, params, 6)
        assert len(calls) == 6
        ends.append((params, optimizer.state_dict()["state"]))
    for p, q in zip(ends[0][0], ends[1][0], strict=True):
        assert torch.equal(p, q)
    for theirs, ours in zip(ends[0][1].values(), ends[1][1].values(), strict=True):
        assert theirs.keys() == ours.keys()
        assert all(theirs[key] is ours[key] is None or torch.equal(theirs[key], ours[key]) for key in theirs)


@pytest.mark.parametrize("name", NAMES)
def test_torchs_step_and_ours_go_on_from_each_other(name: str, elsewhere: Callable[[bool], None]) -> None:
    reference = [p for p in parameters(torch.float64) if p.numel()]
    steps(getattr(torch.optim, name)(reference, lr=0.01), reference, 12)
    params = [p for p in parameters(torch.float64) if p.numel()]
    optimizer = getattr(optim, name)(params, lr=0.01)
    for i, none in enumerate((False, True, False)):
        elsewhere(none)
        steps(optimizer, params, 4, 4 * i)
    for p, q in zip(params, reference, strict=True):
        assert apart(p, q) < 1e-11


@pytest.mark.usefixtures("elsewhere")
def test_what_is_refused_here_is_refused_there() -> None:
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = float("nan")
    with pytest.raises(ValueError, match=r"'lr' .* must be a number"):
        optimizer.step()
    assert torch.equal(p, torch.tensor([0.9, 0.9]))


@pytest.mark.usefixtures("elsewhere")
def test_closures_and_accumulated_gradients_are_as_ever() -> None:
    p = nn.Parameter(torch.ones(2))
    for make in (lambda: optim.Adam([p], lr=0.5), lambda: fl.Optimizer([p], rules.lion, lr=0.5)):
        with torch.no_grad():
            p.fill_(1.0)
        optimizer = make()

        def closure(optimizer: torch.optim.Optimizer = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = (p * p).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        assert optimizer.step(closure).item() == 2.0
        torch.testing.assert_close(p.detach(), torch.tensor([0.5, 0.5]))


@pytest.mark.usefixtures("elsewhere")
def test_a_graph_that_needs_the_old_weights_says_so() -> None:
    p = nn.Parameter(torch.ones(2))
    loss = (p * p).sum()
    p.grad = torch.ones(2)
    fl.Optimizer([p], rules.lion, lr=0.5).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("elsewhere")
def test_tensors_that_share_memory_are_moved_one_by_one() -> None:
    storage = torch.ones(6)
    whole, part = nn.Parameter(storage), nn.Parameter(storage[2:])
    whole.grad, part.grad = torch.ones(6), torch.ones(4)
    optimizer = fl.Optimizer([whole, part], rules.gradient_descent, lr=0.25)
    optimizer.step()
    assert storage.tolist() == [0.75, 0.75, 0.5, 0.5, 0.5, 0.5]


#: The calls of one step, in order: what torch's own foreach makes by hand, or fewer.
CALLS = {
    momentum: ["mul_", "add_", "add_"],
    adam: ["lerp_", "mul_", "addcmul_", "mul", "sqrt_", "add_", "addcdiv_"],
    adamw: ["lerp_", "mul_", "addcmul_", "mul_", "mul", "sqrt_", "add_", "addcdiv_"],
    rules.rmsprop: ["mul_", "addcmul_", "sqrt", "add_", "addcdiv_"],
}


@pytest.mark.parametrize("rule", CALLS, ids=lambda rule: rules.name_of(rule))
def test_the_calls_are_as_few_as_torchs(rule: Rule) -> None:
    (source,) = program(make_plan(rule.trace()), half=False).sources
    calls = [line.split("_foreach_")[1].split("(")[0] for line in source.splitlines() if "_foreach_" in line]
    assert sorted(calls) == sorted(CALLS[rule])
