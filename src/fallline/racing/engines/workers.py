"""Starting worker processes of one thread each, and ending them.

On Linux they are forked from one server process, which loads torch once, while the race's problem is being checked,
and stays for later races of this process. Elsewhere, where what a system's libraries have begun does not survive a
fork, each is a process of its own. The server knows nothing of the user's program, so that a worker has whatever the
user's modules are now.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from pathlib import Path

#: One thread each. Without the last, how MKL multiplies matrices hangs on where in memory they lie, and with it the
#: last digit of a run on what else is trained beside it.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MKL_CBWR": os.environ.get("MKL_CBWR", "AUTO")}
_FORKS = sys.platform == "linux"


@dataclass(frozen=True)
class Surroundings:
    """What a worker takes over from the process that wants it."""

    path: list[str]
    folder: str
    environment: dict[str, str]
    files: Path  # where problems lie: deleted when that process is gone


class Worker:
    """A worker process, which may still be starting.

    Args:
        files: The folder where the problems lie that it is to train.
    """

    def __init__(self, files: Path) -> None:
        self.connection, other = Pipe()
        self._process: subprocess.Popen[bytes] | None = None
        #: None until it has said that it is there.
        self.pid: int | None = None
        with other:
            if _FORKS:
                _server.fork(other.fileno())
            else:
                self._process = _started("work", other.fileno())
        environment = {name: value for name, value in os.environ.items() if name not in _ENVIRONMENT}
        with suppress(OSError):  # it is gone again, as whoever receives from it will find
            self.connection.send(Surroundings([*map(str, sys.path)], os.getcwd(), environment, files))

    def end(self, *, gone: bool = False) -> None:
        """End it, whatever it does; nothing is to be ended where it is gone: its number may be another's by now."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        elif gone:
            pass
        elif self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        else:
            with suppress(OSError):
                self.connection.send(None)  # to be found as it starts
        self.connection.close()


class _Server:
    """The process that workers are forked from."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock = threading.RLock()  # races may run in several threads

    def start(self) -> None:
        """Start it, unless it runs; it is not waited for."""
        with self._lock:
            self._start()

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.stop()
        self._socket, other = socket.socketpair()
        with other:
            self._process = _started("serve", other.fileno())

    def fork(self, handle: int) -> None:
        """Ask for a worker at one end of a connection."""
        with self._lock:
            self._start()
            assert self._socket is not None
            try:
                socket.send_fds(self._socket, [b"w"], [handle])
            except OSError:  # it ended just now
                self.stop()
                self.fork(handle)

    def stop(self) -> None:
        """Close the socket, at which it ends."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._socket = None


_server = _Server()
atexit.register(_server.stop)


def warm_up(workers: int | None = None, ray: str | None = None) -> None:
    """Begin to load what a race's processes need, so that it is there when they are wanted.

    Args:
        workers: As `fallline.race` is given it.
        ray: As `fallline.race` is given it.
    """
    if _FORKS and workers != 1 and ray is None:
        _server.start()


def _started(function: str, handle: int) -> subprocess.Popen[bytes]:
    """A process that runs a function of the other side with an inherited handle.

    It belongs to no terminal's group: Ctrl-C is for this process alone, which ends the others.
    """
    program = (
        f"import sys; sys.path[:] = {[*map(str, sys.path)]!r}; "
        f"from fallline.racing.engines import worker; worker.{function}({handle})"
    )
    command, environment = [sys.executable, "-c", program], {**os.environ, **_ENVIRONMENT}
    if sys.platform == "win32":
        os.set_handle_inheritable(handle, True)
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, startupinfo=startup,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )  # fmt: skip
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, pass_fds=[handle], process_group=0)
