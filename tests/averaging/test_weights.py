"""The averages of a model's weights: known values, torch's own, and the swap for evaluation."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fallline.averaging import WeightAverage

D = 0.75


def averaged(average: WeightAverage) -> dict[str, Tensor]:
    with average.swapped() as model:
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def one_weight() -> nn.Linear:
    return nn.Linear(1, 1, bias=False)


def show(average: WeightAverage, *weights: float) -> None:
    for weight in weights:
        for p in average.model.parameters():
            nn.init.constant_(p, weight)
        average.update()


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({"decay": D}, D * (D * 1 + (1 - D) * 2) + (1 - D) * 4),
        ({"decay": D, "start_from": "zero"}, (1 - D) * (D**2 * 1 + D * 2 + 4) / (1 - D**3)),
        ({"decay": D, "start_from": "zero", "bias_correction": False}, (1 - D) * (D**2 * 1 + D * 2 + 4)),
        ({"decay": None}, 7 / 3),
        ({"decay": None, "start_from": "zero"}, 7 / 3),
        ({"decay": 0.0}, 4.0),
        ({"decay": 0.0, "start_from": "zero"}, 4.0),
    ],
)
def test_known_averages_of_1_2_4(settings: dict[str, Any], known: float) -> None:
    average = WeightAverage(one_weight().double(), **settings)
    show(average, 1.0, 2.0, 4.0)
    assert averaged(average)["weight"].item() == pytest.approx(known, rel=1e-14)


@pytest.mark.parametrize("start_from", ["weights", "zero"])
def test_the_first_average_is_the_first_weights_exactly(start_from: Any) -> None:
    model = nn.Linear(5, 3)
    average = WeightAverage(model, 0.999, start_from=start_from)
    average.update()
    assert torch.equal(averaged(average)["weight"], model.weight)


@pytest.mark.parametrize(
    ("decay", "torchs"),
    [(0.9, get_ema_multi_avg_fn(0.9)), (None, None)],  # type: ignore[no-untyped-call]
    ids=["exponential", "equal"],
)
def test_the_same_as_torchs(decay: float | None, torchs: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    ours, theirs = WeightAverage(model, decay), AveragedModel(model, multi_avg_fn=torchs, use_buffers=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(7):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
        ours.update()
        theirs.update_parameters(model)
    wanted = theirs.module.state_dict()
    del wanted["1.num_batches_tracked"]  # torch averages the count as well
    for name, tensor in wanted.items():
        torch.testing.assert_close(averaged(ours)[name], tensor, msg=name)


def test_statistics_are_averaged_and_other_buffers_left() -> None:
    model = nn.BatchNorm1d(2)
    model.register_buffer("mask", torch.tensor([-torch.inf, 0.0]))
    average = WeightAverage(model, D, start_from="zero")
    for mean in (1.0, 2.0):
        nn.init.constant_(model.get_buffer("running_mean"), mean)
        model.get_buffer("num_batches_tracked").add_(1)
        average.update()
    state = averaged(average)
    assert state["running_mean"].tolist() == pytest.approx([(D * 1 + 2) / (D + 1)] * 2)
    assert state["num_batches_tracked"].item() == 2
    assert state["mask"].tolist() == [-torch.inf, 0.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_small_shares_are_not_lost_in_half_precision(dtype: torch.dtype) -> None:
    average = WeightAverage(one_weight().to(dtype), 0.999)
    show(average, 1.0, *[2.0] * 1000)
    assert averaged(average)["weight"].item() == pytest.approx(2 - 0.999**1000, rel=0.01)
    assert averaged(average)["weight"].dtype == dtype


def test_swapping_puts_everything_back_after_an_exception() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    average = WeightAverage(model, D)
    average.update()
    show(average, 3.0)
    before, places = copy.deepcopy(model.state_dict()), [p.data_ptr() for p in model.parameters()]

    def fail() -> None:
        with average.swapped() as swapped:
            assert swapped is model
            assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])
            model(torch.randn(8, 4))  # in training mode: moves the running statistics
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [p.data_ptr() for p in model.parameters()] == places
    average.update()  # the swap is over


class Noting(nn.Module):
    """Notes down what passes, in every way that there is."""

    total: Tensor
    late: Tensor | None
    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("total", torch.tensor(4.0))
        self.register_buffer("late", None)
        self.register_buffer("table", torch.zeros(2), persistent=False)
        self.hidden = torch.zeros(2)
        self.calls = 0
        self.seen: list[float] = []
        self.best: dict[str, Tensor] = {"loss": torch.tensor(9.0)}

    def forward(self, x: Tensor) -> Tensor:
        self.total = self.total + 100.0  # bound anew
        self.late = torch.ones(2)
        self.table.add_(1.0)  # written in place
        self.hidden = self.hidden + 1.0
        self.calls += 1
        self.seen.append(1.0)
        self.best["loss"].mul_(0.5)
        self.register_buffer("new", torch.ones(1))
        return self.norm(self.layer(x))  # type: ignore[no-any-return]


def forward_pass(model: Any) -> None:
    model(torch.randn(8, 2, dtype=model.layer.weight.dtype))


def inference_pass(model: nn.Module) -> None:
    with torch.inference_mode():
        forward_pass(model)


def replaced_data(model: nn.Module) -> None:
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = torch.full_like(tensor, 7)


def replaced_parameters(model: nn.Module) -> None:
    for module in model.modules():
        for name, p in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(p.detach() + 1))


def replaced_module(model: Any) -> None:
    model.layer = nn.Linear(2, 2)
    model.more = nn.Linear(1, 1)
    del model.norm


def half_precision(model: nn.Module) -> None:
    model.half()


def evaluation_mode(model: nn.Module) -> None:
    model.eval().requires_grad_(False)


def a_step(model: nn.Module) -> None:
    forward_pass(model)
    sum(p.square().sum() for p in model.parameters()).backward()  # type: ignore[union-attr]
    torch.optim.SGD(model.parameters(), lr=0.1).step()


def loaded(model: nn.Module) -> None:
    model.load_state_dict({name: tensor * 0 for name, tensor in model.state_dict().items()}, assign=True)


def deleted(model: Any) -> None:
    del model.total, model.hidden, model.layer.weight


def not_a_number(model: nn.Module) -> None:
    nn.init.constant_(model.get_parameter("layer.weight"), torch.nan)


def picture(model: nn.Module) -> list[Any]:
    """All that its modules hold, with where it lies; numbers as bits."""

    def seen(value: Any) -> Any:
        if isinstance(value, Tensor):
            bits = value.detach().reshape(-1).view(torch.uint8).tolist()
            return id(value), value.data_ptr(), value.dtype, value.shape, value.requires_grad, bits
        if isinstance(value, dict):
            return id(value), [(key, seen(inner)) for key, inner in value.items()]
        return (id(value), [seen(inner) for inner in value]) if isinstance(value, list) else id(value)

    return [[(name, seen(value)) for name, value in sorted(vars(module).items())] for module in model.modules()]


@pytest.mark.parametrize(
    "change",
    [forward_pass, inference_pass, replaced_data, replaced_parameters, replaced_module, half_precision, evaluation_mode,
     a_step, loaded, deleted, not_a_number],
    ids=lambda function: function.__name__,
)  # fmt: skip
@pytest.mark.parametrize("within", ["", "exception", "nested"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_whatever_happens_inside_is_undone_to_the_bit(change: Any, within: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Noting().to(dtype)
    forward_pass(model)
    average, other = WeightAverage(model, D), WeightAverage(model, D)
    show(average, 1 / 3, 2 / 3)
    show(other, 0.1)
    before = picture(model)

    def fail() -> None:
        change(model)
        raise KeyError

    if within == "exception":
        with pytest.raises(KeyError), average.swapped():
            fail()
    elif within == "nested":
        with other.swapped():
            inner = picture(model)
            with average.swapped():
                change(model)
            assert picture(model) == inner
    else:
        with average.swapped():
            change(model)
    assert picture(model) == before
    average.update()


def test_inference_tensors_are_put_back() -> None:
    model = Noting()
    inference_pass(model)
    average = WeightAverage(model, D)
    average.update()
    with average.swapped():
        inference_pass(model)
    assert (model.total.item(), model.calls) == (104.0, 1)


def test_the_signals_of_a_recurrent_network_are_its_own_again() -> None:
    """It keeps a list of its weights beside their names."""
    model = nn.LSTM(2, 3)
    average = WeightAverage(model, D)
    average.update()
    with average.swapped():
        replaced_parameters(model)
    assert all(p is q for p, q in zip(model.parameters(), model._flat_weights, strict=True))


def test_tied_weights_are_one() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    average = WeightAverage(model, D)
    show(average, 1.0, 2.0)
    with average.swapped():
        assert model[0].weight is model[1].weight
        assert model.state_dict()["1.weight"].tolist() == [[1.25, 1.25]] * 2


def test_a_graph_from_before_the_swap_is_not_used_silently() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    average = WeightAverage(model, D)
    average.update()
    loss = model(torch.ones(1, 2)).sum()
    with average.swapped():
        pass
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("settings", [{"decay": D}, {"decay": D, "start_from": "zero"}, {"decay": None}])
def test_goes_on_from_a_checkpoint(settings: dict[str, Any]) -> None:
    whole, first = WeightAverage(one_weight(), **settings), WeightAverage(one_weight(), **settings)
    show(whole, 1.0, 2.0, 4.0)
    show(first, 1.0, 2.0)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = WeightAverage(one_weight(), **settings)
    second.load_state_dict(torch.load(file, weights_only=True))
    show(second, 4.0)
    assert second.count == 3
    assert torch.equal(averaged(second)["weight"], averaged(whole)["weight"])


def test_a_stored_state_is_a_copy() -> None:
    average = WeightAverage(one_weight(), D)
    show(average, 1.0)
    state = average.state_dict()
    show(average, 3.0)
    average.load_state_dict(state)
    show(average, 5.0)
    assert state["averages"]["weight"].item() == 1.0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_a_copy_has_its_own_model_and_average(copied: Any) -> None:
    average = WeightAverage(one_weight(), D)
    show(average, 1.0)
    twin = copied(average)
    show(twin, 5.0)
    assert twin.model is not average.model
    assert (averaged(average)["weight"].item(), averaged(twin)["weight"].item()) == (1.0, 2.0)


def misuse_within(average: WeightAverage, call: str) -> None:
    average.update()
    with average.swapped():
        average.update() if call == "update" else average.swapped().__enter__()


def grown() -> WeightAverage:
    average = WeightAverage(nn.Sequential(one_weight()), D)
    average.model.append(one_weight())  # type: ignore[operator]
    return average


def reshaped() -> WeightAverage:
    average = WeightAverage(one_weight(), D)
    average.model.weight = nn.Parameter(torch.ones(2, 1))
    return average


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: WeightAverage(3), TypeError, "model must be a torch.nn.Module; got 3"),  # type: ignore[arg-type]
        (lambda: WeightAverage(nn.ReLU()), ValueError, "model must have weights in floating point"),
        (lambda: WeightAverage(nn.LazyLinear(2)), ValueError, "'weight' has no shape yet: run one batch through"),
        (
            lambda: WeightAverage(one_weight(), 1.0),
            ValueError,
            "decay must be a finite number, .* and less than 1",
        ),
        (
            lambda: WeightAverage(one_weight(), start_from="ones"),  # type: ignore[arg-type]
            ValueError,
            "start_from must be 'weights' or 'zero'; got 'ones'",
        ),
        (lambda: WeightAverage(one_weight(), bias_correction=False), ValueError, "has a meaning only with a decay"),
        (lambda: averaged(WeightAverage(one_weight())), RuntimeError, "nothing has been averaged yet"),
        (lambda: misuse_within(WeightAverage(one_weight()), "update"), RuntimeError, "called within swapped"),
        (lambda: misuse_within(WeightAverage(one_weight()), "swap"), RuntimeError, "already in the model"),
        (lambda: grown().update(), ValueError, "the model has in addition '1.weight'"),
        (lambda: reshaped().update(), ValueError, r"'weight' has the shape \[2, 1\] in the model; it must be \[1, 1\]"),
        (
            lambda: WeightAverage(nn.Linear(1, 1)).load_state_dict(WeightAverage(one_weight()).state_dict()),
            ValueError,
            "the loaded state lacks 'bias'",
        ),
        (lambda: WeightAverage(one_weight()).load_state_dict({"a": 1}), ValueError, "state must be what .*; got 'a'"),
        (lambda: WeightAverage(one_weight()).load_state_dict([]), ValueError, "state must be what .*; got list"),  # type: ignore[arg-type]
    ],
)
def test_misuse_is_refused_in_a_sentence(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call()
