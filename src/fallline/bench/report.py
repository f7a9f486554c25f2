"""The benchmark's tables: steps by size, their share of the memory floor, whole training steps; all in paired turns."""

from __future__ import annotations

import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from fallline.bench.subjects import SHAPES, SUBJECTS, Shapes, Subject, make_parameters, network

#: What can be measured; all but whole training steps are steps on the shapes of that name.
PARTS = (*SHAPES, "training")
WIDTHS = (64, 128, 256, 512, 1024, 2048)
#: A spread of paired ratios from which on a figure says more of what else the machine did.
BUSY = 0.5


@dataclass(frozen=True)
class StepRow:
    """One rule on one set of shapes. Seconds are medians; the ratio is the median of paired ratios.

    `spread` is their interquartile range as a share of the median; where torch has no such rule, and so there is no
    ratio, that of the times.
    """

    rule: str
    shapes: str
    seconds: float
    torch_seconds: dict[str, float]
    best_variant: str | None
    ratio: float | None
    ratio_to_fused: float | None
    share_of_floor: float | None
    floor_bytes_per_second: float | None
    spread: float


@dataclass(frozen=True)
class TrainingRow:
    """A whole training step (forward, backward, step) of a network, beside torch's fused optimizer."""

    rule: str
    width: int
    seconds: float
    torch_seconds: float
    ratio: float
    spread: float


@dataclass
class Report:
    """All that was measured, with what it was measured on."""

    threads: int
    torch_version: str
    steps: list[StepRow] = field(default_factory=list)
    training: list[TrainingRow] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure(
    rounds: int = 15,
    subjects: Iterable[Subject] = SUBJECTS,
    shapes: Iterable[str] = PARTS,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run the benchmark; `tell` gets a line as each part begins."""
    report = Report(torch.get_num_threads(), torch.__version__)
    chosen = list(subjects)
    for name, sizes in SHAPES.items():
        if name in shapes:
            for subject in (one for one in chosen if name in one.parts):
                tell(f"{subject.name} on {_described(sizes)}")
                report.steps.append(_alone(_steps, subject, name, rounds))
    if "training" in shapes:
        for width in WIDTHS:
            tell(f"whole training steps at width {width}")
            report.training.extend(
                _training(subject, width, rounds) for subject in chosen if "training" in subject.parts
            )
    return report


def _described(sizes: Shapes) -> str:
    if len(set(sizes)) == 1:
        return f"{len(sizes):,} x {torch.Size(sizes[0]).numel():,}"
    return f"{len(sizes)} matrices" if all(len(size) == 2 for size in sizes) else f"{len(sizes)}-tensor network"


def _alone(work: Callable[..., StepRow], *arguments: Any) -> StepRow:
    """Run in a fresh process: what one measurement leaves in memory would slow the next by half."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _steps(subject: Subject, shapes: str, rounds: int) -> StepRow:
    sizes = SHAPES[shapes]
    params = make_parameters(sizes)  # the same for all, so that nobody finds them colder than the others
    actions: dict[str, Callable[[], object]] = {"ours": subject.ours(params).step}
    for variant in subject.variants:
        actions[variant] = subject.theirs(params, variant).step
    if shapes == "large":  # where memory decides
        actions |= _in_place_passes(sizes)
    seconds = interleaved(actions, rounds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    best = min(subject.variants, key=lambda variant: medians[variant], default=None)
    paired = None if best is None else ratios(seconds["ours"], seconds[best])
    share = floor = None
    if shapes == "large" and subject.rule is not None:
        # The floor is the best pass of the same round: bytes the rule must move at the speed at which that one moved.
        elements = sum(torch.Size(size).numel() for size in sizes)
        speeds = [max(_PASS_BYTES[n] * elements / seconds[n][i] for n in _PASS_BYTES) for i in range(rounds)]
        needed = subject.rule.cost().bytes_moved * elements
        share = statistics.median(needed / speed / own for speed, own in zip(speeds, seconds["ours"], strict=True))
        floor = statistics.median(speeds)
    return StepRow(
        rule=subject.name,
        shapes=_described(sizes),
        seconds=medians["ours"],
        torch_seconds={variant: medians[variant] for variant in subject.variants},
        best_variant=best,
        ratio=None if paired is None else statistics.median(paired),
        ratio_to_fused=statistics.median(ratios(seconds["ours"], seconds["fused"])) if "fused" in seconds else None,
        share_of_floor=share,
        floor_bytes_per_second=floor,
        spread=relative_spread(seconds["ours"] if paired is None else paired),
    )


#: In-place passes and the bytes that each moves for an element: x *= c, x += y, x += c * y * z.
_PASS_BYTES = {"scale": 8, "add": 12, "addcmul": 16}


def _in_place_passes(sizes: Shapes) -> dict[str, Callable[[], object]]:
    xs, ys, zs = ([torch.ones(size) for size in sizes] for _ in range(3))

    def each(move: Callable[[Tensor, Tensor, Tensor], object]) -> Callable[[], object]:
        def go() -> None:
            for x, y, z in zip(xs, ys, zs, strict=True):
                move(x, y, z)

        return go

    return {
        "scale": each(lambda x, y, z: x.mul_(0.999)),
        "add": each(lambda x, y, z: x.add_(y, alpha=1e-3)),
        "addcmul": each(lambda x, y, z: x.addcmul_(y, z, value=1e-3)),
    }


def _training(subject: Subject, width: int, rounds: int) -> TrainingRow:
    def stepper(make: Callable[[list[Tensor]], torch.optim.Optimizer]) -> Callable[[], object]:
        model, loss = network(width)
        optimizer = make(list(model.parameters()))

        def step() -> None:
            optimizer.zero_grad()
            loss().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return step

    actions = {"ours": stepper(subject.ours), "fused": stepper(lambda params: subject.theirs(params, "fused"))}
    seconds = interleaved(actions, rounds, target_seconds=0.05)
    paired = ratios(seconds["ours"], seconds["fused"])
    return TrainingRow(
        subject.name,
        width,
        statistics.median(seconds["ours"]),
        statistics.median(seconds["fused"]),
        statistics.median(paired),
        relative_spread(paired),
    )


Action = Callable[[], object]


def interleaved(actions: Mapping[str, Action], rounds: int, target_seconds: float = 0.02) -> dict[str, list[float]]:
    """Seconds a call for each action and round; each round calls every action, in an order that alternates.

    Each turn begins with a call that is not timed, so that nobody pays for caches that another filled; short actions
    are repeated until they fill `target_seconds`.
    """
    repeats = {name: max(1, int(target_seconds / max(_once(action), 1e-7))) for name, action in actions.items()}
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for turn in range(rounds):
            for name in names if turn % 2 == 0 else reversed(names):
                actions[name]()
                start = time.perf_counter()
                for _ in range(repeats[name]):
                    actions[name]()
                seconds[name].append((time.perf_counter() - start) / repeats[name])
    finally:
        if was_enabled:
            gc.enable()
    return seconds


def _once(action: Action) -> float:
    action()  # the first call makes states and compiles
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ratios(numerator: list[float], denominator: list[float]) -> list[float]:
    """One action's time over another's in the same round, for each round."""
    return [a / b for a, b in zip(numerator, denominator, strict=True)]


def relative_spread(values: list[float]) -> float:
    """The interquartile range as a share of the median.

    >>> relative_spread([1.0, 2.0, 3.0, 4.0, 5.0])
    0.6666666666666666
    """
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / median
