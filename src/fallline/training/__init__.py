"""A problem, one run that trains it, and populations of lanes that do.

Other rooms import from here. Inside, from the bottom up: modules and random numbers; metrics; data; a task and what is
checked of it, which make a problem; lanes; their updates, in a room of their own; and the two loops, `train` for a
population and `fit` for one model.
"""

from fallline.training.batched import BatchedLanes
from fallline.training.curves import Checkpoint, Curves, FitResult, Point
from fallline.training.descent import needs_closure
from fallline.training.drawing import draws_of
from fallline.training.errors import ProblemError, first_line, is_text
from fallline.training.evaluation import Evaluation, footprint
from fallline.training.evenness import Watch
from fallline.training.fitting import fit
from fallline.training.generators import seeded
from fallline.training.lanes import Lanes
from fallline.training.memory import parts, pass_budget, train_in_parts
from fallline.training.metrics import Metric, as_metric, loss_of_step
from fallline.training.modules import closed_over, densify, names_in, trainable
from fallline.training.population import (
    Speed,
    cores,
    fastest,
    lanes_for,
    lanes_that_fit,
    make_lanes,
    obstacle_to_batching,
    torch_threads,
)
from fallline.training.problem import Problem, StreamProblem
from fallline.training.sequential import SequentialLanes
from fallline.training.splits import Split
from fallline.training.train import Progress, Update, train
from fallline.training.training_data import Batches, epoch_order

__all__ = [
    "BatchedLanes",
    "Batches",
    "Checkpoint",
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
    "Watch",
    "as_metric",
    "closed_over",
    "cores",
    "densify",
    "draws_of",
    "epoch_order",
    "fastest",
    "first_line",
    "fit",
    "footprint",
    "is_text",
    "lanes_for",
    "lanes_that_fit",
    "loss_of_step",
    "make_lanes",
    "names_in",
    "needs_closure",
    "obstacle_to_batching",
    "parts",
    "pass_budget",
    "seeded",
    "torch_threads",
    "train",
    "train_in_parts",
    "trainable",
]
