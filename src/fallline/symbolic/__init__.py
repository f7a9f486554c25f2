"""A rule's formula as a graph: traced once, then printed, counted and handed to the kernels."""

from fallline.symbolic.combinator import Combinator, combinator
from fallline.symbolic.expression import Expression, RuleError, apply, described, refuse, walk, wrap
from fallline.symbolic.graph import Graph, rests_without_gradient
from fallline.symbolic.operations import NAMES, OPERATIONS, REDUCTIONS, Operation, Rank, instead_of
from fallline.symbolic.plan import Cost, Pass, Plan, make_plan
from fallline.symbolic.rule import Rule, rule
from fallline.symbolic.state import State, state

__all__ = [
    "NAMES",
    "OPERATIONS",
    "REDUCTIONS",
    "Combinator",
    "Cost",
    "Expression",
    "Graph",
    "Operation",
    "Pass",
    "Plan",
    "Rank",
    "Rule",
    "RuleError",
    "State",
    "apply",
    "combinator",
    "described",
    "instead_of",
    "make_plan",
    "refuse",
    "rests_without_gradient",
    "rule",
    "state",
    "walk",
    "wrap",
]
