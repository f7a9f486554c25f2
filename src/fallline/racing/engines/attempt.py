"""What a worker makes of a job, and how that comes back: outcomes, warnings, or the error itself."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fallline.racing.engines.parcel import pack, unpack
from fallline.racing.runs import Job, Outcome, Tell, train_job
from fallline.training import Problem, ProblemError
from fallline.training.errors import first_line

#: How often a job is begun again after its worker died.
RERUNS = 3


@dataclass
class _Report:
    outcomes: list[Outcome] = field(default_factory=list)
    error: BaseException | None = None
    warned: list[tuple[type[Warning], str, str, int]] = field(default_factory=list)


def attempt(problem: Callable[[], Problem], job: bytes, tell: Tell) -> bytes:
    """Train a packed job in a worker, and pack what comes of it; the user's errors are part of that."""
    report = _Report()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")  # once a place; whether to show them is for the other side to say
        try:
            report.outcomes = train_job(_loaded(problem), _loaded(lambda: unpack(job)), tell)
        except (Exception, SystemExit) as error:
            report.error = _portable(error)
    report.warned = [(one.category, str(one.message), one.filename, one.lineno) for one in caught]
    return pack(report)


def read_report(parcel: bytes, shown: dict[Any, Any]) -> list[Outcome]:
    """The outcomes that a worker sent, or its error raised; its warnings are given, each place once in `shown`."""
    report: _Report = unpack(parcel)
    for category, text, file, line in report.warned:
        warnings.warn_explicit(text, category, file, line, registry=shown)
    if report.error is not None:
        raise report.error
    return report.outcomes


def lost(job: Job, times: int) -> ChildProcessError:
    """The error of a job whose workers keep dying."""
    arms = ", ".join(dict.fromkeys(run.arm for run in job.runs))
    return ChildProcessError(
        f"a worker died {times} times while it trained the same runs of {arms}; if memory ran out, give "
        "fewer workers or smaller data, else train in this process alone to see what it dies of: leave workers and "
        "ray out"
    )


def _loaded(load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (ImportError, AttributeError) as error:
        raise ProblemError(
            f"a worker can't load what it is to train ({first_line(error)}); install what the problem imports where "
            "the workers run, or define it in the problem's own file."
        ) from error


def _portable(error: BaseException) -> BaseException:
    """The error with the worker's traceback as a note; where it can't be sent, another that says the same."""
    told = "In a worker:\n" + "".join(traceback.format_exception(error))
    error.add_note(told)
    try:
        again = unpack(pack(error))
    except Exception:
        again = None
    if str(again) == str(error) and getattr(again, "__notes__", None):
        return error
    other = RuntimeError(f"{type(error).__name__}: {error}")
    other.add_note(told)
    return other
