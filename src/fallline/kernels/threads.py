"""Sharing a kernel's chunks among threads: torch's OpenMP team, or a small pool of our own where there is none.

Torch's threads are awake after a backward pass, and would fight threads of ours.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np

from fallline.kernels.compile import UNUSED, Pass, check, load_function

#: Below this many elements handing work to another thread costs more than it saves.
WORTH_SHARING = 100_000
#: Pieces for each thread, so that one that is held up leaves its share to the others.
_PIECES = 4

_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_pool_lock = threading.Lock()
_forked = False


def _after_fork() -> None:
    # Threads do not survive a fork: the child makes a pool of its own, and OpenMP would wait for its team forever.
    global _forked, _pool, _pool_size, _pool_lock
    _forked, _pool, _pool_size, _pool_lock = True, None, 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def run_shared(kernel: Pass, header: int, chunks: int, threads: int) -> None:
    """Run a kernel over all chunks on this thread and `threads` - 1 others, without the interpreter's lock."""
    pieces = min(chunks, threads * _PIECES)
    shared = team()
    if shared is not None:
        shared(kernel.function.address, header, chunks, pieces, threads)
    else:
        _run_on_pool(kernel, header, chunks, pieces, threads)


def team() -> Callable[[int, int, int, int, int], None] | None:
    """Runs (kernel's address, header, chunks, pieces, threads) on the team; None where there is none to be had."""
    return None if _forked else _team()


#: Each thread of the team takes pieces of the chunks until none is left. A job is seven words:
#: the kernel, its unused pointers, the table's header, chunks, pieces, the counter of pieces taken, and the bits of
#: all statuses.
_TAKE_PIECES = """
define void @take_pieces(ptr %job) {
entry:
  %kernel = load ptr, ptr %job
  %at.unused = getelementptr i64, ptr %job, i64 1
  %unused = load ptr, ptr %at.unused
  %at.header = getelementptr i64, ptr %job, i64 2
  %header = load i64, ptr %at.header
  %at.chunks = getelementptr i64, ptr %job, i64 3
  %chunks = load i64, ptr %at.chunks
  %at.pieces = getelementptr i64, ptr %job, i64 4
  %pieces = load i64, ptr %at.pieces
  %counter = getelementptr i64, ptr %job, i64 5
  %statuses = getelementptr i64, ptr %job, i64 6
  br label %take
take:
  %piece = atomicrmw add ptr %counter, i64 1 monotonic
  %over = icmp sge i64 %piece, %pieces
  br i1 %over, label %done, label %work
work:
  %before = mul i64 %chunks, %piece
  %first = sdiv i64 %before, %pieces
  %after = add i64 %before, %chunks
  %last = sdiv i64 %after, %pieces
  %status = call i32 %kernel(ptr %unused, ptr %unused, i64 %header, i64 %first, i64 %last)
  %bits = zext i32 %status to i64
  %others = atomicrmw or ptr %statuses, i64 %bits monotonic
  br label %take
done:
  ret void
}
"""


@functools.cache
def _team() -> Callable[[int, int, int, int, int], None] | None:
    library = _loaded_library()
    if library is None:
        return None
    take_pieces = load_function(_TAKE_PIECES, "take_pieces")
    signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel = signature(("GOMP_parallel", library))

    def run(kernel: int, header: int, chunks: int, pieces: int, threads: int) -> None:
        job = np.array([kernel, UNUSED, header, chunks, pieces, 0, 0], np.int64)
        parallel(take_pieces.address, job.ctypes.data, threads, 0)
        check(int(job[6]))

    return run


def _loaded_library() -> ctypes.CDLL | None:
    """The GNU OpenMP library that torch has loaded; other platforms and builds have another, or none."""
    try:
        with open("/proc/self/maps", encoding="utf-8") as maps:
            paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "libgomp" in line}
        ours = [path for path in paths if "torch" in path] or sorted(paths)
        library = ctypes.CDLL(ours[0]) if ours else None
        return library if hasattr(library, "GOMP_parallel") else None
    except OSError:
        return None


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
