"""A real problem that comes with the package."""

from __future__ import annotations

from torch import nn

from fallline.training.problem import Problem


def digits(*, epochs: int = 20, split_seed: int = 0) -> Problem:
    """Build the problem of scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, for a small network.

    The pixels are scaled to [0, 1]; 60 % of the digits train, 20 % validate and 20 % test, in equal shares of every
    label, drawn by `split_seed`. The network is 64-32-10 with ReLU, the loss cross-entropy, the metric accuracy.

    >>> digits()
    Problem('digits', train 1078, valid 359, test 360, batch 64, 20 epochs, metric 'accuracy')
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    pixels, rest, labels, other = train_test_split(
        pixels / 16, labels, train_size=0.6, stratify=labels, random_state=split_seed
    )
    valid, test, valid_labels, test_labels = train_test_split(
        rest, other, train_size=0.5, stratify=other, random_state=split_seed
    )
    return Problem(
        model=_network,
        loss=nn.functional.cross_entropy,
        train=(pixels, labels),
        valid=(valid, valid_labels),
        test=(test, test_labels),
        metric="accuracy",
        epochs=epochs,
        name="digits",
    )


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
