"""`fallline rules` lists what there is by name; `fallline show` tells all of one: its equation, cost, use, weakness."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from fallline._asked import nearest
from fallline.cli.console import fail

if TYPE_CHECKING:
    from fallline.rules import Record
    from fallline.symbolic import Combinator, Rule, State


def rules() -> None:
    """List all rules, the combinators that change a rule, and the methods that are no single rule, a line each."""
    from fallline import rules as known
    from fallline.optim.method_name import CLASSES

    combined = {name: _first_line(combinator) for name, combinator in known.COMBINATORS.items()}
    _print_list("Rules", {name: _in_a_line(record) for name, record in known.RECORDS.items()})
    _print_list("Combinators, which make a rule of a rule", combined)
    _print_list("Methods whose step is no single rule", {name: _first_line(kind) for name, kind in CLASSES.items()})
    also = [f"{record.name} is also called {record.aliases[0]}" for record in known.RECORDS.values() if record.aliases]
    print(f"`fallline show NAME` tells all of one; {', '.join(also)}.")


def show(
    rule: Annotated[
        str | None,
        typer.Argument(
            help="The name of a rule, a combinator or a class, such as adam, l2 or muon. Without one: a list of all."
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

    combinator, record = known.COMBINATORS.get(known.plain_name(rule)), known.record_of(rule)
    if combinator is not None:
        _show_combinator(combinator)
    elif record is not None:
        _show_rule(rule, record)
    else:
        _show_class(rule)


def _print_list(title: str, lines: Mapping[str, str]) -> None:
    """A line for each name, however long, for a pipe to search."""
    print(f"{title}:")
    for name, line in lines.items():
        print(f"  {name:<22} {line}")
    print()


def _in_a_line(record: Record) -> str:
    """What a rule does; of a composed one what it is made of, and when to use it."""
    rule = record.rule
    return _first_line(rule) if rule.name == record.name else f"{rule.name}. {record.use}"


def _first_line(documented: object) -> str:
    return inspect.cleandoc(documented.__doc__ or "").partition("\n")[0]


def _show_rule(asked: str, record: Record) -> None:
    found, name = record.rule, record.name
    cost = found.cost()
    if name != asked:
        print(f"{asked} is called {name} here.\n")
    print(f"{name}: {inspect.cleandoc(found.__doc__ or '')}")
    print(f"\n{found.latex()}\n")
    _print_settings(found)
    print(
        f"each parameter   {cost.bytes_moved} bytes moved a step, {cost.state_bytes} bytes of state, "
        f"{cost.operations} operations, {cost.passes} {'pass' if cost.passes == 1 else 'passes'} (float32)"
    )
    others = [other for other in record.conventions if other != name]
    if others:
        print(f"also here as     {', '.join(others)}")
    print(f"when to use it   {record.use}")
    print(f"known weakness   {record.weakness}")
    print(f"published        {record.year}, {record.source}")


def _show_combinator(combinator: Combinator) -> None:
    from fallline.rules import gradient_descent

    name, combined = combinator.__name__, combinator(gradient_descent)
    print(f"{name}, a combinator: {inspect.cleandoc(combinator.__doc__ or '')}")
    print(f"\n{name}(gradient_descent):\n\n{combined.latex()}\n")
    _print_settings(combined)


def _show_class(asked: str) -> None:
    from fallline.optim.method_name import find_method
    from fallline.rules import COMBINATORS

    try:
        found = find_method(asked)
    except LookupError as error:
        near = nearest(asked, COMBINATORS, cutoff=0.75)
        sentence = f"there is no rule or combinator '{asked}'; did you mean '{near}'?" if near else str(error)
        fail(sentence if "did you mean" in sentence else f"there is no rule '{asked}'; `fallline rules` lists them all")
    assert isinstance(found, type)  # a rule's name was found before
    print(f"{found.__name__}: {inspect.cleandoc(found.__doc__ or '')}")
    print("\nIts step is no single rule, so there is no one equation of it to print.")


def _print_settings(rule: Rule) -> None:
    """Its hyperparameters with their values, and its states."""
    values = (
        f"{key} = {value:g}" if type(value) is float else key if value is None else f"{key} = {value}"
        for key, value in rule.hyperparameters.items()
    )
    print("hyperparameters  " + ", ".join(values))
    print("states           " + (", ".join(map(_described, rule.states)) or "none"))


def _described(state: State) -> str:
    where = {"tensor": "", "scalar": " (one number a tensor)", "global": " (one number for all tensors)"}
    return state.name + where[state.kind]
