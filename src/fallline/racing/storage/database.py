"""An Optuna database: opened from a file name or a URL, every failure told in a sentence; its studies' attributes."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import URL
    from sqlalchemy.orm import Session


_SECONDS_FOR_A_LOCK, _SECONDS_TO_CONNECT, _SECONDS_BETWEEN_TRIES = 60, 10, 0.2
#: Drivers by the module that Python does not find, and what installs them.
_DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}


@dataclass(frozen=True)
class Database:
    """An open storage; `where` is what it is called, without a password; of a file `opened` is which one that was."""

    storage: RDBStorage
    where: str
    opened: tuple[int, int] | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction on Optuna's own tables. Raises OSError, in a sentence, if the database fails."""
        from sqlalchemy.orm import Session

        self._check_there()
        with told(self.where, "failed"), Session(self.storage.engine) as session, session.begin():
            yield session

    @contextmanager
    def alone(self) -> Iterator[Session]:
        """A transaction that no other process has such a one beside; if this process dies, nothing of it is left."""
        from sqlalchemy import update

        version = tables().VersionInfoModel
        with self.session() as session:
            # Every database locks a row, or itself, that is written to; this one stays as it is.
            session.execute(update(version).values(schema_version=version.schema_version))
            yield session

    def _check_there(self) -> None:
        """Raise OSError for a file that has gone: SQLite goes on writing to what no name leads to any more."""
        if self.opened is None:
            return
        there = _file_id(self.where)
        if there != self.opened:
            what = "was deleted" if there is None else "was replaced by another file"
            raise OSError(f"the storage {self.where} {what} while it was in use")

    def close(self) -> None:
        """Close its connections."""
        self.storage.remove_session()
        self.storage.engine.dispose()


def sqlite_file(storage: str | Path) -> Path | None:
    """The SQLite file that a storage is, or None for that of a server.

    >>> str(sqlite_file("sqlite:///races.db")), sqlite_file("postgresql://host/races")
    ('races.db', None)
    """
    if isinstance(storage, Path) or "://" not in storage:
        return Path(storage)
    url = _parsed(storage)
    if url.get_backend_name() != "sqlite":
        return None
    if url.database in (None, "", ":memory:"):
        raise ValueError(f"the storage {storage} is memory, which keeps nothing; give a file, or storage=None")
    return Path(url.database)


def shown(storage: str | Path) -> str:
    """A storage as it may be shown: without a password.

    >>> shown("postgresql://me:secret@host/races"), shown("races.db")
    ('postgresql://me:***@host/races', 'races.db')
    """
    file = sqlite_file(storage)
    return _parsed(str(storage)).set(query={}).render_as_string(hide_password=True) if file is None else str(file)


def open_database(storage: str | Path) -> Database:
    """Open an SQLite file, made if it is not there, or the Optuna storage of a URL.

    Raises ValueError for a URL that names no kind of database, ImportError where its driver is not installed, OSError
    for what can't be opened.
    """
    file = sqlite_file(storage)
    if file is not None:
        return _of_file(file)
    url = _parsed(str(storage))
    if url.get_backend_name() == "mysql":
        raise ValueError(
            "MySQL cuts a text off after 64 kB, and a race keeps longer ones; give an SQLite file or a PostgreSQL URL"
        )
    where = shown(storage)
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.get_backend_name() == "postgresql" and "connect_timeout" not in url.query:
        options["connect_args"] = {"connect_timeout": _SECONDS_TO_CONNECT}
    with told(where, "can't be opened"):
        return Database(_storage(url.render_as_string(hide_password=False), where, options), where)


def _of_file(path: Path) -> Database:
    from sqlalchemy.pool import QueuePool

    path = path.resolve()
    _check_file(path)

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=_SECONDS_FOR_A_LOCK, check_same_thread=False)
        # Written ahead and synced at checkpoints: as safe when a process is killed, and far fewer waits for the disk.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    # Connecting by ourselves, a file may be called whatever it likes, without a URL's rules.
    with told(str(path), "is no Optuna database that can be opened"):
        storage = _storage("sqlite://", str(path), {"creator": connect, "poolclass": QueuePool})
    return Database(storage, str(path), _file_id(str(path)))


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise OSError(f"the storage {path} is a folder; give a file")
    if not path.parent.is_dir():
        raise OSError(f"the storage {path} can't be written, as there is no folder {path.parent}; give another file")
    # A file that is there is not opened: closing it would take SQLite's locks off that another race here holds.
    try:
        if not path.exists():
            path.touch()
        elif not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, "no permission")
    except OSError as error:
        raise OSError(f"the storage {path} can't be written ({error.strerror}); give another file") from error


def _storage(url: str, where: str, options: dict[str, Any]) -> RDBStorage:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        # Optuna fills in its version where braces stand.
        return _made(url.replace("{", "{{").replace("}", "}}"), options)
    except ImportError as error:
        missing = getattr(error.__cause__ or error, "name", None) or "psycopg"
        raise ImportError(
            f"the storage {where} needs {missing}; install it: pip install '{_DRIVERS.get(missing, missing)}'"
        ) from error
    except RuntimeError as error:  # tables of another version of Optuna
        raise OSError(f"the storage {where} can't be used: {error}") from error


def _made(url: str, options: dict[str, Any], tries: int = 5) -> RDBStorage:
    """Optuna's storage; tried again where another process is making the same tables at the same moment."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import DBAPIError, IntegrityError

    try:
        return RDBStorage(url, engine_kwargs=options)
    except DBAPIError as error:
        if not tries or not (isinstance(error, IntegrityError) or "already exists" in str(error)):
            raise
    time.sleep(_SECONDS_BETWEEN_TRIES)
    return _made(url, options, tries - 1)


def _parsed(storage: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        url = make_url(storage)
        if url.drivername != "postgres":
            url.get_dialect()
    except NoSuchModuleError as error:
        kind = storage.partition("://")[0]
        raise ValueError(
            f"'{kind}' is no kind of database for a storage; give a file, or a URL such as "
            "postgresql://user:password@host/database"
        ) from error
    except (ArgumentError, ValueError) as error:
        raise ValueError(
            "the storage is no URL that can be read; it should be like postgresql://user:password@host/database, with "
            "special characters of the password written as %40 for @ and so on"
        ) from error
    return url


@contextmanager
def told(where: str, what: str) -> Iterator[None]:
    """Raise OSError, in a sentence, for what a database has to say."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OptunaError, SQLAlchemyError, sqlite3.Error) as error:
        raise OSError(f"the storage {where} {what}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """What the database itself said, on one line."""
    origin = getattr(error, "orig", None) or error.__cause__ or error
    origin = getattr(origin, "orig", None) or origin
    return " ".join(str(origin).split())


#: What a race is, who is running it, and what came of it, in the attributes of its study.
CARD, CLAIM, RESULT = "fallline race", "claim", "result"


def read_attribute(session: Session, study: int, key: str) -> Any | None:
    """The value of a study's attribute, or None where there is none that can be read."""
    row = _row(session, study, key)
    return None if row is None else next(_values(row.value_json), None)


def write_attribute(session: Session, study: int, key: str, value: Any) -> None:
    """Set a study's attribute to plain data."""
    text = json.dumps(value)
    row = _row(session, study, key)
    if row is None:
        session.add(tables().StudyUserAttributeModel(study_id=study, key=key, value_json=text))
    else:
        row.value_json = text


def has_attribute(session: Session, study: int, key: str) -> bool:
    """Whether a study has an attribute, whose value may be long."""
    from sqlalchemy import select

    attribute = tables().StudyUserAttributeModel
    query = select(attribute.study_id).where(attribute.study_id == study, attribute.key == key)
    return session.execute(query).first() is not None


def _row(session: Session, study: int, key: str) -> Any:
    from sqlalchemy import select

    attribute = tables().StudyUserAttributeModel
    return session.scalars(select(attribute).where(attribute.study_id == study, attribute.key == key)).one_or_none()


def all_attributes(session: Session, key: str) -> list[tuple[int, str, Any]]:
    """Every study that has an attribute, the oldest first: its number, its name, and the attribute's value.

    What others wrote there in a form that can't be read is passed over.
    """
    from sqlalchemy import select

    study, attribute = tables().StudyModel, tables().StudyUserAttributeModel
    query = select(study.study_id, study.study_name, attribute.value_json).join_from(study, attribute)
    rows = session.execute(query.where(attribute.key == key).order_by(study.study_id))
    return [(number, name, value) for number, name, text in rows for value in _values(text)]


def _values(text: str) -> Iterator[Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return
    if "\\ud" in text.lower():  # JSON can hold lone surrogates, which no page and no file can
        value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    yield value


def tables() -> Any:
    """The module of Optuna's classes for its tables: `StudyModel`, `TrialModel` and so on.

    >>> tables().StudyModel.__tablename__
    'studies'
    """
    from optuna.storages._rdb import models

    return models
