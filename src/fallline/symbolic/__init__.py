"""A rule's formula as a graph: traced once, then printed, counted and handed to the kernels."""

from fallline.symbolic.combinator import Combinator, combinator
from fallline.symbolic.cost import Cost
from fallline.symbolic.errors import RuleError
from fallline.symbolic.expression import Expression, Rank
from fallline.symbolic.graph import Graph
from fallline.symbolic.plan import Plan, make_plan
from fallline.symbolic.resting import rests_without_gradient
from fallline.symbolic.rule import Rule, rule
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
