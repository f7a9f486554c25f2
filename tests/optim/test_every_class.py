"""What holds of every optimizer: whatever the default device, the caller's dictionaries, or a group's new values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from fallline import optim, rules
from fallline.optim.hyperparameters import refuse_unknown
from tests.optim.oracle import journal

Maker = Callable[..., torch.optim.Optimizer]

NAMES = (
    "SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Muon", "Adafactor", "SOAP",
    "FullMatrixAdagrad", "LookAheadNesterov", "Prodigy", "LAMB", "LARS", "AdamP", "AdEMAMix", "Lion",
    "ScheduleFreeSGD", "ScheduleFreeAdamW",
)  # fmt: skip
CLASSES: dict[str, Maker] = {
    name: getattr(optim, name) for name in NAMES if name != "Muon" or hasattr(torch.optim, "Muon")
}
CLASSES["Optimizer"] = lambda params, **options: fl.Optimizer(params, rules.adam, **options)
each_class = pytest.mark.parametrize("name", CLASSES)


def matrix(device: str = "cpu") -> nn.Parameter:
    return nn.Parameter(torch.linspace(-1, 2, 12, device=device).reshape(3, 4))


def walk(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], steps: int = 3) -> None:
    """Steps down a bowl; Newton's closure would not call backward, all others' does."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = sum(((p - 0.3) ** 2).sum() for p in params)
        assert isinstance(loss, Tensor)
        torch.autograd.backward(loss)
        return loss.detach()

    for _ in range(steps):
        if isinstance(optimizer, optim.LookAheadNesterov):
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()


@pytest.fixture
def default_device_is_meta() -> Iterator[None]:
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@each_class
def test_the_default_device_is_not_the_weights(name: str, request: pytest.FixtureRequest) -> None:
    plain = matrix()
    walk(CLASSES[name]([plain]), [plain])
    request.getfixturevalue("default_device_is_meta")
    p = matrix("cpu")
    optimizer = CLASSES[name]([p])
    walk(optimizer, [p])
    assert torch.equal(p, plain)
    assert all(value.device.type == "cpu" for value in optimizer.state[p].values() if isinstance(value, Tensor))


@pytest.mark.usefixtures("default_device_is_meta")
def test_the_default_device_is_not_autograds_either() -> None:
    lr = torch.tensor(0.1, requires_grad=True, device="cpu")
    p = torch.ones(3, device="cpu", requires_grad=True).clone()
    optimizer = optim.Adam([p], lr=lr, differentiable=True)
    p.grad = torch.ones(3, device="cpu")
    optimizer.step()
    torch.autograd.backward(p.sum())
    assert lr.grad is not None


@each_class
def test_the_callers_dictionaries_are_not_written_into(name: str) -> None:
    """A second optimizer made of them has its own defaults."""
    p = matrix()
    group: dict[str, Any] = {"params": (q for q in [p])}
    given = dict(group)
    CLASSES[name]([group])
    assert group == given
    later = {"params": [matrix()]}
    CLASSES[name]([p]).add_param_group(later)
    assert later.keys() == {"params"}


def test_newton_leaves_dictionaries_alone() -> None:
    group = {"params": [matrix()]}
    fl.Newton([group])
    assert group.keys() == {"params"}


@pytest.mark.parametrize("name", ["SGD", "Optimizer"])
def test_a_rule_without_states_leaves_no_entries(name: str) -> None:
    p = matrix()
    optimizer: torch.optim.Optimizer = (
        optim.SGD([p], lr=0.1) if name == "SGD" else fl.Optimizer([p], rules.gradient_descent)
    )
    walk(optimizer, [p])
    assert not optimizer.state
    assert optimizer.state_dict()["state"] == {}


def test_a_switch_to_a_rule_without_states_leaves_no_entries() -> None:
    p = matrix()
    optimizer = fl.Optimizer([p], rules.momentum)
    walk(optimizer, [p])
    optimizer.switch(rules.gradient_descent)
    assert not optimizer.state
    walk(optimizer, [p])
    assert not optimizer.state


def test_states_that_were_there_stay_the_tensors_that_they_are() -> None:
    """Adagrad's constructor makes a step count; loading makes all of them."""
    p = matrix()
    optimizer = optim.Adagrad([p])
    made = dict(optimizer.state[p])
    walk(optimizer, [p])
    assert all(optimizer.state[p][key] is value for key, value in made.items())
    assert made["step"].item() == 3
    adam = optim.Adam([p])
    adam.load_state_dict(_after_a_step(optim.Adam))
    loaded = dict(adam.state[p])
    walk(adam, [p])
    assert all(adam.state[p][key] is value for key, value in loaded.items())
    assert loaded["step"].item() == 4


def _after_a_step(make: Maker) -> dict[str, Any]:
    p = matrix()
    optimizer = make([p])
    walk(optimizer, [p], 1)
    return optimizer.state_dict()


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam", "AdamW"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
def test_fused_refuses_what_torch_refuses(name: str, dtype: torch.dtype) -> None:
    device = "meta" if dtype == torch.float32 else "cpu"
    for module in (torch.optim, optim):
        p = nn.Parameter(torch.ones(3, dtype=dtype, device=device))
        optimizer = getattr(module, name)([p], fused=True)
        p.grad = torch.ones_like(p)
        with pytest.raises(RuntimeError, match="`fused=True` requires all the params to be floating point"):
            optimizer.step()


# ---------------------------------------------------------------------------------------------------------------------
# Hyperparameters that change
# ---------------------------------------------------------------------------------------------------------------------

#: One line a change that no class may follow: the class, the option and the value.
CHANGES: list[tuple[str, str, Any]] = [
    *((name, "lr", -0.1) for name in CLASSES),
    *((name, "lr", float("nan")) for name in CLASSES),
    *(
        (name, "betas", (1.0, 0.9))
        for name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "SOAP", "Lion", "Optimizer")
    ),
    *((name, "betas", (0.9, 1.0)) for name in ("Adam", "LAMB", "AdamP", "Prodigy", "SOAP", "Optimizer")),
    *((name, "betas", [0.9, -0.1]) for name in ("Adam", "Optimizer")),
    *((name, "weight_decay", -1.0) for name in ("SGD", "AdamW", "Adafactor", "SOAP", "LAMB", "Prodigy")),
    *((name, "eps", -1.0) for name in ("Adam", "RMSprop", "Adadelta", "FullMatrixAdagrad", "LARS")),
    ("ScheduleFreeSGD", "beta", 1.0),
    ("ScheduleFreeSGD", "beta", 0.0),
    ("ScheduleFreeAdamW", "beta", 1.0),
    ("RMSprop", "alpha", 1.5),
    ("Adadelta", "rho", 1.5),
    ("SGD", "momentum", -0.5),
    ("SGD", "momentum", float("nan")),
    ("RMSprop", "momentum", -0.5),
    ("LookAheadNesterov", "momentum", 1.0),
    ("Muon", "momentum", -1.0),
    ("Muon", "adjust_lr_fn", "none"),
    ("Adafactor", "d", 0.5),
    ("Adafactor", "beta2_decay", 0.5),
    ("SOAP", "shampoo_beta", 1.0),
    ("SOAP", "precondition_frequency", 0),
    ("NAdam", "momentum_decay", -1.0),
    ("Adagrad", "lr_decay", -1.0),
    ("Prodigy", "d0", 0.0),
]


@pytest.mark.parametrize(
    ("name", "option", "value"), [change for change in CHANGES if change[0] in CLASSES], ids=lambda v: str(v)
)
@pytest.mark.parametrize("begun", [True, False])
def test_a_value_that_a_group_can_not_have_is_refused_before_anything_moves(
    name: str, option: str, value: Any, begun: bool
) -> None:
    p = matrix()
    optimizer = CLASSES[name]([p])
    if begun:
        walk(optimizer, [p])
    before = copy.deepcopy(journal(optimizer))
    good = optimizer.param_groups[0][option]
    optimizer.param_groups[0][option] = value
    for _ in range(2):  # and it stays refused
        with pytest.raises(ValueError, match={"betas": "beta", "adjust_lr_fn": "Adjust"}.get(option, option)):
            walk(optimizer, [p], 1)
    optimizer.param_groups[0][option] = good
    after = copy.deepcopy(journal(optimizer))
    assert all(map(torch.equal, before["parameters"], after["parameters"]))
    assert [s.keys() for s in before["states"]] == [s.keys() for s in after["states"]] or not begun
    walk(optimizer, [p], 1)
    assert bool(torch.isfinite(p).all())


@each_class
def test_a_rate_below_zero_by_a_schedules_rounding_is_taken(name: str) -> None:
    p = matrix()
    optimizer = CLASSES[name]([p])
    walk(optimizer, [p])
    optimizer.param_groups[0]["lr"] = -1e-19
    walk(optimizer, [p])
    assert bool(torch.isfinite(p).all())


@pytest.mark.parametrize(("name", "option", "value"), [("SGD", "momentum", 1.5), ("SGD", "dampening", -0.5)])
def test_what_torchs_class_takes_is_taken(name: str, option: str, value: float) -> None:
    ends = []
    for module in (torch.optim, optim):
        p = matrix()
        optimizer = getattr(module, name)([p], lr=0.01, momentum=0.9)
        optimizer.param_groups[0][option] = value
        walk(optimizer, [p])
        ends.append(p.detach())
    torch.testing.assert_close(ends[1], ends[0])


def test_nesterovs_form_with_dampening_is_refused_later_too() -> None:
    p = matrix()
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True)
    walk(optimizer, [p])
    optimizer.param_groups[0]["dampening"] = 0.5
    with pytest.raises(ValueError, match="Nesterov momentum requires a momentum and zero dampening"):
        walk(optimizer, [p])


class _Newer(torch.optim.SGD):
    """A torch of later years, whose class has an option more."""

    def __init__(self, params: Any, lr: float = 1e-3, *, tomorrow: str | None = None) -> None:
        super().__init__(params, lr)


_Newer.__module__, _Newer.__name__ = "torch.optim.sgd", "SGD"


def test_options_of_a_newer_torch_are_refused_unless_left_alone() -> None:
    ours = type("SGD", (_Newer,), {})
    refuse_unknown(ours, ("lr",), {"lr": 0.1, "tomorrow": None}, {})
    refuse_unknown(ours, ("lr",), {"lr": 0.1}, {"tomorrow": None})
    with pytest.raises(ValueError, match=r"SGD does not follow tomorrow='yes' of torch\.optim\.SGD yet; leave it"):
        refuse_unknown(ours, ("lr",), {"lr": 0.1}, {"tomorrow": "yes"})
    with pytest.raises(ValueError, match="tomorrow='yes'"):
        refuse_unknown(ours, ("lr",), {"tomorrow": "yes"}, {"tomorrow": None})


# ---------------------------------------------------------------------------------------------------------------------
# Autocast, and what is counted
# ---------------------------------------------------------------------------------------------------------------------


@each_class
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_step_inside_autocast_is_the_step_outside_of_it(name: str, dtype: torch.dtype) -> None:
    ends = []
    for enabled in (False, True):
        p = matrix()
        optimizer = CLASSES[name]([p])
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            walk(optimizer, [p], 5)
        ends.append(journal(optimizer))
    assert torch.equal(ends[0]["parameters"][0], ends[1]["parameters"][0])
    assert all(
        torch.equal(value, ends[1]["states"][0][key])
        for key, value in ends[0]["states"][0].items()
        if isinstance(value, Tensor)
    )


@pytest.mark.parametrize("exact_up_to", [500, 0])
def test_newton_solves_outside_autocast_what_the_model_computes_inside(exact_up_to: int) -> None:
    """The loss is in bfloat16, its derivatives are not rounded once more; and moved weights are seen."""
    x, y = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.ones(20, 1)
    weight = nn.Parameter(torch.zeros(1, 3))
    optimizer = fl.Newton([weight], exact_up_to=exact_up_to, cg_tolerance=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        first = float(optimizer.step(lambda: ((nn.functional.linear(x, weight) - x @ y[:3]) ** 2).mean()))
    assert optimizer.report is not None
    assert optimizer.report.loss_after < 1e-3 * first


@pytest.mark.parametrize("name", ["SOAP", "Adafactor", "Optimizer", "Prodigy", "NAdam"])
def test_a_step_that_fails_is_not_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    p = nn.Parameter(matrix().detach().T)  # through the reference, or in copies
    optimizer = CLASSES[name]([p])
    walk(optimizer, [p])
    before = copy.deepcopy({k: v for k, v in optimizer.state[p].items() if k in ("step", "mu_product", "ratio")})

    def fails(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("no memory left")

    for place in (
        "fallline.kernels.host.Evaluation.results",
        "fallline.optim.preconditioned.step_together",
        "fallline.optim.adafactor.step_together",
    ):
        monkeypatch.setattr(place, fails)
    p.grad = torch.ones(4, 6)[:, ::2]
    with pytest.raises(RuntimeError, match="no memory left"):
        optimizer.step()
    assert {key: optimizer.state[p][key].item() for key in before} == {k: v.item() for k, v in before.items()}


def test_nadams_product_of_momenta_is_differentiated() -> None:
    """By the state that was handed in, as torch's own tests of its derivatives do."""
    found = []
    for module in (torch.optim, optim):
        product = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
        p = torch.ones(3, dtype=torch.float64, requires_grad=True).clone()
        optimizer = module.NAdam([p], lr=0.1, differentiable=True)
        optimizer.state[p] = {
            "step": torch.tensor(4.0, dtype=torch.float64),
            "mu_product": product.clone(),
            "exp_avg": torch.full((3,), 0.1, dtype=torch.float64),
            "exp_avg_sq": torch.full((3,), 0.2, dtype=torch.float64),
        }
        p.grad = torch.ones(3, dtype=torch.float64)
        optimizer.step()
        torch.autograd.backward(p.sum() + optimizer.state[p]["mu_product"])
        found.append(product.grad)
    torch.testing.assert_close(found[1], found[0])
