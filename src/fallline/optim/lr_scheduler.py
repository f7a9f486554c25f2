"""torch.optim.lr_scheduler, unchanged, so that `from fallline.optim.lr_scheduler import StepLR` works."""

from typing import Any

import torch.optim.lr_scheduler
from torch.optim.lr_scheduler import *  # noqa: F403


def __getattr__(name: str) -> Any:
    return getattr(torch.optim.lr_scheduler, name)
