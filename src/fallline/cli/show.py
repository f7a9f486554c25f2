"""`fallline show`: a rule's equation and what it costs; a combinator's on gradient descent; what a class says."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from fallline.cli.fail import fail

if TYPE_CHECKING:
    from fallline.symbolic import Rule, State
    from fallline.symbolic.combinator import Combinator

#: What a class is called whose rule has a shorter name.
_ALIASES = {"schedule_free_adamw": "schedule_free_adam"}


def show(
    rule: Annotated[str, typer.Argument(help="The name of a rule, a combinator or a class, such as adam, l2 or muon.")],
) -> None:
    """Print a rule's equation, source and conventions, states and cost, when to use it and its known weakness.

    Of a combinator, such as l2 or clip_norm, what it makes of gradient descent; of a class whose step is no single
    rule, such as muon or newton, what it does.
    """
    from fallline import rules
    from fallline.cli.rule_name import find
    from fallline.symbolic.combinator import Combinator

    key = rules.plain_name(rule)
    combinator = getattr(rules, key, None)
    if isinstance(combinator, Combinator):
        _show_combinator(combinator)
        return
    try:
        _show_rule(rule, find(_ALIASES.get(key, key)))
    except LookupError:
        _show_class(rule)


def _show_rule(asked: str, found: Rule) -> None:
    from fallline import rules
    from fallline.rules.guide import GUIDES

    cost, name = found.cost(), rules.name_of(found)
    guide = GUIDES[name]
    if name != asked:
        print(f"{asked} is called {name} here.\n")
    print(f"{name}: {inspect.cleandoc(found.__doc__ or '')}")
    print(f"\n{found.latex()}\n")
    _print_hyperparameters(found)
    print("states           " + (", ".join(map(_described, found.states)) or "none"))
    print(
        f"each parameter   {cost.bytes_moved} bytes moved a step, {cost.state_bytes} bytes of state, "
        f"{cost.operations} operations, {cost.passes} {'pass' if cost.passes == 1 else 'passes'} (float32)"
    )
    others = [other for other in guide.alternatives if other != name]
    if others:
        print(f"also here as     {', '.join(others)}")
    print(f"when to use it   {guide.use}")
    print(f"known weakness   {guide.weakness}")


def _show_combinator(combinator: Combinator) -> None:
    from fallline import rules

    name, combined = combinator.__name__, combinator(rules.gradient_descent)
    print(f"{name}, a combinator: {inspect.cleandoc(combinator.__doc__ or '')}")
    print(f"\n{name}(gradient_descent):\n\n{combined.latex()}\n")
    _print_hyperparameters(combined)
    print("states           " + (", ".join(map(_described, combined.states)) or "none"))


def _show_class(asked: str) -> None:
    from fallline import rules
    from fallline.symbolic.combinator import Combinator
    from fallline.training.method_name import find_method

    try:
        found = find_method(asked)
    except LookupError as error:
        combinators = [name for name, value in vars(rules).items() if isinstance(value, Combinator)]
        near = difflib.get_close_matches(asked, combinators, 1, cutoff=0.75)
        fail(f"there is no rule or combinator '{asked}'; did you mean '{near[0]}'?" if near else str(error))
    assert isinstance(found, type)  # a rule's name was found before
    print(f"{found.__name__}: {inspect.cleandoc(found.__doc__ or '')}")
    print("\nIts step is no single rule, so there is no one equation of it to print.")


def _print_hyperparameters(rule: Rule) -> None:
    values = (
        f"{key} = {value:g}" if type(value) is float else key if value is None else f"{key} = {value}"
        for key, value in rule.hyperparameters.items()
    )
    print("hyperparameters  " + ", ".join(values))


def _described(state: State) -> str:
    where = {"tensor": "", "scalar": " (one number a tensor)", "global": " (one number for all tensors)"}
    return state.name + where[state.kind]
