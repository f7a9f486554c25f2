"""Which rates are tried: evenly over a range, further where that is not enough, then closely around each edge."""

from __future__ import annotations

import math

import numpy as np

from fallline.landscape.diagnosis.short_runs import Array, Mover, can_batch, run_short
from fallline.training import Problem, Progress, make_lanes

_A_DECADE = 3  # rates of the first grid
#: Rates inside each seed's bracket, in each of so many rounds: 10^(1/3) shrinks to 1 %.
_INSIDE, _ROUNDS = 8, 2
#: Decades by which the grid grows, and how often, where all of it trains or none.
_FURTHER, _TIMES = 2, 3


def runs_between(low: float, high: float) -> int:
    """How many runs each seed has, of a range that holds its edge.

    >>> runs_between(1e-3, 10.0)
    29
    """
    return _count(low, high) + _INSIDE * _ROUNDS


def runs_of_growth() -> int:
    """How many more each seed has at most, where the edge lies outside.

    >>> runs_of_growth()
    18
    """
    return _TIMES * _A_DECADE * _FURTHER


def _count(low: float, high: float) -> int:
    return max(2, 1 + round(_A_DECADE * math.log10(high / low)))


class RateSearch:
    """The runs so far, by seed and rate."""

    def __init__(self, problem: Problem, mover: Mover, seeds: range, steps: int, progress: Progress | None) -> None:
        self.seeds = seeds
        self.done = 0
        self._problem, self._mover, self._steps, self._progress = problem, mover, steps, progress
        self._batched = can_batch(problem)
        self.before = self.untrained(problem)
        self._limit = self.before
        self._after: list[dict[float, float]] = [{} for _ in seeds]

    def untrained(self, problem: Problem) -> Array:
        """The loss [S] of each seed's first weights."""
        lanes = make_lanes(problem, self.seeds, batched=False)
        return np.asarray(lanes.evaluate(problem.valid).loss.numpy(), np.float64)

    def scan(self, low: float, high: float) -> None:
        """Train runs at rates over the whole range."""
        self._run({place: np.geomspace(low, high, _count(low, high)) for place in range(len(self.seeds))})

    def edges(self, limits: Array) -> Array:
        """Between which two rates each seed's runs begin to diverge [S, 2]; NaN where none does, or all do."""
        self._limit = limits
        for _ in range(_TIMES):
            if any(self._fails(place, min(after)) for place, after in enumerate(self._after)):
                self._grow(-1)
            elif not any(self._fails(place, max(after)) for place, after in enumerate(self._after)):
                self._grow(1)
        for _ in range(_ROUNDS):
            brackets = self._brackets()
            self._run(
                {
                    place: np.geomspace(low, high, _INSIDE + 2)[1:-1]
                    for place, (low, high) in enumerate(brackets.tolist())
                    if math.isfinite(low)
                }
            )
        return self._brackets()

    def grid(self) -> tuple[Array, Array]:
        """The rates [R] that every seed had, and their losses [S, R], NaN where a run diverged."""
        rates = sorted(set.intersection(*(set(after) for after in self._after)))
        return np.array(rates), np.array([[after[rate] for rate in rates] for after in self._after])

    def _grow(self, side: int) -> None:
        ends = [side * max(side * rate for rate in after) for after in self._after]
        steps = np.arange(1, 1 + _A_DECADE * _FURTHER) / _A_DECADE
        self._run({place: end * 10.0 ** (side * steps) for place, end in enumerate(ends)})

    def _fails(self, place: int, rate: float) -> bool:
        """Whether a run diverged, or ended worse than an untrained model."""
        after = self._after[place][rate]
        return not after <= self._limit[place]

    def _brackets(self) -> Array:
        found = np.full((len(self.seeds), 2), np.nan)
        for place, after in enumerate(self._after):
            rates = sorted(after)
            sound = [rate for rate in rates if not self._fails(place, rate)]
            best = min(sound, key=after.__getitem__, default=math.inf)
            beyond = next((rate for rate in rates if rate > best and self._fails(place, rate)), None)
            if beyond is not None:
                found[place] = max(rate for rate in sound if rate < beyond), beyond
        return found

    def _run(self, rates: dict[int, Array]) -> None:
        runs = [(place, float(rate)) for place, own in rates.items() for rate in own]
        if not runs:
            return
        before = self.done

        def tell(done: int, steps: int) -> None:
            if self._progress is not None:
                self._progress(before + done, before + steps)

        lanes = [(self.seeds[place], self._mover.lane(rate)) for place, rate in runs]
        ended = run_short(self._problem, lanes, self._steps, batched=self._batched, progress=tell)
        self.done += len(runs) * self._steps
        for (place, rate), loss, diverged in zip(runs, ended.losses[:, -1], ended.diverged, strict=True):
            self._after[place][rate] = math.nan if diverged else float(loss)
