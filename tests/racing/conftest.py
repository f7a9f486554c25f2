"""A real PostgreSQL server for the tests that need one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a throw-away PostgreSQL server."""
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = str(folders[-1] / "initdb") if folders else shutil.which("initdb")
    if found is None:
        pytest.skip("PostgreSQL's initdb is neither in /usr/lib/postgresql/*/bin nor on the path")
    # The server refuses to run as root, and its user can't enter root's own temporary folders.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
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
        options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
        access = ["--auth=scram-sha-256", f"--pwfile={secret}", "-U", "racer"]
        commands = [found, "-D", data, "-N", *access], [control(found), "-D", data, "-o", options, "-w", "start"]
        for command in commands:
            subprocess.run([*user, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=300)
        try:
            yield f"postgresql://racer:p%40ss%3Aword@127.0.0.1:{port}/postgres"
        finally:
            stop = [control(found), "-D", data, "-m", "immediate", "stop"]
            subprocess.run([*user, *stop], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=300)


def control(initdb: str) -> str:
    return str(Path(initdb).with_name("pg_ctl"))
