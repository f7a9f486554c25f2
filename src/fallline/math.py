"""What a rule may compute with: `from fallline.math import sqrt`."""

from fallline.symbolic.math import abs, dimensions, dot, exp, log, maximum, minimum, sign, sqrt, sum, where

__all__ = ["abs", "dimensions", "dot", "exp", "log", "maximum", "minimum", "sign", "sqrt", "sum", "where"]
