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

from fallline.racing.storage.database import CLAIM, Database, all_attributes, read_attribute, write_attribute

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_SECONDS_BETWEEN_BEATS, SECONDS_OF_SILENCE = 10.0, 60.0
#: The tokens of the claims that this process holds.
_OWN: set[str] = set()


class TakenOverError(OSError):
    """Another process runs the race now."""


@dataclass(frozen=True)
class Claim:
    """A process's word that it is running a race; the token tells it from others of the same process."""

    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)


def take_claim(session: Session, study: int, name: str, claim: Claim) -> None:
    """Claim a race, in a transaction of its own. Raises OSError, in a sentence, where it is being run."""
    held = _as_claim(read_attribute(session, study, CLAIM))
    if held is not None and _is_live(held, _clock(session)):
        raise OSError(
            f"the race '{name}' is being run by process {held['process']} on {held['host']}; wait for it, or stop it: "
            "what it has run is kept, and the same command goes on from there"
        )
    _OWN.add(claim.token)
    _beat(session, study, claim)


def forget_claim(claim: Claim) -> None:
    """Let this process no longer count as running what it claimed, without a word to the database."""
    _OWN.discard(claim.token)


def running(session: Session) -> set[int]:
    """The studies of races that this or another process is running."""
    now = _clock(session)
    claims = ((study, _as_claim(held)) for study, _, held in all_attributes(session, CLAIM))
    return {study for study, held in claims if held is not None and _is_live(held, now)}


def renew_claim(session: Session, study: int, name: str, claim: Claim) -> None:
    """Say that this process is still there. Raises TakenOverError, in a sentence, where another has the race now."""
    held = _as_claim(read_attribute(session, study, CLAIM))
    if held is None or held["token"] != claim.token:
        by = "" if held is None else f" by process {held['process']} on {held['host']}"
        raise TakenOverError(
            f"the race '{name}' was taken over{by}, as this process had been silent; leave it to that one"
        )
    _beat(session, study, claim)


def _beat(session: Session, study: int, claim: Claim) -> None:
    write_attribute(session, study, CLAIM, {**asdict(claim), "seconds": _clock(session)})


def _as_claim(fact: Any) -> dict[str, Any] | None:
    """What stands in a storage as a claim, if it is one: others may keep something of their own under its name."""
    kinds = {"host": str, "process": int, "token": str, "seconds": int | float}
    sound = isinstance(fact, dict) and all(isinstance(fact.get(key), kind) for key, kind in kinds.items())
    return fact if sound else None


def _is_live(held: dict[str, Any], now: float) -> bool:
    if now - held["seconds"] > SECONDS_OF_SILENCE:
        return False
    if held["host"] != socket.gethostname():
        return True
    # An earlier process may have had this one's number.
    return held["token"] in _OWN if held["process"] == os.getpid() else _runs(held["process"])


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
        forget_claim(self._given[3])

    def stop(self) -> None:
        """Stop, and give the claim up if it is still held."""
        database, study, _, claim = self._given
        self.silence()
        self._thread.join()
        with contextlib.suppress(OSError), database.alone() as session:
            held = _as_claim(read_attribute(session, study, CLAIM))
            if held is not None and held["token"] == claim.token:
                write_attribute(session, study, CLAIM, None)

    def _run(self) -> None:
        database, study, name, claim = self._given
        while not self._stopped.wait(_SECONDS_BETWEEN_BEATS):
            # A database that is away for a moment, or a claim that is lost, is told by the next run that is kept.
            with contextlib.suppress(OSError), database.alone() as session:
                renew_claim(session, study, name, claim)
