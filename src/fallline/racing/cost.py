"""What a race will cost, said before it starts and again once the tuning has shown how fast this machine is."""

from __future__ import annotations

from dataclasses import dataclass

from fallline.racing.wording import counted, duration, rough_duration


@dataclass(frozen=True)
class Cost:
    """Numbers of runs, the steps and samples of each, and the seconds that each stage should take."""

    arms: int
    tuning_runs: int
    final_runs: int
    steps: int
    samples: int
    tuning_seconds: float
    final_seconds: float

    @property
    def seconds(self) -> float:
        """Of the whole race."""
        return self.tuning_seconds + self.final_seconds

    def before(self) -> str:
        """All of it, before anything is spent.

        >>> Cost(1, 8, 5, 340, 21560, 4.0, 3.0).before().split(": ")[1]
        '13 runs of 340 steps (8 to tune, 5 finals), 4,420 steps and 280,280 samples in all, about 7 seconds of \
training by steps measured just now.'
        """
        runs = self.tuning_runs + self.final_runs
        return (
            f"{counted(self.arms, 'arm')}: {counted(runs, 'run')} of {counted(self.steps, 'step')} "
            f"({self.tuning_runs} to tune, {counted(self.final_runs, 'final')}), {counted(runs * self.steps, 'step')} "
            f"and {counted(runs * self.samples, 'sample')} in all, {rough_duration(self.seconds)} of "
            "training by steps measured just now."
        )

    def after_tuning(self, seconds: float) -> str:
        """What the finals should take, now that the tuning took so long."""
        finals = self.final_seconds * seconds / self.tuning_seconds
        return f"Tuning took {duration(seconds)}; the finals should take {rough_duration(finals)}."
