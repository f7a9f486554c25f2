"""What keeps runs: a database of runs by their keys, what a run is known by, and the races that were asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fallline._lazy import door

if TYPE_CHECKING:
    from fallline.racing.storage.database import open_database, shown, sqlite_file
    from fallline.racing.storage.kept import KeptRun, export_to_optuna, forget_runs, kept_runs
    from fallline.racing.storage.keys import Keys, digest, problem_key
    from fallline.racing.storage.lasting import NOT_KEPT, Lasting
    from fallline.racing.storage.own_code import is_installed
    from fallline.racing.storage.races import Card, PastRace, kept_answer, kept_result, past_races, reading
    from fallline.racing.storage.schema import tables
    from fallline.racing.storage.store import open_store

#: Imported when first asked for: to list races takes no torch.
__getattr__ = door(__name__, {
    "kept": ("KeptRun", "export_to_optuna", "forget_runs", "kept_runs"),
    "database": ("open_database", "shown", "sqlite_file"),
    "schema": ("tables",),
    "keys": ("Keys", "digest", "problem_key"),
    "own_code": ("is_installed",),
    "races": ("Card", "PastRace", "kept_answer", "kept_result", "past_races", "reading"),
    "lasting": ("NOT_KEPT", "Lasting"),
    "store": ("open_store",),
})  # fmt: skip

__all__ = [
    "NOT_KEPT", "Card", "KeptRun", "Keys", "Lasting", "PastRace", "digest", "export_to_optuna", "forget_runs",
    "is_installed", "kept_answer", "kept_result", "kept_runs", "open_database",
    "open_store", "past_races", "problem_key", "reading", "shown", "sqlite_file", "tables",
]  # fmt: skip
