"""Test surfaces of two coordinates and the paths that update rules take on them; slices of a network's loss.

Of a network's loss at one point of weights there are numbers, too: curvature, trace and spectrum, noise scale,
sharpness, condition number. `diagnosis` gathers them into sentences, with the rates that train and what goes on in the
layers.
"""

from fallline.landscape import surfaces
from fallline.landscape.calculus import cos, derivatives_of, exp, log, sin, sqrt
from fallline.landscape.diagnosis import (
    AlongRun,
    Diagnosis,
    Escape,
    Finding,
    RateRange,
    Signals,
    UpdateRatios,
    along_run,
    diagnose,
    escape,
    rate_range,
    signals,
    update_ratios,
)
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
    "AlongRun",
    "Condition",
    "Curvature",
    "Demonstration",
    "Diagnosis",
    "Ending",
    "Escape",
    "Finding",
    "Formula",
    "FormulaError",
    "Measured",
    "NoiseScale",
    "Outcome",
    "Path",
    "Point",
    "Progress",
    "RateRange",
    "Sharpness",
    "Signals",
    "Slice",
    "Spectrum",
    "Surface",
    "Trace",
    "UpdateRatios",
    "View",
    "along_run",
    "condition",
    "cos",
    "curvature",
    "derivatives_of",
    "diagnose",
    "escape",
    "exp",
    "log",
    "noise_scale",
    "path",
    "rate_range",
    "sharpness",
    "signals",
    "sin",
    "slice",
    "spectrum",
    "sqrt",
    "surfaces",
    "trace",
    "update_ratios",
]
