"""The race report: what it says, that it holds all it needs, and that no name gets out of its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fallline.cli.main import app
from fallline.pages.charts.curves import curves, curves_picture
from fallline.pages.charts.leaderboard import leaderboard, leaderboard_pictures, shown_goal
from fallline.pages.charts.race_data import read_race
from fallline.pages.report import measured, not_tuned, report_page, runs_csv, write_report
from fallline.racing.storage.races import Card
from fallline.racing.storage.store import open_store
from tests.pages.report_cases import HOSTILE, also_searched, diverge, diverged_trial, race_data, slices

SECTIONS = ["leaderboard", "curves", "sensitivity", "budget", "landscape", "measured"]


class Elements(HTMLParser):
    """All elements of a page with their attributes, the text of each, and all text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        if self.found[-1][0] in ("script", "style"):
            self.found.append(("", {}, []))

    def handle_data(self, data: str) -> None:
        if self.found:
            self.found[-1][2].append(data)
            if self.found[-1][0] not in ("script", "style"):
                self.text += data

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(texts)) for name, attributes, texts in self.found if name == tag]


def full_race(*names: str) -> dict[str, Any]:
    data = diverged_trial(diverge(race_data(names or ("sgd", "adam")), 0, 2), 1, 3)
    arms = [arm["name"] for arm in data["arms"]]
    return {
        **also_searched(data, "batch", {"options": [8, 16]}, [8, 16, 8, 16]),
        "slices": [slices(arms, 1), slices(arms, 2)],
    }


@pytest.fixture(scope="module")
def page() -> str:
    return report_page(full_race())


def test_the_sections_in_order(page: str) -> None:
    assert re.findall(r'<h2 id="(\w+)"', page) == ["warnings", *SECTIONS]
    text = Elements(page).text
    for said in ("A tie: sgd and adam", "It is a tie, on this problem only.", "Take care.", "norms", "momentum = 0.9"):
        assert said in text


def test_a_race_alone_has_no_landscape() -> None:
    assert re.findall(r'<h2 id="(\w+)"', report_page(race_data(("adam",)))) == [
        "warnings", *(section for section in SECTIONS if section != "landscape"),
    ]  # fmt: skip


def test_what_the_landscape_lacks_is_told() -> None:
    text = Elements(report_page(race_data(("sgd", "adam", "lion")) | {"slices": [slices(["sgd", "adam"], 1)]})).text
    assert "Not shown, as their runs diverged: lion." in text
    assert "Lines and maps have gaps where the loss is not finite: at 2 of 6 points." in text


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({"winner": "adam"}, "Winner: adam"),
        ({"ties": [["sgd", "adam"]]}, "A tie: sgd and adam"),
        ({"ties": [["sgd", "a", "b", "c", "d"]]}, "A tie of 5 arms"),
        ({"ties": []}, "No winner is named"),
    ],
)
def test_the_headline(changes: dict[str, Any], headline: str) -> None:
    data = race_data()
    data["verdict"] |= changes
    assert f"<h1>{headline}</h1>" in report_page(data)


def test_a_ranking_is_not_called_a_tie() -> None:
    assert "<h1>No winner is named</h1>" in report_page(race_data(names_winner=False))


def test_the_page_asks_for_nothing(page: str) -> None:
    addresses = [
        value for _, found, _ in Elements(page).found for name in ("src", "href") if (value := found.get(name))
    ]
    assert addresses
    assert all(address.startswith("data:") for address in addresses)


def test_the_policy_lets_its_own_scripts_run_alone(page: str) -> None:
    elements = Elements(page)
    policy = next(str(found["content"]) for found, _ in elements.all("meta") if "http-equiv" in found)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    scripts = [text for found, text in elements.all("script") if "type" not in found]
    packed = next(text for found, text in elements.all("script") if found.get("id") == "plotly")
    for script in [*scripts, gzip.decompress(b64decode(packed)).decode()]:
        assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert policy.count("'sha256-") == len(scripts) + 1


def test_no_name_leaves_its_place(page: str) -> None:
    hostile = report_page(full_race(HOSTILE, "<!--adam"))
    elements, harmless = Elements(hostile), Elements(page)
    assert [name for name, _, _ in elements.found] == [name for name, _, _ in harmless.found]
    assert not any(name.startswith("on") for _, found, _ in elements.found for name in found)
    assert HOSTILE in elements.text
    assert all(
        json.loads(text) is not None for found, text in elements.all("script") if "json" in str(found.get("type"))
    )


def test_the_downloads_are_the_data(page: str) -> None:
    links = {str(found["download"]): str(found["href"]) for found, _ in Elements(page).all("a")}
    files = {name: gzip.decompress(b64decode(link.split(",")[1])).decode() for name, link in links.items()}
    assert json.loads(files["race.json.gz"]) == full_race()
    rows = list(csv.DictReader(io.StringIO(files["runs.csv.gz"])))
    assert len(rows) == 2 * (4 + 10)
    assert rows[4] == {
        "arm": "sgd", "stage": "final", "trial": "2", "seed": "0", "diverged": "True", "steps": "30", "samples": "240",
        "train_loss": "", "valid_loss": "", "valid_metric": "", "test_score": "", "lr": "0.1", "batch": "8",
    }  # fmt: skip


def test_a_landscape_of_very_large_numbers_is_drawn() -> None:
    line = slices(["sgd", "adam"], 1) | {"losses": [[1e200, 1e-3, 2.0], [2.0, 0.5, 2.0]]}
    assert "landscape" in report_page(race_data() | {"slices": [line]})


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+a", "-a", "@a"])
def test_no_name_is_a_formula_in_a_spreadsheet(name: str) -> None:
    data = also_searched(race_data((name,)), name, {"low": -1.0, "high": 1.0, "scale": "linear"}, [-0.5] * 4)
    row = next(csv.DictReader(io.StringIO(runs_csv(data))))
    assert (row["arm"], row[f"'{name}"]) == (f"'{name}", "-0.5")


def test_the_same_race_gives_the_same_page(page: str) -> None:
    assert report_page(full_race()) == page


@pytest.mark.parametrize(
    ("arm", "heading", "text", "value", "remark"),
    [
        (0, "arm", "sgd", "sgd", ""),
        (0, "test loss (95 % interval)", "0.5450 (0.5200 to 0.5700)", 0.545, ""),
        (0, "seeds", "8 of 10", 8, ""),
        (1, "seeds", "10", 10, ""),
        (0, "best lr", "0.1", 0.1, ""),
        (1, "steps to 1", "20", 20, ""),
        (1, "time to 1", "400 ms", 0.4, ""),
        (1, "time a step", "20 ms", 0.02, ""),
        (0, "bytes per parameter", "20", 20.0, ""),
        (0, "diverged", "0 + 2", 2, ""),
        (1, "diverged", "1 + 0", 1, ""),
    ],
)
def test_the_leaderboard(arm: int, heading: str, text: str, value: Any, remark: str) -> None:
    board = leaderboard(read_race(diverged_trial(diverge(race_data(), 0, 2), 1, 0)))
    cell = board.rows[arm][board.headings.index(heading)]
    assert (cell.text, cell.value, cell.remark) == (
        text,
        value if isinstance(value, str) else pytest.approx(value),
        remark,
    )


@pytest.mark.parametrize(("lr", "remark"), [(8.0, "at the edge"), (1.0, "")])
def test_the_edge_of_the_space_is_marked(lr: float, remark: str) -> None:
    data = race_data()
    first = data["arms"][0]
    first["finals"][0]["trial"], first["best"]["configuration"] = 3, {"lr": lr}
    first["trials"][3]["configuration"] = {"lr": lr}
    board = leaderboard(read_race(data))
    assert [row[board.headings.index("best lr")].remark for row in board.rows] == [remark, ""]


def test_step_times_of_several_rounds_have_intervals() -> None:
    data = race_data()
    data["occasion"]["step_seconds_by_round"] = {
        name: [seconds * (1 + place / 10) for place in range(7)]
        for name, seconds in data["occasion"]["step_seconds"].items()
    }
    race = read_race(data)
    board = leaderboard(race)
    cells = dict(zip(board.headings, board.rows[0], strict=True))
    assert cells["time a step"].text == "13 ms (10 to 16)"
    assert cells["time to 1"].text == "260 ms (200 to 320)"
    assert "with its 95 % interval over 7 rounds of all arms; it tells no two arms apart here" in board.legend
    notes = " ".join(curves_picture(curves(race, "valid_loss")).notes)
    assert "its 95 % interval: sgd 13 ms (10 to 16), adam 26 ms (20 to 32)." in notes


def test_one_seed_has_no_interval() -> None:
    data = race_data(seeds=1)
    for one in data["arms"]:
        one["statistics"]["score"] |= {"low": None, "high": None}
    race = read_race(data)
    board = leaderboard(race)
    assert [row[board.headings.index("test loss")].text for row in board.rows] == ["0.5450", "0.5450"]
    found = leaderboard_pictures(race)[0]
    assert not any(mark.kind == "interval" for mark in found.marks)
    assert "interval" not in " ".join(found.notes)


@pytest.mark.parametrize(("reached", "goal"), [((1, 1), 1), ((2, 0), 0), ((2, 1), 1), ((2, 2), 1), ((0, 0), 0)])
def test_the_goal_shown_is_the_last_that_half_of_the_arms_reached(reached: tuple[int, int], goal: int) -> None:
    data = race_data()
    for place, count in enumerate(reached):
        for number, arm in enumerate(data["arms"]):
            arm["statistics"]["reached"][place]["steps"] = 10 if number < count else None
    assert shown_goal(read_race(data)) == goal


@pytest.mark.parametrize(("before", "told"), [(0, ""), (40, "; 40 of 1,240 were there already")])
def test_where_it_is_kept(before: int, told: str) -> None:
    data = race_data()
    data["occasion"] |= {
        "storage": {"where": "runs.db", "race": "digits of today"},
        "runs": {"trained": 1200, "kept_before": before},
    }
    assert dict(measured(read_race(data)))["Kept"] == f"race digits of today in runs.db{told}"


def test_how_it_was_measured() -> None:
    rows = dict(measured(read_race(race_data())))
    assert rows["Problem"] == "hills: 80 train examples, 20 valid examples and 20 test examples"
    assert rows["Budget of every arm"] == "14 runs, 420 steps, 3,360 samples"
    assert rows["Start of the runs"].startswith("Audited")
    assert "Kept" not in rows
    assert not_tuned(read_race(race_data())) == (("sgd", "momentum = 0.9"), ("adam", "momentum = 0.9"))
    apart = dict(measured(read_race(race_data(step_zero_largest_relative_difference=0.1))))
    assert "did not start from the same weights" in apart["Start of the runs"]


def test_an_arm_that_diverged_as_a_whole_is_shown() -> None:
    data = diverge(race_data(), 1, 10)
    data["arms"][1] |= {"best": None}
    data["arms"][1]["statistics"]["score"] = None
    text = Elements(report_page(data)).text
    assert "10 diverged" in text
    assert "Code for adam" not in text


def kept(path: Path, data: dict[str, Any], question: str = "one") -> str:
    """Put a finished race into a storage, or one that has not finished where there is no data; return its name."""
    command = {"effort": {}, "seed": 0}
    store = open_store(path, Card("hills", "p", question, False, {"sgd": {}}, command, 1))
    if data:
        store.answer(data)
    store.close()
    return str(store.name)


def test_the_command_writes_the_report_of_a_stored_race(tmp_path: Path) -> None:
    storage, output = tmp_path / "races.db", tmp_path / "race.html"
    name = kept(storage, race_data())
    other = kept(storage, race_data(("lion", "sgd")), "other")
    for asked, arms in (([], "lion and sgd"), (["--race", name], "sgd and adam"), (["--race", other], "lion and sgd")):
        done = CliRunner().invoke(app, ["report", str(storage), *asked, "--output", str(output)])
        assert (done.exit_code, done.output) == (0, f"The report is written to {output}.\n")
        assert f"<h1>A tie: {arms}</h1>" in output.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.db"], "there is no file nowhere.db"),
        (["races.db"], "no race in races.db has finished"),
        (["races.db", "--race", "none"], "there is no race 'none' in races.db"),
        (["done.db", "--output", "missing/race.html"], "missing/race.html"),
        (["broken.db"], "the data must be those of a finished race"),
    ],
)
def test_what_the_command_can_not_write(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept(tmp_path / "races.db", {})
    kept(tmp_path / "done.db", race_data())
    kept(tmp_path / "broken.db", {"verdict": {}, "occasion": {}})
    done = CliRunner().invoke(app, ["report", *arguments])
    assert done.exit_code == 2
    assert sentence in done.output
    assert "Traceback" not in done.output


def test_a_real_race_is_reported(tmp_path: Path) -> None:
    import fallline
    from fallline.problems import digits

    result = fallline.race(digits(epochs=1), ["sgd", "adam"], "quick", storage=None)
    write_report(result.to_json(), tmp_path / "race.html")
    text = Elements((tmp_path / "race.html").read_text("utf-8")).text
    assert result.verdict.sentence in text
    assert result.best.code().strip() in text
