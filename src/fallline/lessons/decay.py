"""Learning rates that decay: the circle in which mini-batch descent wanders, and whether a schedule is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fallline import problems
from fallline._text import listed
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import intervals
from fallline.lessons.populations import by_setting, lane, shares_behind, trained
from fallline.pages.player import Scene, Trajectory
from fallline.racing import Arm, Effort, OverProblems, RaceResult, over_problems, race
from fallline.schedules import Schedule, exponential, inverse_square_root, inverse_time, staircase
from fallline.training import Lanes, Problem
from fallline.training.updates import LaneRule

Array = NDArray[np.float64]

#: Decay laws as courses have them, by epochs e counted from 0 or steps t counted from 1.
_BY_EPOCH: Mapping[str, Schedule] = {
    "1/(1+e)": inverse_time(1.0),
    "0.95^e": exponential(0.95),
    "1/√(e+1)": inverse_square_root(),
    "half every 10 epochs": staircase(10, 0.5),
}
_BY_STEP: Mapping[str, Schedule] = {"1/√t": inverse_square_root()}


@dataclass(frozen=True)
class _Bowl:
    """The training loss of a linear regression: lowest + ½ (w-w*)ᵀ H (w-w*), in weights with the bias last."""

    lowest: float
    place: Array
    curvature: Array

    @classmethod
    def of(cls, problem: Problem) -> _Bowl:
        inputs, targets = (part.double().numpy() for part in (problem.train.inputs, problem.train.targets))
        columns = np.c_[inputs, np.ones(len(inputs))]
        place = np.linalg.lstsq(columns, targets[:, 0])[0]
        lowest = float(((columns @ place - targets[:, 0]) ** 2).mean())
        return cls(lowest, place, 2 * columns.T @ columns / len(columns))

    def above(self, weights: Array) -> Array:
        """How far the loss at weights [..., dimensions] is above the lowest."""
        off = weights - self.place
        return np.asarray(np.einsum("...i,ij,...j->...", off, self.curvature, off) / 2)


def circle(*, seeds: int = 10, firsts: Sequence[float] = (1.0, 0.1), batch: int = 32, epochs: int = 40) -> Evidence:
    """Fit the diabetes data by mini-batch descent at a constant rate and by five laws of decay from the same one.

    Args:
        seeds: How many runs each mean is over.
        firsts: The first learning rates, in units of 1/λ, where λ is the top curvature.
        batch: How many examples a batch has; with all 265 there is no noise, and so no circle.
        epochs: How long a run is.
    """
    problem = problems.diabetes(epochs=epochs).with_batch(batch)
    bowl = _Bowl.of(problem)
    top = float(np.linalg.eigvalsh(bowl.curvature)[-1])
    laws: dict[str, Schedule | None] = {"constant": None}
    laws |= {name: law.per_epoch(problem.steps_per_epoch) for name, law in _BY_EPOCH.items()}
    laws |= _BY_STEP
    settings: dict[str, LaneRule] = {
        f"{name} {first}": lane("sgd", law, lr=first / top) for first in firsts for name, law in laws.items()
    }
    places: list[Array] = []

    def note(step: int, lanes: Lanes) -> None:
        every = torch.cat([parameter.flatten(1) for parameter in lanes.parameters], 1)
        places.append(by_setting(lanes, every, len(settings)))

    trained(problem, settings, seeds, evaluate_every=problem.steps, watch=note)
    paths = np.array(places).transpose(1, 2, 0, 3)  # [settings, seeds, steps + 1, weights]
    end = paths[:, :, -max(2, problem.steps // 10) :]
    radius = np.sqrt(((end - end.mean(2, keepdims=True)) ** 2).sum(-1).mean(-1))
    height = bowl.above(end).mean(-1)
    checks: list[Check] = []
    of = 2 * len(firsts) * (len(laws) - 1)
    for row, first in enumerate(firsts):
        constant = row * len(laws)
        for place, name in enumerate(laws):
            if name == "constant":
                continue
            condition = f"first rate {first:g}/λ"
            checks += [
                measured(
                    f"{name}: radius of the circle over that at the constant rate",
                    radius[constant + place] / radius[constant], below=1.0, condition=condition, of=of, ratio=True,
                ),
                measured(
                    f"{name}: loss above the lowest over that at the constant rate",
                    height[constant + place] / height[constant], below=1.0, condition=condition, of=of, ratio=True,
                ),
            ]  # fmt: skip
    return Evidence(
        f"Linear regression on diabetes, batches of {batch} of 265, {epochs} epochs, {seeds} seeds; the lowest "
        f"training loss by least squares, λ = {top:.3g} the top curvature there. Measured in the last tenth of the "
        "steps: the radius is the root mean square distance from the run's own mean place there.",
        tuple(checks),
        _scene(bowl, {name: end[place, 0] for place, name in enumerate(laws)}),
        "The loss at the constant rate stays above the lowest by "
        + listed(
            [f"{measured('', height[row * len(laws)]).found} from {first:g}/λ" for row, first in enumerate(firsts)]
        )
        + ".",
    )


def _scene(bowl: _Bowl, paths: Mapping[str, Array]) -> Scene:
    """Paths [steps, weights] in the plane of the two steepest directions, where the loss is lowest in all others."""
    curvatures, axes = np.linalg.eigh(bowl.curvature)
    plane = axes[:, [-1, -2]]
    across = {name: (path - bowl.place) @ plane for name, path in paths.items()}
    across = {name: points for name, points in across.items() if np.isfinite(points).all()}  # the others diverged
    view = _view(np.concatenate([*across.values()] or [np.ones((1, 2))]))
    x, y = np.meshgrid(*(np.linspace(*ends, 121) for ends in view))
    return Scene(
        "The last tenth of the steps, along the two steepest directions",
        view,
        bowl.lowest + (curvatures[-1] * x**2 + curvatures[-2] * y**2) / 2,
        [
            Trajectory(name, points, bowl.lowest + bowl.above(paths[name]))
            for name, points in across.items()
        ],
        minima=[(0.0, 0.0)],
        axes=("steepest", "second"),
    )  # fmt: skip


def _view(points: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    low, high = np.minimum(points.min(0), 0), np.maximum(points.max(0), 0)
    room = 0.1 * (high - low)
    (left, bottom), (right, top) = (low - room).tolist(), (high + room).tolist()
    return (left, right), (bottom, top)


_ADAPTIVE = ("adagrad", "rmsprop", "adam")


def tuned_race(
    *, seeds: int = 10, trials: int = 32, names: Sequence[str] = ("digits", "breast-cancer", "diabetes", "photograph"),
    adaptive: Sequence[str] = _ADAPTIVE, schedule: str = "cosine", matters: float = 0.02, tuned: bool = True,
    workers: int | None = None,
) -> Evidence:  # fmt: skip
    """Race plain descent on a schedule against adaptive methods at constant rates, each tuned on each problem.

    Args:
        seeds: On how many fresh seeds each arm's best rates run.
        trials: How many learning rates each arm tries.
        names: The problems.
        adaptive: The adaptive methods.
        schedule: That of plain descent.
        matters: The least lead, as a share of the gain, that counts.
        tuned: Whether learning rates are searched; else they are those that torch presets.
        workers: In how many processes runs are trained; None for one a core.
    """
    plain = f"sgd, {schedule}"
    arms = [_arm(plain, "sgd", schedule, tuned), *(_arm(name, name, "constant", tuned) for name in adaptive)]
    effort = Effort(trials=trials, finalists=min(2, trials), seeds=seeds)
    results = [
        race(problems.find(name).make(), arms, effort, storage=None, seed=number, workers=workers)
        for number, name in enumerate(names)
    ]
    judged = {name: over_problems([result]) for name, result in zip(names, results, strict=True)}
    judged["the mean over all"] = over_problems(results)
    behind: dict[str, dict[str, Array]] = {arm.name: {} for arm in arms}
    for name, result in zip(names, results, strict=True):
        for arm, shares in _shares(result).items():
            behind[arm][name] = shares
    return Evidence(
        f"Plain gradient descent on a {schedule} schedule against {listed(adaptive)} at a constant rate, on the "
        f"bundled problems {listed(names)}; "
        + (f"{trials} learning rates tried for each on each problem" if tuned else "all at torch's preset rates")
        + f", the best on {seeds} fresh seeds. Intervals are those of the decision, and hold for all arms of a problem "
        "together. Shares are of the gain, of the best arm over the untrained model. A distance from the best "
        f"is never below 0, so the claim has to be right by {matters:.0%} of the gain: a smaller lead counts as none.",
        tuple(_check(plain, name, found, matters) for name, found in judged.items()),
        intervals("Behind the problem's best arm", "share of the gain", behind, upright=(0.0, "the best")),
        " ".join(f"On {name} the decision is to take {found.take}." for name, found in judged.items() if found.take),
    )


def _arm(name: str, rule: str, schedule: str, tuned: bool) -> Arm:
    fixed: dict[str, Any] = {"schedule": schedule}
    if not tuned:
        fixed["lr"] = lane(rule).values["lr"]
    return Arm(name, rule, fixed=fixed)


def _check(plain: str, where: str, judged: OverProblems, matters: float) -> Check:
    what = f"how far {plain} ends behind the best arm, share of the gain"
    ends = judged.distances.get(plain)
    if ends is None:
        return Check(what, np.nan, -np.inf, np.inf, above=matters, condition=where)
    return Check(what, float(np.mean([*judged.shares[plain].values()])), *ends, above=matters, condition=where)


def _shares(result: RaceResult) -> dict[str, Array]:
    """How far each arm's runs on fresh seeds are behind the best arm [seeds]."""
    ends = {arm.name: np.array([run.score for run in arm.finals[0]]) for arm in result.arms}
    higher = bool(result.protocol["higher_is_better"])
    return shares_behind(ends, float(result.protocol["untrained_score"]), higher_is_better=higher)


LESSONS = [
    Lesson(
        17,
        "Learning-rate decay",
        "A learning rate that decays shrinks the circle in which mini-batch descent wanders about the minimum, so that "
        "it ends lower than at a constant rate.",
        "Robbins and Monro, A stochastic approximation method, 1951",
        circle,
        "batch=265 takes all examples at once: there is no circle to shrink, and decay only slows the descent. "
        "firsts=[2] begins at the edge of divergence.",
    ),
    Lesson(
        18,
        "Adaptive methods against a schedule",
        "Adaptive methods beat plain gradient descent on a learning-rate schedule, even where both are tuned.",
        "Kingma and Ba, Adam, 2015; against it: Wilson et al., The marginal value of adaptive gradient methods, 2017",
        tuned_race,
        "tuned=False leaves all at their preset rates: that is where adaptive methods win. With "
        "matters=0.1 nothing is left open.",
    ),
]
