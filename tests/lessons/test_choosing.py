"""Two rules for one model: every problem's runs are compared with each rule alone."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from fallline.lessons import Evidence, Result, run
from fallline.lessons.choosing import adam_then_sgd, body_and_head
from fallline.lessons.kept import kept


@pytest.mark.parametrize(("experiment", "checks"), [(adam_then_sgd, 6), (body_and_head, 4)])
def test_runs_small(experiment: Callable[..., Evidence], checks: int) -> None:
    evidence = experiment(seeds=2, epochs=1, rates=2)
    assert len(evidence.checks) == checks
    assert all(check.low < check.estimate < check.high for check in evidence.checks)


#: A lesson, the number that turns (its condition and which rule alone it is about), and how: bundled, and untuned.
TURNS = [
    (24, "photograph", "SGD", "holds", "does not hold"),
    (24, "tumours", "Adam", "open", "holds"),
    (25, "all examples", "Adam", "does not hold", "holds"),
]


@functools.cache
def untuned(number: int) -> Result:
    """With one rate for each rule there is nothing to choose, and the rule with the worse one needs the other."""
    return run(number, rates=1, epochs={24: 2, 25: 3}[number], seeds=6)


@pytest.mark.parametrize(("number", "condition", "rule", "tuned", "turned"), TURNS)
def test_a_number_turns_where_rates_are_not_tuned(
    number: int, condition: str, rule: str, tuned: str, turned: str
) -> None:
    found = []
    for result in (kept(number), untuned(number)):
        assert result is not None
        found += [one.outcome for one in result.conditions[condition] if f"better than {rule}," in one.what]
    assert found == [tuned, turned]
