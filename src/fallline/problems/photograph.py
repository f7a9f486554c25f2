"""A photograph as a function of the place in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fallline.problems.bundled import bundled
from fallline.problems.splits import three_ways
from fallline.training import Problem

BLOCK = 10  # pixels of the photograph along each side of one of ours
FREQUENCIES = 32
_SPREAD = 3.0  # of the frequencies, in half turns across half of the picture


@bundled("The colours of a photograph from the place in it, for a coordinate network.")
def photograph(*, epochs: int = 30, split_seed: int = 0) -> Problem:
    """Build the problem of painting scikit-learn's photograph of a Chinese temple with a coordinate network.

    The photograph is averaged over blocks to 42 x 64 pixels with colours in [0, 1]; 60 % of the pixels train, 20 %
    validate and 20 % test. The network (66-64-32-3, ReLU) takes the place (x, y) in [-1, 1] and
    sines and cosines of it at 32 fixed random frequencies (Tancik et al., 2020), and gives red, green and blue. Loss
    and metric are the mean squared error. Needs Pillow, which scikit-learn reads photographs with.

    Args:
        epochs: How often a run goes through the training split.
        split_seed: The seed that draws the splits.

    >>> photograph()
    Problem('photograph', train 1612, valid 538, test 538, batch 64, 30 epochs, metric 'mean_squared_error')
    """
    from sklearn.datasets import load_sample_image

    picture = _shrunk(load_sample_image("china.jpg") / 255)
    rows, columns = (np.linspace(-1, 1, count) for count in picture.shape[:2])
    places = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    train, valid, test = three_ways(_features(places), picture.reshape(-1, 3), split_seed)
    return Problem(
        model=_network,
        loss=nn.functional.mse_loss,
        train=train,
        valid=valid,
        test=test,
        metric="mean_squared_error",
        target=0.005,
        epochs=epochs,
        name="photograph",
    )


def _shrunk(picture: NDArray[Any]) -> NDArray[Any]:
    """The mean colour of each block of pixels; what is left over at the edges is cut off."""
    rows, columns = (size // BLOCK for size in picture.shape[:2])
    blocks = picture[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK, 3)
    return np.asarray(blocks.mean((1, 3)))


def _features(places: NDArray[Any]) -> NDArray[Any]:
    """Places [n, 2], and their waves, as one array [n, 2 + 2 * FREQUENCIES]."""
    frequencies = np.random.default_rng(0).normal(0, _SPREAD, (2, FREQUENCIES))
    angles = np.pi * places @ frequencies
    return np.concatenate([places, np.sin(angles), np.cos(angles)], axis=1)


def _network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(2 + 2 * FREQUENCIES, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3)
    )  # fmt: skip
