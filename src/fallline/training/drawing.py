"""What a run draws: it follows from the run's seed, the step and the split alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from fallline.training.counter_random import Calls, evaluation_keys, run_keys, step_keys
from fallline.training.lane_masks import LaneMasks
from fallline.training.randomness import preserved, reseed

_AS_IT_IS = nullcontext()
_SEED, _STEP = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9  # odd, so that no two steps of a run are the same


def drawing(
    key: Tensor, device: torch.device, *, libraries: bool = False, replaced: bool = True
) -> AbstractContextManager[object]:
    """Start the generators of torch, and of `libraries`, from a key, and replace inside what can be drawn from it.

    The generators are not put back: whoever calls this does so once for many keys, by `preserved`.
    """
    reseed(int(key), device, libraries=libraries)
    return LaneMasks(key, Calls()) if replaced else _AS_IT_IS


@contextmanager
def draws_of(seed: int, step: int, split: str | None = None, device: torch.device | None = None) -> Iterator[None]:
    """Draw as the run of a seed does in a step, counted from 1; or as its model is evaluated on a split after a step.

    With it a loop of one's own has the random numbers of `fallline.fit` and of a race: dropout, noise, and whatever
    else is drawn from the generators of torch, Python and NumPy. Those go on afterwards as if nothing was drawn.
    A split that is too large to be evaluated at once is drawn for in parts, of which this gives the first.

    >>> with draws_of(seed=3, step=1):
    ...     first = torch.randn(2), torch.randperm(5)
    >>> with draws_of(seed=3, step=1):
    ...     print(all(map(torch.equal, first, (torch.randn(2), torch.randperm(5)))))
    True
    """
    device = device or torch.device("cpu")
    keys = run_keys(torch.tensor([seed], dtype=torch.int64, device=device))
    key = step_keys(keys, step)[0] if split is None else evaluation_keys(keys, step, split)[0]
    with preserved(device, libraries=True), drawing(key, device, libraries=True):
        yield


def replaceable(module: nn.Module) -> bool:
    """Whether what a module draws can be replaced: a compiled one draws by itself.

    >>> replaceable(nn.Linear(2, 2))
    True
    """
    return not any(hasattr(part, "_orig_mod") for part in module.modules())


def reseed_for_update(seed: int, step: int, device: torch.device) -> None:
    """Let what an optimizer draws itself follow from its run's seed and the step; nothing is put back."""
    reseed((seed * _SEED + step * _STEP) % 2**64, device, libraries=True)
