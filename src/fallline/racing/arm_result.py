"""What a race gives back of one arm: its record, and the configuration that it takes ready to use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from fallline.racing.arms import Arm, torch_code
from fallline.racing.decision import Entrant
from fallline.racing.diagnosed import diagnosed
from fallline.racing.judging import Entry, Estimate
from fallline.racing.runs import Outcome, Reached, run_of
from fallline.racing.solo import trained_again
from fallline.training import Problem, fit

if TYPE_CHECKING:
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
