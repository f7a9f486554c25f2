"""From a rule's graph to what runs: Numba kernels over a table of segments, and the eager reference."""

from fallline.kernels.eager import Evaluation, evaluate
from fallline.kernels.joint import Joint, Sums, run_jointly
from fallline.kernels.kernel import DTYPES, Kernel, host_numbers, host_scalars, kernel_for
from fallline.kernels.scalars import HostScalars
from fallline.kernels.table import SegmentTable

__all__ = [
    "DTYPES",
    "Evaluation",
    "HostScalars",
    "Joint",
    "Kernel",
    "SegmentTable",
    "Sums",
    "evaluate",
    "host_numbers",
    "host_scalars",
    "kernel_for",
    "run_jointly",
]
