"""A rule as an optax gradient transformation, from the graph that its kernels come from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from fallline import rules
from fallline._asked import did_you_mean
from fallline.symbolic import OPERATIONS, Expression, Rank, Rule, walk
from fallline.symbolic.plan import simplify

try:
    import jax
    import jax.numpy as jnp
    import optax
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"a rule in JAX needs {error.name}, which is not installed: pip install 'fallline[jax]'", name=error.name
    ) from error

#: A pytree of arrays.
Tree = Any


class RuleState(NamedTuple):
    """What a rule keeps between steps.

    Attributes:
        count: Steps taken, of int32.
        states: The states by name: pytrees like the parameters, of arrays like them or of one number each; a global
            state is one number.
    """

    count: Any
    states: dict[str, Tree]


class Optax:
    """Makes optax gradient transformations of a rule: what `Rule.optax` is, and documents.

    Args:
        rule: The rule.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        kind, none = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
        # Where `optax.inject_hyperparams` reads what may be injected.
        self.__signature__ = inspect.Signature([
            inspect.Parameter(name, kind, default=none if value is None else value)
            for name, value in rule.hyperparameters.items()
        ])  # fmt: skip
        self.__name__ = rule.name

    def __call__(self, **hyperparameters: Any) -> optax.GradientTransformationExtraArgs:
        """Make a transformation; as `Rule.optax`."""
        step = _Step(self.rule, _checked(self.rule, hyperparameters))
        return optax.GradientTransformationExtraArgs(step.init, step.update)


class _Step:
    """The two functions of a transformation. Numbers that are alike for all tensors are evaluated once."""

    def __init__(self, rule: Rule, values: Mapping[str, Any]) -> None:
        self._rule = rule
        self._values = {name: value for name, value in values.items() if name not in rule.static}
        self._roots = simplify(rule.trace(**{name: values[name] for name in rule.static}).roots)
        self._reads_parameters = any(node.is_tensor("p") for node in walk(self._roots))

    def init(self, params: Tree) -> RuleState:
        _check_leaves("parameter", params)
        begun = {
            "tensor": lambda fill: jax.tree.map(lambda p: jnp.full_like(p, fill), params),
            "scalar": lambda fill: jax.tree.map(lambda p: jnp.asarray(fill, _wide()), params),
            "global": lambda fill: jnp.asarray(fill, _wide()),
        }
        return RuleState(
            jnp.zeros([], jnp.int32), {spec.name: begun[spec.kind](spec.fill) for spec in self._rule.states}
        )

    def update(self, updates: Tree, state: RuleState, params: Tree | None = None, **_: Any) -> tuple[Tree, RuleState]:
        if self._reads_parameters and params is None:
            raise ValueError(
                f"the rule '{self._rule.name}' reads the parameters: call update(gradients, state, params) with them"
            )
        _check_leaves("gradient", updates)
        gradients, tree = jax.tree.flatten(updates)
        columns = {name: tree.flatten_up_to(state.states[name]) for name in self._columns()}
        columns |= {"g": gradients, "p": gradients if params is None else tree.flatten_up_to(params)}
        columns["dimensions"] = [jnp.asarray(g.ndim, _wide()) for g in gradients]
        shared = self._shared(state)
        leaves = [{**shared, **{name: column[i] for name, column in columns.items()}} for i in range(len(gradients))]
        moves, *becomes = _evaluated(self._roots, leaves)
        states = dict(state.states)
        for spec, values in zip(self._rule.states, becomes, strict=True):
            new = [_like(value, leaf[spec.name]) for value, leaf in zip(values, leaves, strict=True)]
            if spec.kind != "global":
                states[spec.name] = tree.unflatten(new)
            elif new:
                states[spec.name] = new[0]
        moved = [_like(-move, leaf["p"]) for move, leaf in zip(moves, leaves, strict=True)]
        return tree.unflatten(moved), RuleState(optax.safe_increment(state.count), states)

    def _columns(self) -> list[str]:
        return [spec.name for spec in self._rule.states if spec.kind != "global"]

    def _shared(self, state: RuleState) -> dict[str, Any]:
        """The numbers that are one for all tensors, by name."""
        taken = state.count
        numbers = {name: value(taken) if callable(value) else value for name, value in self._values.items()}
        numbers |= {"t": taken + 1, **{spec.absent: taken == 0 for spec in self._rule.states}}
        numbers |= {spec.name: state.states[spec.name] for spec in self._rule.global_states}
        return {name: jnp.asarray(value, _wide()) for name, value in numbers.items()}


def _evaluated(roots: tuple[Expression, ...], leaves: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """What each root comes to for each tensor, from what its leaves of the graph hold, by name."""
    known: dict[Expression, list[Any]] = {}
    for node in walk(roots):
        if node.operation == "constant":
            known[node] = [jnp.asarray(node.value, _wide())] * len(leaves)
        elif node.operation == "scalar":
            known[node] = [leaf[str(node.value)] for leaf in leaves]
        elif node.operation == "tensor":
            known[node] = [leaf[str(node.value)].astype(_real(leaf)) for leaf in leaves]
        else:
            known[node] = _applied(node, known, leaves)
    return [known[root] for root in roots]


def _applied(node: Expression, known: Mapping[Expression, list[Any]], leaves: Sequence[Mapping[str, Any]]) -> list[Any]:
    function = _functions(_wide())[node.operation]
    once: dict[tuple[int, ...], Any] = {}  # what several tensors share is one object
    values = []
    for i, leaf in enumerate(leaves):
        given = [known[argument][i] for argument in node.args]
        key = tuple(map(id, given))
        if node.rank == Rank.ELEMENT:
            given = [
                value.astype(_real(leaf)) if argument.rank < Rank.ELEMENT and not argument.is_boolean else value
                for argument, value in zip(node.args, given, strict=True)
            ]
        if key not in once:
            once[key] = function(*given)
        values.append(once[key])
    if node.operation == "joint_sum":
        return [sum(values[1:], start=values[0])] * len(values) if values else []
    return values


@cache
def _functions(wide: Any) -> dict[str, Callable[..., Any]]:
    """Every operation as a function of JAX's arrays."""
    letters = ("a", "b", "c")
    lines = [
        f"{name!r}: lambda {', '.join(letters[: operation.arity])}: {operation.jax.format(*letters)}"
        for name, operation in OPERATIONS.items()
    ]
    return eval(f"{{{', '.join(lines)}}}", {"jnp": jnp, "wide": wide})  # type: ignore[no-any-return]


def _wide() -> Any:
    """The widest type of number that JAX is set to."""
    return jnp.result_type(float)


def _real(leaf: Mapping[str, Any]) -> Any:
    """The type that a tensor is computed with in."""
    return jnp.promote_types(leaf["p"].dtype, jnp.float32)


def _like(value: Any, old: Any) -> Any:
    return jnp.broadcast_to(value, jnp.shape(old)).astype(old.dtype)


def _check_leaves(what: str, tree: Tree) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        dtype = getattr(leaf, "dtype", None)
        if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"the {what} at {jax.tree_util.keystr(path) or 'the root'} must be an array of floating-point numbers; "
                f"got {type(leaf).__name__ if dtype is None else dtype}"
            )


def _checked(rule: Rule, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of all hyperparameters. What is known only as the program runs can't be checked."""
    for name in given:
        if name not in rule.hyperparameters:
            hint = did_you_mean(name, list(rule.hyperparameters), "it has")
            raise TypeError(f"the rule '{rule.name}' has no hyperparameter '{name}'; {hint}")
    values = {**rule.hyperparameters, **given}
    for name, value in values.items():
        if value is None:
            raise TypeError(f"the rule '{rule.name}' needs a value for '{name}': pass {name}=...")
        if name in rule.static:
            kind = type(rule.hyperparameters[name])
            if type(value) is not kind:
                raise TypeError(f"'{name}' of the rule '{rule.name}' must be a {kind.__name__}; got {value!r}")
        elif isinstance(value, bool) or not (isinstance(value, Real | jax.Array | np.ndarray) or callable(value)):
            raise TypeError(f"'{name}' of the rule '{rule.name}' must be a number or a schedule; got {value!r}")
        elif isinstance(value, Real) and (wanted := rules.unmet(rule, name, float(value))):
            raise ValueError(f"'{name}' of the rule '{rule.name}' must be {wanted}; got {float(value):g}")
    return values
