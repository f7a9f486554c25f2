"""Connecting to a Ray cluster, or saying soon and in a sentence why that can't be done."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import subprocess
import sys
from typing import Any

#: An address that does not answer like a Ray cluster keeps Ray itself trying for minutes.
_SECONDS_TO_OPEN, _SECONDS_TO_ANSWER = 5, 15
_CLIENT = "ray://"


def connect(address: str) -> tuple[Any, bool]:
    """The ray module, connected, and whether this call connected it: a session that there is already is used as it is.

    `address` is "auto" for the cluster that this machine is a part of, "local" for a new one on this machine alone,
    "host:port" or "ray://host:port".

    Raises ImportError without Ray, ValueError for what is no address, and ConnectionError, an OSError, where no cluster
    answers at the address.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ImportError("a race on a Ray cluster needs Ray: pip install 'fallline[ray]'") from error
    if ray.is_initialized():
        return ray, False
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    if address not in ("auto", "local"):
        _check_answers(address)
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except (Exception, SystemExit) as error:  # the latter is how Ray gives up
        raise _no_cluster(address, str(error) or "it does not answer") from error
    return ray, True


def _check_answers(address: str) -> None:
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"ray must be 'auto', 'local', 'host:port' or 'ray://host:port'; got {address!r}")
    try:
        socket.create_connection((host, int(port)), _SECONDS_TO_OPEN).close()
    except OSError as error:
        raise _no_cluster(address, str(error)) from error
    if address.startswith(_CLIENT):
        return
    try:
        status = subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address],
            capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _no_cluster(address, f"no answer as Ray gives it within {_SECONDS_TO_ANSWER} s") from error
    if status.returncode:
        raise _no_cluster(address, (status.stderr.strip().splitlines() or ["it does not answer"])[-1])


def _no_cluster(address: str, reason: str) -> ConnectionError:
    said = reason.strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    return ConnectionError(
        f"no Ray cluster can be used at '{address}' ({said}); start one with `ray start --head`, give the address "
        "that it prints, or ray='local' for a new one on this machine"
    )
