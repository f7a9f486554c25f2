"""Every class says of every argument what it is."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

import fallline as fl
from fallline import arrays, optim
from fallline.optim.documented import ARGUMENTS, OTHERWISE, UNKNOWN, documented, with_arguments

CLASSES: dict[str, Any] = {
    f"{room.__name__}.{name}": getattr(room, name)
    for room in (optim, arrays)
    for name in room.__all__
    if inspect.isclass(getattr(room, name)) and getattr(room, name).__module__.startswith("fallline")
} | {"Optimizer": fl.Optimizer, "Newton": fl.Newton}


@pytest.mark.parametrize("name", CLASSES)
def test_every_argument_of_every_class_has_a_text(name: str) -> None:
    text = CLASSES[name].__doc__
    arguments = text.partition("\nArgs:\n")[2].partition("\n\n")[0]
    for argument, parameter in inspect.signature(CLASSES[name]).parameters.items():
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            assert f"    {argument}: " in arguments
    follows = getattr(CLASSES[name], "follows", None)
    for hyperparameter in () if follows is None else follows.hyperparameters:
        assert f"    {hyperparameter}: " in arguments or ("beta" in hyperparameter and "    betas: " in arguments)
    assert UNKNOWN not in text
    assert text.count("Args:") == 1


def test_no_text_is_left_over() -> None:
    """An argument that no class has any more loses its text."""
    used = {
        argument
        for made in CLASSES.values()
        for one in (made, *(member for key, member in vars(made).items() if inspect.isfunction(member)))
        for argument in inspect.signature(one).parameters
    } | {name for made in CLASSES.values() if hasattr(made, "follows") for name in made.follows.hyperparameters}
    assert ARGUMENTS.keys() <= used
    assert OTHERWISE.keys() <= {made.__name__ for made in CLASSES.values()}


def test_where_arguments_stand() -> None:
    """Before results, errors and examples; own texts go first, and what nobody knows is said to be so."""

    @documented(lr="The rate.")
    class Some:
        """One.

        Raises:
            ValueError: Never.

        >>> 1
        1
        """

        def __init__(self, lr: float = 0.1, tomorrow: Any = None, **more: Any) -> None:
            """Nothing."""

        def step(self, closure: Any) -> None:
            """Two."""

        def told(self, closure: Any) -> None:
            """Three.

            Args:
                closure: Its own.
            """

    assert Some.__doc__ == (
        f"One.\n\nArgs:\n    lr: The rate. Default: 0.1.\n    tomorrow: {UNKNOWN}\n\n"
        "Raises:\n    ValueError: Never.\n\n>>> 1\n1\n"
    )
    assert Some.step.__doc__ == f"Two.\n\nArgs:\n    closure: {ARGUMENTS['closure']}\n"
    assert "closure: Its own." in str(Some.told.__doc__)
    assert with_arguments("Four.", inspect.signature(lambda: None), {}) == "Four."
    assert issubclass(optim.Lion, torch.optim.Optimizer)
