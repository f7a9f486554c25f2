"""What optimizers keep is theirs: copied when it is loaded, and put back to the bit by whoever only looks."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from fallline import optim, rules
from fallline.optim.look_ahead_nesterov import LookAheadNesterov

Maker = Callable[[list[Tensor]], torch.optim.Optimizer]

CLASSES: dict[str, Maker] = {
    name: kind
    for name, kind in vars(optim).items()
    if inspect.isclass(kind)
    and issubclass(kind, torch.optim.Optimizer)
    and kind.__module__.startswith("fallline")
    and (name != "Muon" or hasattr(torch.optim, "Muon"))
}
CLASSES["ScheduleFree"] = lambda params: optim.ScheduleFree(params, rules.schedule_free(rules.momentum))
CLASSES["SGD"] = lambda params: optim.SGD(params, lr=0.1, momentum=0.9)
CLASSES["SOAP, vectors too"] = lambda params: optim.SOAP(params, precondition_1d=True)
CLASSES["Adam, amsgrad"] = lambda params: optim.Adam(params, amsgrad=True)
CLASSES |= {
    f"rules.{name}": lambda params, rule=rule: fl.Optimizer(params, rule)  # type: ignore[misc]
    for name, rule in (
        ("adam", rules.adam),
        ("prodigy", rules.prodigy),
        ("clip_norm(momentum)", rules.clip_norm(rules.momentum)),
    )
}


def matrices(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(4, 3).to(dtype)), nn.Parameter(torch.randn(3, 3).to(dtype))]


def step(optimizer: torch.optim.Optimizer, count: int = 1) -> None:
    """Steps down the sum of fourth powers, by gradients or a closure."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = sum((p.double() ** 4).sum() for group in optimizer.param_groups for p in group["params"])
        assert isinstance(loss, Tensor)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for _ in range(count):
        if isinstance(optimizer, LookAheadNesterov):
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(inner)


def kept(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return list(tensors_in([dict(state) for state in optimizer.state.values()]))


def same(found: list[Tensor], known: list[Tensor]) -> bool:
    return all(map(torch.equal, found, known)) and len(found) == len(known)


# ---------------------------------------------------------------------------------------------------------------------
# Loading copies
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the rule 'prodigy' estimates its rate")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CLASSES)
def test_two_optimizers_share_nothing_after_loading(name: str, dtype: torch.dtype) -> None:
    first, second = CLASSES[name](matrices(dtype)), CLASSES[name](matrices(dtype))
    step(first, 3)
    second.load_state_dict(first.state_dict())
    assert same(kept(second), [tensor.to(other.dtype) for tensor, other in zip(kept(first), kept(second), strict=True)])
    places = {tensor.untyped_storage().data_ptr() for tensor in kept(first) if tensor.numel()}
    assert not any(tensor.untyped_storage().data_ptr() in places for tensor in kept(second) if tensor.numel())
    before = [tensor.clone() for tensor in kept(second)]
    step(first, 2)
    assert same(kept(second), before)


@pytest.mark.parametrize("name", CLASSES)
def test_a_state_dict_in_hand_stays_as_it_was_loaded(name: str) -> None:
    """The checkpoint may be loaded again later: a step of who loaded it does not write into it."""
    first, second = CLASSES[name](matrices()), CLASSES[name](matrices())
    step(first, 3)
    saved = copy.deepcopy(first.state_dict())
    known = [tensor.clone() for tensor in tensors_in(saved["state"])]
    second.load_state_dict(saved)
    step(second, 2)
    assert same(list(tensors_in(saved["state"])), known)


def test_what_was_one_tensor_stays_one() -> None:
    """Prodigy's estimates are one number for all weights."""
    first, second = optim.Prodigy(matrices()), optim.Prodigy(matrices())
    step(first, 2)
    second.load_state_dict(first.state_dict())
    step(second)
    shared = [key for key, value in first.state[first.param_groups[0]["params"][0]].items()
              if all(state.get(key) is value for state in first.state.values())]  # fmt: skip
    assert shared
    assert all(len({id(state[key]) for state in second.state.values()}) == 1 for key in shared)


# ---------------------------------------------------------------------------------------------------------------------
# Looking at the average changes nothing
# ---------------------------------------------------------------------------------------------------------------------

AVERAGING: dict[str, Maker] = {
    "SGD": lambda params: optim.ScheduleFreeSGD(params, lr=0.01),
    "AdamW": lambda params: optim.ScheduleFreeAdamW(params, lr=0.01, betas=(0.95, 0.99)),
    "any rule": lambda params: optim.ScheduleFree(params, rules.schedule_free(rules.momentum), lr=0.01, beta=0.7),
}
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def look(optimizer: Any, params: list[Tensor]) -> None:
    with optimizer.averaged():
        pass


def turn(optimizer: Any, params: list[Tensor]) -> None:
    optimizer.eval()
    optimizer.train()


def turn_twice(optimizer: Any, params: list[Tensor]) -> None:
    optimizer.eval()
    optimizer.eval()
    optimizer.train()
    optimizer.train()


def look_within(optimizer: Any, params: list[Tensor]) -> None:
    with optimizer.averaged(), optimizer.averaged():
        optimizer.train()


def fail_within(optimizer: Any, params: list[Tensor]) -> None:
    with pytest.raises(KeyError), optimizer.averaged():
        raise KeyError


def write_within(optimizer: Any, params: list[Tensor]) -> None:
    with optimizer.averaged():
        for p in params:
            p.data.zero_()


def replace_within(optimizer: Any, params: list[Tensor]) -> None:
    places = [p.data_ptr() for p in params]
    with optimizer.averaged():
        for p in params:
            p.data = torch.zeros_like(p)
    assert [p.data_ptr() for p in params] == places


@pytest.mark.parametrize(
    "looking", [look, turn, turn_twice, look_within, fail_within, write_within, replace_within],
    ids=lambda function: function.__name__,
)  # fmt: skip
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", AVERAGING)
def test_who_looks_at_the_average_changes_nothing(name: str, dtype: torch.dtype, looking: Any) -> None:
    params, others = matrices(dtype), matrices(dtype)
    optimizer, unseen = AVERAGING[name](params), AVERAGING[name](others)
    for _ in range(4):
        step(optimizer)
        step(unseen)
        looking(optimizer, params)
        assert same(params, others)
    assert same(kept(optimizer), kept(unseen))


def test_groups_stay_in_the_mode_in_which_they_were() -> None:
    params = matrices()
    optimizer: Any = optim.ScheduleFreeSGD([{"params": [p]} for p in params], lr=0.01)
    step(optimizer, 3)
    optimizer.eval()
    optimizer.param_groups[0]["training"] = True
    known = [p.detach().clone() for p in params]
    with optimizer.averaged():
        pass
    assert [group["training"] for group in optimizer.param_groups] == [True, False]
    assert same(params, known)


@pytest.mark.parametrize(
    "copied",
    [lambda pair: pickle.loads(pickle.dumps(pair)), copy.deepcopy],
    ids=["pickle", "deepcopy"],
)
def test_a_run_saved_while_it_shows_its_average_goes_on_to_the_bit(copied: Any) -> None:
    params, others = matrices(torch.bfloat16), matrices(torch.bfloat16)
    optimizer, unseen = AVERAGING["SGD"](params), AVERAGING["SGD"](others)
    step(optimizer, 3)
    step(unseen, 3)
    optimizer.eval()  # type: ignore[attr-defined]
    resumed, weights = copied((optimizer, params))
    resumed.train()
    loaded = AVERAGING["SGD"]([p.detach().clone().requires_grad_() for p in params])
    loaded.load_state_dict(optimizer.state_dict())
    loaded.train()  # type: ignore[attr-defined]
    for one, held in ((resumed, weights), (loaded, loaded.param_groups[0]["params"])):
        assert same(held, others)
        step(one)
    step(unseen)
    assert same(weights, others)


def test_weights_set_between_eval_and_train_are_taken_as_the_average() -> None:
    p = nn.Parameter(torch.ones(2))
    optimizer = optim.ScheduleFreeSGD([p], lr=0.5, momentum=0.5)
    step(optimizer, 2)
    optimizer.eval()
    nn.init.constant_(p, 8.0)
    z = optimizer.state[p]["z"].clone()
    optimizer.train()
    torch.testing.assert_close(p.detach(), 0.5 * z + 0.5 * 8.0)
