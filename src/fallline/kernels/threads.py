"""Sharing a kernel's chunks among threads: torch's OpenMP team, or a small pool of our own where there is none."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from fallline.kernels.machine_code import Pass
from fallline.kernels.openmp import team

#: Below this many elements handing work to another thread costs more than it saves.
WORTH_SHARING = 100_000
#: Pieces for each thread, so that one that is held up leaves its share to the others.
_PIECES = 4

_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_pool_lock = threading.Lock()


def _forget_pool() -> None:
    global _pool, _pool_size, _pool_lock
    _pool, _pool_size, _pool_lock = None, 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # threads do not survive a fork; the child makes its own


def run_shared(kernel: Pass, header: int, chunks: int, threads: int) -> None:
    """Run a kernel over all chunks on this thread and `threads` - 1 others, without the interpreter's lock."""
    pieces = min(chunks, threads * _PIECES)
    shared = team()
    if shared is not None:
        shared(kernel.function.address, header, chunks, pieces, threads)
    else:
        _run_on_pool(kernel, header, chunks, pieces, threads)


def _run_on_pool(kernel: Pass, header: int, chunks: int, pieces: int, threads: int) -> None:
    bounds = [chunks * i // pieces for i in range(pieces + 1)]
    taken = itertools.count()
    stopped = False

    def work() -> None:
        while not stopped and (piece := next(taken)) < pieces:
            kernel.call(header, bounds[piece], bounds[piece + 1])

    others = _start_helpers(work, threads - 1)
    try:
        work()
        wait(others)
    except BaseException:  # an interrupt too: nobody may write once this has returned
        stopped = True
        wait(others)
        raise
    for other in others:
        other.result()


def _start_helpers(work: Callable[[], None], count: int) -> list[Future[None]]:
    global _pool, _pool_size
    with _pool_lock:  # so that no other thread shuts the pool down before all have their work
        if _pool is None or _pool_size < count:
            if _pool is not None:
                _pool.shutdown(wait=False)  # once they have done what they were given
            _pool = ThreadPoolExecutor(count, thread_name_prefix="fallline")
            _pool_size = count
        return [_pool.submit(work) for _ in range(count)]
