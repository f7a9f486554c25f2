"""What every measurement tells: what its numbers hold for, what they cost, and how far it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fallline._text import counted

Mode = Literal["evaluation", "training"]


@dataclass(frozen=True)
class Progress:
    """How far a measurement is.

    Attributes:
        done: What it took so far, in gradients of all its examples.
        expected: What it is expected to take in all; a guess where it goes on until it is exact enough.
        memory: Bytes that it needs, roughly: for vectors as long as the weights, and for what a pass keeps.
    """

    done: float
    expected: float
    memory: int


#: It is told before a measurement begins, and after each of its steps.
Watch = Callable[[Progress], object]


@dataclass(frozen=True, kw_only=True)
class Measured(ABC):
    """What the numbers of a measurement hold for, and what they cost; print it for a sentence of them.

    Attributes:
        problem: The problem's name.
        split: The split that the examples are of.
        examples: How many of them there are.
        mode: "evaluation" or "training": how dropout and batch norm compute.
        seed: What draws the masks of dropout, and whatever else is random.
        parameters: How many numbers are trained.
        loss: The loss at the weights.
        cost: What it took, in gradients of all the examples. A product of the Hessian counts as two, which it takes at
            most, or as three where the examples are too many for one pass.
    """

    problem: str
    split: str
    examples: int
    mode: str
    seed: int
    parameters: int
    loss: float
    cost: float

    @property
    @abstractmethod
    def told(self) -> str:
        """The numbers, with their errors and units."""

    def __str__(self) -> str:
        return (
            f"{self.problem}: {self.told}; on {counted(self.examples, 'example')} of {self.split} in {self.mode} mode, "
            f"at a loss of {self.loss:.3g} and {counted(self.parameters, 'trained number')}, for "
            f"{self.cost:.3g} gradients of all the examples."
        )
