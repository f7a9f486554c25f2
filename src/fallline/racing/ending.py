"""What is done once a race has been judged: whatever of it fails becomes a sentence, and the result stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fallline.racing.storage.store import Lasting
from fallline.training import first_line

if TYPE_CHECKING:
    from fallline.racing.result import RaceResult

Found = TypeVar("Found")


def attempted(without: str, work: Callable[[], Found]) -> tuple[Found | None, tuple[str, ...]]:
    """What work gives; where it fails or is interrupted None, and a sentence that begins with what is done `without`.

    It is for what comes after the last run: an interruption then ends this work, not the race, whose runs may be kept
    nowhere else.

    >>> attempted("The cuts are left out", lambda: 1 // 0)
    (None, ('The cuts are left out (ZeroDivisionError: integer division or modulo by zero).',))
    """
    try:
        return work(), ()
    except KeyboardInterrupt:
        reason = "interrupted"
    except (Exception, SystemExit) as error:  # the user's code may do anything
        reason = type(error).__name__
        try:
            said = first_line(error)
            reason = said if isinstance(error, OSError) else reason if said == reason else f"{reason}: {said}"
        except Exception:  # an error that can't say what it is
            pass
    return None, (f"{without} ({reason}).",)


def ended(result: RaceResult, store: Lasting, *, slices: bool) -> RaceResult:
    """The result with its cuts if they are asked for, kept in the store; what of that fails is among its warnings."""
    for arm in result.arms:
        if not arm.entry.diverged:
            result = result.warned(*attempted(f"The program for {arm.name} could not be written", arm.code)[1])
    result = _kept(result, store)
    if slices:
        result = _kept(result.with_slices(), store)
    told, failed = attempted("Whether every run is kept is not known", store.told)
    return result.stored(store.where if told == () else None, *(told or failed))


def _kept(result: RaceResult, store: Lasting) -> RaceResult:
    without = "The result could not be kept in the storage; the runs are, if no other warning says otherwise"
    return result.warned(*attempted(without, lambda: store.remember("result", result.to_json()))[1])
