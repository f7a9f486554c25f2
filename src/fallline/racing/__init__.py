"""Racing optimizers on one's own problem, to a verdict that can be trusted."""

from fallline.racing.arms import Arm
from fallline.racing.effort import Effort
from fallline.racing.protocol import race
from fallline.racing.result import RaceResult

__all__ = ["Arm", "Effort", "RaceResult", "race"]
