"""Handwritten digits, for a small network.

Handwritten digits, for a small convolutional network.
"""

from __future__ import annotations

from torch import nn

from fallline.problems.splits import three_ways
from fallline.training.problem import Problem


def digits(*, epochs: int = 20, split_seed: int = 0) -> Problem:
    """Build the problem of scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, for a small network.

    The pixels are scaled to [0, 1]; 60 % of the digits train, 20 % validate and 20 % test, in equal shares of every
    label, drawn by `split_seed`. The network is 64-32-10 with ReLU, the loss cross-entropy, the metric accuracy.

    >>> digits()
    Problem('digits', train 1078, valid 359, test 360, batch 64, 20 epochs, metric 'accuracy')
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    train, valid, test = three_ways(pixels / 16, labels, split_seed, by_label=True)
    return Problem(
        model=_network,
        loss=nn.functional.cross_entropy,
        train=train,
        valid=valid,
        test=test,
        metric="accuracy",
        epochs=epochs,
        name="digits",
    )


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def digits_conv(*, epochs: int = 10, split_seed: int = 0) -> Problem:
    """Build the problem of scikit-learn's 1,797 handwritten digits for a small convolutional network.

    Data and splits are those of `digits`, as images [1, 8, 8]. Two layers of 3 x 3 filters, 8 and 16 channels, each
    with ReLU and halved by taking maxima, then a linear layer; the loss is cross-entropy, the metric accuracy.

    >>> digits_conv()
    Problem('digits-conv', train 1078, valid 359, test 360, batch 64, 10 epochs, metric 'accuracy')
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 1, 8, 8) / 16
    train, valid, test = three_ways(images, labels, split_seed, by_label=True)
    return Problem(
        model=_convolutional,
        loss=nn.functional.cross_entropy,
        train=train,
        valid=valid,
        test=test,
        metric="accuracy",
        target=0.95,
        epochs=epochs,
        name="digits-conv",
    )


def _convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
