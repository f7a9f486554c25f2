"""Printing a graph as the equations that a person would write."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from fallline.symbolic.expression import Expression, Rank, walk
from fallline.symbolic.graph import Graph
from fallline.symbolic.operations import LEAVES
from fallline.symbolic.printer import Printer, chooses_beginning, number
from fallline.symbolic.symbols import Symbols, indexed, symbol

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
