"""The files that pages are made of, read once each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def asset(package: str, name: str) -> str:
    """A package's file as text."""
    return (files(package) / name).read_text("utf-8")


def template(package: str, name: str, **filters: Callable[..., Any]) -> Template:
    """A package's file as a template that escapes everything and refuses what it is not given."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(filters)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.from_string(asset(package, name))
