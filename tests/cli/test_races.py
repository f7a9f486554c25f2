"""`fallline races`: what a storage holds, told in a table or a sentence."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fallline.cli.main import app
from fallline.racing.storage.races import Card
from fallline.racing.storage.store import open_store

QUICK = {"trials": 8, "finalists": 2, "seeds": 5, "rounds": None, "halving": 1}
OWN = {**QUICK, "trials": 1000}


def races(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["races", *arguments], env={"COLUMNS": "160"})


def keep(path: Path, problem: str, *ranking: str, winner: str | None = None, **changes: Any) -> str:
    """Put a race into a storage, finished if it has a ranking, and return its name."""
    given: dict[str, Any] = {"effort": QUICK, "arms": ("sgd", "adam"), "planned": 10, **changes}
    spaces: dict[str, Any] = {arm: {} for arm in given["arms"]}
    command = {"effort": given["effort"], "seed": 0}
    store = open_store(path, Card(problem, "", f"what of {problem}", True, spaces, command, given["planned"]))
    if ranking:
        store.answer({"decision": {"winner": winner, "ranking": ranking}, "occasion": {"lines": ["A decision."]}})
    store.close()
    return str(store.name)


def test_a_table_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    old = keep(path, "digits", "adam", "sgd")
    won = keep(path, "faces", "adam", "sgd", winner="adam")
    new = keep(path, "moons", effort=OWN, planned=2010)
    shown = races("--storage", str(path))
    assert shown.exit_code == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert lines[0] == "race problem arms effort runs outcome"
    rows = [line for line in lines if line.startswith((old, won, new))]
    assert rows == [
        f"{new} moons sgd, adam 1000 trials, 2 x 5 finals 0 of 2,010 unfinished, no run is kept",
        f"{won} faces sgd, adam quick 0 adam wins",
        f"{old} digits sgd, adam quick 0 take adam",
    ]


HOSTILE = ["[bold red]x[/bold red]", "[link=http://x]x[/link]", "[/]", "\x1b[31mx", "x\x07\nx", "\\[bold]x"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_storage_says_is_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "runs.db"
    keep(path, text, f"A{text}", winner=f"W{text}", arms=(f"A{text}",))
    shown = races("--storage", str(path))
    assert shown.exit_code == 0, shown.output
    harmless = "".join(one if one.isprintable() else "?" for one in text)
    for told in (f" {harmless} ", f"A{harmless}", f"W{harmless} wins"):
        assert told in shown.stdout


def test_a_storage_without_races(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.db").touch()
    for asked in (["empty.db"], ["--storage", "empty.db"]):
        shown = races(*asked)
        assert (shown.exit_code, shown.stdout) == (
            0, "There are no races in empty.db; `fallline race` runs one and keeps it there.\n"
        )  # fmt: skip
    told = CliRunner().invoke(app, ["report", "empty.db"])
    assert (told.exit_code, "no race in empty.db has finished" in told.stderr) == (2, True)
    told = CliRunner().invoke(app, ["export", "empty.db"])
    assert (told.exit_code, "there is no race in empty.db" in told.stderr) == (2, True)
    told = CliRunner().invoke(app, ["runs", "empty.db"])
    assert (told.exit_code, told.stdout) == (0, "There are no such runs in empty.db.\n")
    assert [path.name for path in Path().iterdir()] == ["empty.db"]
    assert Path("empty.db").read_bytes() == b""


#: What a file holds that is not ours to write to, and what is said of it.
OTHERS = {
    "somebody else's": (["CREATE TABLE mine (x)"], "belongs to something else (it holds mine); give another one"),
    "Optuna's studies": (
        ["CREATE TABLE studies (x)", "CREATE TABLE trials (x)"],
        "holds studies of Optuna, as races were kept before; it stays as it is: give another file",
    ),
    "a later version's": (
        ["CREATE TABLE fallline_storage (version INTEGER)", "INSERT INTO fallline_storage VALUES (99)"],
        "was written by a later version of Fallline (its form is 99, this one knows 1); install that version, or give "
        "another file",
    ),
    "no database": ([], "can't be opened as a database: file is not a database"),
}


@pytest.mark.parametrize(
    "command",
    ["races", "report", "runs", "runs --arm sgd --forget", "export --optuna out.db", "race beale --storage",
     "race --resume --storage"],
)  # fmt: skip
@pytest.mark.parametrize("kind", OTHERS)
def test_a_storage_of_others_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    statements, sentence = OTHERS[kind]
    Path("others.db").write_text("" if statements else "long enough to be taken for one " * 99)
    with closing(sqlite3.connect("others.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    before = Path("others.db").read_bytes()
    told = CliRunner().invoke(app, [*command.split(), "others.db"])
    assert (told.exit_code, told.stderr) == (2, f"fallline: the storage {tmp_path / 'others.db'} {sentence}\n")
    assert [path.name for path in Path().iterdir()] == ["others.db"]
    assert Path("others.db").read_bytes() == before


@pytest.mark.parametrize("asked", [["nope.db"], ["--storage", "nope.db"]])
@pytest.mark.parametrize("command", ["races", "report", "runs", "export"])
def test_a_file_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, asked: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in ("`fallline race` makes one", "did you mean 'nopes.db'?"):
        told = CliRunner().invoke(app, [command, *asked])
        assert (told.exit_code, told.stdout) == (2, "")
        assert told.stderr.startswith(f"fallline: there is no file nope.db; {words}")
        Path("nopes.db").touch()
    assert not Path("nope.db").exists()


def test_a_folder_where_nothing_was_raced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = races()
    assert (shown.exit_code, "There are no races in fallline-runs.db" in shown.stdout) == (0, True)
    told = CliRunner().invoke(app, ["report"])
    assert (told.exit_code, "there is no file fallline-runs.db" in told.stderr) == (2, True)


@pytest.mark.parametrize(
    ("storage", "sentence"), [(".", "is a folder; give a file"), ("foo://x", "'foo' is no kind of")]
)
def test_a_storage_that_cannot_be_read(storage: str, sentence: str) -> None:
    shown = races("--storage", storage)
    assert shown.exit_code == 2
    assert shown.stderr.startswith("fallline: ")
    assert sentence in shown.stderr
