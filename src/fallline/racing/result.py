"""What a race gives back: the decision, every arm's record, and the one to take ready to use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from fallline.racing.arms import Arm, torch_code
from fallline.racing.decision import Decision, Entrant, Next, with_lines
from fallline.racing.diagnosed import diagnosed, looked_at
from fallline.racing.failure import attempted
from fallline.racing.judging import Entry, Estimate
from fallline.racing.renderers import Figure, renderer
from fallline.racing.runs import Outcome, Reached, run_of
from fallline.racing.solo import slices_around, trained_again
from fallline.training import Problem, fit, torch_threads

if TYPE_CHECKING:
    import pandas as pd

    from fallline.landscape import Diagnosis
    from fallline.schedules import Schedule


#: Of a run that is diagnosed.
_CHECKPOINTS = 8


class Trained(NamedTuple):
    """A run that was trained again.

    Args:
        model: The network that it ended with.
        outcome: What it came to.
        seed: What it was drawn from.
    """

    model: nn.Module
    outcome: Outcome
    seed: int


@dataclass(frozen=True, eq=False, repr=False)
class ArmResult:
    """One arm after the race: its trials and finals, and the configuration that it takes.

    That is the finalist of best mean validation over the tuning seed and the fresh seeds.

    Args:
        arm: The arm.
        problem: What was trained.
        entry: Its trials and finals as numbers.
        entrant: Its runs as the decision sees them.
        reached: The target, or each goal of a ladder of losses: how many runs of the best configuration got there, and
            the median effort.
        trials: The outcome of each trial's longest run; none where nothing is searched.
        finals: Those of the finalists' runs, each on every fresh seed; those of the configuration that it takes first.
        final_seeds: The fresh seeds, the same for all arms.
        score: The mean test score of that configuration over the seeds, with its 95 % interval. A seed that diverged
            counts as the untrained model, or as the worst score where that is worse. None for an arm that diverged as
            a whole.
        training: How the race trained its runs.
        workers: In how many processes it was asked to; None for one a core.
    """

    arm: Arm
    problem: Problem
    entry: Entry
    entrant: Entrant
    reached: tuple[Reached, ...]
    trials: tuple[Outcome, ...]
    finals: tuple[tuple[Outcome, ...], ...]
    final_seeds: tuple[int, ...]
    score: Estimate | None = None
    training: str = "in turn"
    workers: int | None = None

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.arm.name

    @property
    def configuration(self) -> dict[str, Any]:
        """The configuration that it takes: what was searched."""
        return dict(self.entry.trials[self.entry.finals[0].trial].configuration)

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration and, where batch sizes were raced, `run_lr`, the rate that the run had with its batch."""
        return self.arm.report(self.configuration, self.problem)

    @property
    def diverged_trials(self) -> int:
        """Trials that diverged."""
        return sum(not trial.usable for trial in self.entry.trials) if self.entry.searched else 0

    @property
    def diverged_seeds(self) -> int:
        """Final runs of the best configuration that diverged: those that its score counts so."""
        return int((~self.entry.finals[0].usable).sum())

    @property
    def diverged_finals(self) -> int:
        """Final runs that diverged, over all finalists."""
        return int(sum((~final.usable).sum() for final in self.entry.finals))

    def optimizer(self, params: Iterable[Any]) -> torch.optim.Optimizer:
        """A torch optimizer with the best configuration.

        Args:
            params: Parameters, or groups of them, as any optimizer of torch takes them.

        Raises:
            ValueError: The arm diverged as a whole.
        """
        return self.arm.optimizer(params, self._sound(), self.problem)

    def schedule(self) -> Schedule | None:
        """The schedule of the best configuration over the race's steps, to `drive` the optimizer; None for none.

        Raises:
            ValueError: The arm diverged as a whole.
        """
        return self.arm.schedule(self._sound(), self.problem)

    def code(self) -> str:
        """A program fragment that makes the best optimizer, in plain torch where torch has it.

        What is the user's own and in no module that could be imported goes by its name there, as a comment says.

        Raises:
            ValueError: The arm diverged as a whole.
        """
        return torch_code(self.arm, self._sound(), self.problem)

    def train(self, seed: int | None = None) -> Trained:
        """Train the best configuration again as the race did, to the bit on the same machine.

        Args:
            seed: Of the weights, the batches and all that is drawn; the first final seed by default.

        Returns:
            The network, and what the run came to.

        Raises:
            ValueError: The arm diverged as a whole, or this run did.
        """
        run = run_of(self.arm, self._sound(), self.problem, self.final_seeds[0] if seed is None else seed)
        (outcome,) = trained_again(self.problem, [run], self.training, self.workers)
        if outcome.model is None:
            raise ValueError(
                f"the run of arm '{self.name}' from seed {run.seed} diverged; train another seed, or by fallline.fit"
            )
        return Trained(outcome.model, outcome, run.seed)

    def model(self) -> nn.Module:
        """The network that the best configuration trains from the first final seed: trained again, as none is kept.

        Raises:
            ValueError: The arm diverged as a whole, or this run did.
        """
        return self.train().model

    def diagnose(self, **asked: Any) -> Diagnosis:
        """Diagnose the network that the best configuration trains, and the run that leads there.

        Args:
            asked: What `fallline.diagnose` takes beside the model and the optimizer, such as `parts`.

        Returns:
            The findings, and all that was measured.

        Raises:
            ValueError: The arm diverged as a whole, or nothing can be measured.
        """
        configuration = self._sound()
        recipe = self.arm.recipe(configuration, self.problem)
        run = fit(
            self.problem.with_batch(recipe.batch), self.optimizer, schedule=self.schedule(), seed=self.final_seeds[0],
            checkpoints=_CHECKPOINTS, progress=False,
        )  # fmt: skip
        return diagnosed(self.arm, configuration, self.problem, run, **asked)

    def _sound(self) -> dict[str, Any]:
        if self.entry.diverged:
            raise ValueError(
                f"arm '{self.name}' diverged as a whole, so none of its configurations is fit for use; "
                "lower its learning rates and race again"
            )
        return self.configuration

    def __repr__(self) -> str:
        if self.entry.diverged or self.score is None:
            return f"ArmResult('{self.name}', diverged)"
        settings = [
            f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.configuration.items()
        ]
        return f"ArmResult({', '.join([repr(self.name), *settings])}, test score {self.score.value:.4g})"


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

    def figure(self, kind: str, x: str = "steps") -> Figure:
        """A chart of the race for a paper; its `write` takes a path that ends in .png, .svg or .pdf.

        Args:
            kind: One of `fallline.pages.charts.FIGURES`: "distance", "speed", "leaderboard", "curves", "sensitivity",
                "searched".
            x: What curves are drawn over: "steps", "samples" or "seconds".

        Raises:
            ValueError: There is no such kind or axis, or nothing to show of that kind.
        """
        drawn: Figure = renderer("figure")(self.to_json(), kind, x=x)
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
