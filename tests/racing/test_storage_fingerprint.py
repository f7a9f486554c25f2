"""A fingerprint is the same in every process, and another where anything that settles the numbers is another."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline import rules
from fallline.math import sqrt
from fallline.racing import Arm, Effort
from fallline.racing.storage import fingerprint as fingerprints
from fallline.racing.storage.fingerprint import differences, fingerprint, unknown
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
HELPED = FILE.replace("import sys", "import sys, helper").replace(
    "(output - target).abs().mean()", "helper.scale() * (output - target).abs().mean()"
)
HELPERS = {
    "helper.py": "from inner import factor\nTABLE = {'a': 1.0}\ndef scale():\n    return factor() * TABLE['a']",
    "inner/__init__.py": "from .deepest import factor",
    "inner/deepest.py": "def factor():\n    import lazily\n    return lazily.FACTOR",
    "lazily.py": "FACTOR = 1.0",
    "bystander.py": "FACTOR = 1.0",
}
X = torch.linspace(-1, 1, 60).reshape(20, 3)
EFFORT = Effort(4, 2, 3)


def told(folder: Path, text: str, seed: str = "0", **beside: str) -> str:
    """The fingerprint that a file prints in a process of its own, with its own hash seed and the files beside it."""
    for name, content in {"problem.py": text, **beside}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    environment = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed or "1"}
    done = subprocess.run(
        [sys.executable, "problem.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
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


@pytest.fixture(scope="module")
def helped(tmp_path_factory: pytest.TempPathFactory) -> str:
    return told(tmp_path_factory.mktemp("helped"), HELPED, "1", **HELPERS)


@pytest.mark.parametrize(
    ("file", "before", "after", "differs"),
    [
        ("helper.py", "return", "return 2 *", True),
        ("helper.py", "'a': 1.0", "'a': 2.0", True),
        ("inner/deepest.py", "return", "return 2 *", True),
        ("lazily.py", "1.0", "2.0", True),
        ("lazily.py", "1.0", "1.0  # one", False),
        ("bystander.py", "1.0", "2.0", False),
    ],
)
def test_files_beside_it(tmp_path: Path, helped: str, file: str, before: str, after: str, differs: bool) -> None:
    here = told(tmp_path, HELPED, "2", **{**HELPERS, file: HELPERS[file].replace(before, after)})
    assert ("loss and metric" in differences(helped, here)) == differs == (helped != here)


CELLS = {
    "a class body": """
class Mine(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr, momentum={0})
""",
    "a class attribute": """
class Mine(torch.optim.SGD):
    momentum = {0}
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr, momentum=self.momentum)
""",
    "a class above": """
class Above(torch.optim.SGD):
    def step(self, closure=None):
        return {0}
class Mine(Above):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
""",
    "a number in the module": """
MOMENTUM = {0}
class Mine(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr, momentum=MOMENTUM)
""",
    "a table that a function below reads": """
TABLE = {{"momentum": [{0}]}}
def momentum():
    return (lambda: TABLE["momentum"][0])()
class Mine(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr, momentum=momentum())
""",
    "a closure's table": """
def make(table):
    class Mine(torch.optim.SGD):
        def __init__(self, params, lr=0.1):
            super().__init__(params, lr=lr, momentum=table["momentum"])
    return Mine
Mine = make({{"momentum": {0}}})
""",
    "a closure's function": """
def make(momentum):
    class Mine(torch.optim.SGD):
        def __init__(self, params, lr=0.1):
            super().__init__(params, lr=lr, momentum=momentum())
    return Mine
Mine = make(lambda: {0})
""",
    "a decorated method": """
class Mine(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
    @torch.no_grad()
    def step(self, closure=None):
        return {0}
""",
    "an object's method": """
class Schedule:
    def __init__(self, momentum):
        self.momentum = momentum
    def at(self, step):
        return self.momentum
at = Schedule({0}).at
class Mine(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr, momentum=at(0))
""",
    "what refers to itself": """
def even(n):
    return n == 0 or odd(n - 1)
def odd(n):
    return n != {0} and even(n - 1)
class Mine(torch.optim.SGD):
    own = even, lambda: Mine
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr, nesterov=not self.own[0](2))
""",
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_class_without_a_file(cell: str) -> None:
    def arms(momentum: float) -> str:
        names: dict[str, Any] = {"__name__": "__main__", "torch": torch}
        exec(compile(cell.format(momentum), "<cell>", "exec"), names)
        return fingerprint(problem(), [Arm("mine", names["Mine"], {"lr": (1e-3, 1.0)})], EFFORT, 0, {})

    assert differences(arms(0.0), arms(0.0)) == []
    assert differences(arms(0.0), arms(0.99)) == ["arms"]
    assert unknown(arms(0.0)) == []


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
        ({"valid": (X[:9], torch.arange(1, 10) % 2)}, {"data", "untrained scores"}),
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
    assert parts <= set(differences(before, after)) <= parts | {"model", "untrained scores"}


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


def test_another_device_is_another_race(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_untrained", lambda problem: [1.0])
    there, here = problem(device="cpu"), problem(device="cpu")
    here.device = "cuda"  # as it is where there is one
    told = [fingerprint(one, (), EFFORT, 0, {}) for one in (there, here)]
    assert differences(*told) == ["device"]


@pytest.mark.parametrize(
    ("there", "here", "differs"),
    [
        ([0.123450, 0.5], [0.123449, 0.5], False),  # rounded to four digits they would differ
        ([1.0, math.nan], [1.0 + 1e-6, math.nan], False),
        ([math.inf, 0.5], [math.inf, 0.5], False),
        ([1.0, 0.5], [1.01, 0.5], True),
        ([1.0, 0.5], [1.0, 0.51], True),
        ([1.0, math.nan], [1.0, 0.5], True),
        ([-1.0, 0.5], [1.0, 0.5], True),
    ],
)
def test_a_sum_in_another_order_is_the_same(
    monkeypatch: pytest.MonkeyPatch, there: list[float], here: list[float], differs: bool
) -> None:
    told = []
    for numbers in (there, here):
        monkeypatch.setattr(fingerprints, "_untrained", lambda problem, numbers=numbers: numbers)
        told.append(fingerprint(problem(), (), EFFORT, 0, {}))
    assert differences(*told) == (["untrained scores"] if differs else [])


def test_what_cannot_be_told_apart_is_named() -> None:
    lock = threading.Lock()

    def guarded(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        with lock:
            return nn.functional.cross_entropy(output, target)

    assert unknown(fingerprint(problem(loss=guarded), (), EFFORT, 0, {})) == ["_thread.lock"]
    assert unknown(fingerprint(problem(), (), EFFORT, 0, {})) == []


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
    ("0.1", 0.1),
    ({1: 0}, {"1": 0}),
    (0.0, -0.0),
    ({"a", "b"}, {"a", "c"}),
    (np.array(["a"], object), np.array(["b"], object)),
    (Scaled(1).__call__, Scaled(2).__call__),
    ([Scaled(1)], [Scaled(2)]),
    (functools.cache(held(1)), functools.cache(held(2))),
    (nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1), requires_grad=False)),
    (nn.ModuleList([nn.Dropout(0.1)]), nn.ModuleList([nn.Dropout(0.2)])),
]


def hooked(factor: float) -> nn.Module:
    network = nn.Linear(1, 1)
    with torch.no_grad():
        network.weight.fill_(1.0)
        network.bias.fill_(1.0)
    network.register_forward_hook(lambda module, inputs, output: factor * output)
    return network


def parametrised(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))


@pytest.mark.parametrize("make", [hooked, parametrised, Scaled])
def test_what_is_made_anew_is_the_same(make: Callable[[int], Any]) -> None:
    assert identity(make(1)) == identity(make(1)) != identity(make(2))
    assert identity(make(1)).unknown == frozenset()


@pytest.mark.parametrize(("one", "other"), SAME_BUT_FOR)
def test_identities_tell_things_apart(one: Any, other: Any) -> None:
    assert identity(one) == identity(one)
    assert identity(one) != identity(other)
