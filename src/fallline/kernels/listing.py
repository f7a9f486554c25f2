"""Calls on lists of tensors, written in Python: what may be written over what, and what is let go when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One call: `out` becomes what it makes of the lists `of`, the first of which it may be written over.

    `call` is what stands behind `torch._foreach_`, with {0}, ... for the lists and {_} where the call in place has an
    underline; or, without that, what becomes of the elements {0}, ... of one tensor. `whole` says that the result is as
    large as the parameter.
    """

    out: str
    call: str
    of: tuple[str, ...]
    whole: bool = True

    @property
    def may_overwrite(self) -> bool:
        """Whether the result can take the place of the first list."""
        return self.whole and "{_}" in self.call

    def written(self, names: dict[str, str], over: bool) -> str:
        """The line in Python."""
        given = [names[name] for name in self.of]
        if "{_}" in self.call:
            call = "torch._foreach_" + self.call.format(*given, _="_" if over else "")
            return call if over else f"{self.out} = {call}"
        letters = [f"x{i}" for i in range(len(given))]
        zipped = f"for {', '.join(letters)}, in zip({', '.join(given)}, strict=True)"
        return f"{self.out} = [{self.call.format(*letters)} {zipped}]"


@dataclass(frozen=True)
class Listing:
    """The calls of one pass, each of which makes a value with a name of its own.

    Attributes:
        lines: The calls by what they make, in order.
        sums: The names of the pass's sums, and which values they are.
        becomes: Which values p and the states become; no sums are made where these are.
        known: The names of earlier sums.
        in_place: Whether p and the states are computed with as they lie.
    """

    lines: Mapping[str, Line]
    sums: Mapping[str, str]
    becomes: Mapping[str, str]
    known: frozenset[str]
    in_place: bool

    def source(self) -> str:
        """The function `run` of tensors, sums, numbers and the type that is computed with."""
        return "\n".join(["def run(tensors, sums, numbers, real):", *(f"    {line}" for line in self._body())])

    def _body(self) -> Iterator[str]:
        used = [*(name for line in self.lines.values() for name in line.of), *self.becomes.values(), *self.becomes]
        leaves = dict.fromkeys(name for name in used if name not in self.lines)
        for name in leaves:
            yield f"{name} = {'sums' if name in self.known else 'tensors'}['{name}']"
        last = {name: i for i, line in enumerate(self.lines.values()) for name in line.of}
        last |= dict.fromkeys((*self.becomes.values(), *self.sums.values()), len(self.lines))
        names = {name: name for name in leaves}  # of Python's variables
        homes = {name: name for name in self.becomes} if self.in_place else {}
        chains = {name: self._chain(name) for name in homes}
        for i, line in enumerate(self.lines.values()):
            first = line.of[0]
            home = homes.get(first)
            own = first in self.lines and self.lines[first].whole if home is None else line.out in chains[home]
            over = line.may_overwrite and last[first] == i and own
            yield line.written(names, over)
            names[line.out] = names[first] if over else line.out
            if over and home is not None:
                homes[line.out] = home
            for name in dict.fromkeys(line.of):
                if last[name] == i and name in self.lines and name not in homes and not (over and name == first):
                    yield f"del {names[name]}"
        yield from self._copies(names, homes)
        yield f"return {{{', '.join(f'{key!r}: {names[value]}' for key, value in self.sums.items())}}}"

    def _chain(self, name: str) -> set[str]:
        """What a state becomes, step by step, if all of it can be written over the state."""
        chain, at = set[str](), self.becomes[name]
        while at in self.lines and self.lines[at].may_overwrite:
            chain.add(at)
            at = self.lines[at].of[0]
        return chain if at == name else set()

    def _copies(self, names: dict[str, str], homes: dict[str, str]) -> Iterator[str]:
        """Put what is not where it belongs there, what is to be copied from a place that is written to first."""
        moved = {name: found for name, found in self.becomes.items() if homes.get(found) != name}
        for name, found in moved.items():
            if found in self.becomes:
                yield f"{name}_copy = [x.clone() for x in {names[found]}]"
        for name, found in moved.items():
            source = f"{name}_copy" if found in self.becomes else names[found]
            yield f"torch._foreach_copy_({name}, {source})"
