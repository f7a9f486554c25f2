"""Arguments by names that other libraries have, left out, or in forms that need packing: a sentence with the remedy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

import fallline as fl
from fallline.training import Problem, ProblemError, StreamProblem

functional = nn.functional
GENERATOR = torch.Generator().manual_seed(0)
N = 250
A, B = torch.randn(N, 3, generator=GENERATOR), torch.randn(N, 2, 2, generator=GENERATOR)
Y = A.sum(1, keepdim=True) * B.mean((1, 2))[:, None]
GIVEN: dict[str, Any] = {
    "model": lambda: nn.Linear(3, 1), "loss": functional.mse_loss, "train": (A[:200], Y[:200]),
    "valid": (A[200:], Y[200:]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("batch_size", 16, "batch_size: there is no such argument; write batch=16."),
        ("bs", 16, "write batch=16."),
        ("epoch", 3, "epoch: there is no such argument; write epochs=3."),
        ("num_epochs", 3, "write epochs=3."),
        ("max_steps", 3, "write steps=3."),
        ("train_loader", None, "train_loader: there is no such argument; write train=...."),
        ("train_dataset", None, "write train=...."),
        ("val", None, "write valid=...."),
        ("validation", None, "write valid=...."),
        ("val_loader", None, "write valid=...."),
        ("X_val", None, "X_val: there is no such argument; there are model, loss"),
        ("test_loader", None, "write test=...."),
        ("criterion", None, "write loss=...."),
        ("loss_fn", None, "write loss=...."),
        ("net", None, "write model=...."),
        ("network", None, "write model=...."),
        ("metrics", "accuracy", "write metric='accuracy'."),
        ("mertic", "accuracy", "write metric='accuracy'."),
        ("lr", 0.1, "lr: it is how the problem is trained; give it where that is said, as fl.fit"),
        ("optimizer", "adam", "optimizer: it is how the problem is trained"),
        ("seed", 1, "seed: it is a run's; give it to fl.fit or fl.race."),
        ("shuffle", False, r"shuffle: it is a DataLoader's; give train=DataLoader(..., shuffle=False)."),
        ("y", None, "y: it is part of the data; give pairs, train=(X, y)"),
    ],
)
def test_other_names_of_arguments(name: str, value: object, sentence: str) -> None:
    with pytest.raises(ProblemError) as caught:
        Problem(**{**GIVEN, name: value})
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("batch_size", "batch_size: fit has no such argument; write batch= instead."),
        ("n_epochs", "write epochs= instead."),
        ("scheduler", "write schedule= instead."),
        ("ema", "write averages= instead."),
        ("verbose", "write progress= instead."),
        ("random_state", "write seed= instead."),
        ("device", "device: the problem says it"),
    ],
)
def test_other_names_of_what_fit_takes(name: str, sentence: str) -> None:
    for optimizer in ("adam", torch.optim.SGD, lambda params: torch.optim.SGD(params)):
        given: dict[str, Any] = {name: 3}
        with pytest.raises(TypeError, match=sentence):
            fl.fit(Problem(**GIVEN), optimizer, **given)


def test_other_names_in_a_stream() -> None:
    with pytest.raises(ProblemError, match=r"criterion: there is no such argument; write loss=3\."):
        StreamProblem(model=GIVEN["model"], loss=functional.mse_loss, train=[], criterion=3)


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("model", "model: there is none; give a function that returns a fresh module"),
        ("train", "train: there is none; give a pair"),
        ("valid", "valid: there is none, and what was trained on can't judge a model; hold some examples back"),
    ],
)
def test_what_is_missing(missing: str, sentence: str) -> None:
    with pytest.raises(ProblemError, match=sentence):
        Problem(**{name: value for name, value in GIVEN.items() if name != missing})


@pytest.mark.parametrize("form", ["pair", "Dataset"])
def test_the_remedy_for_a_missing_validation_split_runs(form: str) -> None:
    data = TensorDataset(A, Y)
    with pytest.raises(ProblemError) as caught:
        Problem(model=GIVEN["model"], loss=functional.mse_loss, train=(A, Y) if form == "pair" else data)
    sentence = str(caught.value)
    if form == "pair":
        names: dict[str, Any] = {"torch": torch, "X": A, "y": Y}
        code = sentence[sentence.index("order = ") :].rstrip(".")
        first, rest = code.split("; ")
        exec(f"{first}\nmade = dict({rest})", names)
        problem = Problem(model=GIVEN["model"], loss=functional.mse_loss, **names["made"])
        assert (len(problem.train), len(problem.valid)) == (N - 100, 100)
    else:
        assert "train, valid = torch.utils.data.random_split(data, [0.8, 0.2])" in sentence
        train, valid = random_split(data, [0.8, 0.2])
        Problem(model=GIVEN["model"], loss=functional.mse_loss, train=train, valid=valid).check()


class Two(nn.Module):
    """Takes a [n, 3] and b [n, 2, 2] apart from one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.split([3, 4], 1)  # type: ignore[no-untyped-call]
        scores: Tensor = self.head(torch.tanh(self.a(a)) * torch.tanh(self.b(b)))
        return scores


class LookedUp(Two):
    """Looks its inputs up by row."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.cat([A[x], B[x].flatten(1)], 1))


class Several(Dataset[Any]):
    def __init__(self, form: str) -> None:
        self.form = form

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        parts = A[index], B[index], Y[index]
        return dict(zip("aby", parts, strict=True)) if self.form == "dicts" else parts


SEVERAL: dict[str, object] = {
    "three arrays": (A, B, Y),
    "a pair of inputs": ((A, B), Y),
    "a dict of inputs": ({"a": A, "b": B}, Y),
    "triples": Several("triples"),
    "triples in a loader": DataLoader(Several("triples"), 4),
    "TensorDataset": TensorDataset(A, B, Y),
    "dicts": Several("dicts"),
    "a list of triples": DataLoader(
        Several("triples"), 4, collate_fn=lambda items: [*map(torch.stack, zip(*items, strict=True))]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
def test_several_inputs_are_refused_with_the_way_that_works(name: str) -> None:
    with pytest.raises(
        ProblemError, match=r"pack several inputs of an example into one tensor x, .*; or give row numb"
    ):
        Problem(**{**GIVEN, "train": SEVERAL[name]})


def test_a_model_of_several_inputs_is_told_the_way() -> None:
    class Wants(nn.Linear):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(a + b)

    with pytest.raises(ProblemError, match=r"model: it takes more than one input .*; pack several inputs"):
        Problem(**{**GIVEN, "model": lambda: Wants(3, 1)}).check()


@pytest.mark.parametrize("way", ["packed", "looked up"])
def test_both_ways_to_give_several_inputs_work(way: str) -> None:
    packed = torch.cat([A.flatten(1), B.flatten(1)], 1)
    X = packed if way == "packed" else torch.arange(N)
    problem = Problem(
        model=Two if way == "packed" else LookedUp, loss=functional.mse_loss, train=(X[:200], Y[:200]),
        valid=(X[200:], Y[200:]), test=(X[200:225], Y[200:225]), epochs=2,
    )  # fmt: skip
    problem.check()
    lanes = fl.training.lanes_for(problem, range(4))
    assert type(lanes).__name__ == "BatchedLanes"
    first = fl.fit(problem, "adam", lr=0.01)
    expected = Problem(
        model=Two, loss=functional.mse_loss, train=(packed[:200], Y[:200]), valid=(packed[200:], Y[200:]), epochs=2
    )
    assert first.curves[-1].validation_loss == pytest.approx(
        fl.fit(expected, "adam", lr=0.01).curves[-1].validation_loss
    )
