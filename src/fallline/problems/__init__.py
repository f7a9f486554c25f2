"""Problems that come with the package, to race on and to start from: real data sets, and functions with known minima.

>>> from fallline import problems
>>> problems.find("diabetes").make()
Problem('diabetes', train 265, valid 88, test 89, batch 32, 40 epochs, metric 'mean_squared_error')
"""

from fallline.problems.bundled import ALL as ALL
from fallline.problems.bundled import Bundled as Bundled
from fallline.problems.bundled import find as find

# isort: off
# Each enters itself in the list, in this order.
from fallline.problems.digits import digits as digits
from fallline.problems.digits import digits_conv as digits_conv
from fallline.problems.measurements import breast_cancer as breast_cancer
from fallline.problems.measurements import diabetes as diabetes
from fallline.problems.characters import characters as characters
from fallline.problems.photograph import photograph as photograph
from fallline.problems.exact import quadratic as quadratic
from fallline.problems.exact import surface_problem as surface_problem

#: Names of the problems with real data.
REAL = tuple(one.name for one in ALL.values() if one.real)

__all__ = ["ALL", "REAL", *(name for name, made in list(globals().items()) if callable(made) and name[0] != "_")]
