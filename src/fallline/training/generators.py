"""The generators that a user's code may draw from: torch's, NumPy's, Python's, and those that it keeps."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from fallline.training.modules import closed_over, read_globals

_CPU = torch.device("cpu")


def preserved(device: torch.device = _CPU, *, libraries: bool = False) -> AbstractContextManager[None]:
    """Let torch's generators, and with `libraries` those of Python and NumPy, go on afterwards as if nothing was drawn.

    >>> before = torch.get_rng_state()
    >>> with preserved():
    ...     number = torch.rand(2)
    >>> torch.equal(torch.get_rng_state(), before)
    True
    """
    return _kept(_generators(device, libraries=libraries))


@contextmanager
def _kept(generators: Sequence[Any]) -> Iterator[None]:
    states = [*map(_state, generators)]
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            _put_state(generator, state)


def reseed(seed: int, device: torch.device = _CPU, *, libraries: bool = False) -> None:
    """Let torch's generators, and with `libraries` those of Python and NumPy, start from a seed."""
    for generator in _generators(device):
        generator.manual_seed(seed)
    if libraries:
        random.seed(seed)
        np.random.seed(seed % 2**32)


@contextmanager
def seeded(seed: int, device: torch.device = _CPU, *, libraries: bool = False) -> Iterator[None]:
    """Let torch's generator start from a seed inside, and go on outside as if nothing had been drawn.

    `torch.manual_seed` would prepare the generators of all devices as well, which takes longer than a small model.

    Args:
        seed: Where it starts from.
        device: A CUDA device's own generator does likewise; the CPU by default.
        libraries: Whether those of Python and NumPy do, too.

    >>> with seeded(3):
    ...     first = torch.rand(2)
    >>> with seeded(3):
    ...     print(torch.equal(first, torch.rand(2)))
    True
    """
    with preserved(device, libraries=libraries):
        reseed(seed, device, libraries=libraries)
        yield


def draws(action: Callable[[], object], device: torch.device = _CPU) -> tuple[bool, bool]:
    """Whether an action draws from torch's generators, and from Python's or NumPy's; all are left as they were.

    >>> draws(lambda: torch.rand(2)), draws(lambda: random.random()), draws(lambda: torch.ones(2))
    ((True, False), (False, True), (False, False))
    """
    with seeded(0, device, libraries=True):
        _, moved = _moved(_generators(device, libraries=True), action)
    return any(moved[:-2]), any(moved[-2:])


def _moved(generators: Sequence[Any], action: Callable[[], Any]) -> tuple[Any, list[bool]]:
    """What an action returns, and from which of the generators it drew."""
    before = [*map(_state, generators)]
    found = action()
    return found, [not _alike(one, _state(generator)) for one, generator in zip(before, generators, strict=True)]


def _generators(device: torch.device, *, libraries: bool = False) -> list[Any]:
    """Torch's generators, and with `libraries` those that NumPy's and Python's functions draw from."""
    generators: list[Any] = [torch.default_generator]
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # before it the device's generator does not exist
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    return [*generators, np.random.mtrand._rand, random._inst] if libraries else generators


#: Things that are looked at in search of generators; and a longer list holds data, not what draws.
_MOST_THINGS, _LONGEST = 10_000, 1_000
_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_DATA = (torch.Tensor, np.ndarray, str, bytes, int, float, complex, type(None), ModuleType)


class Generators:
    """The global generators, and those that `owner`, and all that it holds, keeps for itself.

    >>> class Noise:
    ...     def __init__(self):
    ...         self.own = np.random.default_rng()
    ...     def draw(self):
    ...         return float(self.own.normal() + np.random.normal() + random.random() + torch.rand(()))
    >>> noise = Noise()
    >>> generators = Generators(noise)
    >>> with generators.seeded(3, 1):
    ...     first = noise.draw()
    ...     generators.seed(3, 1)
    ...     print(noise.draw() == first)
    True
    """

    def __init__(self, owner: object) -> None:
        self._own = _own_generators(owner)

    @property
    def _all(self) -> list[Any]:
        return [*_generators(_CPU, libraries=True), *self._own]  # found anew: in another process they are others

    @contextmanager
    def seeded(self, *key: int) -> Iterator[None]:
        """Let all start from a key inside, as `seed` does, and go on afterwards as if nothing had been drawn."""
        with _kept(self._all):
            self.seed(*key)
            yield

    def seed(self, *key: int) -> None:
        """Let all start from what the numbers of the key, which are not negative, settle."""
        numbers = np.random.SeedSequence(key).generate_state(4)
        whole = int(numbers[0]) << 31 | int(numbers[1]) >> 1
        torch.default_generator.manual_seed(whole)
        np.random.seed(numbers)
        random.seed(whole)
        for place, generator in enumerate(self._own):
            _seed(generator, whole, place)

    def moved(self, action: Callable[[], Any]) -> tuple[Any, bool]:
        """What an action returns, and whether it drew from any of them."""
        found, moved = _moved(self._all, action)
        return found, any(moved)


def _own_generators(owner: object) -> list[Any]:
    """The generators among what a thing holds: attributes, short lists, closures, and names that its methods read."""
    found: dict[int, Any] = {}
    seen: dict[int, object] = {}  # the things themselves, so that no other gets their number
    waiting: list[Any] = [owner]
    while waiting and len(seen) < _MOST_THINGS:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, _DATA):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, _GENERATORS):
            if thing is not torch.default_generator:
                found[id(thing)] = thing
        else:
            waiting += _held(thing)
    return list(found.values())


def _held(thing: Any) -> Sequence[Any]:
    if isinstance(thing, list | tuple | set | frozenset | dict):
        return [] if len(thing) > _LONGEST else list(thing.values() if isinstance(thing, dict) else thing)
    if isinstance(thing, MethodType):
        return [thing.__func__, thing.__self__]
    if isinstance(thing, FunctionType):
        drawing = (one for one in read_globals(thing).values() if isinstance(one, (*_GENERATORS, FunctionType)))
        return [*closed_over(thing).values(), *(thing.__defaults__ or ()), *drawing]
    if isinstance(thing, type):
        return []
    kinds = type(thing).__mro__[:-1]
    functions = (one for kind in kinds for one in vars(kind).values() if isinstance(one, FunctionType))
    slots = (getattr(thing, name, None) for kind in kinds for name in _names(kind))
    return [*chain(getattr(thing, "__dict__", {}).values(), slots, functions)]


def _names(kind: type) -> Sequence[str]:
    names = vars(kind).get("__slots__", ())
    return (names,) if isinstance(names, str) else tuple(names)


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, np.random.RandomState) else generator.getstate()


def _put_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def _seed(generator: Any, seed: int, place: int) -> None:
    """Seed a generator by a number and its place among several, which so differ."""
    if isinstance(generator, torch.Generator):
        generator.manual_seed((seed + place) % 2**62)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(np.random.SeedSequence((seed, place))).state
    elif isinstance(generator, np.random.RandomState):
        generator.seed(np.random.SeedSequence((seed, place)).generate_state(4))
    else:
        generator.seed(seed + place)


def _alike(one: Any, other: Any) -> bool:
    """Whether two states are the same."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, tuple) and len(one) < _LONGEST and not all(isinstance(part, int) for part in one):
        return all(map(_alike, one, other))
    return bool(one == other)
