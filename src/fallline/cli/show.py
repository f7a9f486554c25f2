"""`fallline show`: a rule's equation and what it costs."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from fallline.cli.fail import fail


def show(rule: Annotated[str, typer.Argument(help="A rule's name, such as adam or sgd.")]) -> None:
    """Print a rule's equation, hyperparameters, states and cost, from the formula that runs."""
    from fallline import rules
    from fallline.cli.rule_name import find

    try:
        found = find(rule)
    except LookupError as error:
        fail(str(error))
    cost, name = found.cost(), rules.name_of(found)
    if name != rule:
        print(f"{rule} is called {name} here.\n")
    print(f"{name}: {inspect.cleandoc(found.__doc__ or '')}")
    print(f"\n{found.latex()}\n")
    print("hyperparameters  " + ", ".join(f"{name} = {value:g}" for name, value in found.defaults.items()))
    print("states           " + (", ".join(state.name for state in found.states) or "none"))
    print(
        f"each parameter   {cost.bytes_moved} bytes moved a step, {cost.state_bytes} bytes of state, "
        f"{cost.operations} operations, {cost.passes} {'pass' if cost.passes == 1 else 'passes'} (float32)"
    )
