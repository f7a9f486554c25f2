"""How `fallline race` leaves where something failed: with a sentence, and with what has become of the runs."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from fallline.cli.console import fail


def leave(error: Exception, storage: str, *, whole: bool, problem: str | None) -> NoReturn:
    """Leave with what an error says: a sentence of Fallline's, or that the user's own code failed after some steps."""
    from fallline.racing.failure import failed_at, is_sentence
    from fallline.symbolic import RuleError
    from fallline.training import first_line

    own = failed_at(error) is not None
    if isinstance(error, ValueError | OSError | ImportError | LookupError | RuleError) and (
        is_sentence(error) or not own
    ):
        told = str(error.args[0] if isinstance(error, LookupError) else error)
        fail(told, error=error, whole=whole, beside=problem)
    if not own and not isinstance(error, RuntimeError):
        raise error
    kept = f"{what_is_kept(error, storage)}, and the same command goes on once it is mended"
    kind = type(error).__name__
    sentence = f"something failed in mid-race ({kind}: {first_line(error).removeprefix(f'{kind}: ')}); {kept}."
    fail(sentence, 1, error, whole=whole, beside=problem)


def what_is_kept(error: BaseException, storage: str) -> str:
    """What has become of the runs that had ended when an error came."""
    from fallline.racing.storage import NOT_KEPT

    lost = next((note for note in getattr(error, "__notes__", ()) if note.startswith(NOT_KEPT)), None)
    if lost is None:
        return f"the runs that had ended are kept in {_shown(storage)}"
    return f"not all of the runs that had ended are kept: {lost.removeprefix(NOT_KEPT)}"


def _shown(storage: str) -> str:
    """A storage in a sentence: a whole path, or a URL without its password."""
    from fallline.racing.storage import shown

    return shown(storage) if "://" in storage else str(Path(storage).resolve())
