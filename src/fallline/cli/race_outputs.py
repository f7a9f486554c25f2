"""The files that a race writes: tried before anything is spent, and written when it has ended."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fallline.cli.fail import fail

if TYPE_CHECKING:
    from fallline.racing.result import RaceResult


@dataclass(frozen=True)
class Outputs:
    """Where the result, the page and the curves go; None writes none of it."""

    json: Path | None
    report: Path | None
    tensorboard: Path | None

    def of_problem(self, name: str) -> Outputs:
        """Those of one problem among several, whose result is written with that of the others.

        >>> Outputs(Path("all.json"), Path("race.html"), None).of_problem("digits")
        Outputs(json=None, report=PosixPath('race-digits.html'), tensorboard=None)
        """
        report = None if self.report is None else self.report.with_stem(f"{self.report.stem}-{name}")
        return Outputs(None, report, None if self.tensorboard is None else self.tensorboard / name)

    def check(self) -> None:
        """Leave with a sentence where something can't be written."""
        for option, file in (("--json", self.json), ("--report", self.report)):
            if file is not None:
                _check_file(option, file)
        if self.tensorboard is not None:
            if self.tensorboard.is_file():
                fail(f"--tensorboard {self.tensorboard}: that is a file; give a folder")
            if importlib.util.find_spec("tensorboard") is None:
                fail("--tensorboard needs TensorBoard: pip install 'fallline[tensorboard]'")

    def write(self, result: RaceResult) -> list[str]:
        """Write all of it and say where it is; the sentences, without their ends, that say what could not be."""
        curves = f"The curves are written to {{}}: tensorboard --logdir {self.tensorboard}"
        return [
            *write_file("--json", self.json, result.write_json, "All of it is written to {}."),
            *write_file("--report", self.report, result.report, "The report is in {}: open it in a browser."),
            *write_file("--tensorboard", self.tensorboard, result.to_tensorboard, curves),
        ]


def write_file(option: str, path: Path | None, write: Callable[[Path], object], told: str) -> list[str]:
    """Write something, if a path is given, and say where it is; or the sentence, without its end, on why it failed."""
    if path is None:
        return []
    from fallline.training.errors import first_line

    try:
        write(path)
    except Exception as error:  # a full disk, or whatever the user's own objects do when they are written down
        said = error.strerror if isinstance(error, OSError) else None
        return [f"{option} {path} can't be written ({said or first_line(error)})"]
    print(told.format(path.resolve()))
    return []


def leave_if_unwritten(failed: list[str], result: RaceResult) -> None:
    """Leave with a sentence where something could not be written, which says where the result is kept."""
    if failed:
        kept = result.occasion["storage"]
        where = "the result is nowhere but above" if kept is None else f"the result is kept in {kept['where']}"
        fail(f"{'; '.join(failed)}; {where}{'' if kept is None else ', and `fallline report` makes its page'}", 1)


def _check_file(option: str, file: Path) -> None:
    """Leave with a sentence where a file can't be written; what was not there is not made."""
    if not file.resolve().parent.is_dir():
        fail(f"{option} {file}: there is no folder {file.resolve().parent}")
    if file.is_dir():
        fail(f"{option} {file}: that is a folder; give a file")
    there = file.exists()
    try:
        with file.open("a"):
            pass
        if not there:
            file.unlink()
    except OSError as error:
        fail(f"{option} {file} can't be written ({error.strerror}); give another file")
