"""A rule is one object: whoever composes, copies or pickles it gets the same one back, and with it one kernel."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import fallline as fl
from fallline import rules
from fallline.rules import adam, adamw, amsgrad, decoupled_decay, heavy_ball, l2, maximize, rmsprop
from fallline.symbolic import Rule, make_plan


@fl.rule
def mine(p: Any, g: Any, m: Any, *, lr: float = 0.1, fast: bool = False) -> Any:
    m = 0.5 * m + g
    return lr * (g if fast else m), m


@fl.combinator
def doubled(rule: Any) -> Any:
    def step(p: Any, g: Any, *states: Any, **hyperparameters: Any) -> Any:
        return rule(p, 2 * g, *states, **hyperparameters)

    return step


RULES = [*rules.ALL.values(), mine, doubled(mine), l2(adam), maximize(l2(amsgrad)), doubled(l2(heavy_ball(rmsprop)))]


def pickled(rule: Any, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(rule, protocol))


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "deep copy inside": lambda rule: copy.deepcopy({"rule": [rule]})["rule"][0],
    **{f"pickle {n}": partial(pickled, protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("rule", [*RULES, l2, doubled], ids=str)
def test_a_copy_is_the_rule_itself(rule: Any, copied: Callable[[Any], Any]) -> None:
    assert copied(rule) is rule


MODULE = """
import fallline as fl
from fallline.rules import l2

@fl.rule
def mine(p, g, m, *, lr=0.1):
    m = 0.5 * m + g
    return lr * m, m

@fl.combinator
def doubled(rule):
    def step(p, g, *states, **hyperparameters):
        return rule(p, 2 * g, *states, **hyperparameters)
    return step

class Inside:
    @fl.rule
    def rule(p, g, *, lr=0.1):
        return lr * g

composed = doubled(l2(mine))
"""
PICKLED = """[
    users.mine, users.doubled, users.doubled(users.mine), users.composed, users.Inside.rule,
    adam, adamw, l2, maximize(l2(amsgrad)), heavy_ball(centered_rmsprop),
]"""
DUMP = f"""
import pickle, sys
import users
from fallline.rules import *
pickle.dump({PICKLED}, sys.stdout.buffer)
"""
LOAD = f"""
import pickle, sys
loaded = pickle.load(sys.stdin.buffer)
import users
from fallline.rules import *
assert [a is b for a, b in zip(loaded, {PICKLED}, strict=True)] == [True] * len(loaded), loaded
"""


def test_rules_go_through_a_pickle_into_a_fresh_process(tmp_path: Path) -> None:
    (tmp_path / "users.py").write_text(MODULE)

    def python(code: str, given: bytes = b"") -> bytes:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, input=given, capture_output=True, cwd=tmp_path, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    python(LOAD, python(DUMP))


def test_a_combinator_gives_one_rule_for_one_rule() -> None:
    assert l2(adam) is l2(adam)
    assert decoupled_decay(adam) is adamw
    assert maximize(l2(adam)) is maximize(l2(adam))
    assert l2(adam) is not l2(amsgrad)
    assert maximize(l2(adam)) is not l2(maximize(adam))


def test_a_rule_is_traced_and_planned_once() -> None:
    assert adam.trace() is adam.trace()
    assert make_plan(adam.trace()) is make_plan(adam.trace())
    assert mine.trace() is mine.trace(fast=False)
    assert mine.trace(fast=True) is not mine.trace()


def test_signatures_merge() -> None:
    rule = heavy_ball(l2(adam))
    assert [state.name for state in rule.states] == ["b", "m", "v"]
    assert rule.hyperparameters == {
        "lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.9,
    }  # fmt: skip
    assert rule.uses_t
    assert rule.name == "heavy_ball(l2(adam))"


def test_a_rule_keeps_its_documentation() -> None:
    assert (adam.__doc__ or "").startswith("Step by the mean of the gradients")
    assert adam.__module__ == "fallline.rules.adam"
    assert "Shrink the weights" in (adamw.__doc__ or "")
    assert isinstance(adamw, Rule)


def test_modules_name_their_rules() -> None:
    assert {rules.name_of(rule): rule for rule in rules.ALL.values()} == rules.ALL
    assert rules.find("sgd") is rules.gradient_descent
    with pytest.raises(LookupError, match="did you mean 'adam'"):
        rules.find("adm")
