"""Who races, as a command line says it: bundled arms, those of the problem's file, and one's own settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fallline.cli.main import app
from fallline.racing.arms.entrants import as_arms
from fallline.racing.storage.races import past_races
from fallline.racing.storage.store import Store
from fallline.rules import DEFAULT_ARMS

FILE = """
import torch, fallline as fl
from torch import nn
X = torch.linspace(-1, 1, 60).reshape(20, 3)
problem = fl.Problem(model=lambda: nn.Linear(3, 1), loss=nn.functional.mse_loss, train=(X, X[:, :1]),
                     valid=(X, X[:, :1]), test=(X, X[:, :1]), batch=10, epochs=1)
"""
OURS = """
arms = ["sgd", fl.Arm("ours", torch.optim.Adam, fixed={"lr": 0.01}), fl.Arm("adam", fl.rules.adam, {"lr": (0.1, 1)}),
        fl.Arm("made", lambda params, lr: torch.optim.Adam(params, lr=lr))]
"""
NAMED = 'arms = {"a": "adam", "b": "mine=sgd,lr=0.5"}'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fallline(arms: str, *options: str) -> Result:
    Path("mine.py").write_text(FILE + arms)
    asked = [
        "race",
        "mine.py",
        "--trials",
        "2",
        "--finalists",
        "1",
        "--seeds",
        "2",
        "--no-report",
        "--quiet",
        "--workers",
        "1",
    ]
    return CliRunner().invoke(app, [*asked, *options], env={"COLUMNS": "160"})


#: What the file sets, the options, and who races: by name, where each rate is searched, or what it is fixed at.
ASKED: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "nothing": ("", (), dict.fromkeys(DEFAULT_ARMS)),
    "the file's": (OURS, (), {"sgd": None, "ours": 0.01, "adam": None, "made": None}),
    "named by the file": (NAMED, (), {"a": None, "b": 0.5}),
    "bundled ones beside the file": (OURS, ("--arms", "lion,nadam"), {"lion": None, "nadam": None}),
    "some of each": (OURS, ("--arms", "lion, ours"), {"lion": None, "ours": 0.01}),
    "the file's name wins": (OURS, ("--arms", "adam,AdamW"), {"adam": (0.1, 1), "adamw": None}),
    "mine": ("", ("--arms", "sgd", "--mine", "adam,lr=3e-4"), {"sgd": None, "mine": 3e-4}),
    "mine beside the default": ("", ("--mine", "adam"), {**dict.fromkeys(DEFAULT_ARMS), "mine": 1e-3}),
    "mine beside the file's": (NAMED, ("--mine", " adam , lr = 1e-2 "), {"a": None, "b": 0.5, "mine": 0.01}),
    "mine alone": ("", ("--arms", "mine", "--mine", "SGD,momentum=0.9"), {"mine": 1e-3}),
    "mine among others": ("", ("--arms", "sgd,mine,adam", "--mine", "lion"), {"sgd": None, "mine": 1e-4, "adam": None}),
    "two of mine": ("", ("--arms", "sgd", "--mine", "adam,lr=1", "--mine", "sgd,lr=2"),
                    {"sgd": None, "mine": 1, "mine_2": 2}),
    "names of mine": ("", ("--arms", "sgd", "--mine", "old=adam,lr=1", "--mine", "new=sgd,lr=2", "--mine", "adam,lr=3"),
                      {"sgd": None, "old": 1, "new": 2, "mine": 3}),
}  # fmt: skip


@pytest.mark.parametrize("case", ASKED)
def test_who_races(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, options, wanted = ASKED[case]
    asked: dict[str, Any] = {}
    monkeypatch.setattr("fallline.cli.race_outputs.race_on_one", lambda problem, given, *_, **__: asked.update(given))
    done = fallline(file, *options)
    assert done.exit_code == 0, done.output
    arms = as_arms(asked["arms"])
    assert [arm.name for arm in arms] == [*wanted]
    for arm in arms:
        rate = wanted[arm.name]
        assert arm.searched == (rate is None or isinstance(rate, tuple))
        if isinstance(rate, tuple):
            dimension = arm.space["lr"].to_json()
            assert (dimension["low"], dimension["high"]) == rate
        elif rate is not None:
            assert arm.settings({})["lr"] == rate


MINE = ("--arms", "sgd", "--mine")
#: What the file sets, the options, and the sentence.
REFUSED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "no rule": ("", (*MINE, "adamm,lr=1"), "arm 'mine': there is no rule 'adamm'; did you mean 'adam'?"),
    "nothing": ("", (*MINE, ",lr=1"), "arm 'mine': there is no rule ''"),
    "no hyperparameter": ("", (*MINE, "adam,lrr=1"), "arm 'mine' has no hyperparameter 'lrr'; did you mean 'lr'?"),
    "no number": ("", (*MINE, "adam,lr=fast"), "arm 'mine': 'lr' must be a finite number; got 'fast'"),
    "no finite number": ("", (*MINE, "adam,lr=inf"), "arm 'mine': 'lr' must be a finite number; got 'inf'"),
    "no rate that can be": ("", (*MINE, "adam,lr=-1"), "'lr' of the rule 'adam' must be at least 0 and finite; got -1"),
    "no value": ("", (*MINE, "adam,lr"), "arm 'mine': 'lr' is no setting; give each a value, as in mine=adam,lr=3e-4"),
    "an empty value": ("", (*MINE, "adam,lr="), "arm 'mine': 'lr' must be a finite number; got ''"),
    "a pair": ("", (*MINE, "adam,betas=0.9,0.99"), "give the parts of 'betas' by their names, as in beta1=0.9,beta2="),
    "twice": ("", (*MINE, "adam,lr=1,lr=2"), "arm 'mine' has 'lr' twice; give it once"),
    "a schedule": ("", (*MINE, "adam,schedule=cosinus"), "arm 'mine': 'schedule' must be a Choice of constant"),
    "what torch's class has": ("", (*MINE, "sgd,lr=1,momentum=0.9"), "but torch's class has: write SGD for it"),
    "a name twice": ("", (*MINE, "a=adam", "--mine", "a=sgd"), "--mine: another arm is called 'a'; give this one"),
    "a name that is taken": ("", (*MINE, "sgd=adam"), "--mine: another arm is called 'sgd'"),
    "a name of the file's": (OURS, (*MINE, "ours=adam"), "--mine: another arm is called 'ours'"),
    "nearly one of the file's": (OURS, ("--arms", "sgd,ous"), "'ous'; did you mean 'ours', which the file sets?"),
    "none of the file's": (OURS, ("--arms", "sgd,lionn"), "there is no arm 'lionn'; did you mean 'lion'?"),
    "a number for arms": ("arms = 10", (), "mine.py sets `arms`, which is who races: arms must be a list, such as"),
    "an unknown arm in the file": ("arms = ['adm']", (), "mine.py sets `arms`, which is who races: there is no arm"),
    "no arms in the file": ("arms = []", (), "mine.py sets `arms`, which is who races: arms is empty"),
    "a search of nothing": ("", ("--arms", "mine", "--mine", "adam", "--search", "beta1"), "so leave 'beta1' out"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    file, options, sentence = REFUSED[case]
    done = fallline(file, *options)
    assert done.exit_code == 2, done.output
    assert sentence in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("file", "options", "names"),
    [
        ("", ("--arms", "sgd", "--mine", "adam,lr=0.01,beta1=0.8"), ["sgd", "mine=adam,lr=0.01,beta1=0.8"]),
        (OURS, (), ["sgd", "ours", "adam", "made"]),
        (OURS, ("--arms", "ours,lion", "--mine", "old=SGD,lr=0.1"), ["ours", "lion", "old=SGD,lr=0.1"]),
    ],
)
def test_a_race_goes_on_with_them(
    file: str, options: tuple[str, ...], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Store.add

    def interrupted(self: Store, *runs: Any) -> None:
        add(self, *runs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", interrupted)
        assert fallline(file, *options).exit_code == 130
    (stopped,) = past_races("fallline-runs.db")
    assert stopped.command["arms"] == names
    asked = ["race", "mine.py", "--resume", "--no-report", "--json", "race.json"]
    done = CliRunner().invoke(app, asked, env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    (race,) = past_races("fallline-runs.db")
    assert (race.name, race.finished, race.kept, race.fixed) == (
        stopped.name, True, stopped.planned, tuple(name for name in race.arms if name in ("mine", "ours", "old")),
    )  # fmt: skip
    assert json.loads(Path("race.json").read_text())["occasion"]["runs"]["kept_before"] == stopped.kept > 0
