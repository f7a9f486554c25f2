"""Test surfaces of two coordinates and the paths that update rules take on them; slices of a network's loss.

Of a network's loss at one point of weights there are numbers, too: curvature, trace, noise scale.
"""

from fallline.landscape import surfaces
from fallline.landscape.calculus import cos, derivatives_of, exp, log, sin, sqrt
from fallline.landscape.formula import Formula, FormulaError
from fallline.landscape.measuring import (
    Curvature,
    Measured,
    NoiseScale,
    Progress,
    Trace,
    curvature,
    noise_scale,
    trace,
)
from fallline.landscape.outcome import Outcome
from fallline.landscape.paths import Path, path
from fallline.landscape.slices import Slice, slice
from fallline.landscape.surface import Demonstration, Ending, Point, Surface, View

__all__ = [
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
    "Slice",
    "Surface",
    "Trace",
    "View",
    "cos",
    "curvature",
    "derivatives_of",
    "exp",
    "log",
    "noise_scale",
    "path",
    "sin",
    "slice",
    "sqrt",
    "surfaces",
    "trace",
]
