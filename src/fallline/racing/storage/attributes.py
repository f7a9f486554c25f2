"""The user attributes of Optuna's studies, read and written within a transaction, one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: What a race is, who is running it, and what came of it, in the attributes of its study.
CARD, CLAIM, RESULT = "fallline race", "claim", "result"


def read_attribute(session: Session, study: int, key: str) -> Any | None:
    """The value of a study's attribute, or None."""
    row = _row(session, study, key)
    return None if row is None else json.loads(row.value_json)


def write_attribute(session: Session, study: int, key: str, value: Any) -> None:
    """Set a study's attribute to plain data."""
    from optuna.storages._rdb.models import StudyUserAttributeModel

    text = json.dumps(value)
    row = _row(session, study, key)
    if row is None:
        session.add(StudyUserAttributeModel(study_id=study, key=key, value_json=text))
    else:
        row.value_json = text


def has_attribute(session: Session, study: int, key: str) -> bool:
    """Whether a study has an attribute, whose value may be long."""
    from optuna.storages._rdb.models import StudyUserAttributeModel as Attribute
    from sqlalchemy import select

    query = select(Attribute.study_id).where(Attribute.study_id == study, Attribute.key == key)
    return session.execute(query).first() is not None


def _row(session: Session, study: int, key: str) -> Any:
    from optuna.storages._rdb.models import StudyUserAttributeModel as Attribute
    from sqlalchemy import select

    return session.scalars(select(Attribute).where(Attribute.study_id == study, Attribute.key == key)).one_or_none()


def all_attributes(session: Session, key: str) -> list[tuple[int, str, Any]]:
    """Every study that has an attribute, the oldest first: its number, its name, and the attribute's value."""
    from optuna.storages._rdb.models import StudyModel
    from optuna.storages._rdb.models import StudyUserAttributeModel as Attribute
    from sqlalchemy import select

    query = select(StudyModel.study_id, StudyModel.study_name, Attribute.value_json).join_from(StudyModel, Attribute)
    rows = session.execute(query.where(Attribute.key == key).order_by(StudyModel.study_id))
    return [(study, name, json.loads(text)) for study, name, text in rows]
