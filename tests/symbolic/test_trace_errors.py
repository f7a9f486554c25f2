"""What can't be a rule is refused in a sentence: which rule, which line, what is wrong, what to do instead."""

from __future__ import annotations

import cProfile
import linecache
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

import fallline as fl
import fallline.math
from fallline.kernels import evaluate, host_scalars
from fallline.rules import adam, gradient_descent, heavy_ball, l2, momentum, rmsprop
from fallline.symbolic import Combinator, Rule, make_plan
from fallline.symbolic.operations import WRITTEN

DIALECT = {name: getattr(fallline.math, name) for name in fallline.math.__all__}
USE_MATH = "fallline.math"
USE_WHERE = "where(condition, a, b)"
USE_BOTH = "where(condition, 1.0, 0.0)"
RETURN_ALL = "return the update, then every new state in that order"
_cells = count()


def written(source: str) -> Any:
    """Run a user's source, known to linecache as a notebook's cell is, and take `it` out."""
    filename = f"<cell {next(_cells)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    namespace: dict[str, Any] = {"fl": fl, "math": math, "np": np, "torch": torch, **DIALECT}
    exec(compile(source, filename, "exec"), namespace)
    return namespace["it"]


def refusal(make: Any) -> str:
    """The message of the error that it raises."""
    with pytest.raises(fl.RuleError) as caught:
        make()
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# Lines that can't be traced
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A line in a rule's body, what the message says of it, and the remedy it gives."""

    code: str
    problem: str
    remedy: str = USE_MATH


LINES = {
    "if": Line("if g > 0: m = g", "branch", USE_WHERE),
    "if, of a scalar": Line("if lr > 1: m = g", "branch", USE_WHERE),
    "if, of t": Line("if t == 1: m = g", "branch", USE_WHERE),
    "if, of a value": Line("if g: m = g", "branch", USE_WHERE),
    "conditional expression": Line("m = g if g > 0 else m", "branch", USE_WHERE),
    "while": Line("while lr > 1: lr = lr / 2", "branch", USE_WHERE),
    "and": Line("m = where(g > 0 and p > 0, g, m)", "branch", USE_WHERE),
    "or": Line("m = where(g > 0 or p > 0, g, m)", "branch", USE_WHERE),
    "not": Line("m = where(not g > 0, g, m)", "branch", USE_WHERE),
    "chained comparison": Line("m = where(0 < g < 1, g, m)", "branch", USE_WHERE),
    "in": Line("m = where(t in (1, 2), g, m)", "branch", USE_WHERE),
    "assert": Line("assert lr > 0", "branch", USE_WHERE),
    "min": Line("m = min(g, 1.0)", "branch", "minimum(a, b)"),
    "max": Line("m = max(g, 1.0)", "branch", "maximum(a, b)"),
    "sorted": Line("m = sorted([g, m])[0]", "branch", "minimum(a, b)"),
    "math.sqrt": Line("m = math.sqrt(g)", "plain number"),
    "math.exp of a scalar": Line("m = g * math.exp(lr)", "plain number"),
    "math.floor": Line("m = math.floor(g)", "plain number"),
    "float": Line("m = float(g)", "plain number"),
    "int": Line("m = g * int(lr)", "plain number"),
    "range": Line("for _ in range(t): m = m + g", "plain number"),
    "numpy.sqrt": Line("m = np.sqrt(g)", "numpy.sqrt"),
    "numpy.sqrt of a scalar": Line("m = g * np.sqrt(lr)", "numpy.sqrt"),
    "numpy.add": Line("m = np.add(m, g)", "numpy.add"),
    "numpy.maximum": Line("m = np.maximum(m, g)", "numpy.maximum"),
    "numpy.where": Line("m = np.where(g > 0, g, m)", "numpy.where"),
    "numpy.sum": Line("m = np.sum(g)", "numpy.sum"),
    "numpy.clip": Line("m = np.clip(g, -1, 1)", "numpy.clip"),
    "torch.sqrt": Line("m = torch.sqrt(g)", "torch.sqrt"),
    "torch.where": Line("m = torch.where(g > 0, g, m)", "torch.where"),
    "torch.clamp": Line("m = torch.clamp(g, -1, 1)", "torch.clamp"),
    "torch.zeros_like": Line("m = torch.zeros_like(g)", "torch.zeros_like"),
    "method": Line("m = g.sqrt()", "'sqrt'"),
    "in-place method": Line("m.mul_(lr)", "'mul_'"),
    "attribute": Line("m = g.shape", "'shape'"),
    "index": Line("m = g[0]", "index", "sum or dot"),
    "index assigned": Line("g[0] = 1.0", "index", "sum or dot"),
    "iteration": Line("for x in g: m = m + x", "iterated", "as one value"),
    "unpacking": Line("a, b = g", "iterated", "as one value"),
    "builtin sum": Line("m = __builtins__['sum'](g)", "iterated", "as one value"),
    "len": Line("m = g / len(g)", "len", ""),
    "modulo": Line("m = g % 2", "%", ""),
    "integer division": Line("m = g // 2", "//", ""),
    "matrix product": Line("m = g @ g", "@", ""),
    "round": Line("m = round(g)", "round", ""),
    "divmod": Line("m, _ = divmod(g, 2)", "%", ""),
    "modulo of a number": Line("m = 2 % g", "%", ""),
    "array modulo": Line("m = np.ones(3) % g", "numpy.remainder"),
    "array times": Line("m = np.ones(3) @ g", "numpy.matmul"),
    "reduction of numpy": Line("m = np.add.reduce(g)", "numpy.add"),
    "unknown name": Line("m = gamma * m", "name 'gamma' is not defined", "hyperparameter"),
    "name used too early": Line("m = later * m; later = 1.0", "'later'", "before it is used"),
    "tensor": Line("m = g + torch.ones(3)", "Tensor", USE_MATH),
    "tensor first": Line("m = torch.ones(3) + g", "Tensor", USE_MATH),
    "array": Line("m = g + np.ones(3)", "ndarray", USE_MATH),
    "array first": Line("m = np.ones(3) * g", "ndarray", USE_MATH),
    "list": Line("m = g + [1.0, 2.0]", "list", USE_MATH),
    "string": Line("m = g + 'm'", "str", USE_MATH),
    "none": Line("m = g + None", "NoneType", USE_MATH),
    "complex": Line("m = g + 1j", "complex", USE_MATH),
    "string to a function": Line("m = maximum(g, 'a')", "str", USE_MATH),
    "list to a function": Line("m = sqrt([g])", "list", "use numbers"),
    "array to a function": Line("m = sqrt(np.ones(2)) * g", "ndarray", "use numbers"),
    "sum of a scalar": Line("m = sum(lr)", "sum", "sum over an expression of p, g or a state"),
    "sum of a number": Line("m = sum(2.0)", "sum", "sum over an expression of p, g or a state"),
    "sum of a sum": Line("m = sum(sum(g))", "sum", "sum over an expression of p, g or a state"),
    "sum of channel sums over channels": Line("m = sum(sum(g, channels=True), channels=True)", "sum", "sum over"),
    "dot of scalars": Line("m = dot(lr, t)", "sum", "sum over an expression of p, g or a state"),
    "sum of a list": Line("m = sum([g, m])", "list", USE_MATH),
    "number as a condition": Line("m = where(g, g, m)", "where got a number as argument 1", USE_BOTH),
    "other number as a condition": Line("m = where(2.0, g, m)", "where got a number as argument 1", USE_BOTH),
    "array as a condition": Line("m = where(np.ones(2) > 0, g, m)", "ndarray", USE_MATH),
    "condition as a value": Line("m = where(g > 0, g > 1, m)", "where got a truth value as argument 2", USE_BOTH),
    "condition in arithmetic": Line("m = lr * (g > 0)", "multiply got a truth value as argument 2", USE_BOTH),
    "condition compared": Line("m = where((g > 0) == (p > 0), g, m)", "equal got a truth value", USE_BOTH),
    "number negated logically": Line("m = where(~g, g, m)", "logical_not got a number", USE_BOTH),
    "number joined logically": Line("m = where((g > 0) & lr, g, m)", "logical_and got a number", USE_BOTH),
}  # fmt: skip
BODY = """
def it(p, g, m, *, lr=1.0, t):
    {line}
    return lr * g, m
"""


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_line_that_cant_be_traced(line: Line) -> None:
    formula = written(BODY.format(line=line.code))
    message = refusal(lambda: fl.rule(formula))
    assert message.startswith("rule 'it', line 3 (`")
    assert f"(`{line.code}`)" in message
    assert line.problem in message.split("`)")[1].split(";")[0]
    assert line.remedy in message.partition("`): ")[2].partition(";")[2]


def test_a_function_that_was_not_imported_is_named() -> None:
    namespace: dict[str, Any] = {}
    exec("def it(p, g, *, lr=1.0):\n    return lr * sqrt(g)\n", namespace)
    message = refusal(lambda: fl.rule(namespace["it"]))
    assert message.startswith("rule 'it', line 2: name 'sqrt' is not defined")
    assert "from fallline.math import sqrt" in message


X, Y = np.array([[0.75, 0.25], [2.0, 3.0]]), np.array([[0.5, -0.25], [1.0, 3.0]])
BY_NUMPY: dict[str, Any] = {
    "absolute": np.abs(X), "cbrt": np.cbrt(X), "clamp": np.clip(X, -1, 1), "clip": np.clip(X, -1, 1), "count": 4.0,
    "cosh": np.cosh(X), "expm1": np.expm1(X), "fabs": np.abs(X), "heaviside": np.heaviside(X, 0), "ln": np.log(X),
    "hypot": np.hypot(X, Y), "isfinite": True, "isnan": False, "lerp": X + 0.1 * (Y - X), "log10": np.log10(X),
    "log1p": np.log1p(X), "log2": np.log2(X), "logsumexp": np.log(np.exp(X).sum()), "max": np.maximum(X, Y),
    "mean": X.mean(), "min": np.minimum(X, Y), "norm": np.linalg.norm(X), "numel": 4.0, "pow": X**Y, "power": X**Y,
    "reciprocal": 1 / X, "relu": np.maximum(X, 0), "rms": np.sqrt((X * X).mean()), "rsqrt": X**-0.5,
    "sigmoid": 1 / (1 + np.exp(-X)), "sinh": np.sinh(X), "size": 4.0, "softmax": np.exp(X) / np.exp(X).sum(),
    "softplus": np.log1p(np.exp(X)), "softsign": X / (1 + np.abs(X)), "square": X * X, "std": X.std(),
    "tanh": np.tanh(X), "var": X.var(), "vdot": (X * Y).sum(),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_what_fallline_math_does_not_have_is_written_as_it_says(name: str) -> None:
    formula, _, mean = WRITTEN[name].partition(", with mean = ")
    names = {**vars(fallline.math), "low": -1.0, "high": 1.0, "weight": 0.1}

    @fl.rule
    def tried(p: Any, g: Any, s: Any) -> Any:
        here = {**names, "x": p, "y": g}
        if mean:
            here["mean"] = eval(mean, here)
        value = eval(formula, here)
        return 0.0, fallline.math.where(value, 1.0, 0.0) if value.is_boolean else value

    plan = make_plan(tried.trace())
    _, states = evaluate(plan, {"p": X, "g": Y, "s": np.zeros_like(X)}, host_scalars(plan).values())
    np.testing.assert_allclose(states["s"], np.broadcast_to(BY_NUMPY[name], X.shape), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("norm", r"fallline.math has no 'norm'; write sqrt\(dot\(x, x\)\)"),
        ("mean", r"has no 'mean'; write sum\(x\) / sum\(where\(x == x, 1.0, 1.0\)\)"),
        ("clip", r"write minimum\(maximum\(x, low\), high\)"),
        ("sqr", "has no 'sqr'; did you mean 'sqrt'?"),
        ("maximun", "did you mean 'maximum'?"),
        ("softsig", r"'softsign' is written x / \(1 \+ abs\(x\)\)"),
        ("cumsum", "has no 'cumsum'; use the functions of fallline.math: sqrt, abs"),
    ],
)
def test_a_name_that_fallline_math_does_not_have(name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=words):
        getattr(fallline.math, name)
    with pytest.raises(ImportError, match=words):
        exec(f"from fallline.math import {name}")
    assert not hasattr(fallline.math, name)
    with pytest.raises(fl.RuleError, match=words.split("; ")[-1]):
        fl.rule(written(f"def it(p, g):\n    return g.{name}()")).trace()
    exec("from fallline.math import *")


@pytest.mark.parametrize("call", ["torch.norm(g)", "np.mean(g)", "norm(g)", "fallline.math.norm(g)", "g.norm()"])
def test_wherever_it_is_looked_for(call: str) -> None:
    name = call.split("(")[0].split(".")[-1]

    def it(p: Any, g: Any) -> Any:
        return eval(call, {"torch": torch, "np": np, "fallline": fallline, "g": g})

    with pytest.raises((AttributeError, fl.RuleError)) as error:
        fl.rule(it).trace()
    assert f"write {WRITTEN[name]}" in str(error.value)


def test_the_line_of_a_helper_function_is_named() -> None:
    source = "def root(x):\n    return math.sqrt(x)\n\ndef it(p, g, *, lr=1.0):\n    return lr * root(g)\n"
    assert "rule 'it', line 2 (`return math.sqrt(x)`)" in refusal(lambda: fl.rule(written(source)))


def test_without_source_the_line_is_still_named() -> None:
    namespace: dict[str, Any] = {}
    exec("def it(p, g, *, lr=1.0):\n    return lr * g.sqrt()\n", namespace)
    assert "rule 'it', line 2: " in refusal(lambda: fl.rule(namespace["it"]))


# ---------------------------------------------------------------------------------------------------------------------
# Signatures and results
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Function:
    """A function that is no rule, and what the message must say."""

    signature: str
    result: str
    words: tuple[str, ...]


FUNCTIONS = {
    "a state is not returned": Function("p, g, m", "g", ("returned 1 value", "(m)", RETURN_ALL)),
    "one of two is not returned": Function("p, g, m, v", "(g, m)", ("returned 2 values", "(m, v)", RETURN_ALL)),
    "a state too many": Function("p, g", "(g, g)", ("returned 2 values", "none", RETURN_ALL)),
    "far too many": Function("p, g, m", "(g, m, m, m)", ("returned 4 values", "(m)", RETURN_ALL)),
    "a tuple inside": Function("p, g, m", "(g, (m,))", ("m is a tuple", "return an expression")),
    "a truth value": Function("p, g", "True", ("the update is a bool", "return an expression")),
    "a condition": Function("p, g", "g > 0", ("the update is a truth value", "return an expression")),
    "a condition as a state": Function("p, g, m", "(g, g > 0)", ("m is a truth value", "return an expression")),
    "none": Function("p, g", "None", ("the update is a NoneType", "return an expression")),
    "none as a state": Function("p, g, m", "(g, None)", ("m is a NoneType", "return an expression")),
    "a string": Function("p, g", "'g'", ("the update is a str", "return an expression")),
    "a tensor": Function("p, g", "torch.ones(2)", ("the update is a Tensor", "return an expression")),
    "hyperparameter before the star": Function("p, g, lr=1.0", "lr * g", ("'lr'", "behind a `*`", "state(init=1.0)")),
    "hyperparameter after a state": Function("p, g, m, lr=1", "(lr * g, m)", ("'lr'", "behind a `*`", "state(init=1)")),
    "state called t": Function("p, g, t", "(g, t)", ("'t'", "choose another name")),
    "state called step": Function("p, g, step", "(g, step)", ("'step'", "choose another name")),
    "state called params": Function("p, g, params", "(g, params)", ("'params'", "choose another name")),
    "state called p": Function("w, d, p", "(d, p)", ("'p'", "choose another name")),
    "state called g": Function("w, d, g", "(d, g)", ("'g'", "choose another name")),
    "hyperparameter called params": Function("p, g, *, params=1.0", "g", ("'params'", "choose another name")),
    "hyperparameter called step": Function("p, g, *, step=1.0", "g", ("'step'", "choose another name")),
    "hyperparameter called p": Function("w, d, *, p=2.0", "p * d", ("'p'", "choose another name")),
    "tuple": Function("p, g, *, betas=(0.9, 0.999)", "g", ("'betas'", "(0.9, 0.999)", "beta1, beta2")),
    "list": Function("p, g, *, betas=[0.9]", "g", ("'betas'", "it must be a number, a truth value or a string")),
    "function as a hyperparameter": Function("p, g, *, lr=max", "lr * g", ("'lr'", "it must be a number")),
    "state as a hyperparameter": Function("p, g, *, m=fl.state()", "g", ("'m'", "it must be a number")),
    "state() without brackets": Function("p, g, m=fl.state", "(g, m)", ("'m'", "state(init=")),
    "no arguments": Function("", "1.0", ("the parameter and the gradient first: (p, g, ...)",)),
    "one argument": Function("p", "p", ("the parameter and the gradient first: (p, g, ...)",)),
    "no gradient": Function("p, *, lr=1.0", "lr * p", ("the parameter and the gradient first: (p, g, ...)",)),
    "state from a string": Function("p, g, m=fl.state(init='row')", "(g, m)", ("'m'", "'row'")),
    "state from none": Function("p, g, m=fl.state(init=None)", "(g, m)", ("'m'", "None")),
    "state from an unknown": Function("p, g, m=fl.state(init=lambda q: q)", "(g, m)", ("'m'", "'q'")),
    "state from another state": Function("p, g, m, v=fl.state(init=lambda m: m)", "(g, m, v)", ("'v'", "'m'")),
    "state from a condition": Function("p, g, m=fl.state(init=lambda g: g > 0)", "(g, m)", ("truth value", USE_BOTH)),
    "state from a method": Function("p, g, m=fl.state(init=[].append)", "(g, m)", ("'m'", "no number and no function")),
    "state from an error": Function("p, g, m=fl.state(init=lambda g: g % 2)", "(g, m)", ("line 1", "(%)", "+, -, *")),
    "state from a tuple": Function("p, g, m=fl.state(init=lambda g: (g, g))", "(g, m)", ("tuple",)),
}  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_that_is_no_rule(function: Function) -> None:
    formula = written(f"def it({function.signature}):\n    return {function.result}\n")
    message = refusal(lambda: fl.rule(formula))
    assert "rule 'it'" in message
    assert [words for words in function.words if words not in message] == []


NO_FUNCTIONS: dict[str, tuple[Any, str]] = {
    "none": (None, "NoneType"),
    "a number": (1.0, "float"),
    "a builtin": (abs, "builtin_function_or_method"),
    "a class": (torch.optim.Adam, "type"),
    "a rule": (adam, "Rule"),
    "a method": ([].append, "builtin_function_or_method"),
}


@pytest.mark.parametrize(("thing", "kind"), NO_FUNCTIONS.values(), ids=NO_FUNCTIONS)
def test_what_is_no_function_is_refused(thing: Any, kind: str) -> None:
    assert f"rule got a {kind}; it makes a rule of a Python function" in refusal(lambda: fl.rule(thing))


# ---------------------------------------------------------------------------------------------------------------------
# Combinators
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def counting(p: Any, g: Any, count: Any, *, lr: float = 1.0, mode: str = "up") -> Any:
    return lr * g, count + 1


def combined(signature: str, inner: str, result: str, rule: Rule = adam) -> Rule:
    """The rule of a user's combinator: its step's signature, how it calls the rule inside, what it returns."""
    source = (
        "@fl.combinator\ndef it(rule):\n"
        f"    def step({signature}):\n        u, *s = rule({inner})\n        return {result}\n    return step\n"
    )
    made: Combinator = written(source)
    return made(rule)


ALL, PASS, BACK = "p, g, *s, **h", "p, g, *s, **h", "u, *s"
COMBINED: dict[str, tuple[tuple[Any, ...], tuple[str, ...]]] = {
    "state of the rule": (("p, g, m, *s, **h", "p, g, m, *s, **h", BACK), ("'it(adam)'", "state 'm'", "rename")),
    "state named as a hyperparameter": (("p, g, eps, *s, **h", PASS, BACK), ("'it(adam)'", "'eps'", "rename")),
    "hyperparameter named as a state": (("p, g, *s, v=1.0, **h", PASS, BACK), ("'it(adam)'", "'v'", "rename")),
    "hyperparameter kept from the rule": (("p, g, *s, beta1=0.5, **h", PASS, BACK), ("'it(adam)'", "'beta1'")),
    "own state and hyperparameter": (("p, g, a, *s, a_=1.0, **h", PASS, "(u, *s)"), ("returned 3 values", RETURN_ALL)),
    "state called step": (("p, g, step, *s, **h", PASS, "(u, step, *s)"), ("'step'", "choose another name")),
    "state called t": (("p, g, t, *s, **h", PASS, "(u, t, *s)"), ("'t'", "choose another name")),
    "tuple": (("p, g, *s, betas=(0.9, 0.99), **h", PASS, BACK), ("'betas'", "beta1, beta2")),
    "state dropped": ((ALL, PASS, "(u, s[0])"), ("'it(adam)'", "returned 2 values", RETURN_ALL)),
    "states not passed": ((ALL, "p, g, **h", BACK), ("'it(adam)'", "0 states", "(m, v)")),
    "step count not passed": ((ALL, "p, g, *s, lr=h['lr']", BACK), ("'it(adam)'", "line 4", "adam did not get t")),
    "hyperparameter made up": ((ALL, "p, g, *s, rate=1.0, **h", BACK), ("'it(adam)'", "line 4", "adam takes no rate")),
    "branch": ((ALL, PASS, "(u, *s) if u > 0 else (g, *s)"), ("'it(adam)'", "line 5", "branch", USE_WHERE)),
    "unknown function": ((ALL, PASS, "(np.sqrt(u), *s)"), ("'it(adam)'", "line 5", "numpy.sqrt", USE_MATH)),
}


@pytest.mark.parametrize(("parts", "words"), COMBINED.values(), ids=COMBINED)
def test_a_combinator_that_does_not_fit(parts: tuple[Any, ...], words: tuple[str, ...]) -> None:
    message = refusal(lambda: combined(*parts).trace())
    assert [word for word in words if word not in message] == []


TWICE: dict[str, tuple[Combinator, Rule, tuple[str, ...]]] = {
    "buffer in both": (heavy_ball, momentum, ("heavy_ball(momentum)", "'b'", "rename")),
    "buffer twice": (heavy_ball, heavy_ball(rmsprop), ("heavy_ball(heavy_ball(rmsprop))", "'b'", "rename")),
    "decay twice": (l2, l2(adam), ("l2(l2(adam))", "'weight_decay'")),
}


@pytest.mark.parametrize(("combinator", "rule", "words"), TWICE.values(), ids=TWICE)
def test_parts_that_share_a_name(combinator: Combinator, rule: Rule, words: tuple[str, ...]) -> None:
    message = refusal(lambda: combinator(rule).trace())
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("thing", "kind"), [(None, "NoneType"), (abs, "builtin"), (torch.optim.Adam, "type"), (l2, "Combinator")]
)
def test_combinators_take_rules(thing: Any, kind: str) -> None:
    message = refusal(lambda: l2(thing))
    assert message.startswith(f"l2 combines with a rule; it got a {kind}")


NO_COMBINATORS: dict[str, Any] = {
    "a number": 5,
    "a rule": adam,
    "a function that returns none": lambda rule: None,
    "a function that returns the rule": lambda rule: rule,
}


@pytest.mark.parametrize("function", NO_COMBINATORS.values(), ids=NO_COMBINATORS)
def test_what_makes_no_combinator_is_refused(function: Any) -> None:
    with pytest.raises(fl.RuleError, match=r"function|step"):
        fl.combinator(function)(gradient_descent).trace()


STATIC: dict[str, dict[str, Any]] = {"unknown": {"moed": "down"}, "not static": {"lr": 0.5}, "wrong type": {"mode": 3}}


@pytest.mark.parametrize("given", STATIC.values(), ids=STATIC)
def test_only_static_hyperparameters_are_settled_while_tracing(given: dict[str, Any]) -> None:
    (name,) = given
    for method in (counting.trace, counting.latex, counting.cost):
        with pytest.raises(TypeError, match=f"'{name}'"):
            method(**given)


# ---------------------------------------------------------------------------------------------------------------------
# What is allowed
# ---------------------------------------------------------------------------------------------------------------------

ALLOWED = {
    "assignment in place": "m += g",
    "unary plus": "m = +g",
    "loop over plain numbers": "for k in range(3): m = m + k * g",
    "branch on a plain number": "m = g if 2 > 1 else m",
    "plain condition": "m = where(True, g, m)",
    "plain numbers in the dialect": "m = sqrt(2.0) * g + maximum(1, 2)",
    "math of plain numbers": "m = g * math.sqrt(2)",
    "numpy.float64": "m = np.float64(0.5) * g + g * np.float64(2)",
    "numpy.float32": "m = np.float32(0.5) * g + g * np.float32(2)",
    "numpy.int64": "m = np.int64(2) * g + g * np.int64(2)",
    "comparison with a NumPy number": "m = where(np.float64(2) > g, g, m)",
    "NumPy numbers in the dialect": "m = maximum(np.float32(1), np.int64(2)) * g",
    "power of a number": "m = 2 ** t * g",
    "state kept": "pass",
    "state from a number": "m = 0.0",
    "state from a whole number": "m = 1",
    "state from a NumPy number": "m = np.float32(1)",
    "state from a scalar": "m = lr * t",
    "division by zero": "m = g / 0",
    "infinity": "m = minimum(g, math.inf)",
    "as a key": "m = {g: m}[g]",
    "in a message": "f'{g}'",
}


@pytest.mark.parametrize("line", ALLOWED.values(), ids=ALLOWED)
def test_what_can_be_traced_and_printed(line: str) -> None:
    made = fl.rule(written(BODY.format(line=line)))
    assert made.latex().startswith(r"\begin{aligned}")
    assert made.cost().passes == 1


@pytest.mark.parametrize("made", [cProfile.Profile, lambda: None])
def test_whoever_profiles_goes_on(made: Callable[[], cProfile.Profile | None]) -> None:
    """Tracing notes local names by a profile function of its own, and puts the one before back."""
    profile, calls = made(), list[str]()
    if profile is None:
        sys.setprofile(lambda frame, event, argument: calls.append(frame.f_code.co_name))
    else:
        profile.enable()
    try:

        @fl.rule
        def profiled(p, g, *, lr=0.1):  # type: ignore[no-untyped-def]
            return lr * g

        _counted()
    finally:
        sys.setprofile(None) if profile is None else profile.disable()
    if profile is not None:
        calls = [one.code.co_name for one in profile.getstats() if not isinstance(one.code, str)]
    assert "_counted" in calls


def _counted() -> None:
    """Is seen by a profiler."""
