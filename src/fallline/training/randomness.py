"""Random numbers that follow from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_CPU = torch.device("cpu")


@contextmanager
def preserved(device: torch.device = _CPU, *, libraries: bool = False) -> Iterator[None]:
    """Let torch's generators, and with `libraries` those of Python and NumPy, go on afterwards as if nothing was drawn.

    >>> before = torch.get_rng_state()
    >>> with preserved():
    ...     number = torch.rand(2)
    >>> torch.equal(torch.get_rng_state(), before)
    True
    """
    generators = _generators(device)
    states = [generator.get_state() for generator in generators]
    others = _library_states() if libraries else None
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        if others is not None:
            random.setstate(others[0])
            np.random.set_state(others[1])


def reseed(seed: int, device: torch.device = _CPU, *, libraries: bool = False) -> None:
    """Let torch's generators, and with `libraries` those of Python and NumPy, start from a seed."""
    for generator in _generators(device):
        generator.manual_seed(seed)
    if libraries:
        random.seed(seed)
        np.random.seed(seed % 2**32)


@contextmanager
def seeded(seed: int, device: torch.device = _CPU, *, libraries: bool = False) -> Iterator[None]:
    """Let torch's generator start from `seed` inside, and go on outside as if nothing had been drawn.

    A CUDA device's own generator does likewise, and with `libraries` those of Python and NumPy. `torch.manual_seed`
    would prepare the generators of all devices as well, which takes longer than a small model.

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
    generators = _generators(device)
    with seeded(0, device, libraries=True):
        before, others = [generator.get_state() for generator in generators], _told(_library_states())
        action()
        after = [generator.get_state() for generator in generators]
        return not all(map(torch.equal, before, after)), _told(_library_states()) != others


def _library_states() -> tuple[Any, Any]:
    return random.getstate(), np.random.get_state()


def _told(states: tuple[Any, Any]) -> Any:
    kind, numbers, *rest = states[1]
    return states[0], kind, numbers.tobytes(), rest


def _generators(device: torch.device) -> list[torch.Generator]:
    if device.type != "cuda":
        return [torch.default_generator]
    torch.cuda.init()  # type: ignore[no-untyped-call]  # before it the device's generator does not exist
    index = torch.cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]
