"""What a storage keeps of a race: bit for bit, whole or not at all, on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from sqlalchemy import update
from sqlalchemy.pool import QueuePool

from fallline import rules
from fallline.racing.arms.dimensions import Choice, Range
from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.database import open_database, tables
from fallline.racing.storage.races import RaceCard, kept_result, past_races
from fallline.racing.storage.store import Store, open_store
from fallline.racing.storage.trials import pack, unpack
from fallline.training.updates import LaneRule

CARD = RaceCard(
    problem="digits",
    fingerprint=json.dumps({"data": "1", "seed": "2"}),
    higher_is_better=True,
    spaces={
        "sgd": {"lr": Range(1e-4, 10.0), "batch": Choice((32, 64))},
        "adam": {"lr": Range(1e-6, 0.1), "batch": Choice((32, 64, 128)), "beta1": Range(0.5, 0.999, "complement")},
    },
    command={"problem": "digits", "arms": ["sgd", "adam"], "effort": {"trials": 4}, "seed": 2},
    planned_runs=10,
)
RUNS = {
    0: Run("sgd", {"lr": 0.1, "batch": 32}, 7, LaneRule(rules.gradient_descent, {"lr": 0.1}), 32, 5),
    1: Run("adam", {"lr": 0.01, "batch": 128, "beta1": 0.9}, 8, LaneRule(rules.adam, rules.adam.defaults), 128, 5),
}
VERDICT = {"winner": "adam", "ranking": ["adam", "sgd"]}
RESULT = {"verdict": VERDICT, "occasion": {"sentence": "adam is best"}, "arms": [1.5, None]}


def outcome(value: float = 0.1, **changes: Any) -> Outcome:
    curve = np.array([np.nan, value, 1 / 3])
    return replace(Outcome(np.array([0, 3, 5]), np.array([0, 96, 160]), curve, curve + 1, curve / 7, -1), **changes)


def same(one: Outcome, other: Outcome) -> bool:
    """Whether all is equal, bit by bit."""
    pairs = [(np.asarray(getattr(one, field.name)), np.asarray(getattr(other, field.name))) for field in fields(one)]
    return all((a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) for a, b in pairs)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "SQLite":
        yield str(tmp_path / "races of {mine}?.db")
        return
    url = request.getfixturevalue("server")
    yield url
    opened = open_database(url)
    for study in optuna.get_all_study_names(opened.storage):
        optuna.delete_study(study_name=study, storage=opened.storage)
    opened.close()


@pytest.fixture
def store(storage: str) -> Iterator[Store]:
    opened = open_store(storage, CARD)
    yield opened
    opened.close()


def trials_of(storage: str, name: str | None) -> list[optuna.trial.FrozenTrial]:
    opened = open_database(storage)
    trials = optuna.load_study(study_name=str(name), storage=opened.storage).trials
    opened.close()
    return trials


OUTCOMES = [
    pytest.param(outcome(), id="curves with NaN"),
    pytest.param(outcome(0.5, valid_loss=np.array([0.5, -0.0, np.inf])), id="single precision, signed zero, infinity"),
    pytest.param(outcome(valid_metric=np.array([1e300, 5e-324, -np.nan])), id="beyond single precision"),
    pytest.param(outcome(diverged_at=3), id="diverged"),
    pytest.param(outcome(score=0.1, examples=np.array([1.0, 0.0, 1 / 3])), id="scored"),
    pytest.param(outcome(score=np.inf, examples=np.empty(0)), id="infinite score, no examples"),
    pytest.param(outcome(samples=np.array([0, 2**40, 2**62])), id="large counts"),
]


@pytest.mark.parametrize("there", OUTCOMES)
def test_packing_loses_no_bit(there: Outcome) -> None:
    assert same(unpack(json.loads(json.dumps(pack(there), allow_nan=False))), there)


def test_hits_of_many_examples_take_little_room() -> None:
    hits = (np.random.default_rng(0).random(10_000) < 0.9).astype(np.float64)
    assert len(json.dumps(pack(outcome(examples=hits)))) < 5_000


def test_runs_are_read_back_as_they_were(storage: str, store: Store) -> None:
    given = {
        "tuning": {0: outcome(), 1: outcome(diverged_at=3)},
        "finals": {0: outcome(score=0.7), 1: outcome(score=1 / 3)},
    }
    for stage, outcomes in given.items():
        store.add(stage, RUNS, outcomes)
    store.close()
    again = open_store(storage, CARD)
    assert (store.resumed, store.kept, again.resumed, again.kept) == (False, 0, True, 4)
    assert again.name == store.name
    for stage, outcomes in given.items():
        assert again.outcomes(stage).keys() == outcomes.keys()
        assert all(same(again.outcomes(stage)[number], one) for number, one in outcomes.items())
    assert again.outcomes("tuning, rung 2") == {}
    again.close()


def test_every_run_is_a_trial_as_the_dashboard_shows_it(storage: str, store: Store) -> None:
    store.add("tuning", RUNS, {0: outcome(), 1: outcome(diverged_at=3)})
    store.add("finals", RUNS, {1: outcome(score=0.75)})
    trials = trials_of(storage, store.name)
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert [trial.value for trial in trials] == [outcome().valid_metric[-1], None, 0.75]
    facts = [{key: trial.user_attrs[key] for key in ("arm", "stage", "number", "seed")} for trial in trials]
    assert facts[2] == {"arm": "adam", "stage": "finals", "number": 1, "seed": 8}
    # The arms' batch sizes differ, which Optuna does not allow under one name.
    assert [trial.params for trial in trials[:2]] == [
        {"lr": 0.1, "sgd.batch": 32},
        {"lr": 0.01, "adam.batch": 128, "beta1": 0.9},
    ]
    assert trials[0].distributions["lr"] == optuna.distributions.FloatDistribution(1e-4, 10.0, log=True)


def test_of_two_runs_of_one_number_the_first_stays(storage: str, store: Store) -> None:
    store.add("tuning", RUNS, {0: outcome(0.1)})
    store.add("tuning", RUNS, {0: outcome(0.2), 1: outcome(0.3)})
    assert len(trials_of(storage, store.name)) == 2
    assert same(store.outcomes("tuning")[0], outcome(0.1))


@pytest.mark.parametrize(
    "tampered", ["{}", "3", '{"bytes": "!", "arrays": {}}', '{"bytes": "AAAA", "arrays": {"steps": ["<i8", 3]}}']
)
def test_what_is_no_whole_run_is_trained_again(tmp_path: Path, tampered: str) -> None:
    attribute = tables().TrialUserAttributeModel
    storage = str(tmp_path / "races.db")
    store = open_store(storage, CARD)
    store.add("tuning", {0: RUNS[0]}, {0: outcome()})
    store.close()
    opened = open_database(storage)
    optuna.load_study(study_name=str(store.name), storage=opened.storage).add_trial(optuna.create_trial(value=1.0))
    with opened.session() as session:
        session.execute(update(attribute).where(attribute.key == "outcome").values(value_json=tampered))
    opened.close()
    again = open_store(storage, CARD)
    assert (again.kept, again.outcomes("tuning")) == (0, {})
    again.add("tuning", {0: RUNS[0]}, {0: outcome()})
    again.close()
    third = open_store(storage, CARD)
    assert third.kept == 1
    third.close()


def test_a_bulk_that_fails_leaves_nothing(storage: str, store: Store) -> None:
    strange = replace(RUNS[1], configuration={"lr": 0.1, "unknown": 1.0})
    with pytest.raises(KeyError):
        store.add("tuning", {0: RUNS[0], 1: strange}, {0: outcome(), 1: outcome()})
    assert trials_of(storage, store.name) == []
    assert store.outcomes("tuning") == {}


@pytest.mark.parametrize("fact", [{"mode": "batched", "width": 128}, [0.1, 1e-300], "text \x00 ü ☃", 0, {}])
def test_facts_are_kept(storage: str, fact: Any) -> None:
    store = open_store(storage, CARD)
    assert store.recall("plan") is None
    store.remember("plan", "before")
    store.remember("plan", fact)
    store.close()
    again = open_store(storage, CARD)
    assert again.recall("plan") == fact
    again.close()


def test_a_finished_race_begins_anew_unless_it_is_named(storage: str, store: Store) -> None:
    store.add("tuning", RUNS, {0: outcome()})
    store.remember("result", RESULT)
    store.close()
    fresh = open_store(storage, CARD)
    assert (fresh.resumed, fresh.kept) == (False, 0)
    assert fresh.name != store.name  # though begun within the same second
    fresh.close()
    named = open_store(storage, CARD, name=store.name)
    assert (named.resumed, named.kept, named.recall("result")) == (True, 1, RESULT)
    named.close()


def test_a_race_that_cannot_be_told_apart_is_taken_up_by_its_name_alone(tmp_path: Path) -> None:
    card = replace(CARD, fingerprint=json.dumps({"data": "1", "unknown": ["_thread.lock"]}))
    store = open_store(tmp_path / "races.db", card)
    store.close()
    with pytest.warns(UserWarning, match=f"a new race begins: '{store.name}' was stopped, but .* holds _thread.lock"):
        fresh = open_store(tmp_path / "races.db", card)
    assert not fresh.resumed
    fresh.close()
    named = open_store(tmp_path / "races.db", card, name=store.name)
    assert named.resumed
    named.close()


FOREIGN = [
    "3", "null", "[]", "{}", "no JSON", '{"problem": "digits"}',
    json.dumps({**CARD.as_fact(datetime(2026, 1, 1)), "fingerprint": "3"}),
    json.dumps({**CARD.as_fact(datetime(2026, 1, 1)), "started": "yesterday"}),
    json.dumps({**CARD.as_fact(datetime(2026, 1, 1)), "command": {"effort": "quick", "seed": 1}}),
]  # fmt: skip


@pytest.mark.parametrize("card", FOREIGN)
def test_what_is_no_race_is_passed_over(tmp_path: Path, card: str) -> None:
    path = tmp_path / "races.db"
    theirs = open_store(path, replace(CARD, problem="theirs"))
    theirs.remember("result", RESULT)
    theirs.close()
    own = open_store(path, replace(CARD, problem="own"))
    opened = open_database(path)
    attribute = tables().StudyUserAttributeModel
    with opened.session() as session:
        change = update(attribute).where(attribute.key == "fallline race", attribute.study_id == 1)
        session.execute(change.values(value_json=card))
    opened.close()
    assert [race.problem for race in past_races(path)] == ["own"]
    own.close()
    again = open_store(path, CARD)
    assert (again.name, again.resumed) == (own.name, True)
    again.close()
    with pytest.raises(ValueError, match=f"there is no race '{theirs.name}' in .*; it has '{own.name}'"):
        open_store(path, CARD, name=theirs.name)


@pytest.mark.parametrize("result", [3, "x", {}, {"verdict": 3, "occasion": {}}])
def test_what_is_no_result_is_passed_over(tmp_path: Path, result: Any) -> None:
    store = open_store(tmp_path / "races.db", CARD)
    store.remember("result", result)
    store.close()
    assert [race.finished for race in past_races(tmp_path / "races.db")] == [False]


def test_a_storage_that_is_refused_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = tmp_path / "races.db", open_database(tmp_path / "races.db")
    monkeypatch.setattr("fallline.racing.storage.store.open_database", lambda storage: opened)
    with pytest.raises(ValueError, match="there is no race 'other'"):
        open_store(path, CARD, name="other")
    pool = opened.storage.engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedin() == 0


def test_another_race_begins_anew(storage: str, store: Store) -> None:
    other = open_store(storage, replace(CARD, fingerprint=json.dumps({"data": "1", "seed": "3"})))
    assert not other.resumed
    assert other.name != store.name
    other.close()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fingerprint": '{"data": "9", "seed": "2"}'}, "differs in its data; start it as it was begun"),
        (
            {"fingerprint": '{"data": "9", "seed": "3"}', "command": {**CARD.command, "seed": 3}},
            r"differs in its data, seed \(2 there, 3 here\);",
        ),
        (
            {"fingerprint": '{"data": "1", "seed": "2", "arms": "4"}', "spaces": {"lion": {}}},
            r"differs in its arms \(sgd, adam there, lion here\);",
        ),
        (
            {"fingerprint": '{"data": "1", "seed": "2", "effort": "4"}', "command": {"effort": {"trials": 8}}},
            r"differs in its effort \(trials 4 there, trials 8 here\);",
        ),
    ],
)
def test_a_named_race_must_be_the_same(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    store = open_store(tmp_path / "races.db", CARD)
    store.close()
    with pytest.raises(ValueError, match=sentence):
        open_store(tmp_path / "races.db", replace(CARD, **changes), name=store.name)
    with pytest.raises(ValueError, match=r"there is no race 'other' in .*races.db; it has 'digits \d{4}-"):
        open_store(tmp_path / "races.db", CARD, name="other")


def test_past_races_come_newest_first(storage: str, store: Store) -> None:
    store.add("tuning", RUNS, {0: outcome(), 1: outcome()})
    store.remember("result", RESULT)
    other = open_store(storage, replace(CARD, problem="moons \x1b\ud800"))
    newest, oldest = past_races(storage)
    assert (oldest.name, oldest.problem, oldest.arms, oldest.seed) == (store.name, "digits", ("sgd", "adam"), 2)
    assert (oldest.finished, oldest.kept, oldest.planned) == (True, 2, 10)
    assert (oldest.winner, oldest.ranking, oldest.sentence) == ("adam", ("adam", "sgd"), "adam is best")
    assert (newest.name, newest.finished, newest.kept, newest.sentence) == (other.name, False, 0, None)
    assert newest.command == CARD.command
    assert str(newest.name).startswith("moons ?? 20")
    other.close()
    assert kept_result(storage) == kept_result(storage, store.name) == RESULT
    for name, sentence in ((other.name, "has not finished"), ("x", "there is no race 'x'")):
        with pytest.raises(LookupError, match=sentence):
            kept_result(storage, name)


def test_a_storage_that_is_not_there_holds_no_races_and_is_not_made(tmp_path: Path) -> None:
    assert past_races(tmp_path / "none.db") == []
    with pytest.raises(LookupError, match=r"no race in .* has finished"):
        kept_result(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_without_a_storage_nothing_is_kept() -> None:
    store = open_store(None, CARD)
    store.add("tuning", RUNS, {0: outcome()})
    store.remember("plan", 1)
    assert (store.name, store.where, store.resumed, store.kept) == (None, None, False, 0)
    assert (store.outcomes("tuning"), store.recall("plan")) == ({}, None)
    store.close()
    with pytest.raises(ValueError, match="can't be taken up without a storage"):
        open_store(None, CARD, name="digits")


def test_a_password_is_told_to_nobody(server: str) -> None:
    store = open_store(server, CARD)
    assert store.where is not None
    assert "racer:***@" in store.where
    store.close()
    with pytest.raises(OSError, match="password authentication failed") as refused:
        open_database(server.replace("p%40ss", "guess"))
    assert "guess" not in str(refused.value)
    assert "racer:***@" in str(refused.value)
