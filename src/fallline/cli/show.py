"""`fallline rules` lists what there is by name; `fallline show` tells all of one: its equation, cost, use, weakness."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from fallline.cli.console import fail

if TYPE_CHECKING:
    from fallline.symbolic import Combinator, Rule, State


#: What a class is called whose rule has a shorter name.
_ALIASES = {"schedule_free_adamw": "schedule_free_adam"}


def rules() -> None:
    """List all rules, the combinators that change a rule, and the methods that are no single rule, a line each."""
    from fallline import rules as known
    from fallline.training.method_name import CLASSES

    named = {known.name_of(rule): _in_a_line(name, rule) for name, rule in known.ALL.items()}
    _print_list("Rules", named)
    _print_list("Combinators, which make a rule of a rule", {one.__name__: _first_line(one) for one in _combinators()})
    _print_list("Methods whose step is no single rule", {name: _first_line(kind) for name, kind in CLASSES.items()})
    print("`fallline show NAME` tells all of one; gradient_descent is also called sgd.")


def show(
    rule: Annotated[
        str | None,
        typer.Argument(
            help="The name of a rule, a combinator or a class, such as adam, l2 or muon. Without one: a list of all.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print a rule's equation, source and conventions, states and cost, when to use it and its known weakness.

    Of a combinator, such as l2 or clip_norm, what it makes of gradient descent; of a class whose step is no single
    rule, such as muon or newton, what it does. `fallline rules` lists them all.
    """
    if rule is None:
        rules()
        return
    from fallline import rules as known
    from fallline.symbolic import Combinator

    key = known.plain_name(rule)
    combinator = getattr(known, key, None)
    if isinstance(combinator, Combinator):
        _show_combinator(combinator)
        return
    try:
        _show_rule(rule, known.find(_ALIASES.get(key, key)))
    except LookupError:
        _show_class(rule)


def _print_list(title: str, lines: Mapping[str, str]) -> None:
    """A line for each name, however long, for a pipe to search."""
    print(f"{title}:")
    for name, line in lines.items():
        print(f"  {name:<22} {line}")
    print()


def _in_a_line(name: str, rule: Rule) -> str:
    """What a rule does; of a composed one what it is made of, and when to use it."""
    from fallline.rules.guide import GUIDES

    return _first_line(rule) if rule.name == name else f"{rule.name}. {GUIDES[name].use}"


def _first_line(documented: object) -> str:
    return inspect.cleandoc(documented.__doc__ or "").partition("\n")[0]


def _combinators() -> list[Combinator]:
    from fallline import rules as known
    from fallline.symbolic import Combinator

    return [value for value in vars(known).values() if isinstance(value, Combinator)]


def _show_rule(asked: str, found: Rule) -> None:
    from fallline import rules as known
    from fallline.rules.guide import GUIDES

    cost, name = found.cost(), known.name_of(found)
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
    from fallline.rules import gradient_descent

    name, combined = combinator.__name__, combinator(gradient_descent)
    print(f"{name}, a combinator: {inspect.cleandoc(combinator.__doc__ or '')}")
    print(f"\n{name}(gradient_descent):\n\n{combined.latex()}\n")
    _print_hyperparameters(combined)
    print("states           " + (", ".join(map(_described, combined.states)) or "none"))


def _show_class(asked: str) -> None:
    from fallline.training.method_name import find_method

    try:
        found = find_method(asked)
    except LookupError as error:
        near = difflib.get_close_matches(asked, [one.__name__ for one in _combinators()], 1, cutoff=0.75)
        sentence = f"there is no rule or combinator '{asked}'; did you mean '{near[0]}'?" if near else str(error)
        fail(sentence if "did you mean" in sentence else f"there is no rule '{asked}'; `fallline rules` lists them all")
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
