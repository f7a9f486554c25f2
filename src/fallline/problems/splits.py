"""Three parts of a data set, drawn by a seed."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[Array, Array]


def three_ways(inputs: Array, targets: Array, seed: int, *, by_label: bool = False) -> tuple[Pair, Pair, Pair]:
    """Split examples into 60 % to train, 20 % to validate and 20 % to test; `by_label` in equal shares of each label.

    >>> import numpy as np
    >>> [len(y) for _, y in three_ways(np.zeros((50, 2)), np.arange(50), seed=0)]
    [30, 10, 10]
    """
    from sklearn.model_selection import train_test_split

    train, rest, train_targets, other = train_test_split(
        inputs, targets, train_size=0.6, stratify=targets if by_label else None, random_state=seed
    )
    valid, test, valid_targets, test_targets = train_test_split(
        rest, other, train_size=0.5, stratify=other if by_label else None, random_state=seed
    )
    return (train, train_targets), (valid, valid_targets), (test, test_targets)


def standardised(train: Array, *others: Array) -> list[Array]:
    """Shift and scale every column by its mean and standard deviation in `train`, which alone tells them.

    >>> import numpy as np
    >>> standardised(np.array([[1.0], [3.0]]), np.array([[4.0]]))[1].tolist()
    [[2.0]]
    """
    mean, deviation = train.mean(0), train.std(0)
    return [(part - mean) / deviation for part in (train, *others)]
