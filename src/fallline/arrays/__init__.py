"""Optimizers for plain NumPy arrays: `update(params, grads)` on dictionaries, in place, by the same kernels.

>>> import numpy as np
>>> from fallline import arrays
>>> params = {"w": np.ones(3), "b": np.zeros(1)}
>>> optimizer = arrays.Adam(lr=0.5)
>>> optimizer.update(params, {"w": params["w"] * 2, "b": np.array([-1.0])})
>>> params["w"].round(6).tolist(), params["b"].round(6).tolist()
([0.5, 0.5, 0.5], [0.5])
"""

from fallline.arrays.optimizer import LAMB as LAMB
from fallline.arrays.optimizer import LARS as LARS
from fallline.arrays.optimizer import SGD as SGD
from fallline.arrays.optimizer import Adadelta as Adadelta
from fallline.arrays.optimizer import Adagrad as Adagrad
from fallline.arrays.optimizer import Adam as Adam
from fallline.arrays.optimizer import Adamax as Adamax
from fallline.arrays.optimizer import AdamP as AdamP
from fallline.arrays.optimizer import AdamW as AdamW
from fallline.arrays.optimizer import AdEMAMix as AdEMAMix
from fallline.arrays.optimizer import AMSGrad as AMSGrad
from fallline.arrays.optimizer import Lion as Lion
from fallline.arrays.optimizer import Momentum as Momentum
from fallline.arrays.optimizer import NAdam as NAdam
from fallline.arrays.optimizer import Nesterov as Nesterov
from fallline.arrays.optimizer import Optimizer as Optimizer
from fallline.arrays.optimizer import Prodigy as Prodigy
from fallline.arrays.optimizer import RAdam as RAdam
from fallline.arrays.optimizer import RMSprop as RMSprop
