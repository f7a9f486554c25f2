"""Drop-in for torch.optim: `from fallline import optim` instead of `from torch import optim`, and nothing else.

SGD, Adagrad, Adadelta, RMSprop, Adam, AdamW, Adamax, NAdam, RAdam, Muon and Adafactor run through Fallline's kernels.
What torch does not have stands beside them: AdamP, AdEMAMix, FullMatrixAdagrad, LAMB, LARS, Lion, LookAheadNesterov,
Prodigy, ScheduleFree (of any rule), ScheduleFreeAdamW, ScheduleFreeSGD, SOAP. Every other name is torch's own.
"""

from typing import Any

import torch.optim

from fallline.optim import lr_scheduler as lr_scheduler
from fallline.optim import swa_utils as swa_utils
from fallline.optim.adafactor import Adafactor as Adafactor
from fallline.optim.generic import CLASSES as _CLASSES
from fallline.optim.look_ahead_nesterov import LookAheadNesterov as LookAheadNesterov
from fallline.optim.muon import Muon as Muon
from fallline.optim.preconditioned import SOAP as SOAP
from fallline.optim.preconditioned import FullMatrixAdagrad as FullMatrixAdagrad
from fallline.optim.schedule_free import ScheduleFree as ScheduleFree
from fallline.optim.schedule_free import ScheduleFreeAdamW as ScheduleFreeAdamW
from fallline.optim.schedule_free import ScheduleFreeSGD as ScheduleFreeSGD
from fallline.optim.torch_twins import SGD as SGD
from fallline.optim.torch_twins import Adadelta as Adadelta
from fallline.optim.torch_twins import Adagrad as Adagrad
from fallline.optim.torch_twins import Adam as Adam
from fallline.optim.torch_twins import Adamax as Adamax
from fallline.optim.torch_twins import AdamW as AdamW
from fallline.optim.torch_twins import NAdam as NAdam
from fallline.optim.torch_twins import RAdam as RAdam
from fallline.optim.torch_twins import RMSprop as RMSprop

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
