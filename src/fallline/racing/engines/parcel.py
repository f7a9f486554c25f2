"""What goes to another process and comes back: lambdas, a script's own classes, rules, tensors; outcomes and errors."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import IO, Any

import cloudpickle
import torch

from fallline.racing.runs import Job, Outcome, train_job
from fallline.symbolic import Combinator, Rule, combinator, rule
from fallline.training import Problem, ProblemError, first_line


def pack(thing: object) -> bytes:
    """Pack anything into bytes.

    >>> unpack(pack(lambda x: x + 1))(2)
    3
    """
    buffer = io.BytesIO()
    torch.save(thing, buffer, pickle_module=_PICKLING)
    return buffer.getvalue()


def pack_job(job: Job) -> bytes:
    """Pack a job; what its arms take from a file outside any package goes along by value.

    Raises ValueError, naming the arms, if something in it can't be packed.
    """
    try:
        with _by_value([run.lane.rule for run in job.runs]):
            return pack(job)
    except Exception as error:
        arms = ", ".join(dict.fromkeys(run.arm for run in job.runs))
        raise ValueError(
            f"an arm among {arms} can't be sent to another process ({first_line(error)}); keep open files, locks and "
            "connections out of what makes its optimizer, or train in this process alone: give workers=1"
        ) from error


def can_be_sent(problem: Problem, job: Job) -> bool:
    """Whether a problem and a job can be packed, and a network to come back."""
    try:
        pack_job(job)
        pack_problem(problem, _Nowhere())
        torch.save(problem.build(0), _Nowhere(), pickle_module=_PICKLING)
    except Exception:  # a stranger's object may do anything as it is packed
        return False
    return True


class _Nowhere(io.BytesIO):
    """Takes whatever is written."""

    def write(self, content: Any) -> int:
        return memoryview(content).nbytes


def pack_problem(problem: Problem, target: Path | IO[bytes]) -> None:
    """Pack a problem into a file or a buffer.

    Where its model, loss or metric comes from a file outside any package, what that file defines goes along by value,
    as from the file that Python was started with: another machine may not have the file.

    Raises ProblemError if something in it can't be packed.
    """
    try:
        with _by_value([problem.model, problem.loss, problem.metric.function]):
            torch.save(problem, target, pickle_module=_PICKLING)
    except Exception as error:
        raise ProblemError(
            f"the problem can't be sent to another process ({first_line(error)}); keep open files, locks and "
            "connections out of its model, loss and metric, or train in this process alone: give workers=1."
        ) from error


def unpack(parcel: bytes | Path) -> Any:
    """Unpack bytes, or the file that they were written to; its tensors are mapped, so processes share their memory."""
    if isinstance(parcel, Path):
        return torch.load(str(parcel), mmap=True, weights_only=False)
    return torch.load(io.BytesIO(parcel), weights_only=False)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, thing: Any) -> Any:
        """Pack what another process can't look up by its name by what it was made of."""
        # What is composed of rules says so; the parts that are not follow from a function of a name.
        if isinstance(thing, Rule | Combinator) and isinstance(thing.__reduce__(), str) and not _found(thing):
            return _made, (type(thing), _packed_function(thing))
        if isinstance(thing, CodeType):  # cloudpickle leaves out the file, without which a failure there has no place
            return _code_of, (*self.dispatch_table[CodeType](thing), thing.co_filename)
        return super().reducer_override(thing)


#: What `torch.save` asks of a module like pickle.
_PICKLING = SimpleNamespace(__name__=__name__, Pickler=_Pickler)


@functools.lru_cache(maxsize=512)
def _packed_function(thing: Rule | Combinator) -> bytes:
    return pack(thing.function)


@functools.lru_cache(maxsize=512)
def _made(kind: type[Rule] | type[Combinator], function: bytes) -> Rule | Combinator:
    """The one rule or combinator of a packed function, so that a worker's jobs share its kernel."""
    return rule(unpack(function)) if kind is Rule else combinator(unpack(function))


def _code_of(make: Callable[..., CodeType], arguments: tuple[Any, ...], file: str) -> CodeType:
    return make(*arguments).replace(co_filename=file)


def _found(thing: Rule | Combinator) -> bool:
    """Whether a package holds it under its name."""
    module = sys.modules.get(thing.__module__)
    return module is not None and not _is_script(module) and getattr(module, thing.__qualname__, None) is thing


def _is_script(module: ModuleType) -> bool:
    """Whether a module is a file outside any package, or what Python was started with."""
    name = module.__name__
    return name == "__main__" or (not module.__package__ and "." not in name and name not in sys.stdlib_module_names)


@contextlib.contextmanager
def _by_value(things: Iterable[object]) -> Iterator[None]:
    modules = {sys.modules.get(getattr(thing, "__module__", None) or "") for thing in things}
    known = cloudpickle.list_registry_pickle_by_value()
    ours = [module for module in modules if module and _is_script(module) and module.__name__ not in known]
    for module in ours:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in ours:
            cloudpickle.unregister_pickle_by_value(module)


#: How often a job is begun again after its worker died.
RERUNS = 3


@dataclass
class _Report:
    outcomes: list[Outcome] = field(default_factory=list)
    error: BaseException | None = None
    warned: list[tuple[type[Warning], str, str, int]] = field(default_factory=list)


def attempt(problem: Callable[[], Problem], job: bytes, tell: Callable[[int], None]) -> bytes:
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
        "fewer workers or smaller data, else train in this process alone, to see what it dies of: give workers=1"
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
