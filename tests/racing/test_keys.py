"""What runs are known by: the same in every process, and another where anything that settles the numbers is another."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fallline as fl
from fallline import rules
from fallline.math import sqrt
from fallline.racing import Arm
from fallline.racing.arms.dimensions import Choice
from fallline.racing.runs import run_of
from fallline.racing.search import sobol_points
from fallline.racing.storage.keys import Keys, problem_key

X = torch.linspace(-1, 1, 60).reshape(20, 3)
Y = torch.arange(20) % 2


def problem(**changes: Any) -> fl.Problem:
    given: dict[str, Any] = {
        "model": lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1), nn.Linear(4, 2)),
        "loss": nn.functional.cross_entropy,
        "train": (X, Y),
        "valid": (X[:9], Y[:9]),
        "test": (X[9:], Y[9:]),
        "metric": "accuracy",
        "batch": 4,
        "epochs": 3,
    }
    if isinstance(changes.get("train"), torch.utils.data.DataLoader):
        del given["batch"]  # which the loader says
    return fl.Problem(**{**given, **changes})


def mlp(dropout: float = 0.1, width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.Dropout(dropout), nn.Linear(width, 2))


def doubled(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return 2 * nn.functional.cross_entropy(output, target)


def step_of(factor: float) -> Any:
    def step(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return factor * nn.functional.cross_entropy(model(inputs), targets)

    return step


def clamped(low: float) -> Any:
    def step(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(model(inputs), targets).clamp(min=low)

    return step


def above(threshold: float) -> Any:
    def hits_score(output: torch.Tensor, target: torch.Tensor) -> float:
        sure = output.softmax(1).amax(1) > threshold
        return float(((output.argmax(1) == target) & sure).double().mean())

    return hits_score


class Gated(nn.Module):
    def __init__(self, limit: float) -> None:
        super().__init__()
        self.inner, self.limit = nn.Linear(3, 2), limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.inner(x).clamp(max=self.limit))


def gated(limit: float) -> Any:
    return lambda: Gated(limit)


class Mirrored(torch.utils.data.Dataset[Any]):
    """An augmentation that turns up in training alone."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, place: int) -> Any:
        return X[place] * (1 - 2 * float(torch.rand(()) < self.share)), Y[place]


def loader(**options: Any) -> Any:
    return torch.utils.data.DataLoader(Mirrored(options.pop("share", 0.3)), batch_size=4, **options)


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "training data": ({}, {"train": (X + 1e-6, Y)}),
    "validation targets": ({}, {"valid": (X[:9], Y[1:10])}),
    "test data": ({}, {"test": (X[:9], Y[:9])}),
    "no test": ({}, {"test": None}),
    "a width": ({"model": mlp}, {"model": partial(mlp, width=5)}),
    "dropout": ({"model": mlp}, {"model": partial(mlp, 0.2)}),
    "a loss's option": ({}, {"loss": partial(nn.functional.cross_entropy, label_smoothing=0.1)}),
    "a loss": ({}, {"loss": doubled}),
    "a step": ({"step": step_of(1.0)}, {"step": step_of(1.001)}),
    "a metric": ({}, {"metric": "loss"}),
    "a step's bound": ({"step": clamped(0.1)}, {"step": clamped(0.5)}),
    "a metric's threshold": ({"metric": above(0.5)}, {"metric": above(0.9)}),
    "a model's constant that acts late": ({"model": gated(40.0)}, {"model": gated(50.0)}),
    "batch": ({}, {"batch": 5}),
    "epochs": ({}, {"epochs": 4}),
    "precision": ({}, {"precision": "bfloat16"}),
    "an augmentation": ({"train": loader()}, {"train": loader(share=0.6)}),
    "what a loader drops": ({"train": loader()}, {"train": loader(drop_last=True)}),
    "a loader's order": ({"train": loader(shuffle=True)}, {"train": loader(shuffle=False)}),
    "a sampler": (
        {"train": loader(sampler=torch.utils.data.SubsetRandomSampler(range(16)))},
        {"train": loader(sampler=torch.utils.data.SubsetRandomSampler(range(4, 20)))},
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("one", "other"), CHANGES.values(), ids=CHANGES)
def test_problems_that_differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, again, different = (problem_key(problem(**changes)) for changes in (one, one, other))
    assert first == again != different


def test_threads_and_names_have_no_say() -> None:
    before, threads = problem_key(problem()), torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert problem_key(problem(name="other", target=0.9)) == before
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)


def test_what_is_drawn_beside_it_has_no_say() -> None:
    torch.manual_seed(0)
    first = problem_key(problem())
    state = torch.get_rng_state()
    torch.manual_seed(1)
    assert problem_key(problem()) == first
    torch.manual_seed(0)
    problem_key(problem())
    assert torch.equal(torch.get_rng_state(), state)


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


class Late(torch.optim.SGD):
    """Its momentum shows in the second step."""

    momentum = 0.5

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr, momentum=self.momentum)


class Later(Late):
    momentum = 0.9


def made(momentum: float) -> Any:
    return lambda params, lr: torch.optim.SGD(params, lr=lr, momentum=momentum)


def decayed(decay: float) -> Any:
    return lambda params, lr, wd=decay: torch.optim.AdamW(params, lr=lr, weight_decay=wd)


def clipped(bound: float) -> Any:
    class Clipped(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                torch.nn.utils.clip_grad_value_(group["params"], bound)
            return super().step(closure)

    return Clipped


SPACE = {"lr": (1e-3, 1.0)}


class Noted(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 0.1, note: Any = None) -> None:
        super().__init__(params, lr=lr)


def noted(middle: float) -> Arm:
    """Of a value whose middle is not printed."""
    note = torch.zeros(5000)
    note[2500] = middle
    return Arm("noted", Noted, SPACE, {"note": note})


ARM = Arm("mine", mine, SPACE)
SGD = Arm("sgd", torch.optim.SGD, SPACE)


def key(arm: Arm, part: int = 1, seed: int = 7, batched: bool = True, scored: bool = False, **point: Any) -> str:
    base = {"lr": 0.1}
    whole = problem()
    keys = Keys(whole, "p", [arm])
    return keys.of(run_of(arm, {**base, **point}, whole, seed, part), batched=batched, scored=scored)


SAME = {
    "the arm's name": (ARM, Arm("other", mine, SPACE)),
    "its space": (ARM, Arm("mine", mine, {"lr": (1e-2, 10.0)})),
    "a default that is written down": (ARM, Arm("mine", mine, SPACE, {"eps": 1e-8})),
    "a class's default that is fixed, in another order": (
        Arm("a", torch.optim.Adam, SPACE, {"eps": 1e-7, "beta1": 0.8}),
        Arm("a", torch.optim.Adam, SPACE, {"beta1": 0.8, "eps": 1e-7}),
    ),
    "a rule made anew": (Arm("mine", scaled(2.0), SPACE), Arm("mine", scaled(2.0), SPACE)),
    "a function made anew": (Arm("f", made(0.5), SPACE), Arm("f", made(0.5), SPACE)),
}
OTHER = {
    "a hyperparameter": (ARM, Arm("mine", mine, SPACE, {"eps": 1e-7})),
    "a rule": (ARM, Arm("mine", rules.adagrad, SPACE)),
    "a number in a formula": (ARM, Arm("mine", scaled(2.0), SPACE)),
    "decay": (Arm("a", rules.l2(rules.adam), SPACE), Arm("a", rules.decoupled_decay(rules.adam), SPACE)),
    "a schedule": (ARM, Arm("mine", mine, SPACE, {"schedule": "cosine"})),
    "a warm-up": (
        Arm("mine", mine, SPACE, {"schedule": "cosine", "warm_up": 0.1}),
        Arm("mine", mine, SPACE, {"schedule": "cosine", "warm_up": 0.3}),
    ),
    "a batch": (Arm("mine", mine, SPACE, {"batch": 4}), Arm("mine", mine, SPACE, {"batch": 5})),
    "a class": (SGD, Arm("sgd", torch.optim.Adagrad, SPACE)),
    "a class's option": (SGD, Arm("sgd", torch.optim.SGD, SPACE, {"nesterov": True, "momentum": 0.9})),
    "a value that is printed alike": (noted(0.0), noted(1.0)),
    "a class attribute": (Arm("l", Late, SPACE), Arm("l", Later, SPACE)),
    "what a function holds": (Arm("f", made(0.5), SPACE), Arm("f", made(0.9), SPACE)),
    "what hardly shows at first": (Arm("f", made(0.0), SPACE), Arm("f", made(1e-7), SPACE)),
    "a function's default": (Arm("f", decayed(0.0), SPACE), Arm("f", decayed(5e-4), SPACE)),
    "what a class of a function holds": (Arm("c", clipped(1.0), SPACE), Arm("c", clipped(100.0), SPACE)),
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_runs_that_are_the_same(one: Arm, other: Arm) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize(("one", "other"), OTHER.values(), ids=OTHER)
def test_runs_that_differ(one: Arm, other: Arm) -> None:
    assert key(one) == key(one) != key(other)


@pytest.mark.parametrize("arm", [ARM, SGD], ids=["rule", "class"])
@pytest.mark.parametrize(
    "change", [{"lr": 0.1 + 2**-56}, {"seed": 8}, {"part": 3}, {"batched": False}, {"scored": True}]
)
def test_what_else_settles_a_run(arm: Arm, change: dict[str, Any]) -> None:
    assert key(arm) != key(arm, **change)


@pytest.mark.parametrize("change", [{"lr": 0.2}, {"lr_2": 0.2}, {"switch": 0.9}])
def test_both_phases_settle_a_run(change: dict[str, Any]) -> None:
    arm = Arm.phases("two", ["adam", "sgd"])
    point: dict[str, Any] = {"lr": 0.1, "lr_2": 0.1, "switch": 0.5}
    assert key(arm, **point) == key(arm, **point) != key(arm, **{**point, **change})


def test_a_batch_that_is_the_problems_own_is_the_same() -> None:
    raced = Arm("mine", mine, {**SPACE, "batch": Choice((4, 5))})
    assert key(raced, batch=4) == key(ARM) != key(raced, batch=5)


QUESTIONS: dict[str, tuple[list[Arm], dict[str, Any]]] = {
    "an arm's name": ([Arm("other", mine, SPACE)], {}),
    "its optimizer": ([Arm("mine", rules.adagrad, SPACE)], {}),
    "its space": ([Arm("mine", mine, {"lr": (1e-3, 2.0)})], {}),
    "what it fixes": ([Arm("mine", mine, SPACE, {"eps": 1e-7})], {}),
    "another arm": ([ARM, Arm("sgd", rules.gradient_descent)], {}),
    "an option": ([ARM], {"target": 0.9}),
}


@pytest.mark.parametrize(("arms", "change"), QUESTIONS.values(), ids=QUESTIONS)
def test_questions_that_differ(arms: list[Arm], change: dict[str, Any]) -> None:
    whole = problem()

    def question(arms: list[Arm], **asked: Any) -> str:
        planned = {arm.name: [run_of(arm, point, whole, 0) for point in sobol_points(arm, 2, 0)] for arm in arms}
        return Keys(whole, "p", arms).question(planned, {"seed": 0, **asked})

    assert question([ARM]) == question([Arm("mine", mine, SPACE)]) != question(arms, **change)


FILE = """
import sys, torch, fallline as fl
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
class Mine(torch.optim.SGD):
    eps = 1e-8
problem = fl.Problem(model=lambda: Net(), loss=nn.functional.mse_loss, train=(X[:40], y[:40]), metric=absolute_error,
                     valid=(X[40:50], y[40:50]), test=(X[50:], y[50:]), batch=8, epochs=2)
def main(seeds=10):
    from fallline.racing.runs import run_of
    from fallline.racing.storage.keys import Keys, problem_key
    arms = [fl.Arm("mine", Mine, {"lr": (1e-3, 1.0)}), fl.Arm("adam", "adam")]
    known = problem_key(problem)
    keys = Keys(problem, known, arms)
    print(known, *(keys.of(run_of(arm, {"lr": 0.1}, problem, 0), batched=True, scored=True) for arm in arms))
if __name__ == "__main__":
    main()
"""


def told(folder: Path, text: str, seed: str) -> list[str]:
    """The keys that a file prints in a process of its own, with another hash seed and number of threads."""
    (folder / "mine.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=folder, capture_output=True, text=True, timeout=300,
        env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return told(tmp_path_factory.mktemp("there"), FILE, "1")


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        pytest.param("", "", [True, True, True], id="nothing"),
        pytest.param("# the truth", "# the target,   by design", [True, True, True], id="a comment"),
        pytest.param("seeds=10", "seeds=30", [True, True, True], id="what the race is asked"),
        pytest.param("eps = 1e-8", "eps = 1e-7", [True, False, True], id="an arm's own class"),
        pytest.param("self.layer(x)", "1 * self.layer(x)", [False, False, False], id="a forward pass"),
        pytest.param("abs().mean()", "abs().mean().clamp(max=1e9)", [False, False, False], id="a metric"),
    ],
)
def test_a_file_in_another_process(tmp_path: Path, there: list[str], before: str, after: str, same: list[bool]) -> None:
    here = told(tmp_path, FILE.replace(before, after), "2")
    assert [one == other for one, other in zip(there, here, strict=True)] == same


def test_what_has_no_source_is_told_by_what_it_computes() -> None:
    def arm(momentum: float) -> Arm:
        names: dict[str, Any] = {"__name__": "__main__", "torch": torch}
        text = "def mine(params, lr):\n    return torch.optim.SGD(params, lr=lr, momentum={})"
        exec(compile(text.format(momentum), "<cell>", "exec"), names)
        return Arm("mine", names["mine"], SPACE)

    assert key(arm(0.5)) == key(arm(0.5)) != key(arm(0.9))
