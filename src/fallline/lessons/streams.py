"""Learning from a stream whose truth moves on: which rules still follow when it has been going for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from fallline import problems
from fallline._text import listed
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import lines
from fallline.training import StreamProblem, fit

Array = NDArray[np.float64]
Batch = tuple[NDArray[np.generic], NDArray[np.generic]]

_RULES = {"SGD": "gradient_descent", "Adagrad": "adagrad"}
_CONDITIONS = {"regression": "a regression whose weights turn", "digits": "digits that turn"}
_BATCH, _BLOCKS = 32, 40
_TUNING = 1000  # the first seed of the streams that rates are chosen on
_JUDGED = 2000  # the first of those that the claim is judged by, none of which the lesson was made with


def keeps_up(
    *,
    seeds: int = 10,
    batches: int = 600,
    drift: float = 1.0,
    noise: float = 0.5,
    rates: int = 5,
    streams: Sequence[str] = ("regression", "digits"),
) -> Evidence:
    """Follow streams that drift evenly: a regression whose weights turn, and digits that turn.

    Args:
        seeds: Streams of each kind.
        batches: How long they are, in batches of 32; a multiple of 40.
        drift: How far what is to be learnt turns over the whole stream, in half circles.
        noise: The standard deviation of the regression's noise; its targets' own is 1.
        rates: How many learning rates, from 0.01 to 1, each rule chooses from.
        streams: Which of the two are followed.

    Raises:
        ValueError: The batches are not so many, or there is no such stream.
    """
    for name in streams:
        if name not in _CONDITIONS:
            raise ValueError(f"streams must be of {listed([*_CONDITIONS])}; got {name!r}.")
    if batches < 1 or batches % _BLOCKS:
        raise ValueError(f"batches must be a multiple of {_BLOCKS}; got {batches!r}.")
    known = {"regression": _regression(drift, noise), "digits": _digits(drift)}
    kinds = {_CONDITIONS[name]: known[name] for name in streams}
    checks: list[Check] = []
    series: dict[str, tuple[Array, Array]] = {}
    remarks = []
    for condition, kind in kinds.items():
        losses: dict[str, Array] = {}
        for name, rule in _RULES.items():
            rate = min(np.geomspace(0.01, 1.0, rates), key=lambda lr: kind.at_first(rule, float(lr), batches))
            runs = [kind.losses(rule, float(rate), batches, seed) for seed in range(_JUDGED, _JUDGED + seeds)]
            losses[name] = np.array(runs).reshape(seeds, _BLOCKS, -1).mean(2)
            series[f"{name}, {condition}"] = (np.arange(1.0, _BLOCKS + 1) * (batches // _BLOCKS), losses[name])
            remarks.append(f"{name} {rate:.2g} on {condition}")
        second, last = slice(_BLOCKS // 4, _BLOCKS // 2), slice(3 * _BLOCKS // 4, None)
        late = {name: one[:, last].mean(1) for name, one in losses.items()}
        checks += [
            measured(
                "Adagrad's loss over SGD's in the last quarter", late["Adagrad"] / late["SGD"],
                above=1.0, condition=condition, of=2 * len(kinds), ratio=True,
            ),
            measured(
                "SGD's loss in the last quarter over that in the second",
                late["SGD"] / losses["SGD"][:, second].mean(1),
                below=1.1, condition=condition, of=2 * len(kinds), ratio=True,
            ),
        ]  # fmt: skip
    return Evidence(
        f"{seeds} streams of {batches} batches of {_BATCH} of each kind, over which what is to be learnt turns by "
        f"{180 * drift:g} degrees; each batch's loss is taken before it is learnt from, the regression's over what its "
        f"noise ({noise:g}) leaves in any case. Each rule has the learning rate, "
        f"of {rates} from 0.01 to 1, at which it did best in the second eighth of two other streams.",
        tuple(checks),
        lines("Loss on a stream that drifts", "batch", "loss before the update", series, log_y=True),
        f"Rates taken: {', '.join(remarks)}.",
    )  # fmt: skip


@dataclass(frozen=True)
class _Kind:
    """A model, its loss, and streams for it, which follow from how long they are and from a seed.

    `floor` is the loss [batches] that is left in each batch of such a stream if all is known that can be.
    """

    model: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    stream: Callable[[int, int], Iterator[Batch]]
    floor: Callable[[int, int], Array]

    def losses(self, rule: str, lr: float, batches: int, seed: int, last: int | None = None) -> Array:
        """How far each batch's loss is over the floor, before it is learnt from, up to the batch `last`.

        It is infinite from where a loss is no number.
        """
        problem = StreamProblem(model=self.model, loss=self.loss, train=islice(self.stream(batches, seed), last))
        points = fit(problem, rule, lr=lr, seed=seed, progress=False).curves
        found = np.full(last or batches, np.inf)
        found[: len(points)] = [point.training_loss for point in points]
        return found - self.floor(batches, seed)[: len(found)]

    def at_first(self, rule: str, lr: float, batches: int) -> float:
        """The mean loss of two streams in their second eighth, when a model has begun to know something."""
        runs = [self.losses(rule, lr, batches, _TUNING + seed, batches // 4) for seed in range(2)]
        return float(np.mean([run[batches // 8 :] for run in runs]))


def _regression(drift: float, noise: float, inputs: int = 10) -> _Kind:
    """Examples of y = ⟨w, x⟩ with noise, whose w turns in the plane of the first two coordinates."""

    def errors_of(batches: int, seed: int) -> Array:
        return noise * np.random.default_rng((seed, 1)).normal(size=(batches, _BATCH))

    def stream(batches: int, seed: int) -> Iterator[Batch]:
        random, errors = np.random.default_rng(seed), iter(errors_of(batches, seed))
        for angle in np.linspace(0, np.pi * drift, batches):
            X = random.normal(size=(_BATCH, inputs))
            yield X, X[:, :2] @ [[np.cos(angle)], [np.sin(angle)]] + next(errors)[:, None]

    def floor(batches: int, seed: int) -> Array:
        return np.asarray(np.square(errors_of(batches, seed)).mean(1))

    return _Kind(partial(nn.Linear, inputs, 1), nn.functional.mse_loss, stream, floor)


def _digits(drift: float) -> _Kind:
    """The training digits, each turned by an angle that grows along the stream."""
    data = problems.digits()
    images, labels = data.train.inputs.numpy().reshape(-1, 8, 8), data.train.targets.numpy()

    def stream(batches: int, seed: int) -> Iterator[Batch]:
        random = np.random.default_rng(seed)
        for angle in np.linspace(0, 180 * drift, batches):
            rows = random.integers(len(images), size=_BATCH)
            turned = ndimage.rotate(images[rows], angle, axes=(1, 2), reshape=False, order=1)
            yield turned.reshape(_BATCH, -1), labels[rows]

    return _Kind(data.model, nn.functional.cross_entropy, stream, lambda batches, seed: np.zeros(batches))


LESSONS = [
    Lesson(
        26,
        "A stream that drifts",
        "On a drifting stream plain SGD keeps up, and Adagrad does not.",
        "Duchi, Hazan and Singer, 2011, for rates that only fall; Zinkevich, Online convex programming, 2003, for a "
        "truth that moves",
        keeps_up,
        "Set drift to 0: where nothing moves, rates that fall are no harm.",
    ),
]
