"""Test surfaces of two coordinates, the paths that update rules take on them, and slices of a network's loss."""

from fallline.landscape import surfaces
from fallline.landscape.calculus import cos, derivatives_of, exp, log, sin, sqrt
from fallline.landscape.formula import Formula, FormulaError
from fallline.landscape.outcome import Outcome
from fallline.landscape.paths import Path, path
from fallline.landscape.slices import Slice, slice
from fallline.landscape.surface import Demonstration, Ending, Point, Surface, View

__all__ = [
    "Demonstration",
    "Ending",
    "Formula",
    "FormulaError",
    "Outcome",
    "Path",
    "Point",
    "Slice",
    "Surface",
    "View",
    "cos",
    "derivatives_of",
    "exp",
    "log",
    "path",
    "sin",
    "slice",
    "sqrt",
    "surfaces",
]
