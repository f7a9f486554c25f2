"""Averages over time: of a series, of a stream, and of a model's weights."""

from fallline.averaging.series import ExponentialAverage, ema
from fallline.averaging.weights import WeightAverage

__all__ = ["ExponentialAverage", "WeightAverage", "ema"]
