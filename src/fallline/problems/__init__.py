"""Problems that come with the package, to race on and to start from."""

from fallline.problems.digits import digits

__all__ = ["digits"]
