"""Printing a graph as the equations that a person would write: brackets, signs, fractions and powers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import count

from fallline.symbolic.expression import Expression, walk
from fallline.symbolic.graph import Graph
from fallline.symbolic.operations import ATOM, LEAVES, OPERATIONS, POWER, PRODUCT, REACHING, REDUCTIONS, SUM, Rank
from fallline.symbolic.symbols import (
    Symbols,
    Written,
    bracketed,
    brackets,
    grouped,
    indexed,
    named,
    number,
    symbol,
    unsigned,
)

#: How many operations fit on a line: more of them are cut, and a part gets a name.
_LONGEST = 50
#: Scalars of so few operations stand where they are used, though the formula has a name for them.
_SHORTEST = 4


def equations(graph: Graph) -> str:
    """All equations of one step: where states begin, their new values, named intermediates, then the parameter."""
    symbols = Symbols(("p", "g", *graph.new_states, *graph.rule.hyperparameters, "t", "dimensions"))
    printer = Printer(symbols, graph.new_states)
    printer.defined = _named(graph, symbols)
    lines = [f"{beginning} &= {value}" for beginning, value in _beginnings(graph, symbols)]
    lines.extend(f"{printer.defined[node]} &= {printer.body(node)}" for node in walk(graph.roots)
                 if node in printer.defined)  # fmt: skip
    for name, node in graph.new_states.items():
        new = symbols.indexed(name, "t")
        if printer.defined.get(node) != new and not (node.operation in LEAVES and node.value == name):
            lines.append(f"{new} &= {printer.show(node)}")
    lines.append(rf"\theta_t &= \theta_{{t-1}} {printer.taken_off(graph.update)}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _beginnings(graph: Graph, symbols: Symbols) -> Iterable[tuple[str, str]]:
    printer = Printer(symbols, graph.new_states, now="1", before="0")
    for state in graph.states:
        first = symbols.indexed(state.name, "0")
        if callable(state.init):
            flags = [n for n in walk(graph.roots) if chooses_beginning(n) and state.absent == n.args[0].args[0].value]
            yield from ((first, printer.show(node.args[1])) for node in flags[:1])
        elif state.init != 0.0:
            yield first, number(state.init)


def _named(graph: Graph, symbols: Symbols) -> dict[Expression, str]:
    """What is called by a name: new states, then the formula's own variables, and parts of what is too long."""
    found: dict[Expression, str] = {}
    for name, node in graph.new_states.items():
        if node.operation not in LEAVES:
            found.setdefault(node, symbols.indexed(name, "t"))
    taken = {*symbols.written(), *(symbols.indexed(name, "t") for name in ("p", "g", *graph.new_states))}
    length: dict[Expression, int] = {}
    changing = {"p", "g", "t", *graph.new_states}
    varying: set[Expression] = set()
    for node in walk(graph.roots):
        if node.value in changing or any(part in varying for part in node.args):
            varying.add(node)
        length[node] = sum(length[part] for part in node.args) + (node.operation not in LEAVES)
        if chooses_beginning(node):
            length[node] = 0
        elif node not in found and node is not graph.update:
            for name in _names(graph, node, length[node]):
                written = indexed(name, "t") if node in varying else symbol(name)
                if written not in taken:
                    found[node] = written
                    taken.add(written)
                    break
        if node in found:
            length[node] = 0
    return found


def _names(graph: Graph, node: Expression, length: int) -> Iterable[str]:
    """What a part of the formula may be called, if it is worth a line of its own."""
    own = graph.names.get(node, "_")
    speaks = own not in ("p", "g", "update") and not own.startswith("_")
    if speaks and (node.rank >= Rank.CHANNEL or length > _SHORTEST):
        yield own
    if length > _LONGEST:
        yield from (f"x{i}" for i in count(1))


class Printer:
    """Prints nodes, calling those that are `defined` by their names.

    `states` carry the index of the step `before`, the gradient that of the step `now`, hyperparameters none.
    """

    def __init__(self, symbols: Symbols, states: Collection[str], now: str = "t", before: str = "t-1") -> None:
        self._symbols, self._states = symbols, states
        self.defined: dict[Expression, str] = {}
        self._now, self._before = now, before

    def show(self, node: Expression, above: int = 0) -> str:
        """A node inside something that holds with strength `above`, in brackets only if they are needed."""
        return bracketed(self._written(node), above)

    def body(self, node: Expression) -> str:
        """A node written out, also if it has a name; a condition in Iverson's brackets, which make it 1 or 0."""
        text = self._expression(node)[0]
        return rf"\left[{text}\right]" if node.is_boolean else text

    def taken_off(self, node: Expression) -> str:
        """The update with the sign that taking it off gives."""
        terms = [(1, self._written(node))] if node in self.defined else self._terms(node)
        return " ".join(f"{'-' if sign > 0 else '+'} {bracketed(term, SUM)}" for sign, term in terms)

    def _written(self, node: Expression) -> Written:
        return named(self.defined[node]) if node in self.defined else self._expression(node)

    def _expression(self, node: Expression) -> Written:
        match node.operation:
            case "scalar" if node.value not in self._states:
                return named(self._symbols.symbol(str(node.value)))
            case "scalar" | "tensor":
                return named(self._symbols.indexed(str(node.value), self._now if node.value == "g" else self._before))
            case "constant" | "add" | "subtract" | "negative" | "multiply" | "divide":
                return self._sum(node)
            case "power":
                return self._power(*node.args)
            case "sqrt" if (norm := self._norm(node.args[0])) is not None:
                return norm, ATOM
            case reduction if reduction in REDUCTIONS:
                return self._reduction(node)
            case "where" if chooses_beginning(node):
                return self._written(node.args[2])
        operation = OPERATIONS[node.operation]
        arguments = [self.show(argument, operation.inside) for argument in node.args]
        if "{0}" in operation.latex:
            return operation.latex.format(*arguments), operation.strength
        return operation.latex + brackets(", ".join(arguments)), ATOM

    def _sum(self, node: Expression) -> Written:
        (sign, first), *others = self._terms(node)
        if not others and sign > 0:
            return first
        text = ("" if sign > 0 else "-") + bracketed(first, SUM)
        for sign, term in others:
            text += f" {'+' if sign > 0 else '-'} {bracketed(term, SUM)}"
        return text, SUM

    def _terms(self, node: Expression) -> list[tuple[int, Written]]:
        """The terms of a sum with their signs; what has a name stays whole, unless it is the one being written out."""
        found: list[tuple[int, Written]] = []
        waiting = [(1, node)]
        while waiting:
            sign, part = waiting.pop()
            match part.operation:
                case _ if part in self.defined and part is not node:
                    found.append((sign, self._written(part)))
                case "add":
                    waiting += [(sign, part.args[1]), (sign, part.args[0])]
                case "subtract":
                    waiting += [(-sign, part.args[1]), (sign, part.args[0])]
                case "negative":
                    waiting.append((-sign, part.args[0]))
                case "constant" | "multiply" | "divide":
                    own_sign, product = self._product(part)
                    found.append((sign * own_sign, product))
                case _:
                    found.append((sign, self._expression(part)))
        return found

    def _product(self, node: Expression) -> tuple[int, Written]:
        """A product or fraction, its sign taken out."""
        factors = _Factors(node, self.defined)
        if not factors.below:
            return factors.sign, self._juxtaposed(factors.above)
        above, below = self._juxtaposed(factors.above)[0], self._juxtaposed(factors.below)[0]
        return factors.sign, (rf"\frac{{{above}}}{{{below}}}", POWER)

    def _juxtaposed(self, factors: list[tuple[Expression, int]]) -> Written:
        if not factors:
            return "1", ATOM
        if len(factors) == 1:
            return self._factor(*factors[0])
        *others, last = (self._factor(*factor) for factor in factors)
        shown = [*(bracketed(other, REACHING) for other in others), bracketed(last, SUM)]
        # A number right behind a factor would read as one of its digits.
        return " ".join(rf"\cdot {text}" if i and text[0].isdigit() else text for i, text in enumerate(shown)), PRODUCT

    def _factor(self, node: Expression, power: int) -> Written:
        base = unsigned(float(node.value or 0.0)) if node.operation == "constant" else self._written(node)
        return (f"{bracketed(base, POWER)}^{grouped(str(power))}", POWER) if power > 1 else base

    def _power(self, base: Expression, exponent: Expression) -> Written:
        if exponent.operation == "constant" and float(exponent.value or 0.0) % 2 == 0:
            base = self._without_sign(base)
        return f"{self.show(base, POWER)}^{grouped(self.show(exponent))}", POWER

    def _norm(self, node: Expression) -> str | None:
        if node in self.defined or node.operation not in REDUCTIONS or node.args[0] in self.defined:
            return None
        inside = node.args[0]
        if inside.operation == "multiply":
            squared = inside.args[0] is inside.args[1]
        else:
            squared = inside.operation == "power" and inside.args[1].value == 2.0
        if not squared:
            return None
        return rf"\lVert {self.show(self._without_sign(inside.args[0]))} \rVert{OPERATIONS[node.operation].latex}"

    def _reduction(self, node: Expression) -> Written:
        norm = self._norm(node)
        if norm is not None:
            return f"{norm}^2", POWER
        inside = node.args[0]
        if inside.operation == "multiply" and inside not in self.defined:
            a, b = inside.args
            if a.rank == b.rank > Rank.SEGMENT:
                return rf"\langle {self.show(a)}, {self.show(b)} \rangle{OPERATIONS[node.operation].latex}", ATOM
        return rf"\textstyle\sum{OPERATIONS[node.operation].latex} {self.show(inside, SUM)}", REACHING

    def _without_sign(self, node: Expression) -> Expression:
        while node.operation == "negative" and node not in self.defined:
            node = node.args[0]
        return node


class _Factors:
    """The sign of a product, and its factors above and below the line with their powers, in the order written."""

    def __init__(self, node: Expression, named: dict[Expression, str]) -> None:
        self.sign = 1
        self.above: list[tuple[Expression, int]] = []
        self.below: list[tuple[Expression, int]] = []
        waiting = [(node, self.above, self.below)]
        while waiting:
            part, upper, lower = waiting.pop()
            match part.operation:
                case _ if part in named and part is not node:
                    _append(upper, part)
                case "multiply":
                    waiting += [(part.args[1], upper, lower), (part.args[0], upper, lower)]
                case "divide":
                    waiting += [(part.args[1], lower, upper), (part.args[0], upper, lower)]
                case "negative":
                    self.sign = -self.sign
                    waiting.append((part.args[0], upper, lower))
                case "constant":
                    value = float(part.value or 0.0)
                    self.sign = -self.sign if value < 0 else self.sign
                    if abs(value) != 1.0:
                        _append(upper, Expression("constant", value=abs(value)) if value < 0 else part)
                case _:
                    _append(upper, part)


def _append(factors: list[tuple[Expression, int]], part: Expression) -> None:
    if factors and factors[-1][0] is part:
        factors[-1] = (part, factors[-1][1] + 1)
    else:
        factors.append((part, 1))


def chooses_beginning(node: Expression) -> bool:
    """Whether a node is what tracing writes for a state's `init`: one value while the state is absent, then another."""
    return (
        node.operation == "where"
        and node.args[0].operation == "not_equal"
        and str(node.args[0].args[0].value).startswith("absent_")
    )
