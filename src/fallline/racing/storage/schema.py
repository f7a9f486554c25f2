"""The tables of a storage, and rows that are written over those that are there."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy import Executable, Table
    from sqlalchemy.engine import Connection

#: Of the tables; a storage of another is refused.
VERSION = 1


class Tables(NamedTuple):
    """The tables: runs by key, the races that were asked, which runs each of them had, and facts by name."""

    version: Table
    runs: Table
    races: Table
    asked: Table
    facts: Table


_TABLES: list[Tables] = []


def tables() -> Tables:
    """The tables, made when first asked for, since SQLAlchemy takes a while to import.

    >>> tables().runs.name
    'runs'
    """
    if not _TABLES:
        _TABLES.append(_made())
    return _TABLES[0]


def _made() -> Tables:
    from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text

    metadata = MetaData()
    runs = Table(
        "runs", metadata, Column("key", Text, primary_key=True), Column("problem_key", Text), Column("problem", Text),
        Column("arm", Text), Column("configuration", Text), Column("seed", BigInteger), Column("steps", BigInteger),
        Column("scored", Boolean), Column("value", Float), Column("kept_at", Float), Column("outcome", LargeBinary),
    )  # fmt: skip
    races = Table(
        "races", metadata, Column("race", Integer, primary_key=True), Column("question", Text, unique=True),
        Column("name", Text, unique=True), Column("card", Text), Column("changed_at", Float), Column("result", Text),
    )  # fmt: skip
    asked = Table(
        "asked", metadata, Column("place", Integer, primary_key=True), Column("race", Integer), Column("stage", Text),
        Column("number", Integer), Column("key", Text), Index("of_race", "race", "stage", "number", unique=True),
    )  # fmt: skip
    facts = Table(
        "facts", metadata, Column("scope", Text, primary_key=True), Column("name", Text, primary_key=True),
        Column("value", Text),
    )  # fmt: skip
    version = Table("fallline_storage", metadata, Column("version", Integer, primary_key=True))
    return Tables(version, runs, races, asked, facts)


def upsert(connection: Connection, table: Table, rows: list[dict[str, Any]], *, by: tuple[str, ...]) -> None:
    """Write rows, over those that are there with the same values in the columns `by`."""
    if rows:
        connection.execute(_upserting(connection.dialect.name, table, tuple(rows[0]), by), rows)


@functools.cache
def _upserting(dialect: str, table: Table, columns: tuple[str, ...], by: tuple[str, ...]) -> Executable:
    import sqlalchemy.dialects.postgresql as postgresql
    import sqlalchemy.dialects.sqlite as sqlite

    insert: Any = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    others = {name: insert.excluded[name] for name in columns if name not in by}
    statement: Executable = insert.on_conflict_do_update(index_elements=by, set_=others)
    return statement
