"""What one step costs for each parameter: counted from the plan, not estimated."""

from __future__ import annotations

from dataclasses import dataclass

from fallline.symbolic.graph import Graph
from fallline.symbolic.plan import make_plan


@dataclass(frozen=True)
class Cost:
    """Per parameter: bytes moved in one step, bytes of state kept, arithmetic operations, passes over memory."""

    bytes_moved: int
    state_bytes: int
    operations: int
    passes: int


def cost(graph: Graph, itemsize: int = 4) -> Cost:
    """Count a graph's cost for tensors of `itemsize` bytes a number.

    >>> from fallline.rules import adam
    >>> adam.cost()
    Cost(bytes_moved=28, state_bytes=8, operations=14, passes=1)
    """
    plan = make_plan(graph)
    reads = sum(len(one.loads) for one in plan.passes)
    writes = 1 + len(plan.written)
    operations = sum(one.operations for one in plan.passes)
    return Cost((reads + writes) * itemsize, len(plan.new_states) * itemsize, operations, len(plan.passes))
