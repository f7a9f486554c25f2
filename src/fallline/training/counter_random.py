"""Random numbers that are a function of a key and a counter: the same in any company, any order, on any device.

What torch draws as numbers is taken from them where a pass has a key: see `NUMBERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

# The steps and multipliers of SplitMix64 (Steele, Lea and Flood, 2014), as signed numbers.
_GAMMA = -7046029254386353131
_ROUNDS = ((30, -4658895280553007687), (27, -7723592293110705685))
#: Between the calls of one pass: up to 10,000 of them do not overlap, however many elements each has.
_CALL = -3335678366873096957
#: The parts of the data that a run is evaluated on, and where the keys of evaluations lie.
SPLITS = ("train", "valid", "test")
_EVALUATIONS = 2**40


def _mixed(numbers: Tensor) -> Tensor:
    """Scatter int64 numbers over all of int64, in place; the leading bits are the best.

    A shift that keeps the sign sends x and -x - 1 to the same number, which a stretch of places hardly ever holds both.
    """
    for shift, factor in _ROUNDS:
        numbers.bitwise_xor_(numbers >> shift).mul_(factor)
    return numbers


def run_keys(seeds: Tensor) -> Tensor:
    """Keys [K] of the runs of these seeds [K], which are int64.

    >>> run_keys(torch.tensor([3, 4, 3])).unique().numel()
    2
    """
    return _mixed(seeds + _GAMMA)


def step_keys(keys: Tensor, step: int) -> Tensor:
    """Keys [K] of one step of the runs with these keys [K].

    >>> torch.equal(step_keys(run_keys(torch.tensor([3])), 1), step_keys(run_keys(torch.tensor([3])), 2))
    False
    """
    return _mixed(keys + step)


def evaluation_keys(keys: Tensor, step: int, split: str, first: int = 0) -> Tensor:
    """Keys [K] of an evaluation after `step` updates, on the examples of a split from number `first` on.

    >>> keys = run_keys(torch.tensor([3]))
    >>> torch.equal(evaluation_keys(keys, 1, "valid"), evaluation_keys(keys, 1, "test"))
    False
    """
    place = _EVALUATIONS + (SPLITS.index(split) if split in SPLITS else len(SPLITS))
    return step_keys(step_keys(step_keys(keys, step), place), first)


def uniform(key: Tensor, call: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Numbers of a shape, each equally likely at 0 or above and below 1, for a key and a call, as `kept` has them.

    >>> uniform(run_keys(torch.tensor(5)), 0, (2, 4), torch.float32).shape
    torch.Size([2, 4])
    """
    digits = min(53, 1 - round(math.log2(torch.finfo(dtype).eps)))
    return _leading(key, call, shape, digits).to(dtype).mul_(2.0**-digits)


def normal(key: Tensor, call: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Numbers of a shape from a normal distribution of mean 0 and deviation 1, for a key and a call.

    >>> normal(run_keys(torch.tensor(5)), 0, (2, 4), torch.float32).shape
    torch.Size([2, 4])
    """
    evenly = _leading(key, call, shape, 52).double().add_(0.5).mul_(2.0**-51).sub_(1.0)
    return torch.erfinv(evenly).mul_(math.sqrt(2)).to(dtype)


def kept(key: Tensor, call: int, shape: tuple[int, ...], p: float) -> Tensor:
    """Booleans of a shape, each false with probability p, for a key (int64, no dimension) and a call from 0.

    They follow from the key, the call and each element's place. `torch.func.vmap` maps keys.

    >>> kept(run_keys(torch.tensor(5)), 0, (2, 4), p=0.5).shape
    torch.Size([2, 4])
    """
    return _bits(key, call, shape) >= _signed(round(p * 2**64) + 2**63)


def _bits(key: Tensor, call: int, shape: tuple[int, ...]) -> Tensor:
    """64 random bits for each place of a shape."""
    places = torch.arange(torch.Size(shape).numel(), device=key.device).mul_(_GAMMA).view(shape)
    return _mixed(places + (key + _signed(call * _CALL)))


def _leading(key: Tensor, call: int, shape: tuple[int, ...], digits: int) -> Tensor:
    """Whole numbers from 0 to 2**digits - 1."""
    return _bits(key, call, shape).bitwise_right_shift_(64 - digits).bitwise_and_(2**digits - 1)


def _signed(number: int) -> int:
    """A whole number as int64 has it, with its higher bits cut off."""
    return (number + 2**63) % 2**64 - 2**63


class Calls:
    """Numbers the calls for random bits in one pass, in order.

    A part of a model under `torch.utils.checkpoint` is computed again in the backward pass, after torch's generator
    was put back to where it stood: a draw from it tells such a call, which gets its earlier number.

    >>> calls, state = Calls(), torch.get_rng_state()
    >>> numbers = next(calls), next(calls)
    >>> torch.set_rng_state(state)
    >>> numbers, next(calls)
    ((0, 1), 0)
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def __iter__(self) -> Calls:
        return self

    def __next__(self) -> int:
        """The number of a call, from 0."""
        return self._numbers.setdefault(int(torch.randint(2**62, ())), len(self._numbers))


class Draws:
    """What is drawn in one pass, from a key and the place of each call in it; `drew` tells whether anything was."""

    def __init__(self, key: Tensor, calls: Iterator[int]) -> None:
        super().__init__()
        self.drew = False
        self._key = key
        self._calls = calls

    def kept(self, shape: tuple[int, ...], p: float) -> Tensor:
        """Booleans of a shape, each false with probability p; the next call draws others."""
        return kept(self._key, self._call(), shape, p)

    def numbers(self, draw: Callable[..., Tensor], like: Tensor) -> Tensor:
        """Numbers from `uniform` or `normal` of the shape, type and device of a tensor; the next call draws others."""
        return draw(self._key.to(like.device), self._call(), tuple(like.shape), like.dtype)

    def fresh(self, like: Tensor) -> Tensor:
        """A tensor of the shape and type of another, with room for each lane's own numbers where the key is mapped."""
        return self._key.to(like.device, like.dtype).expand(like.shape).clone()

    def _call(self) -> int:
        self.drew = True
        return next(self._calls)


def _drawn(draw: Callable[..., Tensor], empty: Callable[..., Tensor]) -> Callable[..., Tensor | None]:
    """Replace `torch.rand`, `torch.randn` or one of their `_like`; `empty` makes a tensor of the same arguments."""

    def replacement(draws: Draws, *given: Any, **options: Any) -> Tensor | None:
        if options.pop("generator", None) is not None or options.get("out") is not None:
            return None
        grad = options.pop("requires_grad", False)
        like = empty(*given, **options)
        if not like.numel() or not _strided(like):
            return None
        drawn = draws.numbers(draw, like)
        return drawn.requires_grad_() if grad else drawn

    return replacement


def _strided(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.layout == torch.strided


def _normal(
    draws: Draws, mean: Any, std: Any = 1.0, size: Any = None, *, generator: Any = None, **options: Any
) -> Tensor | None:
    """Replace `torch.normal` in its forms, from tensors and from numbers."""
    if generator is not None or options.get("out") is not None:
        return None
    if size is not None:
        like = torch.empty(size, **{name: value for name, value in options.items() if name != "requires_grad"})
    else:
        like = torch.as_tensor(mean).detach() + torch.as_tensor(std).detach()
    drawn: Tensor | None = draws.numbers(normal, like) * std + mean if _strided(like) else None
    return drawn


def _bernoulli(draws: Draws, input: Tensor, p: Any = None, *, generator: Any = None, **options: Any) -> Tensor | None:
    if generator is not None or options.get("out") is not None or not input.is_floating_point():
        return None
    return _bernoulli_inside(draws, input, input if p is None else p)


def _filling(draw: Callable[..., Tensor]) -> Callable[..., Tensor | None]:
    """Replace a function that fills a tensor with what `draw` makes of the arguments."""

    def replacement(draws: Draws, input: Tensor, *given: Any, generator: Any = None, **named: Any) -> Tensor | None:
        if generator is not None or not _strided(input) or not input.numel():
            return None
        # What all lanes share can't hold what differs between them; torch says so.
        return input.copy_(draw(draws, input, *given, **named))

    return replacement


def _normal_inside(draws: Draws, input: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return draws.numbers(normal, input) * std + mean


def _uniform_inside(draws: Draws, input: Tensor, *bounds: float, to: float = 1.0, **others: float) -> Tensor:
    low, high = (*bounds, *(others.get("from", 0.0), to)[len(bounds) :])
    return draws.numbers(uniform, input) * (high - low) + low


def _bernoulli_inside(draws: Draws, input: Tensor, p: Any = 0.5) -> Tensor:
    drawn: Tensor = draws.numbers(uniform, input) < p
    return drawn.to(input.dtype)


def _empty(draws: Draws, *size: Any, **options: Any) -> Tensor | None:
    """Make room for what is drawn next, as `torch.distributions` does."""
    if options.get("out") is not None or options.get("requires_grad"):
        return None
    like = torch.empty(*size, **options)
    return draws.fresh(like) if _strided(like) and like.numel() else like


#: The functions of torch that draw numbers, and what takes their place.
NUMBERS: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    torch.rand: _drawn(uniform, torch.empty),
    torch.randn: _drawn(normal, torch.empty),
    torch.rand_like: _drawn(uniform, torch.empty_like),
    torch.randn_like: _drawn(normal, torch.empty_like),
    torch.normal: _normal,
    torch.bernoulli: _bernoulli,
    Tensor.bernoulli: _bernoulli,
    Tensor.normal_: _filling(_normal_inside),
    Tensor.uniform_: _filling(_uniform_inside),
    Tensor.bernoulli_: _filling(_bernoulli_inside),
    torch.empty: _empty,
}
