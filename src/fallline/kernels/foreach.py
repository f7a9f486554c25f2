"""From a plan to calls that take all tensors at once, an operation a call: where there are no kernels of ours.

What is written is what torch's optimizers do by hand: sums of multiples become `lerp`, `addcmul` and `addcdiv`, and a
state is changed where it lies as soon as nobody needs what it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from fallline.kernels.eager import HostScalars
from fallline.kernels.listing import Line, Listing
from fallline.symbolic import OPERATIONS, Expression, Plan, Rank, apply

_ONE = Expression("constant", value=1.0)
#: What a number that stands alone in a sum is a multiple of.
_ALONE = Expression("constant", value=1.0)
#: A multiple: a number, and what it multiplies.
Term = tuple[Expression, Expression]


Lists = dict[str, list[torch.Tensor]]


@dataclass(frozen=True)
class Program:
    """The calls of a step.

    Attributes:
        sources: For each pass its function in Python.
        passes: The functions of (tensors, sums, numbers, real): lists by name, the sums of earlier passes by name,
            the numbers, and the type that is computed with. They return their sums by name; the last one changes p and
            the states instead.
        scalars: What the numbers are.
    """

    sources: tuple[str, ...]
    passes: tuple[Callable[[Lists, Lists, tuple[float, ...], torch.dtype], Lists], ...]
    scalars: HostScalars


@lru_cache(maxsize=512)
def program(plan: Plan, half: bool) -> Program:
    """Write the calls of a step.

    Args:
        plan: The step.
        half: Whether the tensors are of half precision, which is computed with in float32.
    """
    scalars: dict[Expression, int] = {}
    sources = tuple(_Writer(plan, number, half, scalars).listing().source() for number in range(len(plan.passes)))
    passes = []
    for source in sources:
        namespace: dict[str, Any] = {"torch": torch}
        exec(compile(source, f"<fallline foreach: {plan.graph.rule.name}>", "exec"), namespace)
        passes.append(namespace["run"])
    return Program(sources, tuple(passes), HostScalars(tuple(scalars), plan.scalars))


class _Writer:
    """Writes the calls of one pass, each value by a line of its own."""

    def __init__(self, plan: Plan, number: int, half: bool, scalars: dict[Expression, int]) -> None:
        self._plan, self._half, self._scalars = plan, half, scalars
        self._lines: dict[str, Line] = {}
        self._products: dict[tuple[object, ...], Expression] = {}
        self._leaves: dict[str, str] = {}
        one = plan.passes[number]
        earlier = (reduction for before in plan.passes[:number] for reduction in before.reductions)
        self._names = {reduction: plan.sum_names[reduction] for reduction in earlier}
        self._known = frozenset(self._names.values())
        becomes = {} if one.reductions else plan.written | {"p": apply("subtract", _leaf("p"), plan.update)}
        roots = [reduction.args[0] for reduction in one.reductions] or list(becomes.values())
        uses = Counter(argument for node in self._below(roots) for argument in node.args)
        self._shared = {node for node, times in uses.items() if times > 1}.union(roots)
        self._sums = {plan.sum_names[reduction]: self._sum(reduction) for reduction in one.reductions}
        self._becomes = {name: self._value(node, name) for name, node in becomes.items()}

    def listing(self) -> Listing:
        """What was written."""
        return Listing(self._lines, self._sums, self._becomes, self._known, not self._half)

    def _below(self, roots: Iterable[Expression]) -> Iterator[Expression]:
        """The nodes that this pass computes."""
        stack, seen = list(roots), set[Expression]()
        while stack:
            node = stack.pop()
            if node not in seen and node not in self._names:
                seen.add(node)
                yield node
                stack.extend(node.args)

    def _line(self, call: str, *of: str, whole: bool = True) -> str:
        line = Line(f"value{len(self._lines)}_", call, of, whole)
        self._lines[line.out] = line
        return line.out

    def _number(self, node: Expression) -> str:
        """The name of a number that the host evaluates."""
        if node.operation == "constant" and not node.is_boolean:
            return f"float('{node.value}')"
        return f"numbers[{self._scalars.setdefault(node, len(self._scalars))}]"

    def _value(self, node: Expression, into: str = "") -> str:
        """The name of the list that a node comes to; `into` is the state that it becomes."""
        if node.operation == "tensor":
            return self._load(str(node.value))
        if node not in self._names:
            terms = self._terms(node, top=True)
            whole = len(terms) == 1 and terms[0][0] is _ONE and terms[0][1] is node
            self._names[node] = self._operation(node) if whole else self._combined(node, terms, into)
        return self._names[node]

    def _load(self, name: str) -> str:
        if not self._half:
            return name
        if name not in self._leaves:
            self._leaves[name] = self._line("{0}.to(real)", name)
        return self._leaves[name]

    def _sum(self, reduction: Expression) -> str:
        source = OPERATIONS[reduction.operation].torch
        terms = self._terms(reduction.args[0], top=True)
        square = terms[0][1]
        if reduction.operation != "channel_sum" and len(terms) == 1 and _is_square(square):
            norm = self._line("norm{_}({0}, 2, torch.float64)", self._value(square.args[0]), whole=False)
            found = self._line("mul{_}({0}, {0})", norm, whole=False)
            return found if terms[0][0] is _ONE else self._scaled_by(found, terms[0][0], whole=False)
        return self._line(source, self._value(reduction.args[0]), whole=False)

    def _operation(self, node: Expression) -> str:
        """A value that is no sum of multiples."""
        whole = node.rank == Rank.ELEMENT
        numbers = [argument.rank == Rank.SCALAR for argument in node.args]
        name = node.operation
        call, _, with_number = OPERATIONS[name].foreach.partition(" ")
        if call and numbers in ([False], [False, False]):
            given = [self._inside(argument, node) for argument in node.args]
            if name == "multiply" and node.args[0].rank < node.args[1].rank:
                given.reverse()
            if node.args[0].rank == node.rank or name == "multiply":
                return self._line(
                    f"{call}{{_}}({', '.join(f'{{{i}}}' for i in range(len(given)))})", *given, whole=whole
                )
        if call and numbers == [False, True]:
            second = self._number(node.args[1])
            given = [self._inside(node.args[0], node)]
            return self._line(f"{with_number or call}{{_}}({{0}}, {second})", *given, whole=whole)
        if name == "divide" and node.args[0] is _ONE:
            return self._line("reciprocal{_}({0})", self._inside(node.args[1], node), whole=whole)
        return self._by_tensor(node, numbers)

    def _by_tensor(self, node: Expression, numbers: list[bool]) -> str:
        """What no call takes all tensors for."""
        given: list[str] = []
        texts = []
        for argument, is_number in zip(node.args, numbers, strict=True):
            if is_number:
                kind = "torch.bool" if argument.is_boolean else "real" if node.rank == Rank.ELEMENT else "torch.float64"
                texts.append(f"torch.tensor({self._number(argument)}, dtype={kind})")
            else:
                texts.append(f"{{{len(given)}}}")
                given.append(self._inside(argument, node))
        if node.operation == "where" and numbers[0]:
            chosen = f"0 if {self._number(node.args[0])} else 1"
            source = f"torch.broadcast_tensors({texts[1]}, {texts[2]})[{chosen}].clone()"
        else:
            source = OPERATIONS[node.operation].torch.format(*texts)
        return self._line(source, *given, whole=node.rank == Rank.ELEMENT)

    def _inside(self, argument: Expression, node: Expression) -> str:
        """An argument's list, in the type that the elements are computed in."""
        found = self._value(argument)
        if argument.rank < node.rank == Rank.ELEMENT and not argument.is_boolean:
            key = ("narrow", id(argument))
            if key not in self._products:
                self._products[key] = narrowed = Expression(
                    "tensor", value=self._line("{0}.to(real)", found, whole=False)
                )
                self._names[narrowed] = str(narrowed.value)
            return self._names[self._products[key]]
        return found

    # Sums of multiples.

    def _terms(self, node: Expression, top: bool = False) -> list[Term]:
        """A node as a sum of multiples of what is none. What others need too is taken as it is."""
        if node.rank == Rank.SCALAR:
            return [(node, _ALONE)]
        if not top and (node in self._shared or node in self._names):
            return [(_ONE, node)]
        a, b = (*node.args, _ONE, _ONE)[:2]
        match node.operation:
            case "add":
                return _merged([*self._terms(a), *self._terms(b)])
            case "subtract":
                return _merged([*self._terms(a), *((_times(_MINUS, c), x) for c, x in self._terms(b))])
            case "negative":
                return [(_times(_MINUS, c), x) for c, x in self._terms(a)]
            case "multiply" if a.rank == Rank.SCALAR or b.rank == Rank.SCALAR:
                number, other = (a, b) if a.rank == Rank.SCALAR else (b, a)
                return [(_times(number, c), x) for c, x in self._terms(other)]
            case "divide" if b.rank == Rank.SCALAR:
                return [(apply("divide", c, b), x) for c, x in self._terms(a)]
            case "divide" if a.rank == Rank.SCALAR and a is not _ONE:
                return [(a, self._product("divide", _ONE, b))]
            case "multiply" | "divide":
                (c, x), (d, y) = self._single(a), self._single(b) if node.operation == "multiply" else (_ONE, b)
                same = x is a and y is b
                return [(_times(c, d), node if same else self._product(node.operation, x, y))]
        return [(_ONE, node)]

    def _single(self, node: Expression) -> Term:
        terms = self._terms(node)
        return terms[0] if len(terms) == 1 and terms[0][1] is not _ALONE else (_ONE, node)

    def _product(self, operation: str, x: Expression, y: Expression) -> Expression:
        return self._products.setdefault((operation, id(x), id(y)), Expression(operation, x, y))

    def _combined(self, node: Expression, terms: list[Term], into: str) -> str:
        whole = node.rank == Rank.ELEMENT
        terms = sorted(terms, key=lambda term: _precedence(term, node.rank, into))
        (c, base), *others = terms
        if len(others) == 1 and whole and _complements(c, others[0][0]) and not self._is_fused(others[0][1], node):
            of = self._inside(base, node), self._inside(others[0][1], node)
            return self._line(f"lerp{{_}}({{0}}, {{1}}, {self._number(others[0][0])})", *of)
        found = self._inside(base, node) if base.operation == "tensor" or base in self._names else self._value(base)
        if c is not _ONE:
            found = self._scaled_by(found, c, whole)
        for c, x in others:
            found = self._added(found, c, x, node, whole)
        return found

    def _scaled_by(self, name: str, c: Expression, whole: bool) -> str:
        return self._line(f"mul{{_}}({{0}}, {self._number(c)})", name, whole=whole)

    def _added(self, found: str, c: Expression, x: Expression, node: Expression, whole: bool) -> str:
        number = self._number(c)
        if x is _ALONE:
            return self._line(f"add{{_}}({{0}}, {number})", found, whole=whole)
        if self._is_fused(x, node):
            of = [self._value(argument) for argument in x.args]
            call = _FUSED[x.operation]
            return self._line(f"{call}{{_}}({{0}}, {{1}}, {{2}}, value={number})", found, *of, whole=whole)
        return self._line(f"add{{_}}({{0}}, {{1}}, alpha={number})", found, self._inside(x, node), whole=whole)

    def _is_fused(self, x: Expression, node: Expression) -> bool:
        """Whether a multiple of it is added in the call that computes it."""
        fresh = x.operation in _FUSED and x not in self._names and x not in self._shared
        return fresh and all(argument.rank == node.rank for argument in x.args)


_FUSED = {"multiply": "addcmul", "divide": "addcdiv"}
_MINUS = Expression("constant", value=-1.0)


def _leaf(name: str) -> Expression:
    return Expression("tensor", value=name)


def _is_square(node: Expression) -> bool:
    return node.operation == "multiply" and node.args[0] is node.args[1] and node.rank == Rank.ELEMENT


def _times(a: Expression, b: Expression) -> Expression:
    if a is _ONE or b is _ONE:
        return b if a is _ONE else a
    return apply("multiply", a, b)


def _merged(terms: list[Term]) -> list[Term]:
    """Multiples of one thing as one."""
    found: dict[object, Term] = {}
    for c, x in terms:
        key = str(x.value) if x.operation == "tensor" else x
        found[key] = (apply("add", found[key][0], c), x) if key in found else (c, x)
    return list(found.values())


def _complements(c: Expression, d: Expression) -> bool:
    """Whether two numbers are written as x and 1 - x."""
    return any(
        b.operation == "subtract" and b.args[0].operation == "constant" and b.args[0].value == 1.0 and b.args[1] is a
        for a, b in ((c, d), (d, c))
    )


def _precedence(term: Term, rank: Rank, into: str) -> int:
    """What a sum begins with: with what it becomes, else with what is there, else with what must be computed first."""
    x = term[1]
    if x is _ALONE or x.rank < rank:
        return 4
    if x.operation == "tensor":
        return 0 if x.value == into else 1
    return 3 if x.operation in ("multiply", "divide") else 2
