"""Random bits that are a function of a key and a counter: the same in any company, in any order, on any device."""

from __future__ import annotations

import math

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
