"""A throw-away PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class MissingServerError(Exception):
    """There is no PostgreSQL here."""


@dataclass(frozen=True)
class Server:
    """A server that runs: where, and how it is begun and ended."""

    url: str
    control: tuple[str, ...]
    folder: str

    def start(self) -> None:
        """Begin again after a stop."""
        self._run("-w", "start")

    def stop(self) -> None:
        """End at once, whoever is connected."""
        self._run("-m", "immediate", "stop")

    def _run(self, *what: str) -> None:
        subprocess.run([*self.control, *what], cwd=self.folder, check=True, stdout=subprocess.DEVNULL, timeout=300)


@contextmanager
def postgres() -> Iterator[Server]:
    """A server of its own in a temporary folder, with a password that needs quoting in a URL.

    Raises MissingServerError where PostgreSQL or its driver is not installed.
    """
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise MissingServerError("the driver psycopg is not installed") from error
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = str(folders[-1] / "initdb") if folders else shutil.which("initdb")
    if found is None:
        raise MissingServerError("PostgreSQL's initdb is neither in /usr/lib/postgresql/*/bin nor on the path")
    # The server refuses to run as root, and its user can't enter root's own temporary folders.
    user = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, "postgres")
        secret = Path(folder, "password")
        secret.write_text("p@ss:word")
        secret.chmod(0o644)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        data = str(Path(folder, "data"))
        access = ["--auth=scram-sha-256", f"--pwfile={secret}", "-U", "racer"]
        made = [*user, found, "-D", data, "-N", *access]
        subprocess.run(made, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=300)
        control = (
            *user,
            str(Path(found).with_name("pg_ctl")),
            "-D",
            data,
            "-o",
            f"-p {port} -h 127.0.0.1 -k {folder} -F",
        )
        server = Server(f"postgresql://racer:p%40ss%3Aword@127.0.0.1:{port}/postgres", control, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
