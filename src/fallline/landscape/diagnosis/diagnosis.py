"""`fallline.diagnose`: what can be measured of a problem and a model of it, gathered into findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from fallline import _asked
from fallline._bar import progress_bar
from fallline.landscape.diagnosis.cost import Cost, measured_speeds, told
from fallline.landscape.diagnosis.findings import findings_of
from fallline.landscape.diagnosis.parts import DEARER, PARTS, Measurements, Part
from fallline.landscape.diagnosis.record import Diagnosis
from fallline.landscape.diagnosis.short_runs import Optimizer, as_mover, measured_on
from fallline.landscape.measuring.copied import refuse_too_large
from fallline.landscape.measuring.measured import Mode
from fallline.landscape.slice_losses import Model
from fallline.landscape.slices import check_choice
from fallline.training import FitResult, Problem, ProblemError


@dataclass(frozen=True)
class Stage:
    """How far a diagnosis is.

    Attributes:
        doing: What is being measured.
        done: The seconds that what is done was foreseen to take.
        expected: Those that all of it was.
        most: Those that it was with what is tried only where something is found, such as ways out of a saddle.
        cost: What all of it was foreseen to cost, in a sentence.
    """

    doing: str
    done: float
    expected: float
    most: float
    cost: str


Watch = Callable[[Stage], object]


def diagnose(
    problem: Problem,
    model: Model | FitResult | None = None,
    optimizer: Optimizer = "sgd",
    *,
    lr: float | None = None,
    parts: Sequence[Part] | None = None,
    batch: int | Literal["all"] | None = None,
    seeds: int = 5,
    examples: int | None = None,
    mode: Mode = "evaluation",
    seed: int = 0,
    progress: bool | Watch = True,
    **hyperparameters: Any,
) -> Diagnosis:
    """Measure what can be known of a problem and a model of it, and say in sentences what it means.

    Each sentence has its evidence beside it, and is left out where that is thin. Nothing that is given is changed. What
    can't be measured is left out, and the diagnosis says why; Ctrl-C ends it with what was found so far.

    Args:
        problem: The problem.
        model: The weights to look at, a module that the problem's model function builds, or its state_dict; or what
            `fallline.fit` returned, with checkpoints for what is measured along the run. Without one, one is trained
            for what is measured at the weights: the problem's epochs, with the optimizer at `lr`.
        optimizer: A rule, a torch optimizer class, or the name of either.
        lr: Its learning rate; the best one of the range that is measured, or the optimizer's default, unless given.
        parts: What to measure, of "rates" (the range of learning rates, from fresh weights), "scaling" (what it is
            worth to scale the features, there), "run" (curvature and noise along a run, of which there must be
            checkpoints where a model is given), "place" (gradient and curvature at the weights), "noise" (of
            mini-batch gradients), "spectrum" (how the curvatures are spread) and "layers" (activations, gradients and
            updates by layer); all unless given.
        batch: Examples of a step, "all" for the whole split; the problem's unless given.
        seeds: How many seeds short runs have.
        examples: How many examples of the training split are measured on, always the same; 512, or all where there are
            fewer, unless given; the noise of the gradient takes all.
        mode: "evaluation" or "training", which says how dropout and batch norm compute where the model is measured.
        seed: The first of the seeds, and what draws whatever is random.
        progress: Whether to show a bar, where there is a terminal; or a function that is told a `Stage`, first of all
            before anything starts.
        **hyperparameters: Those of the optimizer other than lr.

    Returns:
        The findings, and all that was measured; print it.

    Raises:
        TypeError, ValueError, LookupError: It can't be diagnosed; the sentence names the argument.

    >>> from fallline.problems import quadratic
    >>> found = diagnose(quadratic(), optimizer="sgd", parts=["rates"])
    >>> print(found.findings[0].sentence)
    Learning rates above 0.0204 diverge, for the top curvature is 100.
    """
    mover = as_mover(optimizer, hyperparameters)
    chosen = list(PARTS) if parts is None else [*parts]
    for name in chosen:
        check_choice("parts", name, tuple(PARTS))
    seeds, seed = _asked.whole("seeds", seeds), _asked.seed(seed)
    rate = None if lr is None else _asked.number("lr", lr, above=0)
    if not chosen:
        raise ValueError(f"parts: there are none; give some of {', '.join(PARTS)}.")
    given = measured_on(problem, examples, batch)
    refuse_too_large(problem)
    problem.check(seed)
    if batch is not None:
        problem = problem.with_batch(given.batch)
    found = Measurements(problem, mover, rate, seeds, len(given.valid), examples, mode, seed, model)
    costs = found.costs(chosen)
    whole, more = sum(costs.values(), Cost()), sum((found.more(name) for name in costs), Cost())
    speeds = measured_speeds(given, whole + more)
    seconds = {name: speeds.seconds(cost) for name, cost in costs.items()}
    where = [DEARER[name] for name in costs if name in DEARER]
    foreseen = told(whole, speeds, given.batch, len(given.valid), more=more, where=where)
    begun = time.perf_counter()
    with _shown(progress, foreseen, sum(seconds.values()), speeds.seconds(whole + more)) as watch:
        finished = _measure(found, seconds, watch)
    return Diagnosis(
        problem=problem.name,
        model=found.where,
        optimizer=mover.name,
        hyperparameters={**mover.settings, "lr": found.rate},
        findings=findings_of(found),
        rates=found.rates,
        along=found.along,
        signals=found.signals,
        curvature=found.curvature,
        noise=found.noise,
        spectrum=found.spectrum,
        scaling=found.scaling,
        updates=found.updates,
        escapes=tuple(found.escapes),
        left_out=tuple(dict.fromkeys(found.left_out)),
        finished=finished,
        cost=foreseen,
        seconds=time.perf_counter() - begun,
    )


def _measure(found: Measurements, seconds: dict[Part, float], watch: Callable[[str, float], object]) -> bool:
    """Measure the parts one after another, each foreseen to take so many seconds; whether it went to its end.

    Raises ProblemError where nothing could be measured.
    """
    done, errors = 0.0, []
    for name, own in seconds.items():
        doing, before = PARTS[name], done
        try:
            watch(doing, before)
            found.measure(name, partial(_told, watch, doing, before, own))
        except ProblemError as error:
            errors.append(error)
            found.left_out.append(f"Left out is {doing}: {error}")
        except KeyboardInterrupt:
            found.left_out.append(f"The diagnosis was interrupted while it measured {doing}.")
            return False
        done += own
    if errors and len(errors) == len(seconds):  # nothing was measured
        raise errors[0]
    return True


def _told(watch: Callable[[str, float], object], doing: str, before: float, own: float, share: float) -> None:
    watch(doing, before + share * own)


@contextmanager
def _shown(progress: bool | Watch, cost: str, seconds: float, most: float) -> Iterator[Callable[[str, float], object]]:
    """A function to call with what is being done, and the seconds that what is done was foreseen to take."""
    if callable(progress):
        yield lambda doing, done: progress(Stage(doing, done, seconds, most, cost))
        return
    with progress_bar(progress, seconds, note=cost) as tell:
        yield lambda doing, done: tell(done, doing)
