"""README shows anywhere, and says what the documentation says; the front page leads to what newcomers ask for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
ROWS = re.compile(r"^\| .+ \| `.+` \| .+ \|$", re.MULTILINE)


def test_readme_asks_for_no_file_beside_it() -> None:
    """A package index shows it alone: a picture or a link by a relative path would be broken there."""
    assert not re.findall(r"\]\((?!https://)[^)]*\)|<img", README)


def test_readmes_measured_rows_are_those_of_the_benchmarks() -> None:
    rows = ROWS.findall(README)
    assert len(rows) >= 5
    assert set(rows) <= set(ROWS.findall((ROOT / "docs/benchmarks.md").read_text("utf-8")))


def test_readmes_decision_is_the_documentations() -> None:
    said = [line.removeprefix("> ").removesuffix("\\") for line in README.splitlines() if line.startswith("> ")]
    assert len(said) > 5
    assert "\n".join(said) in (ROOT / "docs/decision.md").read_text("utf-8")


@pytest.mark.parametrize(
    "place",
    [
        "rules/adagrad.md",
        "api/problems.md#fallline.Problem",
        "decision.md#how-it-is-computed",
        "race.md#race-your-own-training-step",
    ],
)
def test_the_front_page_leads_there(place: str) -> None:
    assert f"]({place})" in (ROOT / "docs/index.md").read_text("utf-8")
