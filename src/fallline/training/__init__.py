"""A problem, and populations of lanes that train it."""

from fallline.training.batched import BatchedLanes
from fallline.training.batches import Batches, epoch_order
from fallline.training.bundled import digits
from fallline.training.curves import Curves
from fallline.training.errors import ProblemError
from fallline.training.lanes import Evaluation, Lanes
from fallline.training.metrics import Metric
from fallline.training.population import lanes_for, make_lanes, obstacle_to_batching
from fallline.training.problem import Problem
from fallline.training.sequential import SequentialLanes
from fallline.training.splits import Split
from fallline.training.train import Progress, Update, train

__all__ = [
    "BatchedLanes",
    "Batches",
    "Curves",
    "Evaluation",
    "Lanes",
    "Metric",
    "Problem",
    "ProblemError",
    "Progress",
    "SequentialLanes",
    "Split",
    "Update",
    "digits",
    "epoch_order",
    "lanes_for",
    "make_lanes",
    "obstacle_to_batching",
    "train",
]
