"""What a rule may compute with: `from fallline.math import sqrt`."""

import dis
import sys
from typing import TYPE_CHECKING, NoReturn

from fallline.symbolic.math import abs, dimensions, dot, exp, log, maximum, minimum, sign, sqrt, sum, where
from fallline.symbolic.refusals import instead_of

__all__ = ["abs", "dimensions", "dot", "exp", "log", "maximum", "minimum", "sign", "sqrt", "sum", "where"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        # `from fallline.math import norm` would put words of Python's in the place of an AttributeError's.
        caller = sys._getframe(1)
        imported = caller.f_code.co_code[caller.f_lasti] == dis.opmap["IMPORT_FROM"]
        error = ImportError if imported else AttributeError
        raise error(f"fallline.math has no '{name}'; {instead_of(name)}")
