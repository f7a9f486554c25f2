"""`fallline show`: a rule's equation and what it costs."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from fallline.cli.fail import fail

if TYPE_CHECKING:
    from fallline.symbolic import State


def show(rule: Annotated[str, typer.Argument(help="A rule's name, such as adam or sgd.")]) -> None:
    """Print a rule's equation, source and conventions, states and cost, when to use it and its known weakness."""
    from fallline import rules
    from fallline.cli.rule_name import find
    from fallline.rules.guide import GUIDES

    try:
        found = find(rule)
    except LookupError as error:
        fail(str(error))
    cost, name = found.cost(), rules.name_of(found)
    guide = GUIDES[name]
    if name != rule:
        print(f"{rule} is called {name} here.\n")
    print(f"{name}: {inspect.cleandoc(found.__doc__ or '')}")
    print(f"\n{found.latex()}\n")
    given = (
        f"{key} = {value:g}" if type(value) is float else f"{key} = {value}" for key, value in found.defaults.items()
    )
    print("hyperparameters  " + ", ".join(given))
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


def _described(state: State) -> str:
    where = {"tensor": "", "scalar": " (one number a tensor)", "global": " (one number for all tensors)"}
    return state.name + where[state.kind]
