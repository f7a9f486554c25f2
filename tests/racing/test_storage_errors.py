"""Storages that can't be used are refused in a sentence that says what to do."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

import pytest

from fallline.racing.storage.database import open_database
from fallline.racing.storage.races import Card
from fallline.racing.storage.store import open_store

CARD = Card("digits", "p", "q", True, {}, {"effort": {}, "seed": 0}, 1)


@pytest.mark.parametrize(
    ("storage", "error", "sentence"),
    [
        ("{folder}", OSError, "is a folder; give a file"),
        ("{folder}/none/races.db", OSError, r"can't be written, as there is no folder .*none; give another file"),
        ("/dev/null/races.db", OSError, "can't be written"),
        ("/proc/races.db", OSError, "can't be written .*; give another file"),
        ("{folder}/notes.txt", OSError, "can't be opened as a database: file is not a database"),
        ("{folder}/tables.db", OSError, r"tables.db belongs to something else \(it holds notes\); give another one"),
        ("{folder}/old.db", OSError, "old.db holds studies of Optuna, as races were kept before; .* give another file"),
        (
            "{folder}/later.db",
            OSError,
            r"by a later version .* \(its form is 7, this one knows 1\)",
        ),
        ("sqlite://", ValueError, "is memory, which keeps nothing; give a file, or storage=None"),
        ("sqlite:///:memory:", ValueError, "is memory"),
        ("oraculum://host/races", ValueError, "'oraculum' is no kind of database for a storage; give a file, or a URL"),
        ("://", ValueError, "is no URL that can be read"),
        ("postgresql://me:p@ss:w@host:port/races", ValueError, "special characters of the password"),
        ("mysql://me:secret@host/races", ValueError, "an SQLite file or in PostgreSQL, not in mysql"),
        (
            "postgresql://me:secret@127.0.0.1:1/races",
            OSError,
            r"postgresql://me:\*\*\*@127.0.0.1:1/races can't be opened as a database",
        ),
        ("postgres://me:secret@127.0.0.1:1/races", OSError, "can't be opened as a database: .*refused"),
    ],
)
def test_a_storage_that_cannot_be_used(tmp_path: Path, storage: str, error: type[Exception], sentence: str) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to be taken for one " * 40)
    change(tmp_path / "tables.db", "create table notes (text text)")
    change(tmp_path / "old.db", "create table studies (name text)", "create table trials (name text)")
    open_database(tmp_path / "later.db").close()
    change(tmp_path / "later.db", "update fallline_storage set version = 7")
    if "postgres" in storage:
        pytest.importorskip("psycopg")
    with pytest.raises(error, match=sentence) as refused:
        open_store(storage.replace("{folder}", str(tmp_path)), CARD)
    assert "secret" not in str(refused.value)
    assert (tmp_path / "notes.txt").read_text().startswith("not a database")


def change(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("url", "module", "installed"),
    [
        ("postgresql://host/races", "psycopg", "psycopg[binary]"),
        ("postgresql+psycopg2://host/races", "psycopg2", "psycopg2-binary"),
    ],
)
def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, url: str, module: str, installed: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as refused:
        open_database(url)
    assert str(refused.value) == f"the storage {url} needs {module}; install it: pip install '{installed}'"


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "races.db"
    path.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root, every file may be written to
    with pytest.raises(OSError, match=r"can't be written \(no permission\); give another file"):
        open_database(path)


def test_a_database_that_fails_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "races.db"
    store = open_store(path, CARD)
    change(path, "drop table facts")
    with pytest.raises(OSError, match=r"races.db failed: no such table: facts"):
        store.remember("p", "plan", 1)
    store.close()
