"""Random numbers that follow from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

_CPU = torch.device("cpu")


@contextmanager
def seeded(seed: int, device: torch.device = _CPU) -> Iterator[None]:
    """Let torch's generator start from `seed` inside, and go on outside as if nothing had been drawn.

    A CUDA device's own generator does likewise. `torch.manual_seed` would prepare the generators of all devices as
    well, which takes longer than a small model.

    >>> with seeded(3):
    ...     first = torch.rand(2)
    >>> with seeded(3):
    ...     print(torch.equal(first, torch.rand(2)))
    True
    """
    generators = _generators(device)
    states = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(seed)
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def draws(action: Callable[[], object], device: torch.device = _CPU) -> bool:
    """Whether an action draws from torch's generators, which are left as they were.

    >>> draws(lambda: torch.rand(2)), draws(lambda: torch.ones(2))
    (True, False)
    """
    generators = _generators(device)
    with seeded(0, device):
        before = [generator.get_state() for generator in generators]
        action()
        after = [generator.get_state() for generator in generators]
    return not all(map(torch.equal, before, after))


def _generators(device: torch.device) -> list[torch.Generator]:
    if device.type != "cuda":
        return [torch.default_generator]
    torch.cuda.init()  # type: ignore[no-untyped-call]  # before it the device's generator does not exist
    index = torch.cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]
