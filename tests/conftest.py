"""Tests of what is wanted and not there yet stand in known_gaps.txt: they run, and are expected to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

GAPS = set((Path(__file__).parent / "known_gaps.txt").read_text(encoding="utf-8").splitlines())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid in GAPS:
            item.add_marker(pytest.mark.xfail(reason="wanted, not there yet"))
