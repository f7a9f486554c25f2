"""What a storage keeps of runs and races: bit for bit, whole or not at all, on SQLite and a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from fallline import rules
from fallline.racing.arms.dimensions import Choice, Range
from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.database import open_database
from fallline.racing.storage.kept import export_to_optuna, forget_runs, kept_runs
from fallline.racing.storage.lasting import Lasting
from fallline.racing.storage.outcomes import pack, unpack
from fallline.racing.storage.races import Card, kept_result, past_races
from fallline.racing.storage.schema import tables
from fallline.racing.storage.store import Store, open_store
from fallline.training.updates import LaneRule

SPACES: dict[str, dict[str, Range | Choice]] = {
    "sgd": {"lr": Range(1e-4, 10.0), "batch": Choice((32, 64))},
    "adam": {"lr": Range(1e-6, 0.1), "batch": Choice((32, 64, 128)), "beta1": Range(0.5, 0.999, "complement")},
}
CARD = Card(
    problem="digits",
    problem_key="p",
    question="q",
    higher_is_better=True,
    spaces={arm: {name: one.to_json() for name, one in space.items()} for arm, space in SPACES.items()},
    command={"problem": "digits", "arms": ["sgd", "adam"], "effort": {"trials": 4}, "seed": 2},
    planned_runs=10,
)
RUNS = {
    0: Run("sgd", {"lr": 0.1, "batch": 32}, 7, LaneRule(rules.gradient_descent, {"lr": 0.1}), 32, 5),
    1: Run("adam", {"lr": 0.01, "batch": 128, "beta1": 0.9}, 8, LaneRule(rules.adam, rules.adam.defaults), 128, 5),
}
KEYS = {0: "k0", 1: "k1"}
DECISION = {"winner": "adam", "ranking": ["adam", "sgd"]}
RESULT = {"decision": DECISION, "occasion": {"lines": ["Take adam."]}, "arms": [1.5, None]}


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
        yield str(tmp_path / "runs of {mine}?.db")
        return
    url = request.getfixturevalue("server")
    yield url
    opened = open_database(url)
    tables().runs.metadata.drop_all(opened.engine)
    opened.close()


@pytest.fixture
def store(storage: str) -> Iterator[Store]:
    opened = open_store(storage, CARD)
    yield opened
    opened.close()


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
    assert same(unpack(pack(there)), there)


def test_hits_of_many_examples_take_little_room() -> None:
    hits = (np.random.default_rng(0).random(10_000) < 0.9).astype(np.float64)
    assert len(pack(outcome(examples=hits))) < 4_000


@pytest.mark.parametrize("damage", [b"", b"x", pack(outcome())[:-9], pack(outcome())[:9] + b"!" + pack(outcome())[10:]])
def test_what_is_no_whole_outcome_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        unpack(damage)


def test_runs_are_read_back_as_they_were(storage: str, store: Store) -> None:
    given = {0: outcome(), 1: outcome(diverged_at=3)}
    assert (store.there(["k0", "k1"]), store.read(["k0"])) == (set(), {})
    store.add("tuning", KEYS, RUNS, given)
    store.close()
    again = open_store(storage, replace(CARD, question="another"))  # which shares what it can
    assert again.there(["k1", "k2", "k0"]) == {"k0", "k1"}
    found = again.read(["k0", "k1", "k2"])
    assert found.keys() == {"k0", "k1"}
    assert all(same(found[KEYS[number]], one) for number, one in given.items())
    again.close()


def test_thousands_of_keys_are_asked_for_at_once(storage: str, store: Store) -> None:
    keys = {number: f"{number:04}" for number in range(1_200)}
    store.add("tuning", keys, dict.fromkeys(keys, RUNS[0]), {number: outcome(float(number)) for number in keys})
    assert store.there([*keys.values(), "other"]) == set(keys.values())
    assert float(store.read(["0700"])["0700"].train_loss[1]) == 700.0


@pytest.mark.parametrize("damage", [b"", b"x", pack(outcome())[:-5]])
def test_a_damaged_run_is_as_if_it_were_not_there(storage: str, store: Store, damage: bytes) -> None:
    store.add("tuning", KEYS, RUNS, {0: outcome(), 1: outcome()})
    opened = open_database(storage)
    runs = tables().runs
    with opened.transaction() as connection:
        connection.execute(runs.update().where(runs.c.key == "k0").values(outcome=damage))
    opened.close()
    assert store.read(["k0", "k1"]).keys() == {"k1"}
    store.add("tuning", KEYS, RUNS, {0: outcome(0.5)})
    assert same(store.read(["k0"])["k0"], outcome(0.5))


def test_a_fresh_race_forgets_its_problem(storage: str, store: Store) -> None:
    store.add("tuning", KEYS, RUNS, {0: outcome(), 1: outcome()})
    store.remember("p", "plan", 1)
    other = open_store(storage, replace(CARD, problem_key="other", question="other"))
    other.add("tuning", {0: "another's"}, RUNS, {0: outcome()})
    other.remember("other", "plan", 2)
    fresh = open_store(storage, CARD, fresh=True)
    assert (fresh.there(["k0", "k1", "another's"]), fresh.recall("p", "plan")) == ({"another's"}, None)
    assert other.recall("other", "plan") == 2
    fresh.add("tuning", KEYS, RUNS, {1: outcome(0.7)})
    assert same(store.read(["k0", "k1"])["k1"], outcome(0.7))
    for one in (fresh, other):
        one.close()


def test_what_fails_half_way_leaves_nothing(storage: str, store: Store) -> None:
    with pytest.raises(AttributeError):
        store.add("tuning", KEYS, RUNS, {0: outcome(), 1: None})  # type: ignore[dict-item]
    assert store.there(["k0", "k1"]) == set()


@pytest.mark.parametrize("fact", [{"mode": "batched", "width": 128}, [0.1, 1e-300], "text ü ☃", 0, {}])
def test_facts_are_kept(storage: str, fact: Any) -> None:
    store = open_store(storage, CARD)
    assert store.recall("p", "plan") is None
    store.remember("p", "plan", fact)
    store.remember("p", "plan", "of another race, a moment later")
    store.remember("other", "plan", 1)
    store.close()
    again = open_store(storage, CARD)
    assert again.recall("p", "plan") == fact
    again.close()


def test_a_question_has_one_race(storage: str, store: Store) -> None:
    again, other = open_store(storage, CARD), open_store(storage, replace(CARD, question="other"))
    assert again.name == store.name != other.name  # though asked within the same second
    again.close()
    other.close()


def test_races_that_share_runs_do_not_wait_for_each_other(storage: str) -> None:
    """Each adds the same runs in an order of its own, in one transaction."""
    keys = {number: f"{number:04}" for number in range(300)}
    backward = dict(reversed(keys.items()))
    stores = [open_store(storage, replace(CARD, question=question)) for question in "ab"]

    def add(store: Store, order: dict[int, str]) -> None:
        for _ in range(6):
            store.add("tuning", order, dict.fromkeys(order, RUNS[0]), {number: outcome() for number in order})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, stores, [keys, backward]))
    assert [race.kept for race in past_races(storage)] == [300, 300]
    for store in stores:
        store.close()


def test_of_many_that_ask_at_once_all_have_one_race(storage: str) -> None:
    open_store(storage, replace(CARD, question="first")).close()
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda question: open_store(storage, replace(CARD, question=question)), "abcabc"))
    names = [store.name for store in stores]
    assert (len(set(names)), names[:3]) == (3, names[3:])
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda store: [store.add("tuning", KEYS, RUNS, {0: outcome()}) for _ in range(5)], stores))
    assert [race.kept for race in past_races(storage)] == [1, 1, 1, 0]
    for store in stores:
        store.close()


def test_past_races_come_newest_first(storage: str, store: Store) -> None:
    store.add("tuning", KEYS, RUNS, {0: outcome(), 1: outcome()})
    store.answer(RESULT)
    other = open_store(storage, replace(CARD, problem="moons \x1b", question="other"))
    other.ask("tuning", {3: "k0"})
    newest, oldest = past_races(storage)
    assert (oldest.name, oldest.problem, oldest.arms, oldest.seed) == (store.name, "digits", ("sgd", "adam"), 2)
    assert (oldest.finished, oldest.kept, oldest.planned) == (True, 2, 10)
    assert (oldest.winner, oldest.ranking, oldest.lines) == ("adam", ("adam", "sgd"), ("Take adam.",))
    assert (newest.name, newest.finished, newest.kept, newest.lines) == (other.name, False, 1, ())
    assert newest.command == CARD.command
    assert str(newest.name).startswith("moons ? 20")
    other.close()
    assert kept_result(storage) == kept_result(storage, store.name) == RESULT
    for name, sentence in ((other.name, "has not finished"), ("x", "there is no race 'x'")):
        with pytest.raises(LookupError, match=sentence):
            kept_result(storage, name)


def change(storage: str | Path, **values: Any) -> None:
    """Tamper with all races."""
    opened = open_database(storage)
    with opened.transaction() as connection:
        connection.execute(tables().races.update().values(**values))
    opened.close()


@pytest.mark.parametrize("card", ["3", "null", "[]", "{}", "no JSON", '{"problem": "digits"}', None])
def test_what_is_no_race_is_passed_over(tmp_path: Path, card: str | None) -> None:
    path = tmp_path / "runs.db"
    open_store(path, CARD).close()
    change(path, card=card)
    open_store(path, replace(CARD, question="own", problem="own")).close()
    assert [race.problem for race in past_races(path)] == ["own"]


@pytest.mark.parametrize("result", ["3", "x", "{}", '{"decision": 3, "occasion": {}}'])
def test_what_is_no_result_is_passed_over(tmp_path: Path, result: str) -> None:
    open_store(tmp_path / "runs.db", CARD).close()
    change(tmp_path / "runs.db", result=result)
    assert [race.finished for race in past_races(tmp_path / "runs.db")] == [False]


@pytest.mark.parametrize(
    ("some", "left"),
    [({"problem": "digits"}, 1), ({"arm": "adam"}, 2), ({"problem": "digits", "arm": "sgd"}, 2), ({"arm": "x"}, 3)],
)
def test_runs_are_listed_and_forgotten(storage: str, store: Store, some: dict[str, str], left: int) -> None:
    moons = open_store(storage, replace(CARD, problem="moons", question="other"))
    store.add("tuning", KEYS, RUNS, {0: outcome(), 1: outcome(diverged_at=3)})
    moons.add("finals", {0: "m0"}, RUNS, {0: outcome(score=0.75)})
    moons.close()
    first, second, third = kept_runs(storage)
    assert (first.key, first.arm, first.configuration, first.seed, first.steps) == (
        "k0",
        "sgd",
        RUNS[0].configuration,
        7,
        5,
    )
    assert [(run.scored, run.value) for run in (first, second, third)] == [
        (False, outcome().valid_metric[-1]), (False, None), (True, 0.75),
    ]  # fmt: skip
    assert forget_runs(storage, **some) == 3 - left == 3 - len(kept_runs(storage))
    assert kept_runs(storage, **some) == []


def test_races_are_written_for_optuna(storage: str, store: Store, tmp_path: Path) -> None:
    store.add("tuning", KEYS, RUNS, {0: outcome(), 1: outcome(diverged_at=3)})
    other = open_store(storage, replace(CARD, question="other", higher_is_better=False))
    other.ask("tuning", {0: "k0"})
    other.add("finals", {1: "f1"}, RUNS, {1: outcome(score=0.75)})
    other.close()
    file = tmp_path / "optuna.db"
    assert export_to_optuna(storage, file) == (2, 4)
    there = f"sqlite:///{file}"
    one, two = (optuna.load_study(study_name=str(made.name), storage=there) for made in (store, other))
    assert [study.direction.name for study in (one, two)] == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.state.name for trial in one.trials] == ["COMPLETE", "FAIL"]
    assert [trial.value for trial in one.trials] == [outcome().valid_metric[-1], None]
    assert [trial.params for trial in one.trials] == [RUNS[0].configuration, RUNS[1].configuration]
    assert two.trials[1].user_attrs == {"arm": "adam", "stage": "finals", "seed": 8, "steps": 5, "key": "f1"}
    with pytest.raises(FileExistsError, match="is there already; give --optuna another file"):
        export_to_optuna(storage, file)
    with pytest.raises(LookupError, match="there is no race 'x'"):
        export_to_optuna(storage, tmp_path / "x.db", "x")
    assert export_to_optuna(storage, tmp_path / "one.db", store.name) == (1, 2)


def test_a_storage_that_is_not_there_holds_no_races_and_is_not_made(tmp_path: Path) -> None:
    assert (past_races(tmp_path / "none.db"), kept_runs(tmp_path / "none.db")) == ([], [])
    assert forget_runs(tmp_path / "none.db", "digits") == 0
    with pytest.raises(LookupError, match=r"no race in .* has finished"):
        kept_result(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_without_a_storage_nothing_is_kept() -> None:
    notes: list[str] = []
    store = Lasting(None, notes.append)
    store.add("tuning", KEYS, RUNS, {0: outcome()})
    store.remember("p", "plan", 1)
    assert (store.name, store.where, store.told(), notes) == (None, None, (), [])
    assert (store.there(["k0"]), store.read(["k0"]), store.recall("p", "plan")) == (set(), {}, None)
    store.close()


def test_a_password_is_told_to_nobody(server: str) -> None:
    store = open_store(server, CARD)
    assert store.where is not None
    assert "racer:***@" in store.where
    store.close()
    with pytest.raises(OSError, match="password authentication failed") as refused:
        open_database(server.replace("p%40ss", "guess"))
    assert "guess" not in str(refused.value)
    assert "racer:***@" in str(refused.value)
