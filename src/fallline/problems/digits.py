"""Handwritten digits, for a small network and for a small convolutional one."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from torch import nn

from fallline.problems.bundled import Array, bundled
from fallline.problems.splits import three_ways
from fallline.training import Problem


@bundled("Handwritten digits of 8 x 8 pixels, for a small network.")
def digits(*, epochs: int = 20, split_seed: int = 0) -> Problem:
    """Build the problem of scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, for a small network.

    The pixels are scaled to [0, 1]; 60 % of the digits train, 20 % validate and 20 % test, in equal shares of every
    label. The network is 64-32-10 with ReLU, the loss cross-entropy, the metric accuracy.

    Args:
        epochs: How often a run goes through the training split.
        split_seed: The seed that draws the splits.

    Returns:
        The problem, with batches of 64.

    >>> digits()
    Problem('digits', train 1078, valid 359, test 360, batch 64, 20 epochs, metric 'accuracy')
    """
    return _digits("digits", _network, (64,), None, epochs, split_seed)


@bundled("The same digits, for a small convolutional network.")
def digits_conv(*, epochs: int = 10, split_seed: int = 0) -> Problem:
    """Build the problem of scikit-learn's 1,797 handwritten digits for a small convolutional network.

    Data and splits are those of `digits`, as images [1, 8, 8]. Two layers of 3 x 3 filters, 8 and 16 channels, each
    with ReLU and halved by taking maxima, then a linear layer; the loss is cross-entropy, the metric accuracy.

    Args:
        epochs: How often a run goes through the training split.
        split_seed: The seed that draws the splits.

    Returns:
        The problem, with batches of 64; the accuracy to reach is 0.95.

    >>> digits_conv()
    Problem('digits-conv', train 1078, valid 359, test 360, batch 64, 10 epochs, metric 'accuracy')
    """
    return _digits("digits-conv", _convolutional, (1, 8, 8), 0.95, epochs, split_seed)


def _digits(
    name: str, model: Callable[[], nn.Module], shape: tuple[int, ...], target: float | None, epochs: int, seed: int
) -> Problem:
    pixels, labels = _pixels_and_labels()
    train, valid, test = three_ways(pixels.reshape(-1, *shape) / 16, labels, seed, by_label=True)
    return Problem(
        model=model,
        loss=nn.functional.cross_entropy,
        train=train,
        valid=valid,
        test=test,
        metric="accuracy",
        target=target,
        epochs=epochs,
        name=name,
    )


def _pixels_and_labels() -> tuple[Array, Array]:
    """What scikit-learn's `load_digits` reads, without its import, which takes a second."""
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).with_name("datasets") / "data" / "digits.csv.gz"
    if not file.is_file():  # a version that keeps it elsewhere
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        return pixels, labels
    table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1].astype(int)


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def _convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
