"""The segment table: a row for each tensor with its addresses and scalars, and the chunks that threads share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.kernels.kernel import Kernel
from fallline.kernels.source import HEADER
from fallline.kernels.threads import WORTH_SHARING, run_shared

#: Elements in a chunk: small enough to share evenly, large enough that its start costs nothing.
CHUNK = 1 << 15


class SegmentTable:
    """What one kernel works on: many tensors, one launch.

    `sizes` are the tensors' element counts, none of them zero, and `widths` the elements in a channel of each
    (default: the whole tensor). Fill `addresses` ([segments, columns], columns as in `kernel.columns`) and `scalars`
    ([segments, kernel.scalars.count]), then `run`. Whoever fills in the addresses answers for what lies there:
    contiguous memory of the kernel's type, alive during `run`.
    """

    def __init__(self, kernel: Kernel, sizes: Sequence[int], widths: Sequence[int] | None = None) -> None:
        self.kernel = kernel
        self.elements = int(sum(sizes))
        self.addresses: NDArray[np.int64] = np.zeros((len(sizes), len(kernel.columns)), np.int64)
        self.scalars: NDArray[np.float64] = np.zeros((len(sizes), max(1, kernel.scalars.count)))
        rows = (widths or sizes) if kernel.plan.uses_channels else None
        self._chunks, self._first_chunk, channels = _cut(np.asarray(sizes, np.int64), rows)
        reductions = kernel.plan.reductions
        sums = sum(reduction.operation == "sum" for reduction in reductions)
        per_channel = len(reductions) - sums
        self._partials = np.zeros((len(self._chunks), max(1, sums)) if reductions else (1, 1))
        self._totals = np.zeros((len(sizes), max(1, sums)) if reductions else (1, 1))
        self._channels = np.zeros((channels, per_channel) if per_channel else (1, 1))
        arrays = {
            "addresses": self.addresses, "scalars": self.scalars, "chunks": self._chunks, "partials": self._partials,
            "totals": self._totals, "channels": self._channels,
        }  # fmt: skip
        self._header = np.array([arrays[name].ctypes.data for name in HEADER], np.int64)
        self._header_address = self._header.ctypes.data

    def run(self) -> None:
        """Take one step for all segments: each pass in turn, on one thread or on torch's number of threads."""
        threads = torch.get_num_threads() if self.elements >= WORTH_SHARING else 1
        chunks = len(self._chunks)
        last = len(self.kernel.passes) - 1
        for i, kernel in enumerate(self.kernel.passes):
            if threads > 1:
                run_shared(kernel, self._header_address, chunks, threads)
            else:
                kernel.call(self._header_address, 0, chunks)
            if i < last and chunks:
                with np.errstate(all="ignore"):  # infinities and NaN go on, as they do in the kernel
                    np.add.reduceat(self._partials, self._first_chunk, axis=0, out=self._totals)


def _cut(sizes: NDArray[np.int64], rows: Sequence[int] | None) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Chunks (segment, start, length, width, first channel), the first one of each segment, the channels in all.

    A segment of channels is cut only between them; one without may be cut anywhere.
    """
    if rows is None:
        steps = np.full_like(sizes, CHUNK)
        channels = np.ones_like(sizes)
    else:
        widths = np.asarray(rows, np.int64)
        steps = np.maximum(1, CHUNK // widths) * widths
        channels = sizes // widths
    counts = -(-sizes // steps)
    first_chunk = np.cumsum(counts) - counts
    segment = np.repeat(np.arange(len(sizes)), counts)
    start = (np.arange(len(segment)) - first_chunk[segment]) * steps[segment]
    length = np.minimum(steps[segment], sizes[segment] - start)
    width = length if rows is None else widths[segment]
    channel = (np.cumsum(channels) - channels)[segment] + (0 if rows is None else start // width)
    chunks = np.ascontiguousarray(np.stack([segment, start, length, width, channel], axis=1), np.int64)
    return chunks, first_chunk, int(channels.sum())
