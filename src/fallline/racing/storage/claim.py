"""Who is running a race: one process, which says every few seconds that it is still there."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallline.racing.storage.attributes import CLAIM, all_attributes, read_attribute, write_attribute
from fallline.racing.storage.database import Database

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_SECONDS_BETWEEN_BEATS, SECONDS_OF_SILENCE = 10.0, 60.0


@dataclass(frozen=True)
class Claim:
    """A process's word that it is running a race; the token tells it from others of the same process."""

    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)


def take_claim(session: Session, study: int, name: str, claim: Claim) -> None:
    """Claim a race, in a transaction of its own. Raises OSError, in a sentence, where another process is running it."""
    held = read_attribute(session, study, CLAIM)
    if held is not None and _is_live(held, claim, _clock(session)):
        raise OSError(
            f"the race '{name}' is being run by process {held['process']} on {held['host']}; wait for it, or stop it: "
            "what it has run is kept, and the same command goes on from there"
        )
    _beat(session, study, claim)


def running_elsewhere(session: Session) -> set[int]:
    """The studies of races that other processes are running."""
    now, own = _clock(session), Claim()
    claims = all_attributes(session, CLAIM)
    return {study for study, _, held in claims if held is not None and _is_live(held, own, now)}


def renew_claim(session: Session, study: int, name: str, claim: Claim) -> None:
    """Say that this process is still there. Raises OSError, in a sentence, where it has lost the race to another."""
    held = read_attribute(session, study, CLAIM)
    if held is None or held["token"] != claim.token:
        by = "" if held is None else f" by process {held['process']} on {held['host']}"
        raise OSError(f"the race '{name}' was taken over{by}, as this process had been silent; leave it to that one")
    _beat(session, study, claim)


def _beat(session: Session, study: int, claim: Claim) -> None:
    write_attribute(session, study, CLAIM, {**asdict(claim), "seconds": _clock(session)})


def _is_live(held: dict[str, Any], claim: Claim, now: float) -> bool:
    if now - held["seconds"] > SECONDS_OF_SILENCE:
        return False
    return held["host"] != claim.host or (held["process"] != claim.process and _runs(held["process"]))


def _runs(process: int) -> bool:
    """Whether a process of this machine is running; taken for granted where it can't be asked."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return not _is_zombie(process)


def _is_zombie(process: int) -> bool:
    """Whether a process has ended and is only kept until its parent asks after it, which Linux tells."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "Z"


def _clock(session: Session) -> float:
    """Seconds by the database's clock, the same for all hosts."""
    from datetime import UTC

    from sqlalchemy import func, select

    now = session.execute(select(func.now())).scalar_one()
    return (now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp()


class Heartbeat:
    """Renews a claim from a thread until it is stopped or the claim is lost."""

    def __init__(self, database: Database, study: int, name: str, claim: Claim) -> None:
        self._given = database, study, name, claim
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fallline heartbeat", daemon=True)
        self._thread.start()

    def silence(self) -> None:
        """Stop without a word to the database, as is safe at any moment."""
        self._stopped.set()

    def stop(self) -> None:
        """Stop, and give the claim up if it is still held."""
        database, study, _, claim = self._given
        self.silence()
        self._thread.join()
        with contextlib.suppress(OSError), database.alone() as session:
            held = read_attribute(session, study, CLAIM)
            if held is not None and held["token"] == claim.token:
                write_attribute(session, study, CLAIM, None)

    def _run(self) -> None:
        database, study, name, claim = self._given
        while not self._stopped.wait(_SECONDS_BETWEEN_BEATS):
            # A database that is away for a moment, or a claim that is lost, is told by the next run that is kept.
            with contextlib.suppress(OSError), database.alone() as session:
                renew_claim(session, study, name, claim)
