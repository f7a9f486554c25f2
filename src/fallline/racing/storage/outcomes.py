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
    arrays = {name: getattr(outcome, name) for name in _ARRAYS}
    if outcome.examples is not None:
        arrays["examples"] = outcome.examples
    kinds = {name: [values.dtype.str, len(values)] for name, values in arrays.items()}
    head = json.dumps({"diverged_at": outcome.diverged_at, "score": outcome.score.hex(), "arrays": kinds})
    # Hits of examples, and numbers in single precision, are mostly zeros, which the fastest level finds as well.
    return zlib.compress(b"\n".join((head.encode(), b"".join(values.tobytes() for values in arrays.values()))), 1)


def unpack(packed: bytes) -> Outcome:
    """The outcome that `pack` packed. Raises ValueError where it is damaged."""
    try:
        head, _, content = zlib.decompress(packed).partition(b"\n")
        told = json.loads(head)
        arrays: dict[str, NDArray[Any]] = {}
        begin = 0
        for name, (kind, length) in told["arrays"].items():
            arrays[name] = np.frombuffer(content, kind, length, begin)
            begin += arrays[name].nbytes
        examples = arrays.pop("examples", None)
        score = float.fromhex(told["score"])
        return Outcome(**arrays, diverged_at=int(told["diverged_at"]), score=score, examples=examples)
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError("this is no outcome, or a damaged one") from error
