"""A rule: an update formula as a Python function, and the forms that its graph has."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass
from functools import cached_property
from numbers import Real
from types import CodeType, MappingProxyType
from typing import Any

from fallline.symbolic.expression import Expression, RuleError, apply, refuse, wrap
from fallline.symbolic.graph import Graph, trace
from fallline.symbolic.plan import Cost, cost
from fallline.symbolic.state import Hyperparameter, Signature, State


@dataclass(eq=False, repr=False)
class Rule:
    """An update rule. Made by `rule` from a function, or by a combinator from another rule.

    Args:
        function: The formula.
        name: What messages and equations call it.
        states: What it keeps between steps, in the order of the signature.
        hyperparameters: Its numbers, truth values and strings with their defaults; None for what must be given.
        uses_t: Whether the formula names the step count t.
        made_of: The combinator and what it was called with; None for a rule of its own.
        doc: Its documentation; None for the function's.
        own_states: How many of the states are the outermost part's own; None for all.
    """

    function: Callable[..., Any]
    name: str
    states: tuple[State, ...]
    hyperparameters: Mapping[str, Hyperparameter | None]
    uses_t: bool
    made_of: tuple[Any, tuple[Any, ...]] | None = None
    doc: InitVar[str | None] = None
    own_states: int | None = None

    def __post_init__(self, doc: str | None) -> None:
        self.hyperparameters = MappingProxyType(dict(self.hyperparameters))
        self.__doc__ = doc or self.function.__doc__
        self.__module__ = self.function.__module__ or "__main__"  # what `exec` made may have none
        self.__qualname__ = self.function.__qualname__
        self.__wrapped__ = self.function

    def __repr__(self) -> str:
        return f"<rule {self.name}>"

    def __reduce__(self) -> Any:
        # A decorated function pickles by its name, as functions do; a composed rule by what it is composed of.
        return self.__qualname__ if self.made_of is None else self.made_of

    def __copy__(self) -> Rule:
        return self

    def __deepcopy__(self, memo: object) -> Rule:
        return self

    def __call__(self, p: Any, g: Any, /, *states: Any, **hyperparameters: Any) -> Any:
        """Apply the formula inside another rule or a combinator.

        Args:
            p: The parameter.
            g: The gradient.
            *states: Every state, in the order of the signature.
            **hyperparameters: Those that have no default, t if the formula names it, and what is to differ.

        Returns:
            The update, then every new state.

        Raises:
            RuleError: A state or a hyperparameter is missing, or one is given that it does not have.
        """
        self._check_call(states, hyperparameters)
        if isinstance(p, Expression):  # numbers that a combinator hands on are no other than hyperparameters are
            hyperparameters = {
                name: value if name in self.static or not isinstance(value, Real) else wrap(value)
                for name, value in hyperparameters.items()
            }
        named = {"p": p, "g": g, **hyperparameters}
        begun = list(states)
        for i, (spec, value) in enumerate(zip(self.states[: self.own_states], states, strict=False)):
            # The states of a rule inside begin there, with the gradient that it is given.
            if callable(spec.init) and isinstance(value, Expression) and value.operation == "tensor":
                absent = apply("not_equal", Expression("scalar", value=spec.absent), 0.0)
                begun[i] = apply("where", absent, spec.initial(named), value)
        result = self.function(p, g, *begun, **hyperparameters)
        return result if isinstance(result, tuple) else (result,)

    def _check_call(self, states: tuple[Any, ...], hyperparameters: Mapping[str, Any]) -> None:
        if len(states) != len(self.states):
            raise refuse(
                f"{self.name} got {len(states)} states, and has {len(self.states)} "
                f"({', '.join(state.name for state in self.states) or 'none'})",
                "hand on every state: rule(p, g, *states, **hyperparameters)",
            )
        known = {*self.hyperparameters, *(("t",) if self.uses_t else ())}
        missing = known - hyperparameters.keys() - self.defaults.keys()
        for problem, names in (("did not get", missing), ("takes no", hyperparameters.keys() - known)):
            if names:
                raise refuse(
                    f"{self.name} {problem} {', '.join(sorted(names))}",
                    "hand on the hyperparameters that it was called with: rule(p, g, *states, **hyperparameters)",
                )

    @cached_property
    def codes(self) -> frozenset[CodeType]:
        """The code objects of this rule and of the rules that it is composed of."""
        inner = self.made_of[1] if self.made_of else ()
        return frozenset({self.function.__code__}).union(*(part.codes for part in inner if isinstance(part, Rule)))

    @cached_property
    def parts(self) -> tuple[tuple[object, tuple[State, ...]], ...]:
        """What the rule is composed of, from the outermost combinator to the rule inside, each with its own states."""
        if self.made_of is None:
            return ((self, self.states),)
        outermost, (inner, *_) = self.made_of
        return ((outermost, self.states[: self.own_states]), *inner.parts)

    @property
    def defaults(self) -> dict[str, Hyperparameter]:
        """The hyperparameters that have defaults."""
        return {name: value for name, value in self.hyperparameters.items() if value is not None}

    @cached_property
    def tensor_states(self) -> tuple[State, ...]:
        """The states that are tensors like the parameter."""
        return tuple(spec for spec in self.states if spec.kind == "tensor")

    @cached_property
    def number_states(self) -> tuple[State, ...]:
        """The states that are one number a tensor, or one for all."""
        return tuple(spec for spec in self.states if spec.kind != "tensor")

    @cached_property
    def global_states(self) -> tuple[State, ...]:
        """The states that are one number for all tensors."""
        return tuple(spec for spec in self.states if spec.kind == "global")

    @property
    def static(self) -> tuple[str, ...]:
        """Hyperparameters that are settled while tracing: truth values and strings."""
        return tuple(name for name, value in self.hyperparameters.items() if isinstance(value, (bool, str)))

    def trace(self, **static: bool | str) -> Graph:
        """The expression graph.

        Args:
            **static: Values of hyperparameters that are settled while tracing; their defaults for those left out.

        Raises:
            RuleError: The function can't be traced, with the line and the remedy; or a value is none to settle.

        >>> from fallline.rules import momentum
        >>> momentum.trace().update
        multiply(scalar('lr'), add(...))
        """
        self._check_static(static)
        return trace(self, **{name: static.get(name, self.defaults[name]) for name in self.static})

    def _check_static(self, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            if name not in self.static:
                raise RuleError(
                    f"rule '{self.name}' can't settle '{name}' while tracing: it has "
                    f"{', '.join(self.static) or 'nothing'} to settle; numbers are given to each step, leave them out"
                )
            kind = bool if isinstance(self.defaults[name], bool) else str
            if not isinstance(value, kind):
                raise RuleError(
                    f"rule '{self.name}' got {value!r} for '{name}', which is a "
                    f"{'truth value' if kind is bool else 'string'}; give one, like its default {self.defaults[name]!r}"
                )

    def latex(self, **static: bool | str) -> str:
        """The equations of one step in LaTeX, from the graph that runs.

        Args:
            **static: As for `trace`.

        Raises:
            RuleError: As for `trace`.

        >>> from fallline.rules import momentum
        >>> print(momentum.latex())
        \\begin{aligned}
        b_t &= \\mu b_{t-1} + g_t \\\\
        \\theta_t &= \\theta_{t-1} - \\eta b_t
        \\end{aligned}
        """
        from fallline.symbolic.printer import equations

        return equations(self.trace(**static))

    def javascript(self, **static: bool | str) -> str:
        """The source of an ES module that takes steps of the rule in double precision, in a browser or anywhere.

        Its default export has `name`, `hyperparameters` (their defaults), `states` (the names of those that are
        tensors), `begin(p, shape)`, which makes a tensor {p, g, states, shape, t} of an array of numbers (by default of
        one dimension), `shared()`, which makes the states that are one number for all tensors, and
        `step(tensors, hyperparameters, shared)`, which moves tensors and states in place by the gradients in `g`.

        Args:
            **static: As for `trace`.

        Raises:
            RuleError: As for `trace`.

        >>> from fallline.rules import gradient_descent
        >>> print(gradient_descent.javascript().rstrip())
        // gradient_descent
        //   \\theta_t = \\theta_{t-1} - \\eta g_t
        export default {
          name: "gradient_descent",
          hyperparameters: {lr: 0.001},
          states: [],
          begin(p, shape = [p.length]) {
            const filled = (value) => new Float64Array(p.length).fill(value);
            return {p, g: filled(0), shape, t: 0, states: {}};
          },
          shared: () => ({}),
          step(tensors, {lr}, shared) {
            for (let k = 0; k < tensors.length; k++) {
              const tensor = tensors[k];
              const {p, g} = tensor;
              const t = tensor.t + 1;
              for (let i = 0; i < p.length; i++) {
                const update = lr * g[i];
                p[i] -= update;
              }
              tensor.t = t;
            }
          },
        };
        """
        from fallline.symbolic.javascript import module

        return module(self.trace(**static))

    def cost(self, itemsize: int = 4, **static: bool | str) -> Cost:
        """What one step costs for each parameter: counted from the plan, not estimated.

        Args:
            itemsize: The bytes of a number: 4 in single precision.
            **static: As for `trace`.

        Raises:
            RuleError: As for `trace`.

        >>> from fallline.rules import adam
        >>> adam.cost()
        Cost(bytes_moved=28, state_bytes=8, operations=14, passes=1)
        """
        return cost(self.trace(**static), itemsize)

    @cached_property
    def optax(self) -> Callable[..., Any]:
        """A function that makes an `optax.GradientTransformation` of the rule: `rule.optax(lr=1e-3)`.

        It takes the hyperparameters by name: numbers, arrays of one number, also traced ones, or schedules, which are
        functions of the number of steps taken, from 0; truth values and strings are settled while tracing. The
        transformation computes in the parameters' type, half precision in float32; what is one number a step or a
        tensor, and sums, in the widest type that JAX is set to: float32 unless `jax_enable_x64` is. It raises TypeError
        for a hyperparameter that the rule does not have, lacks, or of another type, and ValueError for a number that it
        can't be. Its updates are what `optax.apply_updates` adds to the parameters.

        Raises:
            ModuleNotFoundError: JAX or optax is not installed: `pip install "fallline[jax]"`.

        >>> import jax.numpy as jnp
        >>> from fallline.rules import momentum
        >>> descent = momentum.optax(lr=0.25, momentum=0.5)
        >>> params = {"w": jnp.array([1.0, -2.0])}
        >>> updates, state = descent.update({"w": jnp.array([2.0, -4.0])}, descent.init(params), params)
        >>> updates["w"].tolist(), state.states["b"]["w"].tolist()
        ([-0.5, 1.0], [2.0, -4.0])
        """
        # By its name: forms stand above formulas.
        return importlib.import_module("fallline.jax").Optax(self)  # type: ignore[no-any-return]


def rule(function: Callable[..., Any]) -> Rule:
    """Make a rule of a function `(p, g, *states, *, hyperparameters)` that returns `(update, *new states)`.

    The update is what is taken off the parameter. Positional arguments after the gradient are states: tensors
    like the parameter that start at zero (or as `state(init=...)` says). Keyword-only arguments are the
    hyperparameters; `t`, if named, is the tensor's own step count from 1. Numbers may change at any step;
    truth values and strings are settled while tracing.

    Args:
        function: The formula.

    Returns:
        The rule: it runs as a kernel, prints as equations, and is combined with others.

    Raises:
        RuleError: The signature or the formula can't be a rule; the message names the line and the remedy.

    >>> from fallline.math import sqrt
    >>> @rule
    ... def my_rmsprop(p, g, v, *, lr=1e-2, alpha=0.99, eps=1e-8):
    ...     v = alpha * v + (1 - alpha) * g * g
    ...     return lr * g / (sqrt(v) + eps), v
    >>> [state.name for state in my_rmsprop.states]
    ['v']
    """
    if not inspect.isfunction(function):
        raise RuleError(f"rule got a {type(function).__name__}; it makes a rule of a Python function")
    signature = Signature.read(function, function.__name__)
    if signature.hides:
        raise RuleError(
            f"rule '{function.__name__}': '{signature.hides[0]}' hides what the rule takes; "
            "name every state and hyperparameter"
        )
    if not signature.takes_p_and_g:
        raise RuleError(f"rule '{function.__name__}' must take the parameter and the gradient first: (p, g, ...)")
    made = Rule(function, function.__name__, signature.states, signature.hyperparameters, signature.uses_t)
    made.trace()
    return made
