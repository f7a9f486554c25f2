"""The user attributes of Optuna's studies, read and written within a transaction, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fallline.racing.storage.tables import tables

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

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
