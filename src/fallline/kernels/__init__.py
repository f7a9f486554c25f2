"""From a rule's graph to what runs: Numba kernels over a table of segments, and the eager reference."""

from fallline.kernels.eager import Evaluation, HostScalars, evaluate, host_numbers, host_scalars
from fallline.kernels.host import KERNEL_TYPES, EagerHost, ForeachHost, TableHost
from fallline.kernels.numbers import Given, RowNumbers, Section
from fallline.kernels.table import (
    DTYPES,
    Joint,
    Kernel,
    SegmentTable,
    Sums,
    kernel_for,
    run_jointly,
)

__all__ = [
    "DTYPES",
    "KERNEL_TYPES",
    "EagerHost",
    "Evaluation",
    "ForeachHost",
    "Given",
    "HostScalars",
    "Joint",
    "Kernel",
    "RowNumbers",
    "Section",
    "SegmentTable",
    "Sums",
    "TableHost",
    "evaluate",
    "host_numbers",
    "host_scalars",
    "kernel_for",
    "run_jointly",
]
