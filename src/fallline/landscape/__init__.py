"""Test surfaces of two coordinates and the paths that update rules take on them; slices of a network's loss.

Of a network's loss at one point of weights there are numbers, too: curvature, trace and spectrum, noise scale,
sharpness, condition number.
"""

from fallline.landscape import surfaces
from fallline.landscape.calculus import cos, derivatives_of, exp, log, sin, sqrt
from fallline.landscape.formula import Formula, FormulaError
from fallline.landscape.measuring import (
    Condition,
    Curvature,
    Measured,
    NoiseScale,
    Progress,
    Sharpness,
    Spectrum,
    Trace,
    condition,
    curvature,
    noise_scale,
    sharpness,
    spectrum,
    trace,
)
from fallline.landscape.outcome import Outcome
from fallline.landscape.paths import Path, path
from fallline.landscape.slices import Slice, slice
from fallline.landscape.surface import Demonstration, Ending, Point, Surface, View

__all__ = [
    "Condition",
    "Curvature",
    "Demonstration",
    "Ending",
    "Formula",
    "FormulaError",
    "Measured",
    "NoiseScale",
    "Outcome",
    "Path",
    "Point",
    "Progress",
    "Sharpness",
    "Slice",
    "Spectrum",
    "Surface",
    "Trace",
    "View",
    "condition",
    "cos",
    "curvature",
    "derivatives_of",
    "exp",
    "log",
    "noise_scale",
    "path",
    "sharpness",
    "sin",
    "slice",
    "spectrum",
    "sqrt",
    "surfaces",
    "trace",
]
