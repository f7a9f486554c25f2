"""From a graph to something to run, and its cost: fewer nodes, scalars on the host, reductions split into passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from fallline.symbolic.expression import Expression, walk
from fallline.symbolic.graph import Graph
from fallline.symbolic.operations import LEAVES, OPERATIONS, REDUCTIONS, Rank

Roots = tuple[Expression, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """The work of one step.

    Args:
        graph: What was planned.
        hoisted: Scalar expressions that the host evaluates in double precision, one column of the table each.
        passes: One loop over the elements for each level of reductions, then the one that writes.
        update: What is taken off the parameter.
        new_states: What the states that are tensors become.
        new_numbers: What the states that are numbers become, evaluated on the host once the sums are known, in which
            `total_i` is the i-th of `totals`.
    """

    graph: Graph
    hoisted: tuple[Expression, ...]
    passes: tuple[Pass, ...]
    update: Expression
    new_states: dict[str, Expression]
    new_numbers: dict[str, Expression]

    @cached_property
    def scalars(self) -> tuple[str, ...]:
        """The scalars that the host needs values of, by name."""
        return self.graph.scalars

    @cached_property
    def reductions(self) -> tuple[Expression, ...]:
        """All reductions in the order of the passes that compute them."""
        return tuple(reduction for one in self.passes for reduction in one.reductions)

    @cached_property
    def sum_names(self) -> dict[Expression, str]:
        """A name for each of the reductions."""
        return {reduction: f"sum_{i}_" for i, reduction in enumerate(self.reductions)}

    @cached_property
    def totals(self) -> tuple[Expression, ...]:
        """The reductions that come to one number a tensor, or one for all tensors, in the order of the passes."""
        return tuple(reduction for reduction in self.reductions if reduction.operation != "channel_sum")

    @cached_property
    def uses_channels(self) -> bool:
        """Whether any reduction is over channels, so that the table must know each tensor's rows."""
        return any(reduction.operation == "channel_sum" for reduction in self.reductions)

    @cached_property
    def written(self) -> dict[str, Expression]:
        """States whose new value differs from the old."""
        return {name: node for name, node in self.new_states.items() if not node.is_tensor(name)}


@dataclass(frozen=True, eq=False)
class Pass:
    """One loop over the elements.

    Args:
        reductions: What it computes; nothing if it is the last, which writes.
        loads: The tensors that it reads.
        operations: The arithmetic that it does at every element.
    """

    reductions: tuple[Expression, ...]
    loads: tuple[str, ...]
    operations: int


@lru_cache(maxsize=512)
def make_plan(graph: Graph) -> Plan:
    """Simplify, hoist and split a graph.

    Args:
        graph: A rule's step.
    """
    roots = simplify(graph.roots)
    update, *states = roots
    kinds = {spec.name: spec.kind for spec in graph.states}
    becomes = dict(zip(graph.new_states, states, strict=True))
    new_states = {name: node for name, node in becomes.items() if kinds[name] == "tensor"}
    level = levels(roots)
    by_level: dict[int, list[Expression]] = {}
    for node in walk(roots):
        if node.operation in REDUCTIONS:
            by_level.setdefault(level[node], []).append(node)
    passes = [_pass(tuple(one.args[0] for one in found), tuple(found)) for _, found in sorted(by_level.items())]
    reduced = (reduction.args[0] for one in passes for reduction in one.reductions)
    hoisted = _hoisted((update, *new_states.values(), *reduced))
    passes.append(_pass((update, *(node for name, node in new_states.items() if not node.is_tensor(name)))))
    totals = [r for one in passes for r in one.reductions if r.operation != "channel_sum"]
    numbers = {name: node for name, node in becomes.items() if kinds[name] != "tensor"}
    return Plan(graph, hoisted, tuple(passes), update, new_states, _on_the_host(numbers, totals))


@dataclass(frozen=True)
class Cost:
    """What one step costs for each parameter.

    Args:
        bytes_moved: Read and written.
        state_bytes: Kept between steps.
        operations: Of arithmetic.
        passes: Over memory.
    """

    bytes_moved: int
    state_bytes: int
    operations: int
    passes: int


def cost(graph: Graph, itemsize: int = 4) -> Cost:
    """Count a graph's cost for tensors of `itemsize` bytes a number."""
    plan = make_plan(graph)
    reads = sum(len(one.loads) for one in plan.passes)
    writes = 1 + len(plan.written)
    operations = sum(one.operations for one in plan.passes)
    return Cost((reads + writes) * itemsize, len(plan.new_states) * itemsize, operations, len(plan.passes))


def simplify(roots: Roots) -> Roots:
    """The same values from fewer nodes."""
    unique: dict[tuple[object, ...], Expression] = {}
    new: dict[Expression, Expression] = {}

    def intern(node: Expression) -> Expression:
        # By its text, in which 0.0 is not -0.0.
        return unique.setdefault((node.operation, repr(node.value), *map(id, node.args)), node)

    for node in walk(roots):
        args = tuple(new[argument] for argument in node.args)
        rebuilt = node if args == () else Expression(node.operation, *args, value=node.value)
        new[node] = intern(_rewrite(rebuilt, intern))
    return tuple(new[root] for root in roots)


def _rewrite(node: Expression, intern: Callable[[Expression], Expression]) -> Expression:
    constant = all(argument.operation == "constant" for argument in node.args)
    if constant and node.operation not in LEAVES and node.operation not in REDUCTIONS:
        folded = _fold(node)
        if folded is not None:
            return folded
    if node.operation in _NEUTRAL:
        a, b = node.args
        if _is(b, _NEUTRAL[node.operation]):
            return a
        if node.operation in ("add", "multiply") and _is(a, _NEUTRAL[node.operation]):
            return b
    match node.operation:
        case "power" if _is(node.args[1], 2.0):
            return Expression("multiply", node.args[0], node.args[0])
        case "multiply" if node.args[0].operation == node.args[1].operation == "negative":
            return Expression("multiply", node.args[0].args[0], node.args[1].args[0])
        case "negative" if node.args[0].operation == "negative":
            return node.args[0].args[0]
        case "divide" if node.args[0].rank > Rank.SEGMENT and node.args[1].rank == Rank.SCALAR:
            # One division on the host instead of one at every element.
            one = intern(Expression("constant", value=1.0))
            return Expression("multiply", node.args[0], intern(Expression("divide", one, node.args[1])))
    return node


#: The numbers on the right that leave every number as it is: -0.0 + 0.0 is 0.0.
_NEUTRAL = {"add": -0.0, "subtract": 0.0, "multiply": 1.0, "divide": 1.0, "power": 1.0}


def _is(node: Expression, value: float) -> bool:
    return node.operation == "constant" and repr(node.value) == repr(value)


def _fold(node: Expression) -> Expression | None:
    if node.is_boolean or node.operation == "where":
        return None
    value = float(OPERATIONS[node.operation].compute(*(argument.value for argument in node.args)))
    # What came out of finite numbers as none is left to run time, and to the printed equation.
    return Expression("constant", value=value) if math.isfinite(value) else None


def _on_the_host(numbers: dict[str, Expression], totals: list[Expression]) -> dict[str, Expression]:
    """The same with a name for each total."""
    known = {total: Expression("scalar", value=f"total_{i}") for i, total in enumerate(totals)}
    for node in walk(tuple(numbers.values())):
        if node not in known:
            args = tuple(known[argument] for argument in node.args)
            known[node] = Expression(node.operation, *args, value=node.value) if args else node
    return {name: known[node] for name, node in numbers.items()}


def _hoisted(roots: tuple[Expression, ...]) -> tuple[Expression, ...]:
    """The largest scalar subexpressions that are not constants."""
    below = _below(roots, lambda node: node.rank == Rank.SCALAR)
    return tuple(node for node in below if node.rank == Rank.SCALAR and node.operation != "constant")


def levels(roots: tuple[Expression, ...]) -> dict[Expression, int]:
    """How many passes must have ended before a node's value is known.

    Args:
        roots: What is computed.
    """
    found: dict[Expression, int] = {}
    for node in walk(roots):
        found[node] = max((found[a] for a in node.args), default=0) + (node.operation in REDUCTIONS)
    return found


def _pass(roots: Roots, reductions: Roots = ()) -> Pass:
    """What a loop over these roots computes; what is behind a reduction was computed in an earlier pass."""
    inside = [node for node in _below(roots, _is_reduction) if not _is_reduction(node)]
    loads = [str(node.value) for node in inside if node.operation == "tensor"]
    operations = sum(node.rank == Rank.ELEMENT and node.operation not in LEAVES for node in inside)
    if reductions:
        operations += sum(root.rank == Rank.ELEMENT for root in roots)
    else:  # the update is taken off p
        loads.insert(0, "p")
        operations += 1
    return Pass(reductions, tuple(dict.fromkeys(loads)), operations)


def _is_reduction(node: Expression) -> bool:
    return node.operation in REDUCTIONS


def _below(roots: tuple[Expression, ...], ends: Callable[[Expression], bool]) -> Iterator[Expression]:
    """Every node once, from the roots down to where it ends."""
    seen: set[Expression] = set()
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            yield node
            if not ends(node):
                stack.extend(reversed(node.args))
