"""Averages over time: of a series, of a stream, and of a model's weights."""

from fallline.averaging.series import ExponentialAverage as ExponentialAverage
from fallline.averaging.series import ema as ema
from fallline.averaging.weights import WeightAverage as WeightAverage
