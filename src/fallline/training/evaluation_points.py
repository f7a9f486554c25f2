"""When lanes are evaluated."""

from __future__ import annotations

from fallline.training.problem import Problem

_MOST_IN_ONE_EPOCH = 20


def evaluation_points(problem: Problem, steps: int, start: int = 0, every: int | None = None) -> list[int]:
    """The steps after which to evaluate, of a run of `steps` that goes on from step `start`.

    That is before the first step, after every epoch, or `every` so many steps, and at the end. Where one epoch is all,
    as with a stream, there are 20 intervals of equal length instead. Problems that differ in their batch size alone
    have equally many points, so a step may be given more than once.

    >>> from fallline.problems import digits
    >>> evaluation_points(digits(epochs=3), 51)
    [0, 17, 34, 51]
    >>> evaluation_points(digits(epochs=3), 40, start=17)
    [34, 40]
    >>> evaluation_points(digits(epochs=1), 17)
    [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 14, 14, 15, 16, 17]
    """
    if every is None and problem.epochs == 1:
        points = [round(steps * point / _MOST_IN_ONE_EPOCH) for point in range(_MOST_IN_ONE_EPOCH + 1)]
    else:
        points = [*range(0, steps, every or problem.steps_per_epoch), steps]
    return [point for point in points if point > start or start == 0]
