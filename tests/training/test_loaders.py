"""What a DataLoader says, and what a Dataset draws anew, holds in training: counted batch by batch."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

import fallline as fl
from fallline.racing.storage.keys import problem_key
from fallline.training import Lanes, Problem, ProblemError, make_lanes, train
from tests.training.models import Descent

N = 40
X = torch.stack([torch.arange(N, dtype=torch.float32), torch.zeros(N)], 1)
Y = torch.zeros(N, 1)
TABLE = TensorDataset(X, Y)


def linear() -> nn.Module:
    return nn.Linear(2, 1)


def problem(train: object, **changes: Any) -> Problem:
    given: dict[str, Any] = {"model": linear, "loss": nn.functional.mse_loss, "valid": (X + 0.5, Y), "epochs": 3}
    return Problem(**{**given, "train": train, **changes})


def seen(train: object, seed: int = 0, optimizer: Any = "sgd", **changes: Any) -> list[Tensor]:
    """The inputs [batch, 2] of every step of a fit, in order."""
    batches: list[Tensor] = []

    def step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        if model.training:
            batches.append(torch.cat([inputs, targets], 1))
        return nn.functional.mse_loss(model(inputs), targets)

    fl.fit(problem(train, step=step, **changes), optimizer, lr=1e-6, seed=seed)
    return batches


def numbers(batches: list[Tensor]) -> list[list[int]]:
    return [batch[:, 0].int().tolist() for batch in batches]


class Backwards(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(N - 1, -1, -1))


class ShufflesInPlace(Sampler[int]):
    """Keeps what it drew, as people write it."""

    def __init__(self) -> None:
        self.order = list(range(0, N, 2))

    def __iter__(self) -> Iterator[int]:
        random.shuffle(self.order)
        return iter(self.order)


class Turning(Sampler[int]):
    """Counts its epochs."""

    def __init__(self) -> None:
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter([(self.epoch + k) % N for k in range(N)])


class Told(Sampler[int]):
    """Is told its epochs, as a DistributedSampler is."""

    epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter([(self.epoch + k) % N for k in range(N)])


class OwnGenerator(Sampler[int]):
    def __init__(self) -> None:
        self.random = np.random.default_rng(0)

    def __iter__(self) -> Iterator[int]:
        return iter(self.random.permutation(N).tolist())


class Pairs(Sampler[list[int]]):
    """Batches of one example and its opposite."""

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[k, N - 1 - k] for k in torch.randperm(N // 2).tolist()])


def loader(**said: Any) -> DataLoader[Any]:
    return DataLoader(TABLE, **said)


#: Samplers, and how many examples an epoch names, of which set, and whether each at most once.
SAMPLERS: dict[str, tuple[Callable[[], DataLoader[Any]], int, set[int], bool]] = {
    "shuffle": (lambda: loader(batch_size=8, shuffle=True), N, set(range(N)), True),
    "with a generator": (
        lambda: loader(batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(3)), N, set(range(N)), True,
    ),
    "weighted": (
        lambda: loader(batch_size=8, sampler=WeightedRandomSampler([0.0] * 20 + [1.0] * 20, N)),
        N, set(range(20, N)), False,
    ),
    "fewer, weighted": (
        lambda: loader(batch_size=8, sampler=WeightedRandomSampler([1.0] * N, 16)), 16, set(range(N)), False,
    ),
    "with replacement": (
        lambda: loader(batch_size=8, sampler=RandomSampler(TABLE, replacement=True, num_samples=100)),
        100, set(range(N)), False,
    ),
    "some": (lambda: loader(batch_size=8, sampler=RandomSampler(TABLE, num_samples=24)), 24, set(range(N)), True),
    "subset": (lambda: loader(batch_size=8, sampler=SubsetRandomSampler(range(8, 24))), 16, set(range(8, 24)), True),
    "shuffles in place": (
        lambda: loader(batch_size=4, sampler=ShufflesInPlace()), N // 2, set(range(0, N, 2)), True,
    ),
    "its own generator": (lambda: loader(batch_size=8, sampler=OwnGenerator()), N, set(range(N)), True),
    "batches of a sampler": (
        lambda: loader(batch_sampler=BatchSampler(RandomSampler(TABLE), 8, drop_last=False)), N, set(range(N)), True,
    ),
    "own batches": (lambda: loader(batch_sampler=Pairs()), N, set(range(N)), True),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_draw_anew_for_each_epoch_from_the_seed(name: str) -> None:
    make, count, possible, once = SAMPLERS[name]
    first, again, other = (numbers(seen(make(), seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    a_pass = len(first) // 3
    epochs = [list(chain(*first[start : start + a_pass])) for start in range(0, 3 * a_pass, a_pass)]
    for epoch in epochs:
        assert len(epoch) == count
        assert set(epoch) <= possible
        assert len(set(epoch)) == count or not once
    assert len({tuple(epoch) for epoch in epochs}) == 3
    if not once:  # a draw that is frozen leaves the rest out for ever
        assert len(set(chain(*epochs))) > len(set(epochs[0]))
    if name == "own batches":
        assert all(one + other == N - 1 for one, other in first)


FIXED: dict[str, tuple[Callable[[], DataLoader[Any]], Callable[[int], list[int]], int]] = {
    "no shuffle": (lambda: loader(batch_size=8), lambda epoch: list(range(N)), 8),
    "backwards": (lambda: loader(batch_size=8, sampler=Backwards()), lambda epoch: list(range(N - 1, -1, -1)), 8),
    "a list": (lambda: loader(batch_size=2, sampler=[5, 3, 3, 8]), lambda epoch: [5, 3, 3, 8], 2),
    "counts epochs": (lambda: loader(batch_size=8, sampler=Turning()), lambda e: [(1+e+k)%N for k in range(N)], 8),
    "told its epochs": (lambda: loader(batch_size=8, sampler=Told()), lambda e: [(e + k) % N for k in range(N)], 8),
    "lists of lists": (lambda: loader(batch_sampler=[[1, 2, 3], [7, 8, 9], [4]]), lambda e: [1, 2, 3, 7, 8, 9, 4], 3),
    "drop last": (lambda: loader(batch_size=9, drop_last=True), lambda epoch: list(range(36)), 9),
    "batches that drop": (
        lambda: loader(batch_sampler=BatchSampler(SequentialSampler(TABLE), 16, drop_last=True)),
        lambda epoch: list(range(32)),
        16,
    ),
    "the items are batches": (
        lambda: DataLoader(TensorDataset(X.view(8, 5, 2), Y.view(8, 5, 1)), batch_size=None),
        lambda epoch: list(range(N)),
        5,
    ),
    "own collate": (
        lambda: loader(batch_size=8, collate_fn=lambda items: default_collate(items)), lambda epoch: list(range(N)), 8,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("seed", [0, 5])
def test_an_order_that_the_loader_fixes(name: str, seed: int) -> None:
    make, expected, batch = FIXED[name]
    found = numbers(seen(make(), seed=seed))
    assert found == [
        order[start : start + batch]
        for order in map(expected, range(3))
        for start in range(0, len(order), batch)
    ]  # fmt: skip


def test_every_loader_is_gone_through_as_a_plain_loop_would() -> None:
    for name, (make, _, batch) in FIXED.items():
        if name == "told its epochs":  # which needs a loop that tells it
            continue
        given = make()
        plain = [batch[0][:, 0].int().tolist() for _ in range(3) for batch in given]
        assert numbers(seen(make())) == plain
        assert problem(make()).batch == batch


@pytest.mark.parametrize(
    ("said", "batch", "steps", "samples"),
    [
        ({"batch_size": 16, "drop_last": True, "shuffle": True}, 16, 6, 96),
        ({"batch_size": 16, "shuffle": True}, 16, 9, 120),
        ({"batch_sampler": BatchSampler(RandomSampler(TABLE), 16, drop_last=False)}, 16, 9, 120),
        ({"batch_size": 16, "sampler": WeightedRandomSampler([1.0] * N, 100)}, 16, 21, 300),
        ({"batch_size": 16, "sampler": WeightedRandomSampler([1.0] * N, 100), "drop_last": True}, 16, 18, 288),
        ({"batch_sampler": Pairs()}, 2, 60, 120),
    ],
)
def test_steps_and_samples_are_counted(said: dict[str, Any], batch: int, steps: int, samples: int) -> None:
    given = problem(loader(**said))
    assert (given.batch, given.steps, given.batches([0]).samples(given.steps)) == (batch, steps, samples)
    assert fl.fit(given, "sgd", lr=1e-6).curves[-1].step == steps


def run(lanes: Lanes, steps: int) -> list[Tensor]:
    """The weights after some steps."""
    train(lanes, Descent([1e-4] * len(lanes)), steps=steps)
    return lanes.parameters


class Noisy(Dataset[Any]):
    """Examples that are drawn from one of the generators."""

    def __init__(self, draw: Callable[[], float], noise: bool = False) -> None:
        self.draw, self.noise = draw, noise

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> Any:
        value = float(self.draw())
        return torch.tensor([float(index), value]), torch.tensor([value if self.noise else 0.0])


class Keeps(Noisy):
    """Draws from a generator of its own."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        super().__init__(lambda: 0.0)

    def __getitem__(self, index: int) -> Any:
        return torch.tensor([float(index), self.random.normal()]), torch.tensor([0.0])


OWN = torch.Generator()
DRAWS: dict[str, Callable[[], Dataset[Any]]] = {
    "torch": lambda: Noisy(lambda: float(torch.rand(()))),
    "NumPy": lambda: Noisy(np.random.normal),
    "Python": lambda: Noisy(random.random),
    "targets": lambda: Noisy(random.random, noise=True),
    "rarely": lambda: Noisy(lambda: float(random.random() < 0.05)),
    "its own": Keeps,
    "a module's": lambda: Noisy(lambda: float(torch.rand((), generator=OWN))),
}
ANEW = "train: its examples differ from one reading to the next; every epoch reads them anew"


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("form", ["Dataset", "loader"])
def test_augmentation_is_drawn_afresh_for_each_epoch(name: str, form: str) -> None:
    def make() -> object:
        data = DRAWS[name]()
        return data if form == "Dataset" else DataLoader(data, batch_size=8, shuffle=True)

    found = {}
    for seed, batch in ((1, 8), (1, 20), (2, 8)):
        with pytest.warns(UserWarning, match=ANEW):
            batches = torch.cat(seen(make(), seed, batch=batch))
        found[seed, batch] = batches
    random.seed(1)  # whatever stands outside
    assert torch.equal(found[1, 8], found[1, 20])  # whatever the batches
    assert not torch.equal(found[1, 8], found[2, 8])
    draws = [
        dict(zip(epoch[:, 0].tolist(), epoch[:, 1].tolist(), strict=True)) for epoch in torch.split(found[1, 8], N)
    ]
    assert draws[0] != draws[1] != draws[2]
    assert sorted(draws[0]) == sorted(draws[1]) == list(range(N))


def test_reading_leaves_the_generators_as_they_were() -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    with pytest.warns(UserWarning, match=ANEW):
        seen(Noisy(lambda: float(torch.rand(())) + random.random() + np.random.normal()))
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.parametrize("batched", [True, False])
def test_all_runs_of_a_seed_see_the_same_draws(batched: bool) -> None:
    with pytest.warns(UserWarning, match=ANEW):
        given = problem(Noisy(random.random, noise=True), batch=16)
    several = run(make_lanes(given, [0, 1, 0, 2, 1], batched=batched), 9)
    for lane, seed in ((1, 1), (2, 0), (3, 2)):
        alone = run(make_lanes(given, [seed], batched=False), 9)
        fitted = fl.fit(given, torch.optim.SGD, lr=1e-4, seed=seed).model.parameters()
        for mine, other, third in zip(several, alone, fitted, strict=True):
            torch.testing.assert_close(mine[lane], other[0])
            torch.testing.assert_close(mine[lane], third.detach())


@pytest.mark.parametrize("name", ["weighted", "own batches", "drop last", "counts epochs", "backwards"])
@pytest.mark.parametrize("batched", [True, False])
def test_lanes_go_through_a_loader_as_fit_does(name: str, batched: bool) -> None:
    made: dict[str, Any] = {**SAMPLERS, **FIXED}
    given = problem(made[name][0]())
    lanes = run(make_lanes(given, [0, 1, 0, 2], batched=batched), given.steps)
    for lane, seed in enumerate([0, 1, 0, 2]):
        fitted = fl.fit(given, torch.optim.SGD, lr=1e-4, seed=seed).model.parameters()
        for mine, other in zip(lanes, fitted, strict=True):
            torch.testing.assert_close(mine[lane], other.detach())


def test_an_example_that_is_drawn_twice_is_augmented_twice() -> None:
    sampler = WeightedRandomSampler([1.0, 1.0, *[0.0] * (N - 2)], 10)
    with pytest.warns(UserWarning, match=ANEW):
        batches = seen(DataLoader(Noisy(random.random), batch_size=5, sampler=sampler), epochs=1)
    assert len(set(torch.cat(batches)[:, 1].tolist())) == 10


def test_a_collate_that_mixes_its_batch() -> None:
    def mixed(items: list[Any]) -> Any:
        x = default_collate(items)[0]
        return x, x.flip(0)[:, :1]

    with pytest.warns(UserWarning, match="train: its examples hang on the batch that they are collated in; every"):
        batches = seen(loader(batch_size=8, shuffle=True, collate_fn=mixed))
    assert len(batches) == 15
    for batch in batches:
        assert torch.equal(batch[:, 0].flip(0), batch[:, 2])


def test_a_collate_that_draws() -> None:
    def noisy(items: list[Any]) -> Any:
        x, y = default_collate(items)
        return x + torch.tensor([0.0, 1.0]) * torch.rand(len(x), 1), y

    with pytest.warns(UserWarning, match=ANEW):
        batches = seen(loader(batch_size=8, shuffle=True, collate_fn=noisy))
    assert len(set(torch.cat(batches)[:, 1].tolist())) == 3 * N


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return ((x + random.random(), y) for x, y in zip(X, Y, strict=True))


def unseen() -> float:
    return float(np.frombuffer(__import__("os").urandom(4), np.uint32)[0])


FROZEN: dict[str, tuple[dict[str, Any], str]] = {
    "valid": ({"valid": Noisy(random.random)}, "valid: its examples differ from one reading .*; the first are kept"),
    "test": ({"test": DataLoader(Noisy(np.random.normal))}, "test: its examples differ .*; the first are kept"),
    "valid, weighted": (
        {"valid": loader(sampler=WeightedRandomSampler([1.0] * N, N))},
        "valid: its examples are drawn anew by its sampler in every pass; the first are kept",
    ),
    "valid, shuffled, drops": (
        {"valid": loader(batch_size=16, shuffle=True, drop_last=True)},
        "valid: its examples are drawn anew by its sampler in every pass; the first are kept",
    ),
    "no seed": ({"train": Noisy(unseen)}, "train: its examples differ .*; no seed settles them"),
    "stream": ({"train": DataLoader(Stream(), batch_size=8)}, "train: its examples differ .*; no seed settles them"),
}  # fmt: skip


@pytest.mark.parametrize("name", FROZEN)
def test_what_is_frozen_is_said(name: str) -> None:
    changes, sentence = FROZEN[name]
    with pytest.warns(UserWarning, match=sentence):
        problem(**{"train": (X, Y), **changes})


def test_validation_is_what_one_pass_gives() -> None:
    given = problem((X, Y), valid=loader(batch_size=16, drop_last=True), test=loader(batch_sampler=[[3, 4], [7]]))
    assert torch.equal(given.valid.inputs, X[:32])
    assert given.test is not None
    assert torch.equal(given.test.inputs, X[[3, 4, 7]])


class Uneven(Sampler[list[int]]):
    def __iter__(self) -> Iterator[list[int]]:
        return iter([[1, 2], [3], [4, 5]])


class Growing(Turning):
    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter(range(4 + self.epoch))


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "uneven": ({"batch_sampler": Uneven()}, {}, "train: its batches have 1 to 2 examples; make all of one size"),
    "growing": ({"sampler": Growing()}, {}, "train: its sampler names 5 examples in one epoch and 6 in another; let"),
    "outside": ({"sampler": [0, N]}, {}, f"names examples 0 to {N}, and the Dataset has {N}, counted from 0"),
    "none": ({"sampler": []}, {}, "train: its sampler names no examples"),
    "iterator": ({"sampler": iter(range(N))}, {}, "train: its sampler names no examples"),
    "generator": ({"sampler": (k for k in range(N))}, {}, "train: its sampler can.t be gone through again"),
    "own batch": ({"batch_sampler": Pairs()}, {"batch": 4}, "batch: the batch_sampler of train makes batches of 2"),
    "drops all": ({"batch_size": 64, "drop_last": True}, {}, "drops the last batch if it has less than 64 examples"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_two_runs_could_share_is_refused(name: str) -> None:
    said, changes, sentence = REFUSED[name]
    with pytest.raises(ProblemError, match=sentence):
        problem(loader(**said), **changes)


def test_what_a_loader_says_settles_the_problem() -> None:
    def told(**said: Any) -> str:
        return problem_key(problem(loader(batch_size=8, **said)))

    weights = [1.0] * N
    others: list[dict[str, Any]] = [
        {"shuffle": True},
        {"drop_last": True},
        {"sampler": WeightedRandomSampler(weights, N)},
    ]
    for said in others:
        assert told(**said) == told(**said) != told()
    uneven: dict[str, Any] = {"sampler": WeightedRandomSampler([*weights[1:], 9.0], N)}
    assert told(**uneven) != told(**others[2])


def test_nothing_is_said_of_plain_data() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for train in ((X, Y), TABLE, loader(batch_size=8, shuffle=True, drop_last=True, num_workers=0)):
            problem(train).check()
