"""A fingerprint is the same in every process, and another where anything that settles the numbers is another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fallline as fl
from fallline import rules
from fallline.math import sqrt
from fallline.racing import Arm, Effort
from fallline.racing.storage.fingerprint import differences, fingerprint
from fallline.racing.storage.identity import identity

FILE = """
import sys
import torch, fallline as fl
from torch import nn
torch.manual_seed(0)
X = torch.randn(60, 3)
y = X.sum(1, keepdim=True)  # the truth
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
    def forward(self, x):
        return self.layer(x)
def absolute_error(output, target):
    return (output - target).abs().mean()
@fl.rule
def mine(p, g, *, lr=0.1):
    return lr * g
problem = fl.Problem(model=lambda: Net(), loss=nn.functional.mse_loss, train=(X[:40], y[:40]), metric=absolute_error,
                     valid=(X[40:50], y[40:50]), test=(X[50:], y[50:]), batch=8, epochs=2)
if __name__ == "__main__":
    from fallline.racing import Arm, Effort
    from fallline.racing.storage.fingerprint import fingerprint
    print(fingerprint(problem, [Arm("mine", mine), Arm("class", torch.optim.AdamW)], Effort(4, 2, 3), 0, {"k": {"a"}}))
"""
X = torch.linspace(-1, 1, 60).reshape(20, 3)
EFFORT = Effort(4, 2, 3)


def told(folder: Path, text: str, seed: str = "0") -> str:
    """The fingerprint that a file prints in a process of its own, with its own hash seed."""
    (folder / "problem.py").write_text(text)
    environment = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed or "1"}
    done = subprocess.run(
        [sys.executable, "problem.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> str:
    return told(tmp_path_factory.mktemp("there"), FILE, "1")


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        pytest.param("", "", [], id="nothing"),
        pytest.param("# the truth", "# the target,   by design", [], id="a comment"),
        pytest.param("abs().mean()", "abs().mean().clamp(max=10)", ["model", "loss and metric", "arms"], id="a metric"),
        pytest.param("self.layer(x)", "1 * self.layer(x)", ["model", "loss and metric", "arms"], id="a forward pass"),
    ],
)
def test_a_file_in_another_process(tmp_path: Path, there: str, before: str, after: str, parts: list[str]) -> None:
    here = told(tmp_path, FILE.replace(before, after), "2")
    assert differences(there, here) == parts
    assert (there == here) == (not parts)


def problem(**changes: Any) -> fl.Problem:
    given: dict[str, Any] = {
        "model": lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1), nn.Linear(4, 2)),
        "loss": nn.functional.cross_entropy,
        "train": (X, torch.arange(20) % 2),
        "valid": (X[:9], torch.arange(9) % 2),
        "test": (X[9:], torch.arange(11) % 2),
        "metric": "accuracy",
        "batch": 4,
        "epochs": 3,
    }
    return fl.Problem(**{**given, **changes})


def wider() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"train": (X + 1e-6, torch.arange(20) % 2)}, {"data"}),
        ({"valid": (X[:9], torch.arange(1, 10) % 2)}, {"data", "loss and metric"}),
        ({"test": (X[:9], torch.arange(9) % 2)}, {"data"}),
        ({"model": wider}, {"model"}),
        ({"loss": partial(nn.functional.cross_entropy, label_smoothing=0.1)}, {"loss and metric"}),
        ({"metric": "loss"}, {"loss and metric"}),
        ({"target": 0.9}, {"loss and metric"}),
        ({"batch": 5}, {"length"}),
        ({"epochs": 4}, {"length"}),
    ],
)
def test_what_a_problem_is(changes: dict[str, Any], parts: set[str]) -> None:
    before, after = (fingerprint(one, (), EFFORT, 0, {}) for one in (problem(), problem(**changes)))
    assert parts <= set(differences(before, after)) <= parts | {"model"}


@fl.rule
def mine(p, g, v, *, lr=1e-2, eps=1e-8):  # type: ignore[no-untyped-def]
    v = v + g * g
    return lr * g / (sqrt(v) + eps), v


def scaled(factor: float) -> fl.Rule:
    @fl.rule
    def mine(p, g, v, *, lr=1e-2, eps=1e-8):  # type: ignore[no-untyped-def]
        v = v + g * g
        return factor * lr * g / (sqrt(v) + eps), v

    return mine


ARM = Arm("mine", mine, {"lr": (1e-3, 1.0)})


@pytest.mark.parametrize(
    ("arms", "changes", "parts"),
    [
        ([ARM], {}, []),
        ([Arm("mine", mine, {"lr": (1e-3, 1.0)})], {}, []),
        ([Arm("other", mine, {"lr": (1e-3, 1.0)})], {}, ["arms"]),
        ([Arm("mine", mine, {"lr": (1e-3, 2.0)})], {}, ["arms"]),
        ([Arm("mine", mine, {"lr": (1e-3, 1.0)}, {"eps": 1e-7})], {}, ["arms"]),
        ([Arm("mine", rules.adagrad, {"lr": (1e-3, 1.0)})], {}, ["arms"]),
        ([Arm("mine", scaled(2.0), {"lr": (1e-3, 1.0)})], {}, ["arms"]),
        ([ARM, Arm("sgd", rules.gradient_descent)], {}, ["arms"]),
        ([ARM], {"effort": Effort(4, 2, 4)}, ["effort"]),
        ([ARM], {"seed": 1}, ["seed"]),
        ([ARM], {"settings": {"search": ["lr", "batch"]}}, ["settings"]),
    ],
)
def test_what_a_race_is(arms: list[Arm], changes: dict[str, Any], parts: list[str]) -> None:
    given: dict[str, Any] = {"effort": EFFORT, "seed": 0, "settings": {}}
    before = fingerprint(problem(), [ARM], **given)
    given.update(changes)
    assert differences(before, fingerprint(problem(), arms, **given)) == parts


def held(value: Any) -> Callable[[], Any]:
    return lambda: value


class Scaled:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __repr__(self) -> str:
        return f"Scaled({self.factor})"

    def __call__(self, output: Any, target: Any) -> Any:
        return self.factor


SAME_BUT_FOR = [
    (held(1), held(2)),
    (held(torch.zeros(2)), held(torch.ones(2))),
    (partial(held, 1), partial(held, 2)),
    (Scaled(1), Scaled(2)),
    (eval("lambda x: x in {'a', 'b'}"), eval("lambda x: x in {'a', 'c'}")),
    (nn.Dropout(0.1), nn.Dropout(0.2)),
    (rules.adam, rules.adamax),
    (rules.l2(rules.adam), rules.decoupled_decay(rules.adam)),
    (torch.optim.Adam, torch.optim.AdamW),
    (1, 1.0),
    (0.1, 0.1 + 2**-56),
    ({"a": 1}, {"b": 1}),
]


@pytest.mark.parametrize(("one", "other"), SAME_BUT_FOR)
def test_identities_tell_things_apart(one: Any, other: Any) -> None:
    assert identity(one) == identity(one)
    assert identity(one) != identity(other)
