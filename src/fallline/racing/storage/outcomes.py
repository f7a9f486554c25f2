"""Outcomes as bytes, and back, bit for bit."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline.racing.runs import Outcome

_ARRAYS = tuple(field.name for field in fields(Outcome) if field.name not in ("diverged_at", "score", "examples"))


def pack(outcome: Outcome) -> bytes:
    """An outcome as bytes: a line of JSON with the arrays' types and lengths, then their content; all compressed.

    >>> nothing = np.array([np.nan])
    >>> unpack(pack(Outcome(np.array([0]), np.array([0]), nothing, nothing, nothing, diverged_at=0))).diverged_at
    0
    """
    arrays = {name: getattr(outcome, name) for name in _ARRAYS} | {"score": np.array([outcome.score], np.float64)}
    if outcome.examples is not None:
        arrays["examples"] = outcome.examples
    narrow = {name: _narrowed(values) for name, values in arrays.items()}
    kinds = {name: [values.dtype.str, len(values)] for name, values in narrow.items()}
    head = json.dumps({"diverged_at": outcome.diverged_at, "arrays": kinds})
    return zlib.compress(head.encode() + b"\n" + b"".join(values.tobytes() for values in narrow.values()))


def unpack(packed: bytes) -> Outcome:
    """The outcome that `pack` packed. Raises ValueError where it is damaged."""
    try:
        head, _, content = zlib.decompress(packed).partition(b"\n")
        told = json.loads(head)
        arrays: dict[str, NDArray[Any]] = {}
        begin = 0
        for name, (kind, length) in told["arrays"].items():
            stored = np.frombuffer(content, kind, length, begin)
            begin += stored.nbytes
            arrays[name] = stored.astype(np.int64 if stored.dtype.kind == "i" else np.float64)
        score = float(arrays.pop("score")[0])
        examples = arrays.pop("examples", None)
        return Outcome(**arrays, diverged_at=int(told["diverged_at"]), score=score, examples=examples)
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError("this is no outcome, or a damaged one") from error


def _narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """Little-endian integers, and floats in single precision where not a bit is lost by that."""
    if values.dtype.kind == "i":
        return values.astype("<i8")
    wide = np.ascontiguousarray(values, "<f8")
    with np.errstate(all="ignore"):
        narrow = wide.astype("<f4")
        same = np.array_equal(narrow.astype("<f8").view("<i8"), wide.view("<i8"))
    return narrow if same else wide
