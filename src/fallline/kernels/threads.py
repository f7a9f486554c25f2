"""Sharing a kernel's chunks among threads: torch's OpenMP team, or a small pool of our own where there is none."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor, wait

from fallline.kernels.machine_code import Pass
from fallline.kernels.openmp import team

#: Below this many elements handing work to another thread costs more than it saves.
WORTH_SHARING = 100_000
#: Pieces for each thread, so that one that is held up leaves its share to the others.
_PIECES = 4

_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _forget_pool() -> None:
    global _pool, _pool_size
    _pool, _pool_size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # threads do not survive a fork; the child makes its own


def run_shared(kernel: Pass, header: int, chunks: int, threads: int) -> None:
    """Run a kernel over all chunks on this thread and `threads` - 1 others, without the interpreter's lock."""
    pieces = min(chunks, threads * _PIECES)
    shared = team()
    if shared is not None:
        shared(kernel.address, header, chunks, pieces, threads)
    else:
        _run_on_pool(kernel, header, chunks, pieces, threads)


def _run_on_pool(kernel: Pass, header: int, chunks: int, pieces: int, threads: int) -> None:
    bounds = [chunks * i // pieces for i in range(pieces + 1)]
    taken = itertools.count()

    def work() -> None:
        while (piece := next(taken)) < pieces:
            kernel.call(header, bounds[piece], bounds[piece + 1])

    pool = _helpers(threads - 1)
    others = [pool.submit(work) for _ in range(threads - 1)]
    work()
    wait(others)
    for other in others:
        other.result()


def _helpers(count: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < count:
        _pool = ThreadPoolExecutor(count, thread_name_prefix="fallline")
        _pool_size = count
    return _pool
