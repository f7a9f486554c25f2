"""The lanes' optimizers: every lane with its own rule and hyperparameters, all lanes of a rule in one launch."""

from fallline.training.updates.lane_rule import LaneRule
from fallline.training.updates.lane_update import LaneUpdate

__all__ = ["LaneRule", "LaneUpdate"]
