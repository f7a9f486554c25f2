"""From a rule's graph to what runs: Numba kernels over a table of segments, and the eager reference."""

from fallline.kernels.eager import evaluate
from fallline.kernels.kernel import DTYPES, Kernel, host_scalars, kernel_for
from fallline.kernels.table import SegmentTable

__all__ = ["DTYPES", "Kernel", "SegmentTable", "evaluate", "host_scalars", "kernel_for"]
