"""From a rule's graph to what runs: Numba kernels over a table of segments, and the eager reference."""

from fallline.kernels.eager import Evaluation, HostScalars, evaluate
from fallline.kernels.table import (
    DTYPES,
    Joint,
    Kernel,
    SegmentTable,
    Sums,
    host_numbers,
    host_scalars,
    kernel_for,
    run_jointly,
)

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
