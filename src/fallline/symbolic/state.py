"""What a rule says of its states: what they hold before the first step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class State:
    """One tensor like the parameter that a rule keeps between steps.

    `init` is a number, or a function of the rule's arguments by name (`lambda g: g`), which is traced into the
    kernel and applies when the state is absent, whatever t is.
    """

    name: str
    init: float | Callable[..., Any]

    @property
    def fill(self) -> float:
        """The number that a newly made tensor holds."""
        return 0.0 if callable(self.init) else self.init

    @property
    def absent(self) -> str:
        """The name of the scalar that is 1 at the step at which the state is made, else 0."""
        return f"absent_{self.name}"

    def initial(self, values: dict[str, Any]) -> Any:
        """Apply an `init` function to those of the rule's arguments that it names."""
        assert callable(self.init)
        return self.init(**{name: values[name] for name in inspect.signature(self.init).parameters})


@dataclass(frozen=True)
class _StateDefault:
    init: float | Callable[..., Any]


def state(*, init: float | Callable[..., Any] = 0.0) -> Any:
    """Say, as the default of a rule's state, what that state holds before the first step.

    >>> from fallline.symbolic import rule
    >>> @rule
    ... def average(p, g, m=state(init=lambda g: g), *, lr=0.1):
    ...     m = 0.9 * m + 0.1 * g
    ...     return lr * m, m
    >>> average.states[0].name
    'm'
    """
    return _StateDefault(init)
