"""Test surfaces of two coordinates, the paths that update rules take on them, and slices of a network's loss."""

from fallline.landscape import surfaces
from fallline.landscape.calculus import cos, exp, log, sin, sqrt
from fallline.landscape.outcome import Outcome
from fallline.landscape.paths import Path, path
from fallline.landscape.slices import Slice, slice
from fallline.landscape.surface import Demonstration, Surface

__all__ = [
    "Demonstration",
    "Outcome",
    "Path",
    "Slice",
    "Surface",
    "cos",
    "exp",
    "log",
    "path",
    "sin",
    "slice",
    "sqrt",
    "surfaces",
]
