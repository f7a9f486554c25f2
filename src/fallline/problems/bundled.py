"""What a bundled problem is, and the list that each enters itself in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from fallline._asked import did_you_mean
from fallline.training import Problem

Array = NDArray[Any]
_Make = TypeVar("_Make", bound=Callable[..., Problem])


@dataclass(frozen=True)
class Bundled:
    """A problem that comes with the package.

    Attributes:
        name: What it is called, in small letters and hyphens.
        sentence: What it is, in a sentence.
        make: A function that builds it; its arguments can all be left out.
        real: Whether it has real data, rather than being a function of the weights alone.
    """

    name: str
    sentence: str
    make: Callable[..., Problem]
    real: bool = True


#: The problems by name, in the order in which `fallline.problems` imports them.
ALL: dict[str, Bundled] = {}


def bundled(sentence: str, *, name: str | None = None, real: bool = True) -> Callable[[_Make], _Make]:
    """Enter the function below into the list of problems, by its own name unless another is given."""

    def enter(make: _Make) -> _Make:
        called = name or make.__name__.replace("_", "-")
        ALL[called] = Bundled(called, sentence, make, real)
        return make

    return enter


def find(name: str) -> Bundled:
    """Find a bundled problem by its name.

    Args:
        name: The name; capital letters, spaces and underscores do not matter.

    Returns:
        The problem's entry, whose `make()` builds it.

    Raises:
        LookupError: There is none of the name; the sentence tells the nearest.

    >>> find("Breast_Cancer").make().batch
    32
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    if key not in ALL:
        raise LookupError(f"there is no bundled problem '{name}'; {did_you_mean(key, ALL)}")
    return ALL[key]


def standardised(train: Array, *others: Array) -> list[Array]:
    """Shift and scale every column by its mean and standard deviation in `train`, which alone tells them.

    >>> import numpy as np
    >>> standardised(np.array([[1.0], [3.0]]), np.array([[4.0]]))[1].tolist()
    [[2.0]]
    """
    mean, deviation = train.mean(0), train.std(0)
    return [(part - mean) / deviation for part in (train, *others)]
