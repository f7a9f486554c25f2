"""The parts of a diagnosis: what each measures, what it costs, and what the parts after it take from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from fallline._text import counted
from fallline.landscape.diagnosis.along_run import AlongRun, along_run
from fallline.landscape.diagnosis.cost import Cost
from fallline.landscape.diagnosis.escape import EVERY, Escape, escape
from fallline.landscape.diagnosis.escape import STEPS as STEPS_OUT
from fallline.landscape.diagnosis.place_findings import (
    is_saddle,
)
from fallline.landscape.diagnosis.rate_range import RateRange, rate_range, runs_of_a_seed
from fallline.landscape.diagnosis.rate_search import runs_of_growth
from fallline.landscape.diagnosis.short_runs import STEPS, Mover, as_mover
from fallline.landscape.diagnosis.signals import Signals, signals
from fallline.landscape.diagnosis.stability import stability_limit
from fallline.landscape.diagnosis.update_ratios import UpdateRatios, update_ratios
from fallline.landscape.measuring import (
    Condition,
    Curvature,
    NoiseScale,
    Spectrum,
    condition,
    curvature,
    noise_scale,
    spectrum,
)
from fallline.landscape.measuring.copied import has_batch_norm
from fallline.landscape.measuring.measured import Mode, Progress
from fallline.landscape.slice_losses import Model
from fallline.symbolic import Rule
from fallline.training import FitResult, Problem, ProblemError, fit

Part = Literal["rates", "scaling", "run", "place", "noise", "spectrum", "layers"]
#: The parts by name, in the order in which they are measured, and what is then said to be going on.
PARTS: dict[Part, str] = {
    "rates": "the range of learning rates",
    "scaling": "what scaling the features is worth",
    "run": "a run, and the curvature along it",
    "place": "the curvature at the weights",
    "noise": "the noise of the gradient",
    "spectrum": "how the curvatures are spread",
    "layers": "signals and updates by layer",
}
#: What makes a part dearer than it is foreseen to be.
DEARER: dict[Part, str] = {"rates": "the range of rates has to grow", "place": "the weights are at a saddle"}
_CHECKPOINTS = 8
#: Gradients that one end of the spectrum takes, about.
_END = 30.0
#: Those that the spectrum takes and, at most, a condition number.
_SPECTRUM, _CONDITION = 320.0, 380.0
#: Those that look at the weights, which must have been trained.
_LOOKING: tuple[Part, ...] = ("place", "noise", "spectrum", "layers")
#: Told which share of a part is done.
Tell = Callable[[float], object]
#: The fall in loss, as a share of it, with which a run has left a saddle.
_FALL = 0.05


@dataclass
class Measurements:
    """What is asked for, and what is measured until now.

    Attributes:
        problem: The problem.
        mover: The optimizer.
        given_rate: The learning rate that was given.
        seeds: How many seeds short runs have.
        examples: How many examples are measured on.
        noisy: How many the noise of the gradient is measured on; None for the whole split.
        mode: How dropout and batch norm compute.
        seed: The first of the seeds.
        given: The weights to look at, or a run that led there; None for those of a run that is to be trained.
    """

    problem: Problem
    mover: Mover
    given_rate: float | None
    seeds: int
    examples: int
    noisy: int | None
    mode: Mode
    seed: int
    given: Model | FitResult | None
    where: str = "the model that was given"
    rates: RateRange | None = None
    start: Curvature | None = None  # at the first seed's first weights
    along: AlongRun | None = None
    signals: Signals | None = None
    first: Signals | None = None  # at the first seed's first weights
    curvature: Curvature | None = None
    noise: NoiseScale | None = None
    spectrum: Spectrum | None = None
    scaling: tuple[Condition, Condition] | None = None  # without it and with it
    updates: UpdateRatios | None = None
    escapes: list[Escape] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        #: The first seed's first weights.
        self.fresh = self.problem.build(self.seed)
        #: The weights that are looked at.
        self.weights: Model = self.fresh
        if self.given is None:
            self.where = f"untrained weights of seed {self.seed}"
        elif isinstance(self.given, FitResult):
            self._take(self.given)
        else:
            self.weights = self.given

    @property
    def rate(self) -> float:
        """The learning rate in use: given, or the best of the range, or the optimizer's default."""
        if self.given_rate is not None:
            return self.given_rate
        if self.rates is not None and self.rates.best is not None:
            return self.rates.best
        method = self.mover.method
        if isinstance(method, Rule):
            return float(method.defaults["lr"])
        return float(inspect.signature(method).parameters["lr"].default)

    def cost(self, part: Part) -> Cost | None:
        """What a part costs, as far as it can be foreseen; None where it has nothing to measure."""
        steps = self.seeds * min(STEPS, self.problem.steps)
        if part == "rates":
            return Cost(many=runs_of_a_seed(self.mover) * steps, whole=_END)
        if part == "run":
            if self.given is None:
                return Cost(alone=self.problem.steps, whole=(2 * _END + 1) * _CHECKPOINTS)
            kept = len(self.given.checkpoints) if isinstance(self.given, FitResult) else 0
            return Cost(whole=(2 * _END + 1) * kept) if kept else None
        if part == "scaling":
            return Cost(whole=2 * _CONDITION)
        if part == "place":
            return Cost(whole=2 * _END + 2)
        if part == "spectrum":
            return Cost(whole=_SPECTRUM)
        if part == "noise":
            return Cost(whole=(self.noisy or len(self.problem.train)) / self.examples)
        return Cost(many=steps, whole=2)

    def costs(self, chosen: Collection[Part]) -> dict[Part, Cost]:
        """What each part costs that is chosen and has something to measure, in their order."""
        found = {name: cost for name in PARTS if name in chosen and (cost := self.cost(name)) is not None}
        looking = next((name for name in found if name in _LOOKING), None)
        if self.given is None and looking is not None and "run" not in found:
            found[looking] += Cost(alone=self.problem.steps)
        return found

    def more(self, part: Part) -> Cost:
        """What a part costs more at most, where it does; where that is, `DEARER` tells."""
        if part == "rates":
            return Cost(many=runs_of_growth() * self.seeds * min(STEPS, self.problem.steps))
        if part == "place":
            runs = len(self._movers_out()) * self.seeds
            looks = STEPS_OUT // EVERY + 1  # each without a gradient, which is two thirds of it
            return Cost(many=runs * STEPS_OUT, whole=runs * looks / 3)
        return Cost()

    def _movers_out(self) -> list[Mover]:
        """What is tried to leave a saddle."""
        found = [self.mover, as_mover("momentum", {})]
        return found[:1] if self.mover.name == "momentum" else found

    def measure(self, part: Part, tell: Tell) -> None:
        """Measure a part, of a model that is trained first where none is given."""
        if part in _LOOKING and self.weights is self.fresh:
            _, tell = self._fitted(tell)
        work: dict[Part, Callable[[Tell], None]] = {
            "rates": self._rates, "scaling": self._scaling, "run": self._run, "place": self._place,
            "noise": self._noise, "spectrum": self._spectrum, "layers": self._layers,
        }  # fmt: skip
        work[part](tell)

    def _rates(self, tell: Tell) -> None:
        self.rates = rate_range(
            self.problem, self.mover.method, seeds=self.seeds, examples=self.examples, seed=self.seed,
            progress=_share(tell, runs_of_a_seed(self.mover) * self.seeds * min(STEPS, self.problem.steps)),
            **self.mover.hyperparameters,
        )  # fmt: skip
        if stability_limit(self.mover) is not None:
            self.start = curvature(self.problem, self.fresh, ends="top", examples=self.examples, seed=self.seed)

    def _run(self, tell: Tell) -> None:
        run = self.given
        if not isinstance(run, FitResult):
            run, tell = self._fitted(tell, checkpoints=_CHECKPOINTS)
        self.along = along_run(
            self.problem, run, examples=self.examples, mode=self.mode, seed=self.seed,
            progress=lambda done, count: tell(done / count),
        )  # fmt: skip

    def _fitted(self, tell: Tell, **asked: Any) -> tuple[FitResult, Tell]:
        """Train the model in what is told as the first half; what is told the second."""
        run = fit(
            self.problem, self.mover.method, lr=self.rate, seed=self.seed,
            progress=lambda step, steps: tell(step / (steps or step) / 2), **asked, **self.mover.hyperparameters,
        )  # fmt: skip
        self._take(run)
        return run, lambda share: tell(0.5 + share / 2)

    def _take(self, run: FitResult) -> None:
        """Look at the weights that a run ended with."""
        if not run.finished:
            self.left_out.append(run.reason)
        steps = run.checkpoints[-1].step if run.checkpoints and run.finished else run.curves[-1].step
        self.weights = {name: value.detach().clone() for name, value in run.model.state_dict().items()}
        self.where = f"after {counted(steps, 'step')} of {self.mover.name}"

    def _place(self, tell: Tell) -> None:
        self._look()
        found = curvature(
            self.problem, self.weights, examples=self.examples, mode=self.mode, seed=self.seed, progress=_watched(tell)
        )
        self.curvature = found
        if is_saddle(found):
            self.escapes = [*self._ways_out(found.loss)]

    def _ways_out(self, loss: float) -> Iterator[Escape]:
        fall = _FALL * abs(loss) or 1.0
        for mover in self._movers_out():
            yield escape(
                self.problem, self.weights, mover.method, lr=self.rate, fall=fall, seeds=self.seeds,
                examples=self.examples, seed=self.seed, **mover.hyperparameters,
            )  # fmt: skip

    def _noise(self, tell: Tell) -> None:
        if has_batch_norm(self.fresh):
            raise ProblemError(
                "model: with batch norm an example's gradient depends on the others of its batch, and the noise scale "
                "is of examples that do not; take group or layer norm to have it."
            )
        self.noise = noise_scale(
            self.problem, self.weights, examples=self.noisy, mode=self.mode, seed=self.seed, progress=_watched(tell)
        )

    def _scaling(self, tell: Tell) -> None:
        found = partial(condition, self.problem, self.fresh, examples=self.examples, mode=self.mode, seed=self.seed)
        before = found()
        tell(0.5)
        self.scaling = before, found(standardised=True)

    def _spectrum(self, tell: Tell) -> None:
        self.spectrum = spectrum(
            self.problem, self.weights, examples=self.examples, mode=self.mode, seed=self.seed, progress=_watched(tell)
        )

    def _layers(self, tell: Tell) -> None:
        self._look()
        self.updates = update_ratios(
            self.problem, self.mover.method, lr=self.rate, seeds=self.seeds, seed=self.seed,
            progress=_share(tell), **self.mover.hyperparameters,
        )  # fmt: skip

    def _look(self) -> None:
        if self.signals is None:
            seen = partial(signals, self.problem, examples=self.examples, mode=self.mode, seed=self.seed)
            self.first, self.signals = seen(self.fresh), seen(self.weights)

    @property
    def untrained(self) -> float:
        """The loss at the first seed's first weights."""
        return 0.0 if self.first is None else self.first.loss


def _share(tell: Tell, foreseen: int = 1) -> Callable[[int, int], None]:
    def progress(done: int, steps: int) -> None:
        tell(done / max(foreseen, steps))

    return progress


def _watched(tell: Tell) -> Callable[[Progress], object]:
    return lambda progress: tell(progress.done / progress.expected)
