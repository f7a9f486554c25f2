"""Optimizers for plain NumPy arrays: `update(params, grads)` on dictionaries, in place, by the same kernels.

>>> import numpy as np
>>> from fallline import arrays
>>> params = {"w": np.ones(3), "b": np.zeros(1)}
>>> optimizer = arrays.Adam(lr=0.5)
>>> optimizer.update(params, {"w": params["w"] * 2, "b": np.array([-1.0])})
>>> params["w"].round(6).tolist(), params["b"].round(6).tolist()
([0.5, 0.5, 0.5], [0.5])
"""

from fallline.arrays.optimizer import CLASSES as _CLASSES
from fallline.arrays.optimizer import Optimizer

globals().update(_CLASSES)
__all__ = ["Optimizer", *_CLASSES]
