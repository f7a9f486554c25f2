"""The rules by name: every module beside this one is imported, and the records that stand there are gathered."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from functools import lru_cache

from fallline._asked import did_you_mean
from fallline.rules.record import HYPERPARAMETERS, Interval, Record
from fallline.symbolic import Combinator, Rule

_HERE = sys.modules[__name__.rpartition(".")[0]]
MODULES = [
    importlib.import_module(name)
    for name in (f"{_HERE.__name__}.{found.name}" for found in pkgutil.iter_modules(_HERE.__path__))
    if name != __name__
]

#: Records, rules and combinators by name, in the alphabetical order of their modules.
RECORDS: dict[str, Record] = {
    record.name: record
    for module in MODULES
    for record in sorted(getattr(module, "RECORDS", ()), key=lambda record: record.name)
}
ALL: dict[str, Rule] = {name: record.rule for name, record in RECORDS.items()}
COMBINATORS: dict[str, Combinator] = {
    name: value
    for module in MODULES
    for name, value in sorted(vars(module).items())
    if isinstance(value, Combinator) and value.__module__ == module.__name__
}
#: The rules of a race that is given no arms, by the names that most people call them by.
DEFAULT_ARMS: dict[str, Rule] = {
    (record.aliases or (record.name,))[0]: record.rule
    for record in sorted(RECORDS.values(), key=lambda record: record.default_arm or 0)
    if record.default_arm is not None
}
_NAMES = {rule: name for name, rule in ALL.items()}
_KNOWN = {known: record for record in RECORDS.values() for known in (record.name, *record.aliases)}
_BY_LETTERS = {known.replace("_", ""): record for known, record in _KNOWN.items()}

_taken: dict[str, str] = {
    **dict.fromkeys(COMBINATORS, "a combinator"),
    **dict.fromkeys(
        ("find", "interval_of", "name_of", "plain_name", "record_of", "unmet"), "a function of fallline.rules"
    ),
}
for _record in (record for module in MODULES for record in getattr(module, "RECORDS", ())):
    for _name in (_record.name, *_record.aliases, *((_record.class_name,) if _record.class_name else ())):
        if _name in _taken:
            raise ValueError(f"the record of '{_record.name}' takes the name '{_name}', which is {_taken[_name]}")
        _taken[_name] = f"of the record of '{_record.name}'"
    for _name in _record.conventions:
        if _name not in ALL:
            raise ValueError(f"the conventions of '{_record.name}' name '{_name}'; {did_you_mean(_name, ALL)}")

for _module in MODULES:
    for _name, _value in vars(_module).items():
        if isinstance(_value, Rule) and _value not in _NAMES and not _name.startswith("_"):
            raise ValueError(f"the rule '{_name}' of {_module.__name__} has no record: put one into its RECORDS")


def find(name: str) -> Rule:
    """The rule of a name, whose capital letters, hyphens and underscores do not matter.

    Args:
        name: A rule's own name, or another that people call it by, such as "sgd".

    Returns:
        The rule, the same one for each of its names.

    Raises:
        LookupError: No rule is called so; the message has the nearest name.

    >>> find("adam"), find("RMSProp"), find("sgd")
    (<rule adam>, <rule rmsprop>, <rule gradient_descent>)
    """
    record = record_of(name)
    if record is None:
        name = plain_name(name)
        raise LookupError(f"there is no rule '{name}'; {did_you_mean(name, sorted(_KNOWN))}")
    return record.rule


def record_of(named: str | Rule) -> Record | None:
    """The record of a rule, or of a name as `find` takes it.

    Args:
        named: A rule or a name.

    Returns:
        The record, or None where none of our rules is called so: users' own have none.

    >>> record_of("AdamW").twin.name
    'AdamW'
    """
    if isinstance(named, Rule):
        return RECORDS.get(_NAMES.get(named, ""))
    return _BY_LETTERS.get(plain_name(named).replace("_", ""))


@lru_cache(maxsize=4096)
def interval_of(rule: Rule, name: str) -> Interval | None:
    """What a hyperparameter of any rule may be; None where nobody said.

    The record of the rule inside says it, else the name: of some anywhere, of others in what is ours.

    Args:
        rule: Any rule, a user's own too.
        name: Of the hyperparameter.
    """
    record = record_of(inside) if isinstance(inside := rule.parts[-1][0], Rule) else None
    if record is not None and name in record.limits:
        return record.limits[name]
    shared = HYPERPARAMETERS.get(name)
    ours = all(getattr(part, "__module__", "").startswith("fallline.rules") for part, _ in rule.parts)
    return shared.limits if shared is not None and (ours or shared.everywhere) else None


def unmet(rule: Rule, name: str, value: float) -> str | None:
    """What a value of a hyperparameter should be, in words, that it is not.

    Args:
        rule: Any rule, a user's own too.
        name: Of the hyperparameter.
        value: The number.

    >>> from fallline.rules import adam
    >>> unmet(adam, "beta1", 1.0), unmet(adam, "beta1", float("nan"))
    ('at least 0 and less than 1', 'a number')
    """
    if value != value:
        return "a number"
    known = interval_of(rule, name)
    return None if known is None else known.unmet(value)


def name_of(rule: Rule) -> str:
    """What a rule is called here: composed ones, like adamw, by their short name.

    Args:
        rule: Any rule, a user's own too.

    Returns:
        The name by which `find` finds it, or the rule's own.

    >>> from fallline.rules import adamw
    >>> name_of(adamw)
    'adamw'
    """
    return _NAMES.get(rule, rule.name)


def plain_name(typed: str) -> str:
    """A name as a person types it, by the letters that matter: no capitals, no hyphens.

    Args:
        typed: What was typed.

    Returns:
        The name in lower case, with underscores.

    >>> plain_name("Schedule-Free-SGD")
    'schedule_free_sgd'
    """
    return typed.strip().lower().replace("-", "_")
