"""Written by tools/stubs.py."""

from typing import Any
from fallline.optim import lr_scheduler as lr_scheduler
from fallline.optim import swa_utils as swa_utils
from fallline.optim.adafactor import Adafactor as Adafactor
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

from fallline.optim.generic import Named
AdamP: type[Named]
AdEMAMix: type[Named]
LAMB: type[Named]
LARS: type[Named]
Lion: type[Named]
Prodigy: type[Named]
def __getattr__(name: str) -> Any: ...

__all__: list[str]
