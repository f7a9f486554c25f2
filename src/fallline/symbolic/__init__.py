"""A rule's formula as a graph: traced once, then printed, counted and handed to the kernels."""

from fallline.symbolic.expression import Expression, Rank, RuleError
from fallline.symbolic.graph import Graph, rests_without_gradient
from fallline.symbolic.plan import Cost, Plan, make_plan
from fallline.symbolic.rule import Combinator, Rule, combinator, rule
from fallline.symbolic.state import State, state

__all__ = [
    "Combinator",
    "Cost",
    "Expression",
    "Graph",
    "Plan",
    "Rank",
    "Rule",
    "RuleError",
    "State",
    "combinator",
    "make_plan",
    "rests_without_gradient",
    "rule",
    "state",
]
