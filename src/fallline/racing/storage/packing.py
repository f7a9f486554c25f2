"""A run's outcome as plain data, small, and bit for bit what it was."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline.racing.runs import Outcome

_ARRAYS = tuple(field.name for field in fields(Outcome) if field.name not in ("diverged_at", "score", "examples"))


def pack(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON holds it: the arrays' types and lengths, and their bytes compressed, in base64.

    >>> nothing = np.array([np.nan])
    >>> packed = pack(Outcome(np.array([0]), np.array([0]), nothing, nothing, nothing, diverged_at=0))
    >>> packed["arrays"]["train_loss"], packed["diverged_at"]
    (['<f4', 1], 0)
    """
    arrays = {name: getattr(outcome, name) for name in _ARRAYS} | {"score": np.array([outcome.score], np.float64)}
    if outcome.examples is not None:
        arrays["examples"] = outcome.examples
    narrow = {name: _narrowed(values) for name, values in arrays.items()}
    content = b"".join(values.tobytes() for values in narrow.values())
    return {
        "diverged_at": outcome.diverged_at,
        "arrays": {name: [values.dtype.str, len(values)] for name, values in narrow.items()},
        "bytes": base64.b64encode(zlib.compress(content)).decode("ascii"),
    }


def unpack(packed: Mapping[str, Any]) -> Outcome:
    """The outcome that `pack` packed."""
    content = zlib.decompress(base64.b64decode(packed["bytes"]))
    arrays: dict[str, NDArray[Any]] = {}
    begin = 0
    for name, (kind, length) in packed["arrays"].items():
        stored = np.frombuffer(content, kind, length, begin)
        begin += stored.nbytes
        arrays[name] = stored.astype(np.int64 if stored.dtype.kind == "i" else np.float64)
    score = float(arrays.pop("score")[0])
    examples = arrays.pop("examples", None)
    return Outcome(**arrays, diverged_at=packed["diverged_at"], score=score, examples=examples)


def _narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """Little-endian integers, and floats in single precision where not a bit is lost by that."""
    if values.dtype.kind == "i":
        return values.astype("<i8")
    wide = np.ascontiguousarray(values, "<f8")
    with np.errstate(all="ignore"):
        narrow = wide.astype("<f4")
        same = np.array_equal(narrow.astype("<f8").view("<i8"), wide.view("<i8"))
    return narrow if same else wide
