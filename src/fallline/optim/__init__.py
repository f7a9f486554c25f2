"""Drop-in for torch.optim: `from fallline import optim` instead of `from torch import optim`, and nothing else.

SGD, Adagrad, Adadelta, RMSprop, Adam, AdamW, Adamax, NAdam, RAdam, Muon and Adafactor run through Fallline's kernels.
What torch does not have stands beside them: AdamP, AdEMAMix, FullMatrixAdagrad, LAMB, LARS, Lion, LookAheadNesterov,
Prodigy, ScheduleFree (of any rule), ScheduleFreeAdamW, ScheduleFreeSGD, SOAP. Every other name is torch's own.

What torch would give another meaning has doors beside this one: `generic` for fallline.Optimizer, `newton` for
fallline.Newton, and `method_name` for the rule or class of a name that was typed.
"""

# ruff: noqa: F401 (the names of torch.optim are in its own __all__)
from typing import Any

import torch.optim

from fallline.optim import lr_scheduler, swa_utils
from fallline.optim.adafactor import Adafactor
from fallline.optim.generic import CLASSES as _CLASSES
from fallline.optim.look_ahead_nesterov import LookAheadNesterov
from fallline.optim.muon import Muon
from fallline.optim.preconditioned import SOAP, FullMatrixAdagrad
from fallline.optim.schedule_free import ScheduleFree, ScheduleFreeAdamW, ScheduleFreeSGD
from fallline.optim.torch_twins import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop

globals().update(_CLASSES)
__all__ = [
    *torch.optim.__all__,
    *_CLASSES,
    "SOAP",
    "FullMatrixAdagrad",
    "LookAheadNesterov",
    "ScheduleFree",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
]


def __getattr__(name: str) -> Any:
    return getattr(torch.optim, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(torch.optim)})
