"""Drop-in for torch.optim: `from fallline import optim` instead of `from torch import optim`, and nothing else.

SGD, Adagrad, RMSprop, Adam and AdamW run through Fallline's kernels; every other name is torch's own.
"""

from typing import Any

import torch.optim

from fallline.optim import lr_scheduler as lr_scheduler
from fallline.optim import swa_utils as swa_utils
from fallline.optim.adagrad import Adagrad as Adagrad
from fallline.optim.adam import Adam as Adam
from fallline.optim.adam import AdamW as AdamW
from fallline.optim.rmsprop import RMSprop as RMSprop
from fallline.optim.sgd import SGD as SGD

__all__ = [*torch.optim.__all__]


def __getattr__(name: str) -> Any:
    return getattr(torch.optim, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(torch.optim)})
