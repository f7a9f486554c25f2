"""From a graph to something to run: scalars hoisted to the host, reductions split into passes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fallline.symbolic.expression import Expression, Rank, walk
from fallline.symbolic.graph import Graph
from fallline.symbolic.operations import LEAVES, REDUCTIONS
from fallline.symbolic.simplify import simplify


@dataclass(frozen=True, eq=False)
class Plan:
    """The work of one step.

    hoisted: scalar expressions that the host evaluates in double precision, one column of the table each.
    passes: one loop over the elements for each level of reductions, then the one that writes.
    """

    graph: Graph
    hoisted: tuple[Expression, ...]
    passes: tuple[Pass, ...]
    update: Expression
    new_states: dict[str, Expression]

    @property
    def scalars(self) -> tuple[str, ...]:
        """The scalars that the host needs values of, by name."""
        return self.graph.scalars

    @property
    def reductions(self) -> tuple[Expression, ...]:
        """All reductions in the order of the passes that compute them."""
        return tuple(reduction for one in self.passes for reduction in one.reductions)

    @property
    def uses_channels(self) -> bool:
        """Whether any reduction is over channels, so that the table must know each tensor's rows."""
        return any(reduction.operation == "channel_sum" for reduction in self.reductions)

    @property
    def written(self) -> dict[str, Expression]:
        """States whose new value differs from the old."""
        return {
            name: node for name, node in self.new_states.items() if (node.operation, node.value) != ("tensor", name)
        }


@dataclass(frozen=True, eq=False)
class Pass:
    """One loop over the elements: the reductions it computes, or nothing if it is the last, which writes."""

    reductions: tuple[Expression, ...]
    loads: tuple[str, ...]


@lru_cache(maxsize=512)
def make_plan(graph: Graph) -> Plan:
    """Simplify, hoist and split a graph."""
    update, *states = simplify(graph.roots)
    roots = (update, *states)
    new_states = dict(zip(graph.new_states, states, strict=True))
    hoisted = _hoisted(roots)
    levels = _levels(roots)
    by_level: dict[int, list[Expression]] = {}
    for node in walk(roots):
        if node.operation in REDUCTIONS:
            by_level.setdefault(levels[node], []).append(node)
    passes = [Pass(tuple(found), _loads(tuple(r.args[0] for r in found))) for _, found in sorted(by_level.items())]
    written = tuple(node for name, node in new_states.items() if (node.operation, node.value) != ("tensor", name))
    passes.append(Pass((), tuple(dict.fromkeys(("p", *_loads((update, *written)))))))
    return Plan(graph, hoisted, tuple(passes), update, new_states)


def _hoisted(roots: tuple[Expression, ...]) -> tuple[Expression, ...]:
    """The largest scalar subexpressions that are not constants."""
    found: dict[Expression, None] = {}
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        if node.rank == Rank.SCALAR:
            if node.operation != "constant":
                found.setdefault(node)
        else:
            stack.extend(reversed(node.args))
    return tuple(found)


def _levels(roots: tuple[Expression, ...]) -> dict[Expression, int]:
    """How many passes must have ended before a node's value is known."""
    levels: dict[Expression, int] = {}
    for node in walk(roots):
        levels[node] = max((levels[a] for a in node.args), default=0) + (node.operation in REDUCTIONS)
    return levels


def _loads(roots: tuple[Expression, ...]) -> tuple[str, ...]:
    """The tensors that a loop over these roots reads; what is behind a reduction was read in an earlier pass."""
    names: dict[str, None] = {}
    seen: set[Expression] = set()
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        if node in seen or node.operation in REDUCTIONS:
            continue
        seen.add(node)
        if node.operation == "tensor":
            names.setdefault(str(node.value))
        stack.extend(reversed(node.args))
    return tuple(names)


def operations_per_element(plan: Plan) -> int:
    """Arithmetic at every element: nodes that neither the host nor a reduction's end computes once for all."""
    roots = (plan.update, *plan.new_states.values())
    inside = sum(node.rank == Rank.ELEMENT and node.operation not in LEAVES for node in walk(roots))
    return inside + len(plan.reductions) + 1  # each reduction adds once an element; the update is taken off p
