"""How a race goes on: the command, the looks at the data that it costs, and a race that goes on by itself."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline.racing import Effort, RaceResult, Watcher, race_until
from fallline.racing.decision import Decision, decide, fixed, foreseen, level_of_look, resolution
from fallline.racing.decision.records import SPEED_SHARE
from fallline.racing.decision.resolution import Settling
from fallline.racing.going_on import going_on
from fallline.racing.looks import number_of_look
from fallline.racing.storage import Card, Lasting, open_store
from fallline.rules import DEFAULT_ARMS

COMMAND = {"problem": "digits", "arms": list(DEFAULT_ARMS), "search": ["lr"], "seed": 0, "margin": 0.0}
STANDARD = Effort()


def decision(settling: Settling | None, behind: tuple[str, ...] = ()) -> Decision:
    """Of three arms, of which some are behind."""
    losses = np.random.default_rng(0).standard_normal((3, 10))
    made = decide([fixed(name, one, one) for name, one in zip("abc", losses, strict=True)], higher_is_better=False)
    return replace(made, settling=settling, behind=dict.fromkeys(behind, 0.1))


SEEDS, TRIALS = Settling(("a", "b"), 40, "seeds"), Settling(("a", "b"), None, "trials")
#: What was found, how it was asked, and the command that goes on, with the runs that it adds.
COMMANDS: dict[str, tuple[Decision, dict[str, Any], Effort, str | None, int]] = {
    "more seeds": (decision(SEEDS), {}, STANDARD, "fallline race digits --seeds 40", 3 * 5 * 30),
    "more trials": (decision(TRIALS), {}, STANDARD, "fallline race digits --trials 32", 3 * (32 + 50)),
    "without who is behind": (
        decision(SEEDS, ("c",)), {}, STANDARD, "fallline race digits --arms a,b --seeds 40", 2 * 5 * 30),
    "with its own options": (
        decision(SEEDS), {"search": ["lr", "momentum"], "seed": 3, "margin": 0.01, "warm_up": 0.1}, Effort(8, 2, 10),
        "fallline race digits --trials 8 --finalists 2 --seeds 40 --search momentum --warm-up 0.1 --seed 3 "
        "--margin 0.01", 3 * 2 * 30),
    "a file with a space": (
        decision(SEEDS), {"problem": "my problem.py"}, STANDARD, "fallline race 'my problem.py' --seeds 40",
        450),
    "arms of a program": (
        decision(SEEDS, ("c",)), {"arms": None}, Effort(8, 2, 10),
        "the same call of fallline.race with effort=fallline.Effort(trials=8, finalists=2, seeds=40) and of the arms "
        "a, b alone", 120),
    "nothing is open": (decision(None), {}, STANDARD, None, 0),
    "the examples limit it": (decision(Settling(("a", "b"), None, "examples")), {}, STANDARD, None, 0),
    "the difference is too small": (decision(Settling(("a", "b"), None, "difference")), {}, STANDARD, None, 0),
}  # fmt: skip


@pytest.mark.parametrize(("made", "asked", "effort", "command", "runs"), COMMANDS.values(), ids=COMMANDS)
def test_the_command_that_goes_on(
    made: Decision, asked: dict[str, Any], effort: Effort, command: str | None, runs: int
) -> None:
    found = going_on(made, {**COMMAND, **asked}, effort, set(), seconds=2.0, slots=4)
    if command is None:
        assert found is None
        return
    assert found is not None
    assert (found.command, found.runs, found.seconds) == (command, runs, runs * 2.0 / 4)


def test_the_command_is_one_that_there_is() -> None:
    from typer.testing import CliRunner

    from fallline.cli.main import app

    known = CliRunner().invoke(app, ["race", "--help"], env={"COLUMNS": "200"}).stdout
    for made, asked, effort, command, _ in COMMANDS.values():
        if command is not None and asked.get("arms", 1) is not None:
            found = going_on(made, {**COMMAND, **asked}, effort, set(), seconds=1.0, slots=1)
            assert found is not None
            assert all(word in known for word in shlex.split(found.command) if word.startswith("--"))


def store(path: Path) -> Lasting:
    return Lasting(open_store(path, Card("p", "key", "what", True, {"a": {}}, {"effort": {}, "seed": 0}, 1)), print)


#: Looks in order: arms, finals, and the number of each.
LOOKS = [
    (["a", "b"], ["1", "2"], 1),
    (["a", "b"], ["1", "2", "3"], 2),
    (["b", "a"], ["2", "1"], 1),  # the first again
    (["a", "c"], ["1", "4"], 1),  # one arm in common is no pair
    (["a", "b", "c"], ["1", "2", "4"], 4),  # shares two with each of the three before
    (["a"], ["1"], 1),
]


def test_looks_at_the_same_arms_are_counted(tmp_path: Path) -> None:
    kept = store(tmp_path / "runs.db")
    assert [number_of_look(kept, "key", 0, arms, finals) for arms, finals, _ in LOOKS] == [one for *_, one in LOOKS]
    assert number_of_look(kept, "key", 1, ["a", "b"], ["9"]) == 1  # from another seed
    assert number_of_look(kept, "other", 0, ["a", "b"], ["9"]) == 1  # on another problem
    assert number_of_look(Lasting(None, print), "key", 0, ["a", "b"], ["9"]) == 1
    kept.close()
    again = store(tmp_path / "runs.db")
    assert number_of_look(again, "key", 0, ["a", "b"], ["1", "2", "3"]) == 2
    again.close()


def test_all_looks_together_keep_to_the_level() -> None:
    spent = [level_of_look(look) for look in range(1, 2000)]
    assert sum(spent) < 0.05
    assert sum(spent) > 0.0499
    assert all(np.diff(spent) < 0)


X = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]]) + 0.5 * torch.randn(
    96, 1, generator=torch.Generator().manual_seed(1)
)


def regression() -> fl.Problem:
    return fl.Problem(
        model=lambda: nn.Linear(4, 1), loss=nn.functional.mse_loss, train=(X[:48], Y[:48]), valid=(X[48:72], Y[48:72]),
        test=(X[72:], Y[72:]), batch=12, epochs=4, name="regression",
    )  # fmt: skip


class Notes(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def test_what_will_be_told_is_told_once_the_first_seeds_are_there() -> None:
    watcher = Notes()
    fl.race(regression(), ["sgd", "adam"], Effort(4, 2, 4), storage=None, watcher=watcher)
    (told,) = (line for line in watcher.lines if line.startswith("By their first seeds, 4 seeds will tell two arms"))
    assert "limit" in told


@pytest.mark.parametrize("arms", [2, 4, 12])
def test_what_is_foreseen_from_two_seeds_is_right_on_average(arms: int) -> None:
    """The mean of its squares is that of the gap which the true spread leaves, at the level that a race has."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        losses = 0.1 * rng.standard_normal((arms, 2))
        few = foreseen([fixed(str(i), one, one) for i, one in enumerate(losses)], 10, higher_is_better=False)
        assert few is not None
        assert few.limited_by == "seeds"
        found.append(few.gap)
    level = (1 - SPEED_SHARE) * level_of_look(1)
    true = resolution(arms=arms, seeds=10, examples=None, seed_spread=0.1 * 2**0.5, level=level).gap
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(true, rel=0.1)


def test_nothing_is_foreseen_of_one_arm_or_of_equal_ones() -> None:
    one = fixed("a", [0.1, 0.2], [0.1, 0.2])
    assert foreseen([one], 10, higher_is_better=False) is None
    assert foreseen([one, replace(one, name="b")], 10, higher_is_better=False) is None


def until(seconds: float, **changes: Any) -> tuple[RaceResult, list[str]]:
    watcher = Notes()
    given: dict[str, Any] = {"storage": None, "watcher": watcher, "workers": 1, **changes}
    return race_until(regression(), seconds, ["sgd", "adam", "momentum"], Effort(4, 2, 3), **given), watcher.lines


def test_without_time_the_first_stage_is_all() -> None:
    found, told = until(0.0)
    once = fl.race(regression(), ["sgd", "adam", "momentum"], Effort(4, 2, 3), storage=None, workers=1)
    assert found.protocol["seeds"] == 3
    assert found.decision.distances == once.decision.distances
    settling = found.decision.settling
    would_go_on = settling is not None and settling.seeds is not None
    assert any("more than is left" in line for line in told) == would_go_on


def test_it_goes_on_for_the_arms_in_question(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two arms stay in question, and more seeds would settle them, until a look says that nothing would."""
    from fallline.racing import until as module

    asked: list[tuple[list[str], int]] = []

    def race(problem: Any, arms: Any, effort: Effort, **given: Any) -> RaceResult:
        result = fl.race(problem, arms, effort, **given)
        assert all(isinstance(arm, str) for arm in arms)  # as they were given
        asked.append((sorted(arm.name for arm in result.arms), effort.seeds))
        open_ = Settling(("sgd", "adam"), 50, "seeds") if len(asked) < 3 else None
        made = replace(result.decision, settling=open_, tied=("sgd", "adam"), next=None)
        made = replace(made, behind={"momentum": 0.5}) if len(asked) == 1 else made
        return replace(result, decision=made)

    monkeypatch.setattr(module, "race", race)
    found, told = until(600.0, storage=tmp_path / "runs.db")
    assert asked == [(["adam", "momentum", "sgd"], 3), (["adam", "sgd"], 6), (["adam", "sgd"], 12)]
    assert sum("Still in question: 2 arms" in line for line in told) == 2
    assert {arm.name for arm in found.arms} == {"sgd", "adam", "momentum"}
    assert found.decision.behind == {"momentum": 0.5}
    assert set(found.decision.distances) == {"sgd", "adam", "momentum"}
    assert [arm.name for arm in found.arms] == list(found.decision.ranking)
    assert found["momentum"].entry.finals[0].scores.shape == (3,)
    assert found["sgd"].entry.finals[0].scores.shape == (12,)
    assert found.decision.level == pytest.approx(level_of_look(3))
    assert str(found)
