"""Problems that come with the package, to race on and to start from: real data sets, and functions with known minima.

>>> from fallline import problems
>>> problems.find("diabetes").make()
Problem('diabetes', train 265, valid 88, test 89, batch 32, 40 epochs, metric 'mean_squared_error')
"""

from fallline.problems.characters import characters
from fallline.problems.digits import digits, digits_conv
from fallline.problems.exact import quadratic, surface_problem
from fallline.problems.measurements import breast_cancer, diabetes
from fallline.problems.photograph import photograph
from fallline.problems.registry import ALL, REAL, Bundled, find

__all__ = [
    "ALL",
    "REAL",
    "Bundled",
    "breast_cancer",
    "characters",
    "diabetes",
    "digits",
    "digits_conv",
    "find",
    "photograph",
    "quadratic",
    "surface_problem",
]
