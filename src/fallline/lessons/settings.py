"""Whether what a lesson is to be run with has sense, asked of all lessons alike and before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fallline import _asked, problems, rules
from fallline._text import listed
from fallline.lessons.lesson import Lesson


def _of_data(name: str) -> object:
    found = problems.find(name)
    if not found.real:
        raise LookupError(f"{name} is a function, and no data to learn; there are {listed(problems.REAL)}")
    return found


#: The least number of seeds: intervals are over them.
_SEEDS = 2
#: Settings that name what is found elsewhere, one or several.
_FOUND: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("rule", "cures", "adaptive"), rules.find),
    **dict.fromkeys(("problems", "names"), _of_data),
}


def check_settings(lesson: Lesson, settings: Mapping[str, Any]) -> None:
    """Refuse a setting that is not what the signature of the lesson's experiment says.

    Numbers are finite and not below 0, whole ones at least 1 and seeds at least 2; a sequence is not empty; a name is
    known.

    Raises:
        TypeError: The experiment has no such setting.
        ValueError: A setting has no sense, in a sentence.
    """
    kinds = get_type_hints(lesson.experiment)
    kinds.pop("return", None)
    for name, value in settings.items():
        if name not in kinds:
            raise TypeError(f"lesson {lesson.number} has no setting {name!r}; its settings are {listed([*kinds])}.")
        _check(name, value, kinds[name])


def _check(name: str, value: Any, kind: Any) -> None:
    whole = get_origin(kind)
    if whole in (Union, UnionType):
        if value is None:
            return
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
        _check(name, value, kind)
    elif whole is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{name} must be {listed([repr(one) for one in get_args(kind)], 'or')}; got {value!r}.")
    elif whole in (Sequence, tuple):
        _check_each(name, value, [one for one in get_args(kind) if one is not Ellipsis], pair=whole is tuple)
    elif kind is int:
        _asked.whole(name, value, _SEEDS if name == "seeds" else 1, error=ValueError)
    elif kind is float:
        _asked.number(name, value, error=ValueError)
    elif kind is str:
        _check_name(name, value)
    elif not (isinstance(value, bool) if kind is bool else callable(value)):
        raise ValueError(f"{name} must be {'True or False' if kind is bool else 'a function'}; got {value!r}.")


def _check_each(name: str, values: Any, kinds: Sequence[Any], *, pair: bool) -> None:
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ValueError(f"{name} must be a list, and not an empty one; got {values!r}.")
    if pair and len(values) != len(kinds):
        raise ValueError(f"{name} must be a list of {len(kinds)}; got {values!r}.")
    for value, kind in zip(values, kinds if pair else [kinds[0]] * len(values), strict=True):
        _check(name, value, kind)


def _check_name(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a name; got {value!r}.")
    if name in _FOUND:
        try:
            _FOUND[name](value)
        except LookupError as error:
            raise ValueError(f"{name}: {error}") from None
