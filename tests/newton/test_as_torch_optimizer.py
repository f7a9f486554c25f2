"""Newton as a torch optimizer: groups, types, schedulers, closures of all kinds, and what it refuses."""

import copy
import math
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from tests.newton.problems import Network, at
from tests.newton.test_known_answers import each_path, report_of


def bowl(*params: Tensor) -> Tensor:
    """Its minimum is at 1 in every number."""
    return torch.stack([(i * (p - 1) ** 2).sum() for i, p in enumerate(params, start=1)]).sum()


@each_path
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_groups_are_one_vector(dtype: torch.dtype, path: dict[str, Any]) -> None:
    torch.manual_seed(0)
    params = [nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in [(), (3,), (2, 3), (0,)]]
    params.append(nn.Parameter(torch.randn(3, 2, dtype=dtype).T))
    optimizer = fl.Newton([{"params": params[:2]}, {"params": params[2:]}], **path)
    optimizer.step(lambda: bowl(*params))
    for p in params:
        assert torch.allclose(p, torch.ones_like(p), rtol=0, atol=20 * torch.finfo(dtype).eps)


@each_path
def test_what_the_loss_does_not_move_stays(path: dict[str, Any]) -> None:
    used, frozen, unused = at(4), at(5), at(6)
    frozen.requires_grad_(False)
    used.grad = torch.full_like(used, 7.0)
    optimizer = fl.Newton([used, frozen, unused], **path)
    optimizer.step(lambda: bowl(used * frozen))
    assert used.item() == pytest.approx(0.2, abs=1e-15)
    assert (frozen.item(), unused.item(), used.grad.item()) == (5, 6, 7)


def test_one_evaluation_for_the_derivatives_and_one_for_each_length() -> None:
    x, calls = at(3), 0

    def closure() -> Tensor:
        nonlocal calls
        calls += 1
        return bowl(x)

    optimizer = fl.Newton([x])
    loss = optimizer.step(closure)
    assert (loss.item(), loss.requires_grad) == (4, False)
    assert calls == report_of(optimizer).evaluations == 2
    optimizer.step(closure)
    assert calls == 3
    assert report_of(optimizer).reason == "gradient small"


class Unbatched(torch.autograd.Function):
    """x, but its backward reads a number and so can't be batched."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        assert math.isfinite(gradients[0].sum().item())
        return gradients[0].clone()


def with_inner_gradient(x: Tensor) -> Tensor:
    """As in a physics-informed network: the loss holds a derivative by another variable."""
    t = torch.ones((), dtype=x.dtype, requires_grad=True)
    (slope,) = torch.autograd.grad((x * t**2).sum(), t, create_graph=True)
    loss: Tensor = (slope - 2 * len(x)) ** 2
    return loss


CLOSURES: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": bowl,
    "of shape (1,)": lambda x: bowl(x).reshape(1),
    "can't be batched": lambda x: bowl(Unbatched.apply(x)),  # type: ignore[no-untyped-call]
    "with a gradient inside": with_inner_gradient,
    "the parameter itself, scaled": lambda x: ((x - 1) @ (x - 1)).sqrt() ** 2,
}


@each_path
@pytest.mark.parametrize("closure", CLOSURES.values(), ids=CLOSURES)
def test_closures(closure: Callable[[Tensor], Tensor], path: dict[str, Any]) -> None:
    x = at(3, 3)
    with torch.no_grad():  # as a caller may have it
        fl.Newton([x], **path).step(lambda: closure(x))
    assert torch.allclose(x, torch.ones_like(x), rtol=0, atol=1e-12)


def test_the_loss_returned_is_the_one_from_before_even_if_it_is_the_parameter() -> None:
    x = nn.Parameter(torch.tensor(3.0))
    assert fl.Newton([x]).step(lambda: x).item() == 3
    assert x.item() == 2


def test_a_scheduler_sets_the_length_tried_first() -> None:
    x = at(3)
    optimizer = fl.Newton([x], lr=1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for length in (1, 0.5):
        x.data.fill_(3)
        optimizer.step(lambda: bowl(x))
        assert report_of(optimizer).step_size == length
        scheduler.step()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_copies_take_the_same_step(again: Callable[[fl.Newton], fl.Newton]) -> None:
    optimizer = fl.Newton([at(3, 2)], lr=0.25, line_search="strong_wolfe", exact_up_to=0)
    other = again(optimizer)
    ends = []
    for one in (optimizer, other):
        (x,) = one.param_groups[0]["params"]
        one.step(partial(bowl, x))
        ends.append((x.tolist(), report_of(one)))
    assert ends[0] == ends[1]
    fresh = fl.Newton([at(3, 2)])
    fresh.load_state_dict(optimizer.state_dict())
    assert {k: v for k, v in fresh.param_groups[0].items() if k != "params"} == optimizer.defaults


def test_a_network_learns_in_a_few_steps() -> None:
    network = Network()
    optimizer = fl.Newton(network.model.parameters())
    for _ in range(30):
        optimizer.step(network.loss)
        if report_of(optimizer).finished:
            break
    assert report_of(optimizer).gradient_norm < 1e-9
    assert not report_of(optimizer).negative_curvature


# ---------------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------------

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "lr of nought": ({"lr": 0}, "lr must be a number above 0"),
    "lr not a number": ({"lr": float("nan")}, "lr must be a number above 0"),
    "lr a string": ({"lr": "1"}, "lr must be a number above 0"),
    "search": ({"line_search": "wolfe"}, "line_search must be 'armijo' or 'strong_wolfe', or None"),
    "exact_up_to": ({"exact_up_to": -1}, "exact_up_to must be a whole number from 0"),
    "cg_iterations": ({"cg_iterations": 2.5}, "cg_iterations must be a whole number from 1"),
    "cg_tolerance": ({"cg_tolerance": 1}, "cg_tolerance must be None, or a number"),
    "tolerance_grad": ({"tolerance_grad": -1e-9}, "tolerance_grad must be a number of at least 0"),
}  # fmt: skip
PARAMS: dict[str, tuple[Callable[[], list[Any]], str]] = {
    "complex": (lambda: [torch.zeros(2, dtype=torch.complex64)], "float32 or float64; one is complex64"),
    "half": (lambda: [torch.zeros(2, dtype=torch.float16)], "one is float16"),
    "two types": (lambda: [torch.zeros(2), at(1)], "float32 on cpu, float64 on cpu"),
    "two lr": (lambda: [{"params": [at(1)], "lr": 1}, {"params": [at(1)], "lr": 2}], "'lr' must be the same in every"),
}  # fmt: skip


@pytest.mark.parametrize("case", OPTIONS.values(), ids=OPTIONS)
def test_bad_options(case: Any) -> None:
    options, sentence = case
    with pytest.raises(ValueError, match=sentence):
        fl.Newton([at(1)], **options)


@pytest.mark.parametrize("case", PARAMS.values(), ids=PARAMS)
def test_bad_params(case: Any) -> None:
    make, sentence = case
    with pytest.raises(ValueError, match=sentence):
        fl.Newton(make())


def test_a_group_that_does_not_fit_is_not_added() -> None:
    optimizer = fl.Newton([at(1)])
    with pytest.raises(ValueError, match="the same in every param group"):
        optimizer.add_param_group({"params": [at(2)], "lr": 0.5})
    assert len(optimizer.param_groups) == 1


def test_groups_that_come_to_differ_are_refused() -> None:
    x = at(3)
    optimizer = fl.Newton([{"params": [x]}, {"params": [at(1)]}])
    optimizer.param_groups[1]["lr"] = 0.1
    with pytest.raises(ValueError, match="'lr' must be the same"):
        optimizer.step(lambda: bowl(x))


def stepped_back(x: Tensor) -> Any:
    loss = bowl(x)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss


def without_graph(x: Tensor) -> Any:
    with torch.no_grad():
        return bowl(x)


def raising_later(x: Tensor) -> Any:
    if x[0] != 3:
        raise KeyError("beyond")
    return bowl(x)


BAD_CLOSURES: dict[str, tuple[Callable[[Tensor], Any], type[Exception], str]] = {
    "a float": (lambda x: bowl(x).item(), TypeError, "it returned a float. End it"),
    "nothing": (lambda x: None, TypeError, "it returned a NoneType"),
    "many numbers": (lambda x: x**2, TypeError, r"shape \(2,\). Reduce it"),
    "complex": (lambda x: bowl(x) * 1j, TypeError, "one real number"),
    "no graph": (without_graph, ValueError, "has no graph"),
    "detached": (lambda x: bowl(x).detach(), ValueError, "has no graph"),
    "backward inside": (stepped_back, ValueError, r"Take loss.backward\(\) out of the closure"),
    "of other parameters": (lambda x: bowl(at(3)), ValueError, "depends on none of the optimizer's parameters"),
    "not a number": (lambda x: bowl(x) * float("nan"), ValueError, "the loss is not finite"),
    "infinite": (lambda x: bowl(x) + float("inf"), ValueError, "the loss is not finite"),
    "infinite slope": (lambda x: (x - 3).abs().sqrt().sum(), ValueError, "the gradient is not finite"),
    "infinite curvature": (lambda x: ((x - 3).abs() ** 1.5).sum() + x.sum(), ValueError, "the Hessian is not finite"),
    "an error at another point": (raising_later, KeyError, "beyond"),
}  # fmt: skip


@each_path
@pytest.mark.parametrize("case", BAD_CLOSURES.values(), ids=BAD_CLOSURES)
def test_a_closure_that_is_refused_leaves_the_parameters(case: Any, path: dict[str, Any]) -> None:
    closure, error, sentence = case
    x = at(3, 3)
    with pytest.raises(error, match=sentence):
        fl.Newton([x], **path).step(lambda: closure(x))
    assert x.tolist() == [3, 3]


def test_a_step_needs_a_closure() -> None:
    with pytest.raises(TypeError, match=r"Newton.step needs a closure"):
        fl.Newton([at(1)]).step()


def test_sparse_gradients_are_refused() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    with pytest.raises(ValueError, match="sparse=False"):
        fl.Newton(table.parameters()).step(lambda: table(torch.tensor([1, 2])).sum())
