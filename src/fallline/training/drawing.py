"""What a run draws: it follows from the run's seed, the step and the split alone.

Masks of dropout, normal, uniform and Bernoulli numbers are taken from a key instead of torch's generators; whatever
else is drawn comes from generators that are started from that key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from fallline import _asked
from fallline.training.attention import attend
from fallline.training.counter_random import NUMBERS, Calls, Draws, evaluation_keys, run_keys, step_keys
from fallline.training.generators import preserved, reseed

Replacement = Callable[..., Tensor | tuple[Tensor, Tensor | None] | None]

_SELU_LOWEST = 1.7580993408473766  # minus what SELU tends to at its left end: alpha times scale


class LaneMasks(Draws, TorchFunctionMode):
    """While active, dropout of every kind takes its masks from a key, the place of the call in the pass, the element.

    Normal, uniform and Bernoulli numbers are taken likewise, where no generator is given for them.

    `key` (int64, no dimension) is that of a run in one step, from `step_keys`; where `torch.func.vmap` maps it, every
    lane has the numbers that it has alone. So lanes of equal seed have equal masks at equal steps, whatever moves them.
    `calls` numbers the calls: `Calls`, or a count where nothing is computed again.

    Other random functions, such as `torch.multinomial` and the dropout between the layers of recurrent networks, draw
    from torch's generator as ever. p = 0 and p = 1, and dropout in evaluation, are torch's.

    >>> from itertools import count
    >>> key, ones = torch.tensor(7), torch.ones(2, 3)
    >>> with LaneMasks(key, count()):
    ...     first, second = functional.dropout(ones), functional.dropout(ones)
    >>> with LaneMasks(key, count()):
    ...     print(torch.equal(functional.dropout(ones), first), torch.equal(first, second))
    True False
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Replace the functions of the table, where they draw a mask; torch calls this for every operation."""
        replacement = _REPLACEMENTS.get(func)
        result = replacement(self, *args, **(kwargs or {})) if replacement else None
        return func(*args, **(kwargs or {})) if result is None else result


def _scaled(input: Tensor, mask: Tensor, p: float) -> Tensor:
    """Zero what is not kept, and scale the rest to the same mean (Srivastava and others, 2014)."""
    return input * mask.to(input.dtype).mul_(1 / (1 - p))


def _saturated(input: Tensor, mask: Tensor, p: float) -> Tensor:
    """Put what is not kept at SELU's lowest value, and keep mean and variance (Klambauer and others, 2017)."""
    scale = 1 / math.sqrt((_SELU_LOWEST**2 * p + 1) * (1 - p))
    noise = mask.to(input.dtype)
    return input * (noise * scale) + (noise - 1 + p) * (_SELU_LOWEST * scale)


def _each_element(input: Tensor) -> tuple[int, ...]:
    return tuple(input.shape)


def _each_channel(alone: int = 0) -> Callable[[Tensor], tuple[int, ...]]:
    """One element for a channel of each example; `alone` is the number of dimensions that an example by itself has."""

    def shape(input: Tensor) -> tuple[int, ...]:
        before = 1 if input.ndim == alone else 2
        return (*input.shape[:before], *[1] * (input.ndim - before))

    return shape


def _dropping(
    function: Callable[..., Tensor],
    change: Callable[[Tensor, Tensor, float], Tensor],
    shape: Callable[[Tensor], tuple[int, ...]],
    *,
    usually: bool,
) -> Replacement:
    """Replace a dropout of `torch.nn.functional`; `usually` is its default of `training`."""

    def replacement(
        masks: LaneMasks, input: Tensor, p: float = 0.5, training: bool = usually, inplace: bool = False
    ) -> Tensor | None:
        if not training or not 0 < p < 1 or not input.numel():
            return None
        function(input, 0.0, training)  # draws nothing, but refuses a shape, or warns of it, as ever
        result = change(input, masks.kept(shape(input), p), p)
        return _written(input, result) if inplace else result

    return replacement


def _written(input: Tensor, result: Tensor) -> Tensor:
    try:
        return input.copy_(result)
    except RuntimeError:  # an input that all lanes share can't hold what differs between them
        return result


def _of_torch(replacement: Replacement, *, inplace: bool) -> Replacement:
    """The same for a function of `torch` itself, or its form in place."""
    return lambda masks, input, p, train: replacement(masks, input, p, train, inplace)


def _attention(
    masks: LaneMasks,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    """Attend with dropout of the weights."""
    if not 0 < dropout_p < 1:
        return None

    def dropped(weights: Tensor) -> Tensor:
        return _scaled(weights, masks.kept(tuple(weights.shape), dropout_p), dropout_p)

    softmax = partial(torch.softmax, dim=-1)
    return attend(query, key, value, attn_mask, is_causal, scale, enable_gqa, softmax, dropped)


def entered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Replace a function of torch by itself, with the functions that it calls replaced by a mode, which comes first.

    While torch handles an override, none is active; so this copy does not ask whether it is overridden.
    """
    assert isinstance(function, FunctionType)
    names = {**function.__globals__, "has_torch_function": lambda tensors: False}
    copy = FunctionType(function.__code__, names, argdefs=function.__defaults__)

    def replacement(mode: TorchFunctionMode, *given: Any, **named: Any) -> Any:
        with mode:
            return copy(*given, **named)

    return replacement


_DROPOUT = _dropping(functional.dropout, _scaled, _each_element, usually=True)
_ALPHA = _dropping(functional.alpha_dropout, _saturated, _each_element, usually=False)
_CHANNELS = _dropping(torch.feature_dropout, _scaled, _each_channel(), usually=True)
_ALPHA_CHANNELS = _dropping(functional.feature_alpha_dropout, _saturated, _each_channel(), usually=False)
_REPLACEMENTS: dict[Callable[..., Any], Replacement] = {
    **NUMBERS,
    functional.dropout: _DROPOUT,
    functional.alpha_dropout: _ALPHA,
    functional.dropout1d: _dropping(functional.dropout1d, _scaled, _each_channel(alone=2), usually=True),
    functional.dropout2d: _dropping(functional.dropout2d, _scaled, _each_channel(), usually=True),
    functional.dropout3d: _dropping(functional.dropout3d, _scaled, _each_channel(alone=4), usually=True),
    functional.feature_alpha_dropout: _ALPHA_CHANNELS,
    torch.dropout: _of_torch(_DROPOUT, inplace=False),
    torch.dropout_: _of_torch(_DROPOUT, inplace=True),
    torch.alpha_dropout: _of_torch(_ALPHA, inplace=False),
    torch.alpha_dropout_: _of_torch(_ALPHA, inplace=True),
    torch.feature_dropout: _of_torch(_CHANNELS, inplace=False),
    torch.feature_dropout_: _of_torch(_CHANNELS, inplace=True),
    torch.feature_alpha_dropout: _of_torch(_ALPHA_CHANNELS, inplace=False),
    torch.feature_alpha_dropout_: _of_torch(_ALPHA_CHANNELS, inplace=True),
    functional.scaled_dot_product_attention: _attention,
    functional.multi_head_attention_forward: entered(functional.multi_head_attention_forward),
    torch.autograd.grad: entered(torch.autograd.grad),  # which computes checkpointed parts of a model again
}


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
    """Draw as the run of a seed does in a step; or as its model is evaluated on a split after a step.

    With it a loop of one's own has the random numbers of `fallline.fit` and of a race: dropout, noise, and whatever
    else is drawn from the generators of torch, Python and NumPy. Those go on afterwards as if nothing was drawn. A
    split that is too large to be evaluated at once is drawn for in parts, of which this gives the first.

    Args:
        seed: The run's.
        step: The step, counted from 1.
        split: "train", "valid" or "test" for an evaluation after the step; None for the step itself.
        device: Where the model is; the CPU by default.

    Raises:
        TypeError: The step is no whole number.
        ValueError: The seed is none, or the step is below 0.

    >>> with draws_of(seed=3, step=1):
    ...     first = torch.randn(2), torch.randperm(5)
    >>> with draws_of(seed=3, step=1):
    ...     print(all(map(torch.equal, first, (torch.randn(2), torch.randperm(5)))))
    True
    """
    seed, step = _asked.seed(seed), _asked.whole("step", step, 0, _asked.LARGEST_SEED)
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
