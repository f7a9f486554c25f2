from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fallline as fl
from fallline.racing.decision import Decision, Entrant, decide
from fallline.racing.decision.tables import Columns, entrants
from tests.racing.decision.cases import given

INF, NAN = math.inf, math.nan
Rows = dict[str, list[Any]]
COLUMNS = Columns("arm", ["configuration"], "seed", "validation", "test")


def rows(*, seeds: int = 5, rates: tuple[float, ...] = (0.001, 0.01, 0.1), gap: float = 0.1) -> Rows:
    """Accuracies of two arms, each over a few rates; the middle one is the best."""
    table: Rows = {name: [] for name in ("arm", "configuration", "seed", "validation", "test")}
    rng = np.random.default_rng(0)
    for arm, level in (("adam", 0.9), ("sgd", 0.9 - gap)):
        for place, rate in enumerate(rates):
            for seed in range(seeds):
                score = level - 0.05 * abs(place - 1)
                values = (arm, rate, seed, score + 0.005 * rng.standard_normal(), score + 0.005 * rng.standard_normal())
                for name, value in zip(table, values, strict=True):
                    table[name].append(value)
    return table


def judged(table: Any, **rest: Any) -> Decision:
    return fl.judge(table, higher_is_better=True, **rest)


def test_each_arm_takes_its_best_configuration() -> None:
    made = judged(rows())
    assert made.winner == "adam"
    assert made.take is not None
    assert made.take.configuration == {"configuration": 0.01}
    assert 0.05 < made.behind["sgd"] < 0.1
    assert made.metric == "test"
    assert made.counts.seeds == 5
    assert made.counts.trials == 3


def test_all_kinds_of_tables_say_the_same(tmp_path: Path) -> None:
    table = rows()
    frame = pd.DataFrame(table)
    frame.to_csv(tmp_path / "runs.csv", index=False)
    expected = judged(table)
    for one in (frame, frame.sample(frac=1, random_state=0), tmp_path / "runs.csv", str(tmp_path / "runs.csv")):
        assert judged(one) == expected


def test_records_are_judged_as_they_are() -> None:
    arms = [given("a", np.linspace(0.8, 0.9, 5)), given("b", np.linspace(0.2, 0.3, 5)[::-1])]
    assert judged(arms, margin=0.01) == decide(arms, higher_is_better=True, margin=0.01, metric="test")


def exported(words: tuple[str, str, str]) -> Rows:
    """The same runs as a tracker's export names them, all values as texts, with a run that crashed."""
    setting, metric, state = words
    table = rows()
    renamed = {
        "Name": [f"run-{number}" for number in range(len(table["arm"]) + 1)],
        state: ["finished"] * len(table["arm"]) + ["crashed"],
        f"{setting}optimizer": [*table["arm"], "sgd"],
        f"{setting}lr": [*map(str, table["configuration"]), "0.01"],
        f"{setting}seed": [*map(str, table["seed"]), "0"],
        f"{metric}val_accuracy": [*map(str, table["validation"]), "0.99"],
        f"{metric}test_accuracy": [*map(str, table["test"]), "0.99"],
    }
    return {name: list(values) for name, values in renamed.items()}


@pytest.mark.parametrize(
    "words", [("", "", "State"), ("params.", "metrics.", "status"), ("config.", "summary.", "State")]
)
def test_exports_of_trackers_are_read_as_they_are(words: tuple[str, str, str], tmp_path: Path) -> None:
    table = exported(words)
    with (tmp_path / "export.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    named = {
        "arm": "optimizer", "configuration": ["lr"], "validation": "val_accuracy", "test": "test_accuracy",
    }  # fmt: skip
    made = judged(tmp_path / "export.csv", **named)
    assert made == judged(pd.DataFrame(table), **named)
    expected = judged(rows())
    assert made.distances == expected.distances
    assert made.take is not None
    assert made.take.configuration == {"lr": 0.01}
    assert made.metric == "test_accuracy"
    assert made.notes[0] == "1 run that did not finish left out."
    assert made.notes[0] in made.lines


def changed(change: Any) -> Rows:
    table = rows()
    change(table)
    return table


def put(column: str, places: list[int], value: Any) -> Any:
    def change(table: Rows) -> None:
        for place in places:
            table[column][place] = value

    return change


@pytest.mark.parametrize("missing", [None, "", NAN, np.float32("nan"), pd.NA])
def test_a_missing_score_is_left_out_and_said_so(missing: Any) -> None:
    """Of the best configuration's first seed: so that seed is judged for no arm."""
    made = judged(changed(put("test", [5], missing)))
    assert made.counts.seeds == 5  # other configurations of the arm ran on all of them
    assert made.take is not None
    assert made.take.configuration != {"configuration": 0.01}
    assert made.notes[0] == "1 configuration of adam without test scores on all seeds left out."
    made = judged(changed(put("test", [0, 5, 10], missing)))
    assert made.counts.seeds == 4
    assert made.take is not None
    assert made.take.configuration == {"configuration": 0.01}
    assert "1 seed on which not every arm has test scores left out." in made.notes


def test_a_run_without_scores_is_left_out_and_said_so() -> None:
    table = rows()
    for column in ("validation", "test"):
        put(column, [0, 5, 10], None)(table)
    assert judged(table).notes[0] == "3 runs without any score left out; write inf where a run diverged."


@pytest.mark.parametrize("value", [INF, -INF, "inf", "Infinity", "NaN"])
def test_a_run_that_diverged_is_no_missing_score(value: Any) -> None:
    """Of the best configuration: the arm takes another one rather."""
    made = judged(changed(put("test", [7], value)))
    assert made.take is not None
    assert made.take.configuration != {"configuration": 0.01}
    assert made.counts.seeds == 5
    assert judged(changed(put("test", list(range(15)), value))).apart == ("adam",)
    assert judged(changed(put("test", [2, 7, 12], value))).diverged == {"adam": 1}


def test_runs_without_test_scores_are_trials() -> None:
    table = rows()
    for place, rate in enumerate((1e-5, 1e-4, 1.0)):
        for arm in ("adam", "sgd"):
            for name, value in zip(table, (arm, rate, 99, 0.1 * place, None), strict=True):
                table[name].append(value)
    found, notes = entrants(table, COLUMNS)
    assert notes == []
    assert [one.name for one in found] == ["adam", "sgd"]
    one = found[0]
    assert one.trials.shape == (6,)
    assert one.test.shape == (3, 5)
    assert one.configurations is not None
    rates = [float(configuration["configuration"]) for configuration in one.configurations]
    assert one.trials[[rates.index(rate) for rate in (1e-5, 1e-4, 1.0)]].tolist() == [0.0, 0.1, 0.2]
    assert one.places is not None
    assert one.places == pytest.approx(np.log(rates))


def test_runs_on_other_seeds_are_trials_beside_the_finals() -> None:
    table = rows()
    for seed, score, test in ((98, 0.25, None), (99, 0.75, 0.5)):
        for name, value in zip(table, ("adam", 0.01, seed, score, test), strict=True):
            table[name].append(value)
    found, notes = entrants(table, COLUMNS)
    assert notes == ["1 seed on which not every arm has test scores left out."]
    assert found[0].test.shape == (3, 5)
    assert found[0].configurations is not None
    rates = [one["configuration"] for one in found[0].configurations]
    assert found[0].trials[rates.index(0.01)] == 0.5  # the mean of the two
    assert found[1].trials[rates.index(0.01)] == pytest.approx(found[1].validation[rates.index(0.01)].mean())


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ([0.001, 0.01, 0.1], "log"),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], "plain"),
        ([0.0, 0.1, 0.2, 0.3], "plain"),
        ([-1, 0, 1], "plain"),
        ([1e-7, 1e-6, 1e-5, 1e-1, 1.0], None),  # a gap in the middle: not drawn evenly
        (["a", "b", "c"], None),
        ([0.001, "b", "c"], None),
    ],
)
def test_one_setting_that_was_drawn_evenly_has_places(settings: list[Any], places: str | None) -> None:
    table: Rows = {
        "arm": ["a"] * len(settings), "configuration": settings, "seed": [0] * len(settings),
        "validation": [0.5] * len(settings), "test": [0.5] * len(settings),
    }  # fmt: skip
    (found,), _ = entrants(table, COLUMNS)
    if places is None:
        assert found.places is None
    else:
        assert found.places is not None
        assert found.configurations is not None
        values = [float(one["configuration"]) for one in found.configurations]
        assert found.places == pytest.approx(np.log(values) if places == "log" else values)


def test_two_settings_that_differ_have_no_places() -> None:
    table = rows()
    table["momentum"] = [0.9 if number % 2 else 0.5 for number in table["seed"]]
    table["batch"] = [64] * len(table["seed"])
    with pytest.raises(ValueError, match="no seed in column"):
        entrants({**table, "seed": list(range(30))}, COLUMNS)
    found, _ = entrants(
        {**table, "seed": [number // 2 for number in table["seed"]]},
        Columns("arm", ["configuration", "momentum", "batch"], "seed", "validation", "test"),
    )
    assert found[0].places is None
    assert found[0].configurations is not None
    assert set(found[0].configurations[0]) == {"configuration", "momentum", "batch"}


def test_one_configuration_needs_no_validation() -> None:
    table = rows(rates=(0.01,))
    table["validation"] = [None] * len(table["arm"])
    made = judged(table)
    assert made.winner == "adam"
    assert made.counts.trials == 0
    assert judged(rows(rates=(0.01,)), configuration=[]).distances == made.distances


BAD: list[tuple[Any, dict[str, Any], str]] = [
    (lambda table: table.pop("seed"), {}, "no column 'seed'; there are arm, configuration, validation and test."),
    (lambda table: None, {"test": "accuracy"}, "There is no column 'accuracy'"),
    (lambda table: None, {"configuration": ["lr"]}, "configuration=[...], which is [] where each arm has one."),
    (put("arm", [3], None), {}, "Row 4 must name its arm and its seed; they are None and 3."),
    (put("seed", [3], ""), {}, "Row 4 must name its arm and its seed; they are 'adam' and ''."),
    (put("test", [3], "good"), {}, "Column 'test' must hold numbers; row 4 holds 'good'."),
    (put("validation", [3], "good"), {}, "Column 'validation' must hold numbers; row 4 holds 'good'."),
    (put("seed", [3], 2), {}, "configuration = 0.001 ran twice on seed 2: keep one of the runs (row 4)"),
    (lambda table: None, {"configuration": []}, "Arm 'adam' with its one configuration ran twice on seed 0"),
    (put("test", list(range(15)), None), {}, "adam must have at least one run with a score in column 'test'."),
    (put("validation", [3], None), {}, "'adam' ran 3 configurations on the test split, so column 'validation' must"),
    (lambda table: table["seed"].__setitem__(slice(0, 15), [5, 6, 7, 8, 9] * 3), {},
     "The arms must have run on the same seeds, to be compared in pairs; no seed in column 'seed' has a test score of"),
    (lambda table: table["test"].pop(), {}, "All columns must be equally long; they have [29, 30] rows."),
    (lambda table: [one.clear() for one in table.values()], {}, "at least one finished run with a score."),
]  # fmt: skip


@pytest.mark.parametrize(("change", "rest", "message"), BAD)
def test_bad_tables_are_refused_in_a_sentence(change: Any, rest: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        judged(changed(change), **rest)
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        judged(tmp_path / "none.csv")


def test_judging_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, fallline; fallline.judge; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_looks_share_the_level() -> None:
    assert judged(rows(), look=2).level < judged(rows(), look=1).level < 0.05
    assert isinstance(entrants(rows(), COLUMNS)[0][0], Entrant)
