"""From a plan to the source of its Numba kernels: one function a pass over memory."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fallline.symbolic import OPERATIONS, REDUCTIONS, Expression, Pass, Plan, Rank, walk

#: What a kernel finds behind its `header`: the addresses of the arrays of a segment table, and their widths.
HEADER = ("addresses", "scalars", "chunks", "partials", "totals", "channels")

#: What the compiler may rearrange. Never nnan and ninf: NaN stays NaN. Sums vectorise only if they may be taken in
#: another order; elsewhere that gains nothing and would undo a rule that compensates for rounding.
_SUMS = '{"contract", "nsz", "reassoc"}'
_ELEMENTS = '{"contract"}'

_PREAMBLE = '''\
r"""{title}

One step of the rule, generated from its formula:

{equations}
"""

import math

import numpy as np
from numba import carray, njit

from fallline.kernels.pointer import pointer

real = np.{dtype}
wide = np.float64
options = dict(
    no_cpython_wrapper=True,  # called by address
    no_cfunc_wrapper=True,
    boundscheck=False,  # the arrays' rows are not counted
    error_model="numpy",  # no check for division by zero, which would keep the loops from vectorising
)
'''


def numba_source(plan: Plan, dtype: str, equations: str) -> str:
    """The module that holds a kernel for each pass: pass_0, pass_1, ... in the order in which they run.

    A kernel takes the address of the table's header and a range of chunks. A chunk is a run of elements of one
    segment: (segment, first element, length, columns of its rows, first channel).
    """
    title = f"{plan.graph.rule.name}, {dtype}."
    functions = [_Function(plan, one, dtype).source(f"pass_{i}") for i, one in enumerate(plan.passes)]
    indented = "\n".join("    " + line for line in equations.splitlines())
    return _PREAMBLE.format(title=title, equations=indented, dtype=dtype) + "".join(functions)


class _Function:
    """Writes the function of one pass, each value at the outermost loop in which it is known."""

    def __init__(self, plan: Plan, one: Pass, dtype: str) -> None:
        self.plan = plan
        self.one = one
        self.itemsize = {"float32": 4, "float64": 8}[dtype]
        self.columns = {name: i for i, name in enumerate(("p", "g", *plan.new_states))}
        self.hoisted = _numbered(plan.hoisted)
        self.totals = _numbered(plan.totals)
        self.channels = _numbered(r for r in plan.reductions if r.operation == "channel_sum")
        self.names: dict[Expression, str] = {}
        self.lines: dict[Rank, list[str]] = {rank: [] for rank in Rank}

    def source(self, name: str) -> str:
        """The whole function."""
        ends = self._ends()
        for root in ends.values():
            self._define(root)
        accumulators = self._accumulators()
        # Written first, since they ask for values that the outer loops then provide.
        stores = list(self._stores(ends))
        by_channel = list(self._accumulate(accumulators, Rank.CHANNEL))
        by_element = list(self._accumulate(accumulators, Rank.ELEMENT))
        by_rows = self.plan.uses_channels
        out = _Writer()
        fastmath = _SUMS if self.one.reductions else _ELEMENTS
        out(
            0,
            "",
            "",
            f'@njit("void(int64, int64, int64)", fastmath={fastmath}, **options)',
            f"def {name}(header_address, first, last):",
        )
        out(1, *self._arrays())
        out(1, "for chunk in range(first, last):")
        out(2, "segment = chunks[chunk, 0]", "start = chunks[chunk, 1]", "length = chunks[chunk, 2]")
        out(2, *self.lines[Rank.SCALAR], *self.lines[Rank.SEGMENT])
        out(2, *(f"{r} = wide(0)" for r in accumulators if r.startswith("total")))
        out(2, *(self._view(tensor) for tensor in self._touched()))
        depth = 2
        if by_rows:
            out(2, "width = chunks[chunk, 3]", "for row in range(length // width):")
            out(3, "channel = chunks[chunk, 4] + row")
            out(3, *self.lines[Rank.CHANNEL])
            out(3, *(f"{r} = wide(0)" for r in accumulators if r.startswith("channel")))
            out(3, *(f"{tensor}_row = {tensor}_all[row * width : (row + 1) * width]" for tensor in self._touched()))
            out(3, *by_channel)
            depth = 3
        body = (*self.lines[Rank.ELEMENT], *stores, *by_element)
        if body:  # sums of what channels come to ask for no element
            out(depth, f"for i in range({'width' if by_rows else 'length'}):")
            out(depth + 1, *body)
        if by_rows:
            out(3, *(f"channels[channel, {self.channels[r]}] = {a}"
                     for a, r in accumulators.items() if r in self.channels))  # fmt: skip
        out(2, *(f"partials[chunk, {self.totals[r]}] = {a}" for a, r in accumulators.items() if r in self.totals))
        return out.text()

    def _ends(self) -> dict[str, Expression]:
        """What the pass must know: the arguments of its reductions, or the update and the new states."""
        if self.one.reductions:
            return {f"reduction_{i}": r.args[0] for i, r in enumerate(self.one.reductions)}
        return {"p": self.plan.update, **self.plan.written}

    def _accumulators(self) -> dict[str, Expression]:
        return {
            (f"total_{self.totals[r]}_sum" if r in self.totals else f"channel_{self.channels[r]}_sum"): r
            for r in self.one.reductions
        }

    def _arrays(self) -> Iterable[str]:
        yield f"header = carray(pointer(header_address), ({len(HEADER)},), np.int64)"
        # The number of rows is not known here and not needed: nothing checks it.
        yield f"addresses = carray(pointer(header[0]), (1, {len(self.columns)}), np.int64)"
        yield f"scalars = carray(pointer(header[1]), (1, {max(1, len(self.plan.hoisted))}), np.float64)"
        yield "chunks = carray(pointer(header[2]), (1, 5), np.int64)"
        if self.plan.reductions:
            yield f"partials = carray(pointer(header[3]), (1, {max(1, len(self.totals))}), np.float64)"
            yield f"totals = carray(pointer(header[4]), (1, {max(1, len(self.totals))}), np.float64)"
            yield f"channels = carray(pointer(header[5]), (1, {max(1, len(self.channels))}), np.float64)"

    def _touched(self) -> tuple[str, ...]:
        written = () if self.one.reductions else ("p", *self.plan.written)
        return tuple(dict.fromkeys((*self.one.loads, *written)))

    def _view(self, tensor: str) -> str:
        address = f"addresses[segment, {self.columns[tensor]}] + start * {self.itemsize}"
        return f"{self._array(tensor, whole=True)} = carray(pointer({address}), (length,), real)"

    def _array(self, tensor: str, whole: bool = False) -> str:
        return f"{tensor}_{'all' if whole else 'row'}" if self.plan.uses_channels else f"{tensor}_all"

    def _stores(self, ends: dict[str, Expression]) -> Iterable[str]:
        if self.one.reductions:
            return
        p = self._use(_tensor_named("p", self.names), inner=True)
        yield f"{self._array('p')}[i] = {p} - {self._use(ends['p'], inner=True)}"
        for state in self.plan.written:
            yield f"{self._array(state)}[i] = {self._use(ends[state], True)}"

    def _accumulate(self, accumulators: dict[str, Expression], rank: Rank) -> Iterable[str]:
        for accumulator, reduction in accumulators.items():
            if reduction.args[0].rank == rank:
                added = OPERATIONS[reduction.operation].numba.format(self._use(reduction.args[0], rank == Rank.ELEMENT))
                yield f"{accumulator} += {added}"

    def _define(self, root: Expression) -> None:
        """Write the lines that compute a value, each into the loop in which it belongs."""
        # Down to tensors, hoisted scalars and finished reductions.
        needed = list(walk((root,), lambda node: node.operation in REDUCTIONS or node.rank == Rank.SCALAR))
        if not self.one.reductions:
            needed.insert(0, _tensor_named("p", self.names))
        for node in needed:
            if node not in self.names and node.operation != "constant":
                self._write(node)

    def _write(self, node: Expression) -> None:
        if node in self.hoisted:
            index = self.hoisted[node]
            self._name(node, f"s{index}", f"scalars[segment, {index}]" + (" != 0" if node.is_boolean else ""))
        elif node.rank == Rank.SCALAR:
            return  # part of a hoisted expression
        elif node.operation == "tensor":
            self._name(node, f"{node.value}_i", f"{self._array(str(node.value))}[i]")
        elif node in self.totals:
            self._name(node, f"total_{self.totals[node]}", f"totals[segment, {self.totals[node]}]")
        elif node.operation == "channel_sum":
            index = self.channels[node]
            self._name(node, f"channel_{index}", f"channels[channel, {index}]")
        else:
            inner = node.rank == Rank.ELEMENT
            values = [self._use(argument, inner) for argument in node.args]
            text = OPERATIONS[node.operation].numba.format(*values, real="real" if inner else "wide")
            self._name(node, f"x{len(self.names)}", text)

    def _name(self, node: Expression, name: str, text: str) -> None:
        self.names[node] = name
        self.lines[node.rank].append(f"{name} = {text}")

    def _use(self, node: Expression, inner: bool) -> str:
        if node.operation == "constant":
            text = re.sub("inf|nan", r"np.\g<0>", repr(node.value))
            return f"{'real' if inner else 'wide'}({text})"
        name = self.names[node]
        if not inner or node.rank == Rank.ELEMENT or node.is_boolean:
            return name
        # Outside the element loop values are wide; inside it they are taken in the tensors' own type.
        line = f"{name}_r = real({name})"
        if line not in self.lines[node.rank]:
            self.lines[node.rank].append(line)
        return f"{name}_r"


def _tensor_named(name: str, names: dict[Expression, str]) -> Expression:
    for node in names:
        if node.operation == "tensor" and node.value == name:
            return node
    return Expression("tensor", value=name)


def _numbered(nodes: Iterable[Expression]) -> dict[Expression, int]:
    return {node: i for i, node in enumerate(nodes)}


class _Writer:
    def __init__(self) -> None:
        self._lines: list[str] = []

    def __call__(self, depth: int, *lines: str) -> None:
        self._lines.extend("    " * depth + line if line else "" for line in lines)

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"
