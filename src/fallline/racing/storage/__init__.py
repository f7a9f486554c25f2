"""What keeps a race: an Optuna database with its runs, what it is known again by, and the races of before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fallline._lazy import door

if TYPE_CHECKING:
    from fallline.racing.storage.database import (
        CARD,
        RESULT,
        all_attributes,
        open_database,
        read_attribute,
        shown,
        sqlite_file,
    )
    from fallline.racing.storage.races import PastRace, RaceCard, kept_result, past_races
    from fallline.racing.storage.sources import is_installed
    from fallline.racing.storage.store import Lasting, Store, open_store

#: Imported when first asked for: to list races takes neither torch nor what a race is known again by.
__getattr__ = door(__name__, {
    "database": ("CARD", "RESULT", "all_attributes", "open_database", "read_attribute", "shown", "sqlite_file"),
    "races": ("PastRace", "RaceCard", "kept_result", "past_races"),
    "sources": ("is_installed",),
    "store": ("Lasting", "Store", "open_store"),
})  # fmt: skip

__all__ = [
    "CARD", "RESULT", "Lasting", "PastRace", "RaceCard", "Store", "all_attributes", "is_installed",
    "kept_result", "open_database", "open_store", "past_races", "read_attribute", "shown", "sqlite_file",
]  # fmt: skip
