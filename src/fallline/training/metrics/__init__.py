"""How the quality of a model's outputs is told in one number."""

from fallline.training.metrics.given import MetricLike, as_metric, without_ignored
from fallline.training.metrics.metric import Metric, value_of
from fallline.training.metrics.names import METRICS

__all__ = ["METRICS", "Metric", "MetricLike", "as_metric", "value_of", "without_ignored"]
