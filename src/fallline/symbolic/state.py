"""What a rule says of its states: what they hold before the first step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from types import FunctionType
from typing import Any

from fallline.symbolic.errors import refuse
from fallline.symbolic.expression import Expression, wrap


@dataclass(frozen=True)
class State:
    """What a rule keeps between steps: a tensor like the parameter, or one number a tensor (`kind` is "scalar").

    `init` is a number, or a function of the rule's arguments by name (`lambda g: g`), which is traced into the
    kernel and applies when the state is absent, whatever t is. A "global" number is the same for all tensors, and a
    tensor that joins later begins with what the others have.
    """

    name: str
    init: float | FunctionType
    kind: str = "tensor"

    @property
    def fill(self) -> float:
        """The number that a newly made tensor holds."""
        return 0.0 if isinstance(self.init, FunctionType) else self.init

    @property
    def absent(self) -> str:
        """The name of the scalar that is 1 at the step at which the state is made, else 0."""
        return f"absent_{self.name}"

    def initial(self, values: dict[str, Any]) -> Expression:
        """Apply an `init` function to those of the rule's arguments that it names.

        Raises RuleError if it names others or gives no number.
        """
        assert isinstance(self.init, FunctionType)
        code = self.init.__code__
        place = (code.co_filename, code.co_firstlineno)
        names = list(inspect.signature(self.init).parameters)
        for name in names:
            if name not in values:
                raise refuse(
                    f"the init of the state '{self.name}' takes '{name}'",
                    f"it can take the rule's other arguments, but no states: {', '.join(values)}",
                    place,
                )
        value = self.init(**{name: values[name] for name in names})
        if isinstance(value, Real):
            return wrap(value)
        if isinstance(value, Expression) and not value.is_boolean:
            return value
        kind = "truth value" if isinstance(value, Expression) else type(value).__name__
        raise refuse(
            f"the init of the state '{self.name}' gives a {kind}",
            "it must give a number; turn a truth value into one by where(condition, 1.0, 0.0)",
            place,
        )


@dataclass(frozen=True)
class _StateDefault:
    kind: str
    init: float | Callable[..., Any]


def state(kind: str = "tensor", *, init: float | Callable[..., Any] = 0.0) -> Any:
    """Say, as the default of a rule's state, of what kind it is and what it holds before the first step.

    A "tensor" is like the parameter; a "scalar" is one number a tensor; a "global" is one number for all tensors
    of the optimizer, and should follow from sums over all of them.

    >>> from fallline.symbolic import rule
    >>> @rule
    ... def average(p, g, m=state(init=lambda g: g), *, lr=0.1):
    ...     m = 0.9 * m + 0.1 * g
    ...     return lr * m, m
    >>> average.states[0].name
    'm'
    """
    return _StateDefault(kind, init)
