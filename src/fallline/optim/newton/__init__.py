"""Newton's method as a torch optimizer."""

from fallline.optim.newton.optimizer import Newton as Newton
from fallline.optim.newton.optimizer import NewtonReport as NewtonReport

__all__ = ["Newton", "NewtonReport"]
