"""Numbers of a loss at one point of weights: curvatures, their sum and density, noise, sharpness, condition."""

from fallline.landscape.measuring.eigenvalues import Curvature, curvature
from fallline.landscape.measuring.measured import Measured, Progress
from fallline.landscape.measuring.noise import NoiseScale, noise_scale
from fallline.landscape.measuring.trace import Trace, trace

__all__ = ["Curvature", "Measured", "NoiseScale", "Progress", "Trace", "curvature", "noise_scale", "trace"]
