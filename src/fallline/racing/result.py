"""What a race gives back: every arm's record, the verdict, and the best one ready to use."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fallline.racing.arms.arm import Arm
from fallline.racing.judging.records import Entry, Estimate, Verdict
from fallline.racing.judging.statistics import budget_curve, mean_interval
from fallline.racing.progress_to_target import Reached


@dataclass(frozen=True, eq=False, repr=False)
class ArmResult:
    """One arm after the race: its trials and finals, and its best configuration by validation.

    `bounds` are the lowest and highest value that the score can take.
    """

    arm: Arm
    entry: Entry
    reached: tuple[Reached, ...]
    valid_curves: Mapping[str, list[list[float]]]
    bounds: tuple[float, float]

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.arm.name

    @property
    def configuration(self) -> dict[str, float]:
        """The best configuration by validation: what was searched."""
        return dict(self.entry.trials[self.entry.finals[0].trial].configuration)

    @property
    def score(self) -> Estimate | None:
        """Mean test score of the best configuration over the seeds that did not diverge, with its 95 % interval.

        The interval is Student's, cut off where the score itself must end.
        """
        final = self.entry.finals[0]
        if not final.usable.any():
            return None
        found, (lowest, highest) = mean_interval(final.scores[final.usable]), self.bounds
        return Estimate(found.value, max(found.low, lowest), min(found.high, highest))

    @property
    def diverged_trials(self) -> int:
        """Trials that diverged."""
        return sum(not trial.usable for trial in self.entry.trials)

    @property
    def diverged_finals(self) -> int:
        """Final runs that diverged, over all finalists."""
        return int(sum((~final.usable).sum() for final in self.entry.finals))

    def optimizer(self, params: Iterable[Any]) -> torch.optim.Optimizer:
        """A torch optimizer with the best configuration. Raises ValueError for an arm that diverged as a whole."""
        if self.entry.diverged:
            raise ValueError(
                f"arm '{self.name}' diverged as a whole, so none of its configurations is fit for use; "
                "lower its learning rates and race again"
            )
        return self.arm.make(params, self.configuration)

    def __repr__(self) -> str:
        if self.entry.diverged or self.score is None:
            return f"ArmResult('{self.name}', diverged)"
        settings = ", ".join(f"{name}={value:.3g}" for name, value in self.configuration.items())
        return f"ArmResult('{self.name}', {settings}, test score {self.score.value:.4g})"

    def to_json(self, untrained: float, sign: float) -> dict[str, Any]:
        """Plain data; numbers that are not finite are null."""
        entry, score = self.entry, self.score
        losses = [sign * trial.score if trial.usable else None for trial in entry.trials]
        worst = max([loss for loss in losses if loss is not None] + [sign * untrained])
        curve = sign * budget_curve([worst if loss is None else loss for loss in losses])
        best = entry.finals[0]
        record: dict[str, Any] = _plain(
            {
                "name": self.name,
                "best": None
                if entry.diverged
                else {"configuration": self.configuration, "trial": best.trial, "fixed": self.arm.fixed_values},
                "trials": [
                    {
                        "configuration": dict(trial.configuration), "score": trial.score, "diverged": not trial.usable,
                        "valid_loss": loss, "valid_metric": metric,
                    }
                    for trial, loss, metric in zip(
                        entry.trials, self.valid_curves["loss"], self.valid_curves["metric"], strict=True
                    )
                ],
                "finals": [
                    {
                        "trial": final.trial, "configuration": dict(entry.trials[final.trial].configuration),
                        "scores": final.scores.tolist(), "diverged": final.diverged.tolist(),
                    }
                    for final in entry.finals
                ],
                "statistics": {
                    "score": None if score is None else asdict(score),
                    "seeds": len(best.scores),
                    "space": dict(entry.space),
                    "diverged_trials": self.diverged_trials,
                    "diverged_finals": self.diverged_finals,
                    "step_seconds": entry.step_seconds,
                    "bytes_per_parameter": entry.bytes_per_parameter,
                    "reached": [asdict(goal) for goal in self.reached],
                    "expected_best_of_k_trials": curve.tolist(),
                },
            }
        )  # fmt: skip
        return record


@dataclass(frozen=True, eq=False, repr=False)
class RaceResult:
    """A finished race. Print it for the table and the verdict.

    `arms` are in the verdict's ranking; `protocol` says how it was measured.
    """

    arms: tuple[ArmResult, ...]
    verdict: Verdict
    protocol: Mapping[str, Any]

    @property
    def best(self) -> ArmResult:
        """The winner, or the arm that ranks first where there is none."""
        return self.arms[0]

    def __getitem__(self, name: str) -> ArmResult:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(f"no arm '{name}' in this race; there are {', '.join(arm.name for arm in self.arms)}")

    def __repr__(self) -> str:
        winner = self.verdict.winner
        return (
            f"RaceResult('{self.protocol['problem']}', {'no winner' if winner is None else f'winner {winner!r}'}, "
            f"ranking {', '.join(self.verdict.ranking)}; print it for the table and the verdict)"
        )

    def __str__(self) -> str:
        from fallline.racing.table import as_text

        return as_text(self)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        sign = -1.0 if self.protocol["higher_is_better"] else 1.0
        return {
            "protocol": _plain(dict(self.protocol)),
            "arms": [arm.to_json(self.protocol["untrained_score"], sign) for arm in self.arms],
            "verdict": _plain(asdict(self.verdict)),
        }

    def write_json(self, path: str | Path) -> None:
        """Write `to_json` to a file."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    return value
