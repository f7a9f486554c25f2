"""Numbers of a loss at one point of weights, on stated examples in a stated mode; the user's model is only read.

Inside, from the bottom up: what every record tells; a copy of the model; its loss as a function of the weights; and one
file for each measure.
"""

from fallline.landscape.measuring.condition import Condition, condition
from fallline.landscape.measuring.eigenvalues import Curvature, curvature
from fallline.landscape.measuring.measured import Measured, Progress
from fallline.landscape.measuring.noise import NoiseScale, noise_scale
from fallline.landscape.measuring.sharpness import Sharpness, sharpness
from fallline.landscape.measuring.spectrum import Spectrum, Trace, spectrum, trace

__all__ = [
    "Condition",
    "Curvature",
    "Measured",
    "NoiseScale",
    "Progress",
    "Sharpness",
    "Spectrum",
    "Trace",
    "condition",
    "curvature",
    "noise_scale",
    "sharpness",
    "spectrum",
    "trace",
]
