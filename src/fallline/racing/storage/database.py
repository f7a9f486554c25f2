"""The database that keeps runs: opened from a file name or a URL, every failure told in a sentence."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fallline.racing.storage.schema import VERSION, tables

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine


_SECONDS_FOR_A_LOCK, _SECONDS_TO_CONNECT, _SECONDS_BETWEEN_TRIES = 60, 10, 0.2
#: Drivers by the module that Python does not find, and what installs them.
_DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}


@dataclass(frozen=True)
class Database:
    """An open storage; `where` is what it is called, without a password; of a file `opened` is which one that was."""

    engine: Engine
    where: str
    opened: tuple[int, int] | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction. Raises OSError, in a sentence, if the database fails."""
        self._check_there()
        with told(self.where, "failed"), self.engine.begin() as connection:
            yield connection

    def _check_there(self) -> None:
        """Raise OSError for a file that has gone: SQLite goes on writing to what no name leads to any more."""
        if self.opened is None:
            return
        there = _file_id(self.where)
        if there != self.opened:
            what = "was deleted" if there is None else "was replaced by another file"
            raise OSError(f"the storage {self.where} {what} while it was in use")

    def reopen(self) -> None:
        """Open it anew, by connections that remember nothing. Raises OSError, in a sentence, if that can't be done."""
        self.close()
        self._check_there()
        with told(self.where, "failed"):
            _prepare(self)

    def close(self) -> None:
        """Close its connections."""
        self.engine.dispose()


def sqlite_file(storage: str | Path) -> Path | None:
    """The SQLite file that a storage is, or None for that of a server.

    >>> str(sqlite_file("sqlite:///runs.db")), sqlite_file("postgresql://host/runs")
    ('runs.db', None)
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

    >>> shown("postgresql://me:secret@host/runs"), shown("runs.db")
    ('postgresql://me:***@host/runs', 'runs.db')
    """
    file = sqlite_file(storage)
    return _parsed(str(storage)).set(query={}).render_as_string(hide_password=True) if file is None else str(file)


def open_database(storage: str | Path) -> Database:
    """Open an SQLite file, made if it is not there, or the PostgreSQL database of a URL.

    Raises ValueError for a URL of another kind, ImportError where its driver is not installed, OSError for what can't
    be opened, or was written by another version.
    """
    file = sqlite_file(storage)
    database = _of_file(file) if file is not None else _of_url(str(storage))
    try:
        with told(database.where, "can't be opened as a database"):
            _prepare(database)
    except BaseException:
        database.close()
        raise
    return database


def _of_url(storage: str) -> Database:
    from sqlalchemy import create_engine

    url = _parsed(storage)
    if url.drivername == "postgres":
        url = url.set(drivername="postgresql")
    if url.get_backend_name() != "postgresql":
        raise ValueError(
            f"a race keeps its runs in an SQLite file or in PostgreSQL, not in {url.get_backend_name()}; give a file, "
            "or a URL such as postgresql://user:password@host/database"
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    options = {} if "connect_timeout" in url.query else {"connect_timeout": _SECONDS_TO_CONNECT}
    where = shown(storage)
    try:
        return Database(create_engine(url, pool_pre_ping=True, connect_args=options), where)
    except ImportError as error:
        missing = error.name or "psycopg"
        raise ImportError(
            f"the storage {where} needs {missing}; install it: pip install '{_DRIVERS.get(missing, missing)}'"
        ) from error


def _of_file(path: Path) -> Database:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import QueuePool

    path = path.resolve()
    _check_file(path)

    def connect() -> sqlite3.Connection:
        # To write, a transaction takes the lock as it begins, so that none has to be given up half-way.
        connection = sqlite3.connect(
            path, timeout=_SECONDS_FOR_A_LOCK, check_same_thread=False, isolation_level="IMMEDIATE"
        )
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    # Connecting by ourselves, a file may be called whatever it likes, without a URL's rules.
    return Database(create_engine("sqlite://", creator=connect, poolclass=QueuePool), str(path), _file_id(str(path)))


def _prepare(database: Database, tries: int = 5) -> None:
    """Make the tables, or see that those that are there are ours; again where another process makes them right now."""
    from sqlalchemy.exc import DBAPIError

    ours = tables()
    try:
        found = _version(database)
        with database.engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                # Written ahead and synced at checkpoints: as safe when a process is killed, with far fewer waits.
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        # SQLite makes each table in a transaction of its own; by the first one the others are known to be ours.
        ours.version.create(database.engine, checkfirst=True)
        ours.runs.metadata.create_all(database.engine)
        if found is None:
            with database.engine.begin() as connection:
                connection.execute(ours.version.insert().values(version=VERSION))
    except DBAPIError as error:
        if not tries or not _made_elsewhere(error):
            raise
        time.sleep(_SECONDS_BETWEEN_TRIES)
        _prepare(database, tries - 1)


def _version(database: Database) -> int | None:
    """That of the tables; None where none are there yet. Raises OSError where they are not ours to write to."""
    from sqlalchemy import inspect, select

    version = tables().version
    names = sorted(inspect(database.engine).get_table_names())
    if not names:
        return None
    if version.name not in names:
        if {"studies", "trials"} <= set(names):
            raise OSError(
                f"the storage {database.where} holds studies of Optuna, as races were kept before; it stays as it is: "
                "give another file"
            )
        raise OSError(
            f"the storage {database.where} belongs to something else (it holds {', '.join(names[:3])}); give another "
            "one"
        )
    with database.engine.connect() as connection:
        found = connection.execute(select(version.c.version)).scalar()
    if found not in (None, VERSION):
        raise OSError(
            f"the storage {database.where} was written by a later version of Fallline (its form is {found}, this one "
            f"knows {VERSION}); install that version, or give another file"
        )
    return found


def _made_elsewhere(error: Exception) -> bool:
    return any(word in str(error) for word in ("already exists", "UNIQUE constraint", "duplicate key"))


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
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        said = getattr(error, "orig", None) or error.__cause__ or error
        raise OSError(f"the storage {where} {what}: {' '.join(str(said).split())}") from error
