"""Test surfaces of two coordinates and the paths that update rules take on them; slices of a network's loss.

Of a network's loss at one point of weights there are numbers, too: curvature, trace, noise scale. `diagnosis` gathers
them, with the rates that train and what goes on in the layers, into sentences.
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
    "AlongRun",
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
    "Signals",
    "Slice",
    "Surface",
    "Trace",
    "UpdateRatios",
    "View",
    "along_run",
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
    "signals",
    "sin",
    "slice",
    "sqrt",
    "surfaces",
    "trace",
    "update_ratios",
]
