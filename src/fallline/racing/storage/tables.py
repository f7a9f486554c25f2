"""Optuna's own table classes, which it keeps private: no other module knows where they are."""

from __future__ import annotations

from typing import Any


def tables() -> Any:
    """The module of Optuna's classes for its tables: `StudyModel`, `TrialModel` and so on.

    >>> tables().StudyModel.__tablename__
    'studies'
    """
    from optuna.storages._rdb import models

    return models
