"""How bundled examples are split: as scikit-learn's `train_test_split` draws it, which takes a second to import."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline._asked import whole

Array = NDArray[Any]
Pair = tuple[Array, Array]


def three_ways(inputs: Array, targets: Array, seed: int, *, by_label: bool = False) -> tuple[Pair, Pair, Pair]:
    """Split examples into 60 % to train, 20 % to validate and 20 % to test; `by_label` in equal shares of each label.

    >>> import numpy as np
    >>> [len(y) for _, y in three_ways(np.zeros((50, 2)), np.arange(50), seed=0)]
    [30, 10, 10]
    """
    seed = whole("split_seed", seed, 0, 2**32 - 1)
    train, rest = _two_ways(targets, 0.6, seed, by_label)
    valid, test = (rest[part] for part in _two_ways(targets[rest], 0.5, seed, by_label))
    return (inputs[train], targets[train]), (inputs[valid], targets[valid]), (inputs[test], targets[test])


def _two_ways(targets: Array, share: float, seed: int, by_label: bool) -> tuple[Array, Array]:
    """The places of a share of the examples, and of the others."""
    draws, count = np.random.RandomState(seed), len(targets)
    first = int(share * count)
    if not by_label:
        order = draws.permutation(count)
        return order[count - first :], order[: count - first]
    _, labels, counts = np.unique(targets, return_inverse=True, return_counts=True)
    own = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    firsts = _shares(counts, first, draws)
    _shares(counts - firsts, count - first, draws)  # all that are left, but it may draw
    orders = [places[draws.permutation(len(places))] for places in own]
    parts = zip(*((order[:some], order[some:]) for order, some in zip(orders, firsts, strict=True)), strict=True)
    some, others = (draws.permutation(np.concatenate(part)) for part in parts)
    return some, others


def _shares(counts: Array, wanted: int, draws: np.random.RandomState) -> Array:
    """So many of all, of each label in proportion to its count; what rounding leaves goes to the largest rests."""
    exact = counts / counts.sum() * wanted
    shares: Array = np.floor(exact).astype(int)
    rests = exact - shares
    for rest in np.unique(rests)[::-1]:
        if (left := wanted - shares.sum()) == 0:
            break
        alike = np.flatnonzero(rests == rest)
        shares[draws.choice(alike, min(len(alike), left), replace=False)] += 1
    return shares
