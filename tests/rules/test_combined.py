"""Every combinator around every rule: a graph and an equation, or a refusal that says which names clash."""

from __future__ import annotations

import pytest

from fallline import rules
from fallline.symbolic import Combinator, Rule, RuleError, make_plan

PAIRS = [(combinator, rule) for combinator in rules.COMBINATORS.values() for rule in rules.ALL.values()]


@pytest.mark.parametrize(("combinator", "rule"), PAIRS, ids=[f"{c.__name__}-{rules.name_of(r)}" for c, r in PAIRS])
def test_it_combines_or_says_why_not(combinator: Combinator, rule: Rule) -> None:
    names = {state.name for state in rule.states} | rule.hyperparameters.keys()
    try:
        combined = combinator(rule)
    except RuleError as refusal:
        told = str(refusal)
    else:
        plan = make_plan(combined.trace())
        assert plan.new_states.keys() | plan.new_numbers.keys() == {state.name for state in combined.states}
        assert combined.latex()
        return
    assert "rename one" in told
    assert any(f"'{name}'" in told for name in names)
