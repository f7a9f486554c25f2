"""Products of a step's own, where the caller's model runs under `torch.autocast`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch

Result = TypeVar("Result")


@contextmanager
def without_autocast(devices: Iterable[torch.device]) -> Iterator[None]:
    """Let products be of the type of what is multiplied, also where the caller's model runs in another."""
    with ExitStack() as stack:
        for kind in _enabled({device.type for device in devices}):
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def as_called(closure: Callable[[], Result]) -> Callable[[], Result]:
    """The closure, to run under the autocast that is on now, wherever it is called.

    Without its cache, which would go on with the weights of the first call when they have moved.
    """
    accelerator = torch.accelerator.current_accelerator() if hasattr(torch, "accelerator") else None
    kinds = {"cpu", "cuda", *([accelerator.type] if accelerator is not None else [])}
    settings = [(kind, torch.get_autocast_dtype(kind)) for kind in _enabled(kinds)]

    def run() -> Result:
        with ExitStack() as stack:
            for kind, dtype in settings:
                stack.enter_context(torch.autocast(kind, dtype=dtype, cache_enabled=False))
            return closure()

    return run if settings else closure


def _enabled(kinds: Iterable[str]) -> list[str]:
    return [k for k in kinds if torch.amp.is_autocast_available(k) and torch.is_autocast_enabled(k)]
