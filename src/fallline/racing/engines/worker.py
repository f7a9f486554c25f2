"""The other side of the processes: one that has loaded what training needs and forks workers, and what a worker does.

A worker is told first what the process that wants it has in `sys.path` and around it, and then one job after the other.
It ends, in the midst of a job too, when the connection does, as it must where the process that wants its work is gone.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

import torch

from fallline.racing.engines.parcel import attempt, unpack
from fallline.racing.engines.stopwatch import Stopwatch
from fallline.training import Problem

#: What the first job of a process would load.
_LATE = ("torch.fx.experimental.symbolic_shapes", "fallline.kernels.compile")
#: Without work for so long a server ends; whoever wants it again starts it again.
_IDLE_SECONDS = 600


@dataclass(frozen=True)
class Surroundings:
    """What a worker takes over from the process that wants it."""

    path: list[str]
    folder: str
    environment: dict[str, str]
    files: Path  # where problems lie: deleted when that process is gone


def serve(handle: int) -> None:
    """Fork a worker for each connection that comes in through a socket, until that is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no worker that has ended stays on as a zombie
    for module in _LATE:
        with suppress(ImportError):
            import_module(module)
    with socket.socket(fileno=handle) as server:
        server.settimeout(_IDLE_SECONDS)
        while True:
            try:
                _, handles, _, _ = socket.recv_fds(server, 1, 1)
            except TimeoutError:
                return
            if not handles:
                return
            if not os.fork():
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                try:
                    work(handles[0])
                finally:
                    os._exit(1)
            os.close(handles[0])


def work(handle: int) -> None:
    """Train the jobs that come in through a connection, until that is closed."""
    connection = _connection(handle)
    around: Surroundings = connection.recv()
    sys.path[:] = around.path
    os.chdir(around.folder)
    os.environ.update(around.environment)
    torch.set_num_threads(1)  # where a variable of the system's says something else
    jobs: SimpleQueue[tuple[Path, bytes]] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, jobs, around.files), daemon=True).start()
    with suppress(OSError):  # the listener ends the process then
        connection.send(os.getpid())
        while True:
            file, job = jobs.get()
            watch = Stopwatch()
            parcel = attempt(functools.partial(_problem, file), job, _teller(connection, watch))
            _flush()
            connection.send((parcel, watch.read()))
    threading.Event().wait()


def _listen(connection: Connection, jobs: SimpleQueue[tuple[Path, bytes]], files: Path) -> None:
    """Pass jobs on, and end this process where none will come any more, whatever it does."""
    try:
        while (job := connection.recv()) is not None:
            jobs.put(job)
    except (EOFError, OSError):  # nobody else is there to do it
        shutil.rmtree(files, ignore_errors=True)
    os._exit(1)


def _flush() -> None:
    """Let out what the user's code has printed, which would be lost in a process that is killed."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):
            stream.flush()


def _teller(connection: Connection, watch: Stopwatch) -> Callable[[int], None]:
    def tell(steps: int) -> None:
        if watch.due():
            connection.send((None, watch.read(steps)))

    return tell


@functools.lru_cache(maxsize=1)
def _problem(file: Path) -> Problem:
    problem: Problem = unpack(file)
    return problem


def _connection(handle: int) -> Connection:
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection

        return PipeConnection(handle)
    return Connection(handle)
