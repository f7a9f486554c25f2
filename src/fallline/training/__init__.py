"""A problem, one run that trains it, and populations of lanes that do."""

from fallline.training.batched import BatchedLanes
from fallline.training.descent import needs_closure
from fallline.training.drawing import draws_of
from fallline.training.errors import ProblemError, train_in_parts
from fallline.training.evaluation import Evaluation
from fallline.training.fitting import FitResult, Point, fit
from fallline.training.lanes import Lanes
from fallline.training.metrics import Metric
from fallline.training.population import Speed, fastest, lanes_for, lanes_that_fit, make_lanes, obstacle_to_batching
from fallline.training.problem import Problem, StreamProblem
from fallline.training.sequential import SequentialLanes
from fallline.training.splits import Split
from fallline.training.train import Curves, Progress, Update, train
from fallline.training.training_data import Batches, epoch_order

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
