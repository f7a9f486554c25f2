"""A configuration as a program to paste: plain torch where torch has the optimizer, else Fallline's."""

from __future__ import annotations

import ast
import inspect
import keyword
import math
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from fallline import optim, rules
from fallline.racing.arms.arm import Arm
from fallline.racing.arms.methods import Method, arguments, averages, hyperparameters
from fallline.racing.arms.settings import law_lines, scheduler_line
from fallline.symbolic import Rule
from fallline.training import Problem
from fallline.training.updates import LaneRule

_LAMBDA = "torch.optim.lr_scheduler.LambdaLR(optimizer, {})"


def torch_code(arm: Arm, configuration: Mapping[str, Any], problem: Problem) -> str:
    """The training loop of a configuration.

    `model`, `loss` and `train`, a torch Dataset, are to be there, as in the problem; where that has a `step` of its
    own it is called as `training_step(model, inputs, targets)`. Rules and classes of the user's are imported from
    where they were defined, or are to be there too, and so are the `sampler` or the `batch_sampler` of a DataLoader.

    >>> from fallline import rules
    >>> from fallline.problems import digits
    >>> print(torch_code(Arm("sgd", rules.gradient_descent), {"lr": 0.1, "schedule": "cosine"}, digits()))
    import torch
    <BLANKLINE>
    loader = torch.utils.data.DataLoader(train, batch_size=64, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=340)
    for epoch in range(20):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss(model(inputs), targets).backward()
            optimizer.step()
            scheduler.step()
    <BLANKLINE>
    """
    settings, recipe = arm.settings(configuration), arm.recipe(configuration, problem)
    lane, law = recipe.lane, []
    scheduler = None
    if lane.schedule is not None and lane.then is None:
        rate = lane.values["lr"] if "lr" in lane.values else hyperparameters(lane.rule)["lr"]
        scheduler = scheduler_line(settings, recipe.steps, rate)
    if lane.schedule is not None and scheduler is None:
        # The law of the run's steps, since a scheduler of torch's that is made within the run would begin anew.
        law = law_lines(settings, recipe.steps)
        scheduler = _LAMBDA.format("factor")
    imports = {"import torch", *(["import math"] if any("math." in line for line in law) else [])}
    begins, needed = _begin(lane, scheduler)
    loop, more = _loop(lane, scheduler, problem)
    loader = f"loader = torch.utils.data.DataLoader(train, {_batching(problem, recipe.batch)})"
    lines = [*_sorted({*imports, *needed, *more}), "", *law, *([""] if law else []), loader, *begins, *loop]
    return "\n".join(lines) + "\n"


def _batching(problem: Problem, batch: int) -> str:
    """What a loader is told of batches and their order."""
    order = problem.data.order
    if order.own_batches:
        return "batch_sampler=batch_sampler"
    said = f"shuffle={order.shuffle}" if order.sampler is None else "sampler=sampler"
    return f"batch_size={batch}, {said}{', drop_last=True' if order.drop_last else ''}"


def _begin(lane: LaneRule, scheduler: str | None) -> tuple[list[str], frozenset[str]]:
    """The lines that make the optimizer and its scheduler, and their imports."""
    made = optimizer_line(lane.rule, lane.values)
    lines = [f"optimizer = {made.expression}"]
    if averages(lane.rule):
        lines.append("optimizer.train()")
    if scheduler is not None:
        lines.append(f"scheduler = {scheduler}")
    return lines, made.imports


def _loop(lane: LaneRule, scheduler: str | None, problem: Problem) -> tuple[list[str], frozenset[str]]:
    """The lines of the training loop, with the switch to a second optimizer where there is one, and its imports."""
    body, imports, last = [], frozenset[str](), lane
    if lane.then is not None:
        at, last = lane.then
        following = None if scheduler is None else _LAMBDA.format(f"lambda later: factor({at} + later)")
        begins, imports = _begin(last, following)
        body = [f"if step == {at}:", *_indented([*_end(lane), *begins])]
    body += ["optimizer.zero_grad()", *_backward(problem), "optimizer.step()"]
    body += ["scheduler.step()"] if scheduler is not None else []
    body += ["step += 1"] if lane.then is not None else []
    lines = [
        *(["step = 0"] if lane.then is not None else []),
        f"for epoch in range({problem.epochs}):",
        *_indented(["for inputs, targets in loader:", *_indented(body)]),
        *_end(last),
    ]
    return lines, imports


def _end(lane: LaneRule) -> list[str]:
    return ["optimizer.eval()  # puts the average of the weights in their place"] if averages(lane.rule) else []


def _backward(problem: Problem) -> list[str]:
    loss = "loss(model(inputs), targets)" if problem.step is None else "training_step(model, inputs, targets)"
    if problem.precision is None:
        return [f"{loss}.backward()"]
    under = f"with torch.autocast(inputs.device.type, torch.{problem.precision}):"
    return [under, f"    training_loss = {loss}", "training_loss.backward()"]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _sorted(imports: set[str]) -> list[str]:
    """Whole modules before names of them, by the alphabet."""
    return sorted(imports, key=lambda line: (line.startswith("from"), line))


class Line(NamedTuple):
    """An expression, and the lines that it needs first: imports, and comments on names that are to be there."""

    expression: str
    imports: frozenset[str]


def optimizer_line(method: Method, values: Mapping[str, Any], params: str = "model.parameters()") -> Line:
    """The expression that makes the optimizer; values that are its defaults are left out, but for the learning rate.

    >>> optimizer_line(rules.nesterov, {"lr": 0.1, "momentum": 0.9}).expression
    'torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)'
    """
    maker, given = _maker(method, values)
    written = {name: _value_line(name, value) for name, value in given.items()}
    told = ", ".join([params, *maker.first, *(f"{name}={line.expression}" for name, line in written.items())])
    return Line(f"{maker.name}({told})", maker.imports.union(*(line.imports for line in written.values())))


class _Maker(NamedTuple):
    """What is called: its name, arguments that come before the keywords, and the imports of all that."""

    name: str
    imports: frozenset[str]
    first: tuple[str, ...] = ()


def _maker(method: Method, values: Mapping[str, Any]) -> tuple[_Maker, dict[str, Any]]:
    if not isinstance(method, Rule):
        return _Maker(*_place_of(method)), arguments(method, values)
    equal = _in_torch().get(method)
    if equal is not None:
        kind, flags = equal
        if "nesterov" in flags and values["momentum"] == 0:  # torch's class refuses it, and plain steps are the same
            flags = {}
        told = {**arguments(kind, values), **flags}
        return _Maker(f"torch.optim.{kind.__name__}", frozenset({"import torch"})), _told(kind, told)
    own = next((name for name in optim.__all__ if getattr(getattr(optim, name), "follows", None) is method), None)
    given = {name: value for name, value in values.items() if name == "lr" or value != method.hyperparameters[name]}
    if own is not None:
        return _Maker(f"fallline.optim.{own}", frozenset({"import fallline"})), given
    rule = _rule_line(method)
    maker = "fallline.optim.ScheduleFree" if rules.keeps_average(method) else "fallline.Optimizer"
    return _Maker(maker, rule.imports | {"import fallline"}, (rule.expression,)), given


def _told(kind: type[torch.optim.Optimizer], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not a class's defaults, in the order in which it takes them."""
    known = inspect.signature(kind).parameters
    return {n: values[n] for n in known if n in values and (n == "lr" or values[n] != known[n].default)}


@cache
def _in_torch() -> dict[Rule, tuple[type[torch.optim.Optimizer], Mapping[str, Any]]]:
    """The classes of torch that take a rule's steps, convention by convention, with what they must be told.

    All of them have L2 decay as `weight_decay`, some the decoupled one too.
    """
    found: dict[Rule, tuple[type[torch.optim.Optimizer], Mapping[str, Any]]] = {
        # Without momentum both kinds of decay are the same.
        rules.decoupled_decay(rules.gradient_descent): (torch.optim.SGD, {}),
        rules.decoupled_decay(rules.amsgrad): (torch.optim.AdamW, {"amsgrad": True}),
    }
    for record in rules.RECORDS.values():
        if record.twin is not None:
            kind = getattr(torch.optim, record.twin.name)
            gathered = (rules.heavy_ball(record.rule),) if kind is torch.optim.RMSprop else ()
            for rule in (record.rule, *gathered):
                found[rule] = kind, record.twin.options
                if "weight_decay" not in rule.hyperparameters:
                    found[rules.l2(rule)] = kind, record.twin.options
            if kind in (torch.optim.NAdam, torch.optim.RAdam):
                decoupled = {**record.twin.options, "decoupled_weight_decay": True}
                found[rules.decoupled_decay(record.rule)] = kind, decoupled
    return found


def _place_of(kind: Any) -> Line:
    """What a class or a function is called in code, and its import: torch's class where Fallline's stands in for it."""
    if not isinstance(kind, type):
        return _imported(kind)
    name = kind.__name__
    theirs = getattr(torch.optim, name, None)
    if theirs is not None and issubclass(kind, theirs) and kind in (theirs, getattr(optim, name)):
        return Line(f"torch.optim.{name}", frozenset({"import torch"}))
    if getattr(optim, name, None) is kind:
        return Line(f"fallline.optim.{name}", frozenset({"import fallline"}))
    return _imported(kind)


def _imported(thing: Any) -> Line:
    """A class, rule or combinator of the user's: its name, and its import if a module has it, else a word on it."""
    module = thing.__module__
    if module not in ("__main__", "builtins") and _held(module, thing.__qualname__) is thing:
        return Line(thing.__qualname__, frozenset({f"from {module} import {thing.__qualname__.split('.')[0]}"}))
    name = _name_of(thing)
    return Line(name, frozenset({f"# {name} is your own; define it here, or import it"}))


def _held(module: str, name: str) -> Any:
    """What a module has under a dotted name; None where it has nothing."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _name_of(thing: Any) -> str:
    """What a thing is called where it was defined; what has no name there that Python can read gets one."""
    there = vars(sys.modules[thing.__module__]) if thing.__module__ in sys.modules else {}
    bound = [name for name, value in there.items() if value is thing]
    for name in (thing.__qualname__.rpartition(".")[2], *bound):
        if name.isidentifier() and not keyword.iskeyword(name):
            return str(name)
    return "my_rule" if isinstance(thing, Rule) else "MyOptimizer" if isinstance(thing, type) else "my_optimizer"


def _value_line(name: str, value: Any) -> Line:
    """A value as Python reads it; the name alone, with a word on it, for what can't be written down."""
    try:
        value = value.item() if isinstance(value, (np.generic, torch.Tensor)) else value
        if isinstance(value, float) and not math.isfinite(value):
            return Line(f"float('{value}')", frozenset())
        expression = repr(value)
        ast.literal_eval(expression)
    except Exception:  # whatever a stranger's object does when it is asked
        return Line(name, frozenset({f"# {name} is your own value of it, as in the race"}))
    return Line(expression, frozenset())


def _rule_line(rule: Rule) -> Line:
    """A rule by its name in `fallline.rules`, or as combinators put it together."""
    known = rules.record_of(rule)
    if known is not None:
        return Line(f"fallline.rules.{known.name}", frozenset({"import fallline"}))
    *combinators, inside = (part for part, _ in rule.parts)
    if not combinators:
        return _imported(rule)
    names = [_combinator_line(combinator) for combinator in combinators]
    within = _rule_line(inside)  # type: ignore[arg-type]
    expression = "".join(f"{line.expression}(" for line in names) + within.expression + ")" * len(names)
    return Line(expression, within.imports.union(*(line.imports for line in names)))


def _combinator_line(combinator: Any) -> Line:
    name: str = combinator.__qualname__
    if rules.COMBINATORS.get(name) is combinator:
        return Line(f"fallline.rules.{name}", frozenset({"import fallline"}))
    return _imported(combinator)
