"""What a pass did to tensors, operation by operation, to be done again without the pass's own Python.

A small model's pass over many lanes takes a hundred operations, and torch's own Python for mapping and differentiating
them takes longer than they do.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from fallline.training.evenness import Watch
from fallline.training.modules import differing

Function = Callable[..., Sequence[Tensor]]


class _Recorder(Watch):  # type: ignore[no-untyped-call]
    """Notes the operations that reach torch's kernels, below autograd and `torch.func`, in a graph.

    What is neither given nor computed is there for good, such as parameters: `constants`. So are views of them.
    """

    def __init__(self, given: Sequence[Tensor]) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.constants: dict[fx.Node, Tensor] = {}
        #: Whether it did something that may not be the same when it is done again.
        self.strange = False
        self._nodes: dict[int, fx.Node] = {}
        self._kept: list[Tensor] = []  # so that no other gets an id that is known
        for number, tensor in enumerate(given):
            self._note(tensor, self.graph.placeholder(f"given_{number}"))

    def node(self, value: Any) -> Any:
        """The node of a tensor; what is none stands for itself."""
        if not isinstance(value, Tensor):
            return value
        return self._nodes[id(value)] if id(value) in self._nodes else self._constant(value)

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do an operation, and note it; torch calls this for every one."""
        given, named = fx.node.map_aggregate((args, kwargs or {}), self.node)
        result = func(*args, **(kwargs or {}))
        found = result if isinstance(result, tuple | list) else [result]
        if func.is_view and given[0] in self.constants:
            for one in found:
                self._constant(one)
        elif func.is_view and found is not result and _alike(args[0], result):
            self._note(result, given[0])
        else:
            self.strange |= self._is_strange(func, given, found)
            node = self.graph.call_function(func, given, dict(named))
            for place, one in enumerate(found):
                if isinstance(one, Tensor) and id(one) not in self._nodes:  # else it was changed in place
                    each = self.graph.call_function(operator.getitem, (node, place)) if found is result else node
                    self._note(one, each)
        return result

    def _is_strange(self, func: Any, given: Sequence[Any], found: Sequence[Any]) -> bool:
        """Whether it is an operation of another library, returns what Python may branch on, or changes a constant."""
        changed = [
            one
            for one, argument in zip(given, func._schema.arguments, strict=False)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        return (
            func.namespace != "aten"
            or not all(one is None or isinstance(one, Tensor) for one in found)
            or any(one in self.constants for one in changed)
        )

    def _note(self, tensor: Tensor, node: fx.Node) -> fx.Node:
        self._kept.append(tensor)
        self._nodes[id(tensor)] = node
        return node

    def _constant(self, tensor: Tensor) -> fx.Node:
        with self.graph.inserting_before(next(iter(self.graph.nodes))):
            node = self._note(tensor, self.graph.placeholder(f"constant_{len(self.constants)}"))
        self.constants[node] = tensor.detach()
        return node


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two views of one memory are the same."""
    return (one.shape, one.stride(), one.storage_offset(), one.dtype) == (
        other.shape,
        other.stride(),
        other.storage_offset(),
        other.dtype,
    )


def recorded(function: Function, *given: Tensor) -> tuple[Sequence[Tensor], Function | None]:
    """Call a function, and return its results and another that does the same to others of the same shapes.

    None in the place of that function where it could not be told.

    >>> scale = torch.tensor(3.0)
    >>> _, again = recorded(lambda x: [(scale * x).sum()], torch.ones(2))
    >>> again(torch.ones(2) * 2)
    [tensor(12.)]
    """
    with _Recorder(given) as recorder:
        results = function(*given)
    if recorder.strange:
        return results, None
    graph = recorder.graph
    graph.output([recorder.node(result) for result in results])
    graph.eliminate_dead_code()
    constants = [recorder.constants[node] for node in graph.nodes if node in recorder.constants]
    compute = fx.GraphModule({}, graph).forward

    def again(*given: Tensor) -> Sequence[Tensor]:
        with torch.no_grad():
            found: Sequence[Tensor] = compute(*constants, *given)
        return found

    return results, again


class Tapes:
    """Functions of tensors that are called again and again, each recorded once.

    The first call with tensors of some shapes is recorded. In the second the function and the record both compute, and
    only if they agree to the bit, and nothing outside has changed by then, a record takes the function's place from the
    third call on: a counter or a log outside goes on being written. What changes later is told by `changed`.

    Args:
        outside: Gives a digest of each thing outside that the functions reach, by its name.

    >>> tapes = Tapes()
    >>> calls = []
    >>> def function(x):
    ...     calls.append(x)
    ...     return [x * 2]
    >>> [tapes.call("twice", function, [torch.tensor(x)])[0].item() for x in (1.0, 2.0, 3.0, 4.0)], len(calls)
    ([2.0, 4.0, 6.0, 8.0], 2)
    """

    def __init__(self, outside: Callable[[], dict[str, bytes]] = dict) -> None:
        self._outside, self._before = outside, outside()
        self._records: dict[Hashable, Function | None] = {}
        self._trusted: set[Hashable] = set()

    def clear(self) -> None:
        """Forget all records, as what they hold for good has moved."""
        self._records, self._trusted = {}, set()

    def changed(self) -> str | None:
        """What has changed outside since records took the place of functions; None where nothing has, or none does."""
        return differing(self._before, self._outside()) if self._trusted else None

    def call(
        self, name: Hashable, function: Function, given: Sequence[Tensor], state: Sequence[Tensor] = ()
    ) -> Sequence[Tensor]:
        """Call a function, or what was recorded of it.

        Args:
            name: What tells it from others.
            function: It takes `given` and `state`, and changes nothing else.
            given: Tensors that may be others in every call.
            state: Tensors that it changes in place; they are as they were where it raises.
        """
        key = name, *((tensor.shape, tensor.dtype) for tensor in given)
        records = self._records
        if key not in records:
            results, record = recorded(function, *given, *state)
            if records is self._records:  # else something moved in that call
                records[key] = record
            return results
        again = records[key]
        if again is None:
            return function(*given, *state)
        before = [tensor.clone() for tensor in state]
        if key in self._trusted:
            try:
                return again(*given, *state)
            except Exception:
                for tensor, was in zip(state, before, strict=True):
                    tensor.copy_(was)
                raise
        results = function(*given, *state)
        try:
            same = map(_equal, (*results, *state), (*again(*given, *before), *before))
            trusted = all(same) and differing(self._before, self._outside()) is None
        except Exception:
            trusted = False
        if trusted:
            self._trusted.add(key)
        elif records is self._records:
            records[key] = None
        return results


def _equal(one: Tensor, other: Tensor) -> bool:
    if not one.is_floating_point():
        return torch.equal(one, other)
    return torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(), other.nan_to_num())
