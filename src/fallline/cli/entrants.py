"""Who races, by the options of a command line and the `arms` of a problem's file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fallline._asked import nearest
from fallline.racing import Arm
from fallline.racing.arms import as_arms, setting_name
from fallline.rules import DEFAULT_ARMS


def entrants(names: Sequence[str] | None, mine: Sequence[str], own: Sequence[Arm]) -> list[str | Arm]:
    """The arms of `--arms`, else the file's `own`, else the default ones; and beside them each setting of `--mine`.

    Raises ValueError, in a sentence, for a name that is nearly one of the file's, and for a setting's that is taken.

    >>> entrants(["sgd", "adam"], ["adam,lr=3e-4", "old=sgd,lr=0.1"], ())
    ['sgd', 'adam', 'mine=adam,lr=3e-4', 'old=sgd,lr=0.1']
    """
    if names is None:
        names = [arm.name for arm in own] or [*DEFAULT_ARMS]
    settings: dict[str, str] = {}
    for text in mine:
        called = setting_name(text)
        name = called or ("mine" if "mine" not in settings else f"mine_{len(settings) + 1}")
        if name in settings or name in [arm.name for arm in own] or _is_bundled(name):
            raise ValueError(
                f"--mine: another arm is called '{name}'; give this one a name, as in --mine old=adam,lr=0.1"
            )
        settings[name] = text if called else f"{name}={text}"
    picked = [settings.get(name, name) for name in names]
    return found([*picked, *(text for text in settings.values() if text not in picked)], own)


def found(names: Iterable[str], own: Sequence[Arm]) -> list[str | Arm]:
    """Arms by their names: the file's `own` as they are, others as a race takes them. Raises as `entrants` does."""
    ours = {arm.name: arm for arm in own}
    return [ours[name] if name in ours else _others(name, ours) for name in names]


def _others(name: str, ours: Iterable[str]) -> str:
    near = nearest(name, ours)
    if near is not None and not _is_bundled(name):
        raise ValueError(f"there is no arm '{name}'; did you mean '{near}', which the file sets?")
    return name


def _is_bundled(name: str) -> bool:
    try:
        return bool(as_arms([name]))
    except ValueError:
        return False
