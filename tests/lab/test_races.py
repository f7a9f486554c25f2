"""Races as their storage tells them, while they run and afterwards; with names that mean harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from fallline import rules
from fallline.lab import application as of_lab
from fallline.lab.application import application
from fallline.lab.guard import Address
from fallline.lab.races import LiveRace
from fallline.lab.requests import RequestError
from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.races import Card, kept_result, past_races
from fallline.racing.storage.store import Store, open_store
from fallline.training.updates import LaneRule

HOSTILE = "</script><img src=x onerror=alert(1)>\n\ndata: {}\n\n"
ARMS = ("adam", HOSTILE)
SPACE: dict[str, Any] = {"lr": {"low": 0.1, "high": 1.0, "scale": "log"}}
CARD = Card(HOSTILE, "p", "q", False, dict.fromkeys(ARMS, SPACE), {"effort": {}, "seed": 0}, 8)
RESULT = {
    "decision": {"winner": HOSTILE, "ranking": [HOSTILE]},
    "occasion": {"lines": [f"Take {HOSTILE}.", "Here only."]},
}


def run(arm: str) -> Run:
    return Run(arm, {"lr": 0.1}, 0, LaneRule(rules.adam, rules.adam.defaults), 1, 1)


def outcome(valid: float, score: float = np.nan) -> Outcome:
    one = np.ones(1)
    diverged = -1 if np.isfinite(valid) else 3
    return Outcome(one.astype(int), one.astype(int), one, one, np.array([valid]), diverged, score)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return str(tmp_path / "runs.db")


@pytest.fixture
def store(storage: str) -> Iterator[Store]:
    opened = open_store(storage, CARD)
    yield opened
    opened.close()


def add(store: Store, stage: str, *runs: tuple[str, Outcome]) -> None:
    keys = {number: f"{stage} {number}" for number in range(len(runs))}
    names, outcomes = [run(arm) for arm, _ in runs], [found for _, found in runs]
    store.add(stage, keys, dict(enumerate(names)), dict(enumerate(outcomes)))


def standings(told: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(standing.values()) for standing in told["arms"]]


def test_a_race_is_followed(storage: str, store: Store) -> None:
    race = LiveRace(storage, str(store.name))
    told = race.read()
    assert (told["kept"], told["planned"], told["stage"], told["finished"]) == (0, 8, None, False)
    assert standings(told) == [("adam", 0, 0, None, None), (HOSTILE, 0, 0, None, None)]
    add(
        store,
        "tune",
        ("adam", outcome(0.5)),
        (HOSTILE, outcome(0.7)),
        ("adam", outcome(0.4)),
        ("adam", outcome(np.nan)),
    )
    told = race.read()
    assert (told["kept"], told["stage"]) == (4, "tune")
    assert standings(told) == [("adam", 3, 1, 0.4, None), (HOSTILE, 1, 0, 0.7, None)]
    add(store, "finals", ("adam", outcome(0.1, 0.3)))
    told = race.read()
    assert (told["kept"], told["stage"], told["finished"]) == (5, "finals", False)
    assert standings(told)[0] == ("adam", 4, 1, 0.4, 0.3)
    store.answer(RESULT)
    assert (race.read()["finished"], race.read()["lines"]) == (True, [f"Take {HOSTILE}.", "Here only."])
    race.close()


def test_the_final_score_is_the_mean_of_one_configuration_and_no_luckiest_run(storage: str) -> None:
    card = replace(CARD, question="two finalists", command={"effort": {"finalists": 2, "seeds": 3}, "seed": 0})
    store = open_store(storage, card)
    race = LiveRace(storage, str(store.name))
    #: Of each arm the best configuration on two seeds, then the second best, which did better there; then on the third.
    first, rest = [0.5, 0.3, 0.1, 0.1, 0.9, np.nan, 0.2, 0.2], [0.4, 0.1, 0.6, 0.2]
    means: list[Any] = []
    for stage, scores in (("first finals", first), ("finals", rest)):
        for number, score in enumerate(scores):
            ran = {number: run(ARMS[2 * number // len(scores)])}
            store.add(stage, {number: f"{stage} {number}"}, ran, {number: outcome(score, score)})
            means.append([standing["final"] for standing in race.read()["arms"]])
    assert [mean for mean, _ in means] == pytest.approx([0.5, 0.4] + [0.4] * 10)
    assert [mean for _, mean in means] == [None] * 4 + [0.9] + [None] * 7  # only the race knows what a diverged seed is
    store.close()
    race.close()


def test_of_an_arm_of_which_nothing_is_searched_there_is_one_configuration(storage: str) -> None:
    command = {"effort": {"finalists": 2, "seeds": 2}, "seed": 0}
    store = open_store(storage, replace(CARD, spaces={"adam": {}, HOSTILE: SPACE}, command=command))
    race = LiveRace(storage, str(store.name))
    runs = [("adam", 0.5), ("adam", 0.3), (HOSTILE, 0.2), (HOSTILE, 0.4), (HOSTILE, 0.1), (HOSTILE, 0.1)]
    add(store, "finals", *((arm, outcome(score, score)) for arm, score in runs))
    assert [standing["final"] for standing in race.read()["arms"]] == pytest.approx([0.4, 0.3])
    store.close()
    race.close()


def client(storage: str) -> TestClient:
    return TestClient(application(Address("127.0.0.1", 8765), storage), base_url="http://127.0.0.1:8765")


def test_events_are_json_on_one_line(storage: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_lab, "_SECONDS_BETWEEN_READINGS", 0)
    add(store, "finals", (HOSTILE, outcome(0.1, 0.3)))
    store.answer(RESULT)
    answer = client(storage).get("/api/live", params={"race": str(store.name)})
    assert answer.headers["content-type"].startswith("text/event-stream")
    (event,) = answer.text.split("\n\n")[:-1]
    told = json.loads(event.removeprefix("data: "))
    assert told["finished"]
    assert standings(told)[1] == (HOSTILE, 1, 0, None, 0.3)


def test_races_are_listed(storage: str, store: Store) -> None:
    (race,) = client(storage).get("/api/races").json()["races"]
    assert race["problem"] == HOSTILE
    assert (race["name"], race["arms"], race["kept"], race["planned"]) == (store.name, list(ARMS), 0, 8)
    assert (race["finished"], race["winner"], race["lines"]) == (False, None, [])


def test_reading_makes_no_storage(storage: str) -> None:
    assert client(storage).get("/api/races").json() == {"races": []}
    answer = client(storage).get("/api/live?race=x")
    assert (answer.status_code, "There are no races in" in answer.json()["error"]) == (404, True)
    assert not Path(storage).exists()


def test_a_race_that_is_not_there(storage: str, store: Store) -> None:
    answer = client(storage).get("/api/live?race=x")
    assert (answer.status_code, answer.json()["error"][:22]) == (404, "There is no race 'x' i")


@pytest.mark.parametrize(
    ("storage", "words"),
    [("nonsense://x", "'nonsense' is no kind of database"), ("sqlite://", "is memory"), (".", "is a folder")],
)
def test_what_is_no_storage(storage: str, words: str) -> None:
    for address in ("/api/races", "/api/live?race=x"):
        answer = client(storage).get(address)
        assert (answer.status_code, words in answer.json()["error"]) == (404, True), answer.text


def test_only_so_many_look_at_once(storage: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_lab, "_STREAMS", 0)
    answer = client(storage).get("/api/live", params={"race": str(store.name)})
    assert (answer.status_code, "pages look at races already" in answer.json()["error"]) == (429, True)


def test_a_race_that_fails_to_be_read_ends_in_a_sentence(
    storage: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(race: LiveRace) -> None:
        raise RequestError(404, "The storage is gone.")

    monkeypatch.setattr(LiveRace, "read", fail)
    answer = client(storage).get("/api/live", params={"race": str(store.name)})
    assert answer.text == 'event: error\ndata: {"error": "The storage is gone."}\n\n'


def test_the_best_is_the_highest_where_higher_is_better(storage: str) -> None:
    store = open_store(storage, replace(CARD, higher_is_better=True))
    add(store, "tune", *(("adam", outcome(valid)) for valid in (0.5, 0.9, 0.4)))
    race = LiveRace(storage, str(store.name))
    assert standings(race.read())[0] == ("adam", 3, 0, 0.9, None)
    race.close()
    store.close()


def test_half_a_letter_in_a_storage_of_others(storage: str) -> None:
    """JSON can hold a lone surrogate; what is read of it gets into every file and page."""
    arm = "a\ud800"
    opened = open_store(storage, replace(CARD, spaces={arm: {}}))
    opened.answer({**RESULT, "arms": [arm]})
    opened.close()
    (race,) = past_races(storage)
    assert race.arms == ("a?",)
    assert kept_result(storage)["arms"] == ["a?"]
    told = LiveRace(storage, race.name)
    assert told.read()["arms"][0]["name"] == "a?"
    told.close()
