"""Results of lessons in files, one a lesson: those of one's own, and those that come with the package."""

from __future__ import annotations

import base64
import json
import lzma
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from fallline.lessons.lesson import Check, Evidence
from fallline.lessons.result import Result, lesson_of
from fallline.pages.charts.picture import Axis, Mark, Picture, Table
from fallline.pages.player import Scene, Trajectory

#: The results that come with the package.
BUNDLED: Traversable = files("fallline.lessons") / "results"

_RECORDS = {kind.__name__: kind for kind in (Axis, Check, Evidence, Mark, Picture, Scene, Table, Trajectory)}


def keep(result: Result, folder: str | Path) -> Path:
    """Write a result into a folder, in place of the same lesson's before.

    Args:
        result: What `run` returned.
        folder: Where to; it is made if it is not there.

    Returns:
        The file.

    Raises:
        OSError: Nothing can be written there.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    file = place / _name(result.lesson.number)
    file.write_text(json.dumps(to_data(result), indent=1, allow_nan=False) + "\n", "utf-8")
    return file


def kept(number: int, folder: str | Path | Traversable = BUNDLED) -> Result | None:
    """The result of a lesson in a folder, or None where it has none.

    Raises ValueError, in a sentence, for a file that holds none.
    """
    file = (Path(folder) if isinstance(folder, str) else folder) / _name(number)
    if not file.is_file():
        return None
    try:
        return from_data(json.loads(file.read_text("utf-8")))
    except (ValueError, KeyError, TypeError, lzma.LZMAError) as error:
        raise ValueError(
            f"{file} holds no result of a lesson that this version reads; delete it, or run lesson {number} again."
        ) from error


def _name(number: int) -> str:
    return f"{number:02}.json"


def to_data(result: Result) -> dict[str, Any]:
    """A result as plain data, without loss.

    >>> to_data(kept(1))["verdict"]
    'holds'
    """
    return {
        "lesson": result.lesson.number,
        "verdict": result.verdict,
        "changed": _written(dict(result.changed)),
        "when": result.when,
        "seconds": round(result.seconds, 1),
        "versions": dict(result.versions),
        "evidence": _written(result.evidence),
    }


def from_data(data: Mapping[str, Any]) -> Result:
    """The result of plain data."""
    return Result(
        lesson_of(data["lesson"]),
        _read(data["evidence"]),
        _read(data["changed"]),
        data["seconds"],
        data["versions"],
        data["when"],
    )


def _written(value: Any) -> Any:
    """A value for JSON: records with their class's name, arrays packed, what JSON has no number for as text."""
    if is_dataclass(value) and type(value).__name__ in _RECORDS:
        return {"is": type(value).__name__, **{one.name: _written(getattr(value, one.name)) for one in fields(value)}}
    if isinstance(value, np.ndarray):
        packed = base64.b64encode(lzma.compress(np.ascontiguousarray(value, "<f8").tobytes())).decode()
        return {"is": "array", "shape": list(value.shape), "packed": packed}
    if isinstance(value, Mapping):
        return {"is": "mapping", "items": [[_written(key), _written(one)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_written(one) for one in value]
    if isinstance(value, np.generic):
        return _written(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return {"is": "number", "text": repr(value)}
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"a result holds numbers, texts, arrays and pictures; got {type(value).__name__}.")


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_read(one) for one in value)
    if not isinstance(value, dict):
        return value
    match value["is"]:
        case "array":
            numbers = np.frombuffer(lzma.decompress(base64.b64decode(value["packed"])), "<f8")
            return numbers.reshape(value["shape"]).astype(np.float64)
        case "mapping":
            return {_read(key): _read(one) for key, one in value["items"]}
        case "number":
            return float(value["text"])
        case name:
            return _RECORDS[name](**{key: _read(one) for key, one in value.items() if key != "is"})
