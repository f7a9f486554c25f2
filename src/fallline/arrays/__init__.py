"""Optimizers for plain NumPy arrays: `update(params, grads)` on dictionaries, in place, by the same kernels.

>>> import numpy as np
>>> from fallline import arrays
>>> params = {"w": np.ones(3), "b": np.zeros(1)}
>>> optimizer = arrays.Adam(lr=0.5)
>>> optimizer.update(params, {"w": params["w"] * 2, "b": np.array([-1.0])})
>>> params["w"].round(6).tolist(), params["b"].round(6).tolist()
([0.5, 0.5, 0.5], [0.5])
"""

from fallline.arrays.named import LAMB as LAMB
from fallline.arrays.named import LARS as LARS
from fallline.arrays.named import SGD as SGD
from fallline.arrays.named import Adadelta as Adadelta
from fallline.arrays.named import Adagrad as Adagrad
from fallline.arrays.named import Adam as Adam
from fallline.arrays.named import Adamax as Adamax
from fallline.arrays.named import AdamP as AdamP
from fallline.arrays.named import AdamW as AdamW
from fallline.arrays.named import AdEMAMix as AdEMAMix
from fallline.arrays.named import AMSGrad as AMSGrad
from fallline.arrays.named import Lion as Lion
from fallline.arrays.named import Momentum as Momentum
from fallline.arrays.named import NAdam as NAdam
from fallline.arrays.named import Nesterov as Nesterov
from fallline.arrays.named import Prodigy as Prodigy
from fallline.arrays.named import RAdam as RAdam
from fallline.arrays.named import RMSprop as RMSprop
from fallline.arrays.optimizer import Optimizer as Optimizer
