"""The race's data as files that the page itself holds."""

from __future__ import annotations

import csv
import gzip
import io
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

_CURVES = ("train_loss", "valid_loss", "valid_metric")


def packed(text: str) -> str:
    """Text, compressed, in base64; the same text gives the same."""
    return b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def race_json(data: Mapping[str, Any]) -> str:
    """All of the data, as JSON."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def runs_csv(data: Mapping[str, Any]) -> str:
    """Every run as a row: arm, stage, trial, seed, how it ended, and what was searched."""
    rows = [row for arm in data["arms"] for row in _rows(arm, data["protocol"])]
    file = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    csv.writer(file).writerows([_harmless(cell) for cell in row] for row in _table(names, rows))
    return file.getvalue()


def _table(names: list[str], rows: list[dict[str, Any]]) -> Iterator[list[Any]]:
    yield names
    for row in rows:
        yield [row.get(name) for name in names]


def _harmless(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula, behind an apostrophe; anything else as it is."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def _rows(arm: Mapping[str, Any], protocol: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for number, trial in enumerate(arm["trials"]):
        begin = {"arm": arm["name"], "stage": "trial", "trial": number, "seed": protocol.get("tuning_seed")}
        yield {**begin, **_end(trial["curves"], trial["diverged"]), "test_score": None, **trial["configuration"]}
    for final in arm["finals"]:
        seeds = protocol.get("final_seeds") or [None] * len(final["scores"])
        runs = zip(seeds, final["curves"], final["diverged"], final["scores"], strict=True)
        for seed, curves, diverged, score in runs:
            begin = {"arm": arm["name"], "stage": "final", "trial": final["trial"], "seed": seed}
            yield {**begin, **_end(curves, diverged), "test_score": score, **final["configuration"]}


def _end(curves: Mapping[str, Any], diverged: bool) -> dict[str, Any]:
    last = {name: curves[name][-1] for name in ("steps", "samples", *_CURVES)}
    return {"diverged": diverged, **last}
