"""From a graph to a step in JavaScript: a literal of an object that a page can read, and the module around it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from fallline.symbolic.expression import Expression, walk
from fallline.symbolic.graph import Graph
from fallline.symbolic.javascript_loop import Loop, Names, fresh, number_of
from fallline.symbolic.operations import LEAVES, REDUCTIONS, Rank
from fallline.symbolic.plan import levels, simplify
from fallline.symbolic.printer import equations

#: What a literal may call: powers as IEEE 754 has them, where those of JavaScript are NaN.
PRELUDE = "const power = (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b);\n"

#: Words that no name of a rule's may be in JavaScript, and what the text itself calls by a name.
_TAKEN = frozenset(
    re.findall(
        r"\w+",
        """arguments await break case catch class const continue debugger default delete do else enum eval export
        extends false finally for function if implements import in instanceof interface let new null package private
        protected public return static super switch this throw true try typeof undefined var void while with yield
        Float64Array Infinity Math NaN Number power tensors tensor shared states shape absent channel channels
        p g t i k""",
    )
)


def module(graph: Graph) -> str:
    """The text of an ES module whose default export is the literal, with the rule's equations above it.

    Args:
        graph: A rule's step.
    """
    lines = equations(graph).splitlines()[1:-1]
    comment = [f"//   {line.removesuffix(chr(92) * 2).replace('&=', '=', 1).strip()}" for line in lines]
    text = literal(graph)
    prelude = PRELUDE if "power(" in text else ""
    return "\n".join([f"// {graph.rule.name}", *comment, f"{prelude}export default {text};", ""])


def literal(graph: Graph) -> str:
    """The text of an object in JavaScript that takes steps of a rule, in double precision.

    `name`, `hyperparameters` (the defaults) and `states` (the names of those that are tensors) say what it is.
    `begin(p, shape)` makes a tensor of an array of numbers: {p, g, states, shape, t}, where `g` is for the gradient and
    `t` counts steps; `shared()` makes the states that are one number for all. `step(tensors, hyperparameters, shared)`
    moves all tensors of a list, in place.

    Args:
        graph: A rule's step.
    """
    return _Writer(graph).text()


def object_of(numbers: Mapping[str, float]) -> str:
    """An object of numbers in JavaScript."""
    return "{" + ", ".join(f"{name}: {number_of(value)}" for name, value in numbers.items()) + "}"


class _Writer:
    """Writes the literal: a loop over the tensors for each level of sums, and one that moves them."""

    def __init__(self, graph: Graph) -> None:
        self._rule = graph.rule
        spoken = {node: name for node, name in graph.names.items() if not node.is_boolean}
        update, *rest = simplify((*graph.roots, *spoken))
        becomes = dict(zip(graph.new_states, rest, strict=False))
        self._update = update
        self._becomes = {name: node for name, node in becomes.items() if not _stays(node, name)}
        self._kinds = {state.name: state.kind for state in self._rule.states}
        self._taken = set(_TAKEN)
        #: What the leaves of the graph are called.
        names = [*self._rule.hyperparameters, *self._kinds]
        self._called = {name: fresh(name, self._taken) for name in names} | {"p": "p", "g": "g", "t": "t"}
        self._called |= {"dimensions": "shape.length", **{state.absent: "absent" for state in self._rule.states}}
        wanted: dict[Expression, str] = {}
        for name, node in zip(spoken.values(), rest[len(becomes) :], strict=True):
            if node.operation not in LEAVES and name not in ("p", "g"):
                wanted.setdefault(node, name)
        wanted |= {node: f"new_{name}" for name, node in self._becomes.items()} | {update: "update"}
        self._names = Names(self._called, wanted)

    def text(self) -> str:
        roots = (self._update, *self._becomes.values())
        level = levels(roots)
        reductions = [node for node in walk(roots) if node.operation in REDUCTIONS]
        # A sum over what each channel has one of goes over channels, not elements.
        loops = sorted({(level[one], one.args[0].rank) for one in reductions})
        body = [
            line for loop in loops
            for line in self._summing([one for one in reductions if (level[one], one.args[0].rank) == loop])
        ]  # fmt: skip
        body += self._moving()
        # What is settled while tracing is in the text already.
        numbers = {name: one for name, one in self._rule.hyperparameters.items() if not isinstance(one, bool | str)}
        defaults = {name: value for name, value in numbers.items() if value is not None}
        tensors = [state.name for state in self._rule.states if state.kind == "tensor"]
        lines = [
            f"name: {json.dumps(self._rule.name)},",
            f"hyperparameters: {object_of(defaults)},",
            f"states: {json.dumps(tensors)},",
            "begin(p, shape = [p.length]) {",
            "  const filled = (value) => new Float64Array(p.length).fill(value);",
            f"  return {{p, g: filled(0), shape, t: 0, states: {self._states('tensor', 'scalar')}}};",
            "},",
            f"shared: () => ({self._states('global')}),",
            f"step(tensors, {self._pattern([*numbers])}, shared) {{",
            *(f"  {line}" for line in [*self._of_all(), *body]),
            "},",
        ]
        return "{\n" + "\n".join(f"  {line}" for line in lines) + "\n}"

    def _states(self, *kinds: str) -> str:
        begun = {state.name: number_of(state.fill) for state in self._rule.states if state.kind in kinds}
        parts = (
            f"{name}: {f'filled({text})' if self._kinds[name] == 'tensor' else text}" for name, text in begun.items()
        )
        return "{" + ", ".join(parts) + "}"

    def _pattern(self, names: list[str]) -> str:
        """What takes an object apart, some of whose names can't be variables."""
        parts = (name if self._called[name] == name else f"{name}: {self._called[name]}" for name in names)
        return "{" + ", ".join(parts) + "}"

    def _of_all(self) -> list[str]:
        names = [name for name, kind in self._kinds.items() if kind == "global"]
        return [f"const {self._pattern(names)} = shared;"] if names else []

    def _summing(self, reductions: list[Expression]) -> list[str]:
        """Loops that add up what the sums of one level are over."""
        roots = [one.args[0] for one in reductions]
        names = {one: fresh(f"sum_{i}", self._taken) for i, one in enumerate(reductions, len(self._names.sums))}
        one = Loop(self._names, roots, self._taken)
        above, begun, inside = [], [], []
        for reduction, name in names.items():
            match reduction.operation:
                case "joint_sum":
                    above.append(f"let {name} = 0;")
                    place = name
                case "sum":
                    above.append(f"const {name} = tensors.map(() => 0);")
                    place = f"{name}[k]"
                case _:
                    above.append(f"const {name} = [];")
                    begun.append(f"{name}[k] = new Float64Array(channels);")
                    place = f"{name}[k][channel]"
            inside.append(f"{place} += {one.value(reduction.args[0])};")
            self._names.sums[reduction] = place
        return [*above, *self._loop(one, roots, reductions, begun, inside, [])]

    def _moving(self) -> list[str]:
        """The loop that moves tensors and their states."""
        roots = [self._update, *self._becomes.values()]
        one = Loop(self._names, roots, self._taken, frozenset(self._becomes.values()))
        inside, after = [f"p[i] -= {one.value(self._update)};"], ["tensor.t = t;"]
        for name, node in self._becomes.items():
            if self._kinds[name] == "tensor":
                inside.append(f"{self._called[name]}[i] = {one.value(node)};")
            else:
                keeper = "shared" if self._kinds[name] == "global" else "tensor.states"
                after.append(f"{keeper}.{name} = {one.value(node)};")
        return self._loop(one, roots, [], [], inside, after)

    def _loop(
        self,
        one: Loop,
        roots: list[Expression],
        reductions: list[Expression],
        begun: list[str],
        inside: list[str],
        after: list[str],
    ) -> list[str]:
        leaves = {str(node.value) for node in one.nodes if node.operation in ("tensor", "scalar")}
        states = [name for name, kind in self._kinds.items() if kind != "global" and name in leaves]
        changed = [] if reductions else [n for n in self._becomes if self._kinds[n] == "tensor" and n not in leaves]
        arrays = self._pattern([*states, *changed])
        over_channels = bool(reductions) and roots[0].rank == Rank.CHANNEL
        channels = any(node.operation == "channel_sum" for node in [*one.nodes, *reductions])
        parts = ["p", *(["g"] if "g" in leaves else []), *(["shape"] if channels or "dimensions" in leaves else [])]
        head = [f"const {{{', '.join(parts)}{f', states: {arrays}' if arrays != '{}' else ''}}} = tensor;"]
        if "t" in leaves or not reductions:
            head.append("const t = tensor.t + 1;")
        if any(name.startswith("absent_") for name in leaves):
            head.append("const absent = Number(tensor.t === 0);")
        if channels:
            head.append("const channels = shape.length > 1 ? shape[0] : 1;")
        if channels and not over_channels:
            one.inner.insert(0, "const channel = Math.floor((i * channels) / p.length);")
        over = "for (let i = 0; i < p.length; i++)"
        if over_channels:
            over = "for (let channel = 0; channel < channels; channel++)"
        return [
            "for (let k = 0; k < tensors.length; k++) {",
            "  const tensor = tensors[k];",
            *(f"  {line}" for line in [*head, *begun, *one.outer]),
            f"  {over} {{",
            *(f"    {line}" for line in [*one.inner, *inside]),
            "  }",
            *(f"  {line}" for line in after),
            "}",
        ]


def _stays(node: Expression, name: str) -> bool:
    return node.operation in ("tensor", "scalar") and node.value == name
