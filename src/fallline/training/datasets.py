"""Datasets, DataLoaders and streams of pairs, read once into two tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from fallline.training.errors import ProblemError

Pair = tuple[Tensor, Tensor]

#: Bytes that are read at most from what does not tell its length, since it may have no end.
MOST_BYTES = 2**33


@dataclass(frozen=True)
class Items:
    """What a stream of pairs holds, and how many of them become one tensor."""

    plural: str
    join: Callable[[list[Tensor]], Tensor]


EXAMPLES = Items("examples", torch.stack)
BATCHES = Items("batches", torch.cat)


def read_dataset(name: str, dataset: Dataset[Any]) -> Pair:
    """Every example of a Dataset, in order.

    Raises ProblemError, naming the split: no length, no examples, no pairs, shapes that differ.
    """
    if isinstance(dataset, IterableDataset):
        return joined(name, _bounded(name, pairs(name, dataset, EXAMPLES)), EXAMPLES)
    if not isinstance(dataset, Sized):
        kind = type(dataset).__name__
        raise ProblemError(f"{name}: {kind} has no length; give it __len__, or make it an IterableDataset.")
    return _at(name, dataset, range(len(dataset)))


def read_loader(name: str, loader: DataLoader[Any]) -> Pair:
    """What a DataLoader draws from: the examples that its sampler names, in the order of its Dataset.

    A loader that collates in its own way, draws its own batches or reads a stream is iterated to its end instead.

    Raises ProblemError as `read_dataset` does.
    """
    plain = loader.collate_fn is default_collate and loader.batch_size is not None
    if plain and not isinstance(loader.dataset, IterableDataset):
        return _at(name, loader.dataset, sorted(loader.sampler))
    return joined(name, _bounded(name, pairs(name, loader, BATCHES)), BATCHES)


def pairs(name: str, items: Iterable[Any], kind: Items) -> Iterator[Sequence[Any]]:
    """The items, each checked to be a pair (x, y) as it comes."""
    for item in items:
        if isinstance(item, Mapping):
            raise ProblemError(_of_mappings(name, list(item), kind))
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise ProblemError(f"{name}: its {kind.plural} must be pairs (x, y); wrap it so that it returns them.")
        yield item


def joined(name: str, items: Iterable[Sequence[Any]], kind: Items) -> Pair:
    """Two tensors [n, ...] of all pairs (x, y).

    Raises ProblemError: there are none, or their shapes differ.
    """
    halves = list(zip(*items, strict=True))
    if not halves:
        raise ProblemError(f"{name}: it has no {kind.plural}; give it at least one example.")
    return _tensor(name, "x", halves[0], kind), _tensor(name, "y", halves[1], kind)


def _bounded(name: str, items: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """Pass on what is read without knowing how much it is, up to `MOST_BYTES`."""
    total = 0
    for item in items:
        total += sum(int(getattr(part, "nbytes", 0)) for part in item)
        if total > MOST_BYTES:
            raise ProblemError(
                f"{name}: it has given {MOST_BYTES >> 30} GiB and may have no end; for training say with steps= how "
                "many batches a run takes, else give fewer examples, or tensors."
            )
        yield item


def _at(name: str, dataset: Dataset[Any], places: Iterable[int]) -> Pair:
    return joined(name, pairs(name, (dataset[place] for place in places), EXAMPLES), EXAMPLES)


def _tensor(name: str, what: str, values: Sequence[Any], kind: Items) -> Tensor:
    try:
        return kind.join([torch.as_tensor(value) for value in values])
    except (TypeError, ValueError, RuntimeError) as error:
        raise ProblemError(
            f"{name}: the {what} of its {kind.plural} can't become one tensor; "
            "transform every example to a tensor of the same shape and type."
        ) from error


def _of_mappings(name: str, keys: list[Any], kind: Items) -> str:
    found = f"{name}: its {kind.plural} are dicts with the keys {', '.join(map(repr, keys))}, not pairs (x, y)"
    if len(keys) < 2:
        return f"{found}; wrap it so that it returns pairs."
    x, y = (
        f"torch.{kind.join.__name__}([torch.as_tensor(one[{key!r}]) for one in data])" for key in (keys[0], keys[-1])
    )
    return f"{found}; give two tensors, for instance {name}=({x}, {y})."
