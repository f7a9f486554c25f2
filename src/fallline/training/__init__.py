"""A problem, one run that trains it, and populations of lanes that do."""

from fallline.training.batched import BatchedLanes
from fallline.training.batches import Batches, epoch_order
from fallline.training.curves import Curves
from fallline.training.drawing import draws_of
from fallline.training.errors import ProblemError
from fallline.training.evaluation import Evaluation
from fallline.training.fastest import Speed, fastest
from fallline.training.fit_result import FitResult, Point
from fallline.training.fit_step import needs_closure
from fallline.training.fitting import fit
from fallline.training.in_parts import train_in_parts
from fallline.training.lane_count import lanes_that_fit
from fallline.training.lanes import Lanes
from fallline.training.metrics import Metric
from fallline.training.population import lanes_for, make_lanes, obstacle_to_batching
from fallline.training.problem import Problem
from fallline.training.sequential import SequentialLanes
from fallline.training.splits import Split
from fallline.training.streams import StreamProblem
from fallline.training.train import Progress, Update, train

__all__ = [
    "BatchedLanes",
    "Batches",
    "Curves",
    "Evaluation",
    "FitResult",
    "Lanes",
    "Metric",
    "Point",
    "Problem",
    "ProblemError",
    "Progress",
    "SequentialLanes",
    "Speed",
    "Split",
    "StreamProblem",
    "Update",
    "draws_of",
    "epoch_order",
    "fastest",
    "fit",
    "lanes_for",
    "lanes_that_fit",
    "make_lanes",
    "needs_closure",
    "obstacle_to_batching",
    "train",
    "train_in_parts",
]
