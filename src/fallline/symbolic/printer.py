"""Printing a graph as the equations that a person would write: brackets, signs, fractions and powers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from fractions import Fraction
from itertools import count

from fallline.symbolic.expression import Expression, Rank, walk
from fallline.symbolic.graph import Graph
from fallline.symbolic.operations import LEAVES, REDUCTIONS
from fallline.symbolic.symbols import Symbols, grouped, indexed, symbol

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
    varying: set[Expression] = set()
    for node in walk(graph.roots):
        if _varies(graph, node) or any(part in varying for part in node.args):
            varying.add(node)
        length[node] = sum(length[part] for part in node.args) + (node.operation not in LEAVES)
        if chooses_beginning(node):
            length[node] = 0
        elif node not in found and node is not graph.update:
            write = _at_step if node in varying else symbol
            for name in _names(graph, node, length[node]):
                if write(name) not in taken:
                    found[node] = write(name)
                    taken.add(write(name))
                    break
        if node in found:
            length[node] = 0
    return found


def _varies(graph: Graph, node: Expression) -> bool:
    """Whether a leaf differs from step to step."""
    return (
        node.operation == "tensor"
        or node.value == "t"
        or (node.operation == "scalar" and node.value in graph.new_states)
    )


def _names(graph: Graph, node: Expression, length: int) -> Iterable[str]:
    """What a part of the formula may be called, if it is worth a line of its own."""
    own = graph.names.get(node, "_")
    speaks = own not in ("p", "g", "update") and not own.startswith("_")
    if speaks and (node.rank >= Rank.CHANNEL or length > _SHORTEST):
        yield own
    if length > _LONGEST:
        yield from (f"x{i}" for i in count(1))


def _at_step(name: str) -> str:
    return indexed(name, "t")


_RELATIONS = {
    "less": "<", "less_equal": r"\le", "greater": ">", "greater_equal": r"\ge", "equal": "=", "not_equal": r"\ne",
    "logical_and": r"\wedge", "logical_or": r"\vee",
}  # fmt: skip
_FUNCTIONS = {"sign": r"\operatorname{sign}", "exp": r"\exp", "log": r"\log", "minimum": r"\min", "maximum": r"\max"}
#: What a reduction is over.
_OVER = {"sum": "", "channel_sum": r"_{\mathrm{channel}}", "joint_sum": r"_{\mathrm{all}}"}

#: How strongly what is written holds together. A sum sign reaches to the end of its product.
_SUM, _REACHING, _PRODUCT, _POWER, _ATOM = 1, 2, 3, 4, 5
Written = tuple[str, int]


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
        return _bracketed(self._written(node), above)

    def body(self, node: Expression) -> str:
        """A node written out, also if it has a name; a condition in Iverson's brackets, which make it 1 or 0."""
        text = self._expression(node)[0]
        return rf"\left[{text}\right]" if node.is_boolean else text

    def taken_off(self, node: Expression) -> str:
        """The update with the sign that taking it off gives."""
        terms = [(1, self._written(node))] if node in self.defined else self._terms(node)
        return " ".join(f"{'-' if sign > 0 else '+'} {_bracketed(term, _SUM)}" for sign, term in terms)

    def _written(self, node: Expression) -> Written:
        return _name(self.defined[node]) if node in self.defined else self._expression(node)

    def _expression(self, node: Expression) -> Written:
        match node.operation:
            case "scalar" if node.value not in self._states:
                return _name(self._symbols.symbol(str(node.value)))
            case "scalar" | "tensor":
                return _name(self._symbols.indexed(str(node.value), self._now if node.value == "g" else self._before))
            case "constant" | "add" | "subtract" | "negative" | "multiply" | "divide":
                return self._sum(node)
            case "power":
                return self._power(*node.args)
            case "sqrt" if (norm := self._norm(node.args[0])) is not None:
                return norm, _ATOM
            case "sqrt":
                return rf"\sqrt{{{self.show(node.args[0])}}}", _ATOM
            case "abs":
                return rf"\left|{self.show(node.args[0])}\right|", _ATOM
            case operation if operation in REDUCTIONS:
                return self._reduction(node)
            case "where" if chooses_beginning(node):
                return self._written(node.args[2])
            case "where":
                condition, a, b = map(self.show, node.args)
                return rf"\begin{{cases}} {a} & \text{{if }} {condition} \\ {b} & \text{{else}} \end{{cases}}", _ATOM
            case "logical_not":
                return rf"\neg {self.show(node.args[0], _PRODUCT)}", _PRODUCT
            case operation if operation in _RELATIONS:
                a, b = (self.show(argument, _SUM if "logical" in operation else 0) for argument in node.args)
                return f"{a} {_RELATIONS[operation]} {b}", _SUM
        return _FUNCTIONS[node.operation] + _brackets(", ".join(map(self.show, node.args))), _ATOM

    def _sum(self, node: Expression) -> Written:
        (sign, first), *others = self._terms(node)
        if not others and sign > 0:
            return first
        text = ("" if sign > 0 else "-") + _bracketed(first, _SUM)
        for sign, term in others:
            text += f" {'+' if sign > 0 else '-'} {_bracketed(term, _SUM)}"
        return text, _SUM

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
        return factors.sign, (rf"\frac{{{above}}}{{{below}}}", _POWER)

    def _juxtaposed(self, factors: list[tuple[Expression, int]]) -> Written:
        if not factors:
            return "1", _ATOM
        if len(factors) == 1:
            return self._factor(*factors[0])
        *others, last = (self._factor(*factor) for factor in factors)
        shown = [*(_bracketed(other, _REACHING) for other in others), _bracketed(last, _SUM)]
        # A number right behind a factor would read as one of its digits.
        return " ".join(rf"\cdot {text}" if i and text[0].isdigit() else text for i, text in enumerate(shown)), _PRODUCT

    def _factor(self, node: Expression, power: int) -> Written:
        base = _number(float(node.value or 0.0)) if node.operation == "constant" else self._written(node)
        return (f"{_bracketed(base, _POWER)}^{grouped(str(power))}", _POWER) if power > 1 else base

    def _power(self, base: Expression, exponent: Expression) -> Written:
        if _is_even(exponent):
            base = self._without_sign(base)
        return f"{self.show(base, _POWER)}^{grouped(self.show(exponent))}", _POWER

    def _norm(self, node: Expression) -> str | None:
        if node in self.defined or node.operation not in REDUCTIONS or node.args[0] in self.defined:
            return None
        inside = node.args[0]
        match inside.operation:
            case "multiply" if inside.args[0] is inside.args[1]:
                pass
            case "power" if inside.args[1].operation == "constant" and inside.args[1].value == 2.0:
                pass
            case _:
                return None
        return rf"\lVert {self.show(self._without_sign(inside.args[0]))} \rVert{_OVER[node.operation]}"

    def _reduction(self, node: Expression) -> Written:
        norm = self._norm(node)
        if norm is not None:
            return f"{norm}^2", _POWER
        inside = node.args[0]
        if inside.operation == "multiply" and inside not in self.defined:
            a, b = inside.args
            if a.rank == b.rank > Rank.SEGMENT:
                return rf"\langle {self.show(a)}, {self.show(b)} \rangle{_OVER[node.operation]}", _ATOM
        return rf"\textstyle\sum{_OVER[node.operation]} {self.show(inside, _SUM)}", _REACHING

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


def number(value: float) -> str:
    """Write a number.

    >>> number(-0.5), number(1e-8), number(1 / 3)
    ('-0.5', '10^{-8}', '\\\\frac{1}{3}')
    """
    return ("-" if value < 0 else "") + _number(abs(value))[0]


def _number(value: float) -> Written:
    """A number without a sign, to twelve digits: the rest is rounding in the rule's own constants."""
    if not math.isfinite(value):
        return r"\infty" if value > 0 else r"\mathrm{NaN}", _ATOM
    ratio = Fraction(value).limit_denominator(99)
    if float(ratio) == value and ratio != round(Fraction(value), 6):
        return rf"\frac{{{ratio.numerator}}}{{{ratio.denominator}}}", _POWER
    mantissa, exponent = f"{value:.11e}".split("e")
    mantissa, power = mantissa.rstrip("0").rstrip("."), int(exponent)
    if -5 < power < max(6, len(mantissa) - 1):
        return f"{value:.12g}", _ATOM
    ten = f"10^{grouped(str(power))}"
    return (ten, _POWER) if mantissa == "1" else (rf"{mantissa} \cdot {ten}", _PRODUCT)


def _is_even(node: Expression) -> bool:
    return node.operation == "constant" and float(node.value or 0.0) % 2 == 0


def _name(text: str) -> Written:
    return text, _POWER if "^" in text else _ATOM  # TeX allows one superscript


def _bracketed(written: Written, above: int) -> str:
    text, strength = written
    return text if strength > above else _brackets(text)


def _brackets(text: str) -> str:
    return rf"\left({text}\right)" if r"\frac" in text or r"\begin" in text else f"({text})"
