"""What every measurement tells: what its numbers hold for, what they cost, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Mode = Literal["evaluation", "training"]


@dataclass(frozen=True)
class Progress:
    """How far a measurement is.

    Attributes:
        done: Its cost until now, in gradients of all its examples.
        expected: The cost that it is expected to have in all; where it goes on until it is exact enough, a guess.
        memory: Bytes that it needs, roughly: its vectors, and what a pass keeps.
    """

    done: float
    expected: float
    memory: int


Watch = Callable[[Progress], object]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the numbers of a measurement hold for, and what they cost.

    Attributes:
        problem: The problem's name.
        split: The split that the examples are of.
        examples: How many of them there are.
        mode: "evaluation" or "training": how dropout and batch norm compute.
        seed: What draws the masks of dropout, and whatever else is random.
        parameters: How many numbers are trained.
        cost: What it took, in gradients of all the examples; a Hessian-vector product counts as two.
    """

    problem: str
    split: str
    examples: int
    mode: str
    seed: int
    parameters: int
    cost: float
