"""torch.optim.swa_utils, unchanged, so that `from fallline.optim.swa_utils import AveragedModel` works."""

from typing import Any

import torch.optim.swa_utils
from torch.optim.swa_utils import *  # noqa: F403


def __getattr__(name: str) -> Any:
    return getattr(torch.optim.swa_utils, name)
