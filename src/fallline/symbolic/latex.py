"""Printing a graph as the equations that a person would write."""

from __future__ import annotations

from collections.abc import Iterable

from fallline.symbolic.expression import Expression, Rank, walk
from fallline.symbolic.graph import Graph

#: How a name of the program is written in mathematics.
SYMBOLS = {
    "p": r"\theta", "lr": r"\eta", "eps": r"\epsilon", "weight_decay": r"\lambda", "momentum": r"\mu",
    "dampening": r"\tau", "lr_decay": r"\gamma",
}  # fmt: skip
_GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu", "nu", "xi", "pi",
    "rho", "sigma", "tau", "phi", "chi", "psi", "omega",
}  # fmt: skip
_MARKS = {"hat": r"\hat", "bar": r"\bar", "tilde": r"\tilde"}
_RELATIONS = {
    "less": "<", "less_equal": r"\le", "greater": ">", "greater_equal": r"\ge", "equal": "=", "not_equal": r"\ne",
    "logical_and": r"\wedge", "logical_or": r"\vee",
}  # fmt: skip
_NAMED = {"sign": "sign", "exp": "exp", "log": "log", "minimum": "min", "maximum": "max"}
_SUM, _PRODUCT, _POWER, _ATOM = 1, 2, 3, 4


def symbol(name: str) -> str:
    """Write one name: beta1 as β₁, m_hat as m with a hat, a word in upright letters.

    >>> symbol("beta1"), symbol("m_hat"), symbol("trust")
    ('\\\\beta_1', '\\\\hat{m}', '\\\\mathrm{trust}')
    """
    if name in SYMBOLS:
        return SYMBOLS[name]
    stem, _, mark = name.rpartition("_")
    if stem and mark in _MARKS:
        return f"{_MARKS[mark]}{{{symbol(stem)}}}"
    if stem and len(mark) > 1 and (len(stem) == 1 or stem in _GREEK):
        return rf"{symbol(stem)}^{{\mathrm{{{mark}}}}}"
    letters = name.rstrip("0123456789")
    digits = name[len(letters) :]
    if letters in _GREEK:
        base = "\\" + letters
    elif len(letters) == 1:
        base = letters
    else:
        base = rf"\mathrm{{{letters.replace('_', ' ')}}}"
    return base if not digits else f"{base}_{digits}" if len(digits) == 1 else f"{base}_{{{digits}}}"


def indexed(name: str, index: str) -> str:
    """A symbol with its step: m at t-1 is m_{t-1}, and β₁-like names take the index behind a comma."""
    base = symbol(name)
    stem, _, digit = base.rpartition("_")
    subscript = f"{digit},{index}" if stem and "{" not in digit else index
    return f"{stem if subscript != index else base}_{subscript if len(subscript) == 1 else '{' + subscript + '}'}"


def equations(graph: Graph) -> str:
    """All equations of one step: where states begin, their new values, named intermediates, then the parameter."""
    lines = [f"{symbol_0} &= {value}" for symbol_0, value in _beginnings(graph)]
    printer = _Printer(graph)
    for node in walk(graph.roots):
        if node in printer.defined:
            lines.append(f"{printer.defined[node]} &= {printer.body(node)}")
    lines.extend(
        f"{indexed(name, 't')} &= {printer.show(node)}"
        for name, node in graph.new_states.items()
        if printer.defined.get(node) != indexed(name, "t") and node.operation != "tensor"
    )
    lines.append(rf"\theta_t &= \theta_{{t-1}} {printer.taken_off(graph.update)}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _beginnings(graph: Graph) -> Iterable[tuple[str, str]]:
    printer = _Printer(graph, first_step=True)
    for state in graph.states:
        if callable(state.init):
            flags = [n for n in walk(graph.roots) if _chooses_beginning(n) and state.absent == n.args[0].args[0].value]
            yield from ((indexed(state.name, "0"), printer.show(node.args[1])) for node in flags[:1])
        elif state.init != 0.0:
            yield indexed(state.name, "0"), _number(state.init)


def _chooses_beginning(node: Expression) -> bool:
    return (
        node.operation == "where"
        and node.args[0].operation == "not_equal"
        and str(node.args[0].args[0].value).startswith("absent_")
    )


class _Printer:
    """Prints nodes, calling the defined ones by their names."""

    def __init__(self, graph: Graph, first_step: bool = False) -> None:
        self.defined: dict[Expression, str] = {}
        self.now, self.before = ("1", "0") if first_step else ("t", "t-1")
        if first_step:
            return
        for name, node in graph.new_states.items():
            if node.operation not in ("tensor", "constant"):
                self.defined.setdefault(node, indexed(name, "t"))
        states = {state.name for state in graph.states}
        taken = {indexed(name, "t") for name in states}
        for node, name in graph.names.items():
            if (
                node is graph.update
                or name in ("p", "g", "update")
                or node.rank < Rank.CHANNEL
                or _chooses_beginning(node)
            ):
                continue
            if indexed(name, "t") not in taken and node not in self.defined:
                self.defined[node] = indexed(name, "t")
                taken.add(indexed(name, "t"))

    def show(self, node: Expression, above: int = 0) -> str:
        """A node inside something that binds with strength `above`, in brackets only if they are needed."""
        if node in self.defined:
            return self.defined[node]
        return self.body(node, above)

    def body(self, node: Expression, above: int = 0) -> str:
        text, strength = self._written(node)
        return text if strength > above or above == 0 else rf"\left({text}\right)" if r"\frac" in text else f"({text})"

    def taken_off(self, node: Expression) -> str:
        """The update with the sign that taking it off gives."""
        terms = [f"{'-' if sign > 0 else '+'} {self.show(term, _SUM)}" for sign, term in self._terms(node)]
        return " ".join(terms)

    def _terms(self, node: Expression, sign: int = 1, top: bool = False) -> list[tuple[int, Expression]]:
        """The terms of a sum with their signs; what has a name stays whole, unless it is the one being written out."""
        if node in self.defined and not top:
            return [(sign, node)]
        match node.operation:
            case "add":
                return self._terms(node.args[0], sign) + self._terms(node.args[1], sign)
            case "subtract":
                return self._terms(node.args[0], sign) + self._terms(node.args[1], -sign)
            case "negative":
                return self._terms(node.args[0], -sign)
            case "multiply" | "divide" if self._sign(node) < 0:
                return [(-sign, _without_sign(node, self))]
        return [(sign, node)]

    def _sign(self, node: Expression) -> int:
        if node in self.defined or node.operation not in ("multiply", "divide", "negative"):
            return 1
        return (-1 if node.operation == "negative" else 1) * self._sign(node.args[0])

    def _written(self, node: Expression) -> tuple[str, int]:
        match node.operation:
            case "constant":
                return _number(float(node.value or 0.0)), _ATOM
            case "scalar":
                return symbol(str(node.value)), _ATOM
            case "tensor":
                index = self.now if node.value == "g" else self.before
                return indexed(str(node.value), index), _ATOM
            case "add" | "subtract" | "negative":
                return self._sum(node), _SUM
            case "multiply" | "divide":
                return self._product(node)
            case "power":
                return f"{self.show(node.args[0], _POWER)}^{_grouped(self.show(node.args[1]))}", _POWER
            case "sqrt" if (norm := self._norm(node.args[0])) is not None:
                return norm, _ATOM
            case "sqrt":
                return rf"\sqrt{{{self.show(node.args[0])}}}", _ATOM
            case "abs":
                return rf"\left|{self.show(node.args[0])}\right|", _ATOM
            case "sum" | "channel_sum":
                return self._reduction(node), _ATOM
            case "where" if _chooses_beginning(node):
                return self.show(node.args[2]), _ATOM
            case "where":
                condition, a, b = map(self.show, node.args)
                return rf"\begin{{cases}} {a} & \text{{if }} {condition} \\ {b} & \text{{else}} \end{{cases}}", _ATOM
            case "logical_not":
                return rf"\neg {self.show(node.args[0], _PRODUCT)}", _PRODUCT
            case operation if operation in _RELATIONS:
                a, b = (self.show(argument, _SUM if "logical" in operation else 0) for argument in node.args)
                return f"{a} {_RELATIONS[operation]} {b}", _SUM
        name = _NAMED[node.operation]
        function = "\\" + name if name != "sign" else r"\operatorname{sign}"
        return f"{function}({', '.join(map(self.show, node.args))})", _ATOM

    def _sum(self, node: Expression) -> str:
        text = ""
        for sign, term in self._terms(node, top=True):
            shown = self.show(term, _SUM)
            text += (f" {'+' if sign > 0 else '-'} " if text else "" if sign > 0 else "-") + shown
        return text

    def _product(self, node: Expression) -> tuple[str, int]:
        above, below = self._factors(node)
        if not below:
            return _juxtaposed(self, above), _PRODUCT
        numerator = _juxtaposed(self, above, alone=True) if above else "1"
        return rf"\frac{{{numerator}}}{{{_juxtaposed(self, below, alone=True)}}}", _POWER

    def _factors(self, node: Expression) -> tuple[list[tuple[Expression, int]], list[tuple[Expression, int]]]:
        """Factors above and below the line with their powers, in the order in which they were written."""
        above: list[tuple[Expression, int]] = []
        below: list[tuple[Expression, int]] = []

        def gather(part: Expression, upper: list[tuple[Expression, int]], lower: list[tuple[Expression, int]]) -> None:
            if part.operation == "multiply" and part not in self.defined:
                gather(part.args[0], upper, lower)
                gather(part.args[1], upper, lower)
            elif part.operation == "divide" and part not in self.defined:
                gather(part.args[0], upper, lower)
                gather(part.args[1], lower, upper)
            elif upper and upper[-1][0] is part:
                upper[-1] = (part, upper[-1][1] + 1)
            elif not (part.operation == "constant" and part.value == 1.0):
                upper.append((part, 1))

        gather(node.args[0], above, below)
        if node.operation == "multiply":
            gather(node.args[1], above, below)
        else:
            gather(node.args[1], below, above)
        return above, below

    def _norm(self, node: Expression) -> str | None:
        if node in self.defined or node.operation not in ("sum", "channel_sum"):
            return None
        inside = node.args[0]
        if inside.operation != "multiply" or inside.args[0] is not inside.args[1]:
            return None
        return rf"\lVert {self.show(inside.args[0])} \rVert{_over(node)}"

    def _reduction(self, node: Expression) -> str:
        norm = self._norm(node)
        if norm is not None:
            return f"{norm}^2"
        inside = node.args[0]
        if inside.operation == "multiply" and inside not in self.defined:
            return rf"\langle {self.show(inside.args[0])}, {self.show(inside.args[1])} \rangle{_over(node)}"
        return rf"\textstyle\sum{_over(node)} {self.show(inside, _SUM)}"


def _over(node: Expression) -> str:
    return r"_{\mathrm{channel}}" if node.operation == "channel_sum" else ""


def _without_sign(node: Expression, printer: _Printer) -> Expression:
    first = node.args[0]
    if first.operation == "negative" and first not in printer.defined:
        return Expression(node.operation, first.args[0], *node.args[1:])
    return Expression(node.operation, _without_sign(first, printer), *node.args[1:])


def _juxtaposed(printer: _Printer, factors: list[tuple[Expression, int]], alone: bool = False) -> str:
    if alone and len(factors) == 1 and factors[0][1] == 1:
        return printer.show(factors[0][0])
    parts: list[str] = []
    for factor, power in factors:
        shown = printer.show(factor, _POWER if power > 1 else _PRODUCT)
        shown = _raised(shown, power) if power > 1 else shown
        if parts and shown[0].isdigit():
            shown = rf"\cdot {shown}"
        parts.append(shown)
    return " ".join(parts)


def _raised(text: str, power: int) -> str:
    return f"{text}^{_grouped(str(power))}"


def _grouped(text: str) -> str:
    return text if len(text) == 1 else f"{{{text}}}"


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    text = f"{value:g}"
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \cdot {power}"
