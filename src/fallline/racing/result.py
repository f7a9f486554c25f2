"""What a race gives back: the decision, every arm's record, and the one to take ready to use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from fallline.racing.arm_result import ArmResult
from fallline.racing.decision import Decision, Next, with_lines
from fallline.racing.diagnosed import looked_at
from fallline.racing.failure import attempted
from fallline.racing.renderers import Figure, renderer
from fallline.racing.runs import run_of
from fallline.racing.solo import slices_around, trained_again
from fallline.training import torch_threads

if TYPE_CHECKING:
    import pandas as pd

    from fallline.landscape import Diagnosis


@dataclass(frozen=True, eq=False, repr=False)
class RaceResult:
    """A finished race. Print it for the decision and the table.

    Args:
        arms: Every arm's result: the one to take, then by how far each may be from the best.
        decision: What to take, how far each arm may be from the best, and what would tell more.
        warnings: What to be wary of, in sentences.
        protocol: How it was measured, as plain data.
        occasion: What holds for this time only: seconds, machine, storage, how many runs were trained or kept before.
        slices: Cuts through the loss around the best runs; None where they were not asked for.
        diagnosis: What was found of the network that the arm to take has trained; None where nobody looked.
    """

    arms: tuple[ArmResult, ...]
    decision: Decision
    warnings: tuple[str, ...]
    protocol: Mapping[str, Any]
    occasion: Mapping[str, Any]
    slices: tuple[Mapping[str, Any], ...] | None = None
    diagnosis: Diagnosis | None = None

    @property
    def best(self) -> ArmResult:
        """The arm to take."""
        return self.arms[0]

    def __getitem__(self, name: str) -> ArmResult:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(f"no arm '{name}' in this race; there are {', '.join(arm.name for arm in self.arms)}")

    def __repr__(self) -> str:
        take = self.decision.take
        return (
            f"RaceResult('{self.protocol['problem']}', {'nothing to take' if take is None else f'take {take.arm!r}'}, "
            f"ranking {', '.join(self.decision.ranking)}; print it for the decision and the table)"
        )

    def __str__(self) -> str:
        return str(self.render("text"))

    def _repr_html_(self) -> str:
        return str(self.render("html"))

    def render(self, form: str, *given: Any) -> Any:
        """The race in another form, drawn by a function that is known by its name alone.

        Args:
            form: "text", "html", "json", "frame", "tensorboard", or what `fallline.racing.add_renderer` added.
            given: What that function takes beside the result.

        Raises:
            ValueError: There is no such form.
        """
        return renderer(form)(self, *given)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data; all that depends on a clock or a place is under "occasion"."""
        return dict(self.render("json"))

    def write_json(self, path: str | Path) -> None:
        """Write `to_json` to a file.

        Args:
            path: Where to; a file that is there is replaced.

        Raises:
            OSError: It can't be written.
        """
        Path(path).write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def with_slices(self) -> RaceResult:
        """The same result with cuts through the loss around the best runs, for which these are trained once more.

        The one of the arm to take is looked at besides, as far as that takes no more than a second. Where any of it
        fails or is interrupted it is left out, and a warning says so.
        """
        problem, training = self.best.problem, self.best.training
        models: dict[str, nn.Module] = {}

        def cut() -> tuple[Mapping[str, Any], ...]:
            sound = [arm for arm in self.arms if not arm.entry.diverged]
            runs = [run_of(arm.arm, arm.configuration, problem, arm.final_seeds[0]) for arm in sound]
            trained = zip(runs, trained_again(problem, runs, training, self.best.workers), strict=True)
            models.update((run.arm, one.model) for run, one in trained if one.model is not None)
            with torch_threads(None if training == "threads" else 1):
                return tuple(slices_around(models, problem))

        def look() -> Diagnosis | None:
            if self.diagnosis is not None or self.best.name not in models:
                return self.diagnosis
            with torch_threads(None if training == "threads" else 1):
                return looked_at(self.best.arm, self.best.configuration, problem, models[self.best.name])

        slices, failed = attempted("The cuts through the loss around the best runs are left out", cut)
        diagnosis, silent = attempted("The diagnosis is left out", look)
        return replace(self.warned(*failed, *silent), slices=slices or (), diagnosis=diagnosis)

    def diagnose(self, **asked: Any) -> Diagnosis:
        """Diagnose the network that the arm to take trains, and the run that leads there, which is trained once more.

        Args:
            asked: What `fallline.diagnose` takes beside the model and the optimizer, such as `parts`.

        Returns:
            The diagnosis; `with_diagnosis` puts it into the result, and so into its report.

        Raises:
            ValueError: The arm diverged as a whole, or nothing can be measured.
        """
        return self.best.diagnose(**asked)

    def with_diagnosis(self, diagnosis: Diagnosis) -> RaceResult:
        """The same result with the diagnosis of the arm to take.

        Args:
            diagnosis: What `diagnose` gave.
        """
        return replace(self, diagnosis=diagnosis)

    def warned(self, *sentences: str) -> RaceResult:
        """The same result with further warnings; none comes twice.

        Args:
            sentences: The warnings.
        """
        return replace(self, warnings=tuple(dict.fromkeys((*self.warnings, *sentences))))

    def going_on(self, further: Next | None) -> RaceResult:
        """The same result with how the race would go on.

        Args:
            further: That, or None where nothing is open.
        """
        return replace(self, decision=with_lines(replace(self.decision, next=further)))

    def stored(self, where: str | None, *warnings: str) -> RaceResult:
        """The same result, now that it is known whether all runs are kept.

        Args:
            where: The storage that keeps all of them, or None.
            warnings: What there is to say of it.
        """
        kept = self.occasion["storage"] if where is not None else None
        return replace(self.warned(*warnings), occasion={**self.occasion, "storage": kept})

    def report(self, path: str | Path) -> None:
        """Write the report: one page that needs no network, with cuts through the loss around the best runs.

        Args:
            path: Where to; a file that is there is replaced.

        Raises:
            OSError: It can't be written.
        """
        renderer("report")((self if self.slices is not None else self.with_slices()).to_json(), Path(path))

    def figure(
        self,
        kind: str,
        x: str = "steps",
        *,
        arms: Sequence[str] | None = None,
        limits: Mapping[str, tuple[float, float]] | None = None,
        width: float | None = None,
        runs: bool = False,
    ) -> Figure:
        """A chart of the race for a paper; its `write` takes a path that ends in .png, .svg or .pdf.

        Args:
            kind: One of `fallline.pages.charts.FIGURES`: "distance", "speed", "leaderboard", "curves", "sensitivity",
                "searched".
            x: What curves are drawn over: "steps", "samples" or "seconds".
            arms: The arms to draw, in this order; all unless given.
            limits: Ends of axes by their labels, such as `{"validation accuracy": (0.9, 1.0)}`.
            width: Of the whole figure, in inches, such as 3.3 for a column; 5 for each panel unless given. Letters
                keep their size of 9 points.
            runs: Also draw every single run behind medians.

        Raises:
            ValueError: There is no such kind, axis or arm, or nothing to show of that kind.
        """
        asked = {"x": x, "arms": arms, "limits": limits, "width": width, "runs": runs}
        drawn: Figure = renderer("figure")(self.to_json(), kind, **asked)
        return drawn

    def to_frame(self) -> pd.DataFrame:
        """Every run as a row of a pandas DataFrame: trials and finals of all arms.

        Raises:
            ImportError: pandas is not installed.
        """
        frame: pd.DataFrame = self.render("frame")
        return frame

    def to_tensorboard(self, folder: str | Path) -> None:
        """Write every run's curves and hyperparameters for TensorBoard, a run of its own each.

        Args:
            folder: Where to; it is made if it is not there.

        Raises:
            ImportError: TensorBoard is not installed.
        """
        self.render("tensorboard", Path(folder))
