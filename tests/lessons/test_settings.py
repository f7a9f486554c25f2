"""Settings without sense: every lesson refuses them in a sentence that names the setting, before anything is run."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from fallline.lessons import LESSONS, run

#: By the annotation of a setting, what has no sense for it.
WRONG: dict[str, list[Any]] = {
    "int": ["3", 0, -1, 2.5, True, float("nan"), None, [3]],
    "int | None": ["3", 0, 2.5, True],
    "float": ["1", -1.0, float("nan"), float("inf"), True, None, (1.0,)],
    "bool": [1, "yes", None],
    "str": [3, None, ["adam"], ""],
    "Sequence[float]": [(), 1.0, "10", (float("nan"),), ("1",), None, (1.0, -1.0)],
    "Sequence[int]": [(), 64, (0,), (1.5,), None],
    "Sequence[str]": [(), "digits", (3,), ("x",), None],
    "Sequence[tuple[float, float]]": [(), 0.9, (0.9, 0.99), [(0.9,)], [(0.9, "x")], None],
    "Search": ["backtracking", 3],
    "Loss": ["cross_entropy", None],
}
#: What has no sense beside that: lesson, setting, value.
BESIDE: list[tuple[int, str, Any]] = [
    (5, "seeds", 5), (5, "steps", 1), (7, "momentum", 1.0), (7, "rates", (0.0,)), (9, "rates", (10.0,)),
    (9, "problems", ["saddle"]), (11, "condition", 0.0), (12, "candidate", "adamw"), (12, "libraries", ["jax"]),
    (14, "spans", (2,)), (14, "spans", (0.5, 2)), (23, "decay", 0.0), (26, "batches", 50),
    *((lesson.number, "seeds", 1) for lesson in LESSONS if lesson.number != 14),
]  # fmt: skip


def wrong_settings() -> Iterator[tuple[int, str, Any]]:
    for lesson in LESSONS:
        for name, parameter in inspect.signature(lesson.experiment).parameters.items():
            yield from ((lesson.number, name, value) for value in WRONG[parameter.annotation])
    yield from BESIDE


def nothing(*_: object, **__: object) -> None:
    raise AssertionError("something was run")


@pytest.mark.parametrize(("number", "name", "value"), [*wrong_settings()], ids=str)
def test_what_has_no_sense_is_refused_by_its_name(
    number: int, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("training.train", "lessons.populations.train", "landscape.path"):
        monkeypatch.setattr(f"fallline.{place}", nothing)
    with pytest.raises(ValueError, match=rf"\b{name}\b") as error:
        run(number, **{name: value})
    assert re.search(r"got |there are |did you mean", str(error.value))


@pytest.mark.parametrize(
    ("number", "settings"),
    [(14, {"spans": [2, 5]}), (13, {"seeds": 2, "betas": [[0.9, 0.99]]})],
)
def test_what_has_sense_is_run(number: int, settings: dict[str, Any]) -> None:
    assert run(number, **settings).changed == settings
