"""Outcomes as bytes, and back, bit for bit."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from fallline.racing.runs import Outcome

#: Curves by their types; the points' number stands before them.
_WHOLE, _REAL = np.dtype("<i8"), np.dtype("<f8")
_CURVES = {"steps": _WHOLE, "samples": _WHOLE, "train_loss": _REAL, "valid_loss": _REAL, "valid_metric": _REAL}
#: Points, the step at which a run diverged, its score, and whether the examples' shares come last.
_HEAD = struct.Struct("<qqd?")
_CHECK = struct.Struct("<I")


def pack(outcome: Outcome) -> bytes:
    """An outcome as bytes: a check sum, some numbers, the curves, and the examples' shares, which are compressed.

    >>> nothing = np.array([np.nan])
    >>> unpack(pack(Outcome(np.array([0]), np.array([0]), nothing, nothing, nothing, diverged_at=0))).diverged_at
    0
    """
    head = _HEAD.pack(len(outcome.steps), outcome.diverged_at, outcome.score, outcome.examples is not None)
    curves = (getattr(outcome, name).astype(kind, copy=False).tobytes() for name, kind in _CURVES.items())
    # Mostly hits and misses, or numbers in single precision.
    shares = b"" if outcome.examples is None else zlib.compress(outcome.examples.astype(_REAL, copy=False).tobytes(), 1)
    content = b"".join((head, *curves, shares))
    return _CHECK.pack(zlib.crc32(content)) + content


def unpack(packed: bytes) -> Outcome:
    """The outcome that `pack` packed. Raises ValueError where it is damaged."""
    content = packed[_CHECK.size :]
    if len(content) < _HEAD.size or _CHECK.unpack_from(packed) != (zlib.crc32(content),):
        raise ValueError("this is no outcome, or a damaged one")
    points, diverged_at, score, has_examples = _HEAD.unpack_from(content)
    if points < 1:
        raise ValueError("this is no outcome: it has no point")
    begin = _HEAD.size
    curves: dict[str, Any] = {}
    for name, kind in _CURVES.items():
        curves[name] = np.frombuffer(content, kind, points, begin).copy()  # which may be written to
        begin += curves[name].nbytes
    try:
        shares = np.frombuffer(zlib.decompress(content[begin:]), _REAL).copy() if has_examples else None
    except zlib.error as error:
        raise ValueError("the examples' shares of this outcome are damaged") from error
    return Outcome(**curves, diverged_at=diverged_at, score=score, examples=shares)
