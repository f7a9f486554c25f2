"""A rule's kernel for one type of number, and the segment table that it works on.

The table has a row for each tensor with its addresses and scalars, and the chunks that threads share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.kernels.compile import Pass, compile_passes
from fallline.kernels.eager import host_numbers, host_scalars
from fallline.kernels.source import HEADER, numba_source
from fallline.kernels.threads import WORTH_SHARING, run_shared
from fallline.symbolic import Plan, Rule, described, make_plan

#: Sums over all tensors, by what they sum: a number for each owner, [owners].
Sums = dict[str, Any]


#: Elements in a chunk: small enough to share evenly, large enough that its start costs nothing.
CHUNK = 1 << 15
#: The types of number that kernels are made for, by torch's and NumPy's common name.
DTYPES = ("float32", "float64")


class Kernel:
    """A rule's plan, its host scalars and, compiled when first needed, its passes.

    `columns` names the tensors of a segment in the order of the table: p, g, then the states. For each level of sums
    `columns_of` says where they lie among the totals, and `joint` where those over all tensors lie, by what they sum.

    Args:
        rule: What it computes.
        static: Hyperparameters that are settled while tracing.
        dtype: "float32" or "float64".
    """

    def __init__(self, rule: Rule, static: Mapping[str, Any], dtype: str) -> None:
        self.rule = rule
        self.dtype = dtype
        self._static = dict(static)
        self.plan: Plan = make_plan(rule.trace(**self._static))
        self.scalars = host_scalars(self.plan)
        self.new_numbers = host_numbers(self.plan)
        self.columns = ("p", "g", *(state.name for state in rule.tensor_states))
        self.columns_of: list[slice] = []
        self.joint: list[dict[str, int]] = []
        first = 0
        for one in self.plan.passes[:-1]:
            totals = [reduction for reduction in one.reductions if reduction.operation != "channel_sum"]
            self.columns_of.append(slice(first, first + len(totals)))
            self.joint.append(
                {described(r.args[0]): first + i for i, r in enumerate(totals) if r.operation == "joint_sum"}
            )
            first += len(totals)

    @property
    def source(self) -> str:
        """The Numba source of all passes."""
        return numba_source(self.plan, self.dtype, self.rule.latex(**self._static))

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        """The compiled functions, in the order in which they run."""
        return compile_passes(f"{self.rule.name}_{self.dtype}", self.source, len(self.plan.passes))


@lru_cache(maxsize=512)
def _kernel(rule: Rule, static: tuple[tuple[str, Any], ...], dtype: str) -> Kernel:
    return Kernel(rule, dict(static), dtype)


def kernel_for(rule: Rule, dtype: str, static: Mapping[str, Any] | None = None) -> Kernel:
    """The one kernel of a rule with these static hyperparameters and this type of number.

    Args:
        rule: What it computes.
        dtype: "float32" or "float64".
        static: Hyperparameters that are settled while tracing; their defaults if left out.

    Raises:
        ValueError: There are no kernels for this type of number.
        RuleError: The rule has other hyperparameters to settle.

    >>> from fallline.rules import adam
    >>> kernel_for(adam, "float32").columns
    ('p', 'g', 'm', 'v')
    """
    if dtype not in DTYPES:
        raise ValueError(
            f"there are no kernels for {dtype} tensors, only for {' and '.join(DTYPES)}; "
            "convert them, or use the classes of fallline.optim, which step other tensors without a kernel"
        )
    return _kernel(rule, tuple(sorted((static or {}).items())), dtype)


class SegmentTable:
    """What one kernel works on: many tensors, one launch.

    Fill `addresses` ([segments, columns], columns as in `kernel.columns`) and `scalars` ([segments,
    kernel.scalars.count]), then `run`. Whoever fills in the addresses answers for what lies there: contiguous memory
    of the kernel's type, alive during `run`.

    Args:
        kernel: What runs.
        sizes: The tensors' element counts, none of them zero.
        widths: The elements in a channel of each; None for the whole tensor.
        owners: Numbers from 0 of the optimizers or lanes that the segments belong to, for sums over all tensors;
            None for one.
    """

    def __init__(
        self,
        kernel: Kernel,
        sizes: Sequence[int],
        widths: Sequence[int] | None = None,
        owners: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        self.kernel = kernel
        #: How many passes end in sums that the last one needs.
        self.levels = len(kernel.plan.passes) - 1
        self.owners: NDArray[np.int64] = np.asarray(owners if owners is not None else [0] * len(sizes), np.int64)
        self.elements = int(sum(sizes))
        self.addresses: NDArray[np.int64] = np.zeros((len(sizes), len(kernel.columns)), np.int64)
        self.scalars: NDArray[np.float64] = np.zeros((len(sizes), max(1, kernel.scalars.count)))
        rows = (widths or sizes) if kernel.plan.uses_channels else None
        self._chunks, self._first_chunk, channels = _cut(np.asarray(sizes, np.int64), rows)
        reductions = kernel.plan.reductions
        sums = len(kernel.plan.totals)
        per_channel = len(reductions) - sums
        self._partials = np.zeros((len(self._chunks), max(1, sums)) if reductions else (1, 1))
        self.totals = np.zeros((len(sizes), max(1, sums)) if reductions else (1, 1))
        self._channels = np.zeros((channels, per_channel) if per_channel else (1, 1))
        arrays = {
            "addresses": self.addresses, "scalars": self.scalars, "chunks": self._chunks, "partials": self._partials,
            "totals": self.totals, "channels": self._channels,
        }  # fmt: skip
        # Not by `ctypes`, which costs a matrix method, whose tables live for one launch, several times as much.
        self._header = np.array([arrays[name].__array_interface__["data"][0] for name in HEADER], np.int64)
        self._header_address: int = self._header.__array_interface__["data"][0]

    def run(self) -> None:
        """Take one step for all segments, with sums over all tensors taken over this table's alone."""
        if self.levels:
            run_jointly([self])
        else:
            self.write()

    def reduce(self, level: int) -> Sums:
        """Run the pass of a level of sums.

        Args:
            level: From 0.

        Returns:
            Those over all tensors by what they sum, a number an owner.
        """
        self._launch(level)
        columns = self.kernel.columns_of[level]
        totals = self.totals[:, columns]
        with np.errstate(all="ignore"):  # infinities and NaN go on, as they do in the kernel
            if len(self._chunks):
                np.add.reduceat(self._partials[:, columns], self._first_chunk, axis=0, out=totals)
            return {
                key: np.bincount(self.owners, self.totals[:, column])
                for key, column in self.kernel.joint[level].items()
            }

    def share(self, level: int, sums: Sums) -> None:
        """Take the sums over all tensors.

        Args:
            level: From 0.
            sums: What `reduce` gave, of all tables together.
        """
        for key, column in self.kernel.joint[level].items():
            self.totals[:, column] = sums[key][self.owners]

    def write(self) -> None:
        """Run the last pass, which writes."""
        self._launch(self.levels)

    def _launch(self, number: int) -> None:
        """Run a pass on this thread, or on torch's number of threads."""
        kernel = self.kernel.passes[number]
        threads = torch.get_num_threads() if self.elements >= WORTH_SHARING else 1
        if threads > 1:
            run_shared(kernel, self._header_address, len(self._chunks), threads)
        else:
            kernel.call(self._header_address, 0, len(self._chunks))


class Joint(Protocol):
    """What takes part in a step: it sums level by level, then writes."""

    @property
    def levels(self) -> int:
        """How many levels of sums there are before the writing."""

    def reduce(self, level: int) -> Sums:
        """Compute the sums of a level.

        Args:
            level: From 0.

        Returns:
            This part's share of those over all tensors.
        """

    def share(self, level: int, sums: Sums) -> None:
        """Take the sums of all parts together.

        Args:
            level: From 0.
            sums: Those over all tensors.
        """

    def write(self) -> None:
        """Write parameters and states."""


def run_jointly(parts: Sequence[Joint]) -> None:
    """Take one step. All sums are known before anything is written, so that no part sees another half-way.

    Args:
        parts: Tables, and what steps tensors outside of them.
    """
    for level in range(max((part.levels for part in parts), default=0)):
        taking = [part for part in parts if level < part.levels]
        joined: Sums = {}
        for part in taking:
            for key, value in part.reduce(level).items():
                joined[key] = _added(joined[key], value) if key in joined else value
        for part in taking:
            part.share(level, joined)
    for part in parts:
        part.write()


def _added(a: Any, b: Any) -> Any:
    if len(a) < len(b):
        a, b = b, a
    return a + b if len(a) == len(b) else a + np.pad(b, (0, len(a) - len(b)))


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
