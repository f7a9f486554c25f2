"""One loop over a tensor in JavaScript: what stands before it and in it, line by line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import count

from fallline.symbolic.expression import Expression, walk
from fallline.symbolic.operations import LEAVES, OPERATIONS, Rank

#: How strongly operators hold together that need no brackets in each other; all others have them.
_BINDING = {"add": 1, "subtract": 1, "multiply": 2, "divide": 2}
_ATOM = 3


class Names:
    """What things are called in the text.

    Args:
        of: The leaves of the graph, by their own names.
        wanted: Nodes that the formula has names for.
    """

    def __init__(self, of: Mapping[str, str], wanted: Mapping[Expression, str]) -> None:
        self.of, self.wanted = of, wanted
        #: The sums of earlier loops.
        self.sums: dict[Expression, str] = {}

    def called(self, node: Expression) -> str:
        """What a leaf or a sum of an earlier loop is called in the text."""
        if node in self.sums:
            return self.sums[node]
        if node.operation == "constant":
            return number_of(float(node.value or 0.0))
        name = self.of[str(node.value)]
        return f"{name}[i]" if node.operation == "tensor" else name

    def knows(self, node: Expression) -> bool:
        """Whether nothing has to be computed for a node."""
        return node in self.sums or node.operation in LEAVES

    def name_of(self, node: Expression) -> str:
        """The formula's own name for a node; "" if it has none."""
        return self.wanted.get(node, "")


class Loop:
    """What one loop computes: `outer` once for each tensor, `inner` for each of its elements.

    Args:
        names: What things are called.
        roots: What it computes.
        taken: Names that nothing of its own may have.
        settled: What is to be computed before anything is changed.
    """

    def __init__(
        self, names: Names, roots: list[Expression], taken: set[str], settled: frozenset[Expression] = frozenset()
    ) -> None:
        self._names, self._taken = names, set(taken)
        self.outer: list[str] = []
        self.inner: list[str] = []
        self._known: dict[Expression, tuple[str, int]] = {}
        self.nodes = list(walk(tuple(roots), names.knows))
        uses = Counter(argument for node in self.nodes if not names.knows(node) for argument in node.args)
        inner = [node for node in self.nodes if node.rank >= Rank.CHANNEL and not names.knows(node)]
        self._asked = {*roots, *(argument for node in inner for argument in node.args)}
        for node in self.nodes:
            once = not names.knows(node)
            if once:
                self._known[node] = self._written(node)
            else:
                text = names.called(node)
                self._known[node] = (text, 0 if text.startswith("-") else _ATOM)
            # What another state was is kept, too, before that becomes what it does.
            keeps = node in settled and node.operation != "constant"
            if keeps or (once and (uses[node] > 1 or names.name_of(node) or self._hoisted(node))):
                self._line(node)

    def _hoisted(self, node: Expression) -> bool:
        """Whether it is more than a sum or a product, the same at all elements, and they ask for it."""
        small = node.operation in _BINDING and all(self._names.knows(part) for part in node.args)
        return node.rank < Rank.CHANNEL and not small and node in self._asked

    def value(self, node: Expression) -> str:
        """What a node of the loop comes to, as text."""
        return self._known[node][0]

    def _line(self, node: Expression) -> None:
        wanted = self._names.name_of(node)
        name = fresh(wanted, self._taken) if wanted else self._numbered()
        (self.outer if node.rank < Rank.CHANNEL else self.inner).append(f"const {name} = {self.value(node)};")
        self._known[node] = (name, _ATOM)

    def _numbered(self) -> str:
        return fresh(next(name for name in map("x{}".format, count(1)) if name not in self._taken), self._taken)

    def _written(self, node: Expression) -> tuple[str, int]:
        source = OPERATIONS[node.operation].javascript
        if re.match(r"[\w.]+\(", source):
            return source.format(*(self._known[argument][0] for argument in node.args)), _ATOM
        binding = _BINDING.get(node.operation, 0)
        parts = []
        for place, argument in enumerate(node.args):
            text, strength = self._known[argument]
            holds = strength == _ATOM or (binding > 0 and binding + place <= strength)
            parts.append(text if holds else f"({text})")
        return source.format(*parts), binding


def fresh(name: str, taken: set[str]) -> str:
    """A name that is not taken, and is from now on.

    Args:
        name: What it is to be; with underscores behind it, if need be.
        taken: The names that are.
    """
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def number_of(value: float) -> str:
    """A number in JavaScript.

    >>> number_of(0.5), number_of(2.0), number_of(-0.0), number_of(float("inf"))
    ('0.5', '2', '-0', 'Infinity')
    """
    text = repr(float(value)).removesuffix(".0")
    return text.replace("inf", "Infinity").replace("nan", "NaN")
