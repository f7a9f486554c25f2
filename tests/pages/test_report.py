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
from fallline.pages.report import measured, not_tuned, report_page, runs_csv, said, write_report
from fallline.racing.storage.races import Card
from fallline.racing.storage.store import open_store
from tests.pages.report_cases import (
    COMMAND,
    HOSTILE,
    also_searched,
    diverge,
    diverged_trial,
    race_data,
    slices,
    unsearched,
    untold,
)

SECTIONS = ["leaderboard", "distance", "curves", "sensitivity", "landscape", "measured"]


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
    for words in ("Take sgd with lr = 0.1", "This holds on this problem only.", "Take care.", "momentum = 0.9"):
        assert words in text


def test_a_race_alone_has_no_landscape() -> None:
    assert re.findall(r'<h2 id="(\w+)"', report_page(race_data(("adam",)))) == [
        "warnings", *(section for section in SECTIONS if section != "landscape"),
    ]  # fmt: skip


def test_what_the_landscape_lacks_is_told() -> None:
    text = Elements(report_page(race_data(("sgd", "adam", "lion")) | {"slices": [slices(["sgd", "adam"], 1)]})).text
    assert "Not shown, as their runs diverged: lion." in text
    assert "Lines and maps have gaps where the loss is not finite: at 2 of 6 points." in text


def plane(height: float, loss: float, **changes: Any) -> dict[str, Any]:
    """One map through two models of a height; the last lies between its points, and has this loss."""
    return slices(["sgd", "adam"], 2) | {
        "axes": "principal", "losses": [[[height] * 3] * 3], "coordinates": [[-1.0, 1.0], [0.5, -0.25]],
        "model_losses": [height, loss], "shares": [0.7, 0.2], **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        (plane(0.45, 0.45), ""),
        (plane(0.45, 0.44), ""),
        (plane(0.45, 0.006), "adam at a height of 0.45, whose own loss is 0.006"),
        (plane(0.006, 0.45), "adam at a height of 0.006, whose own loss is 0.45"),
        (plane(0.45, 0.0), "adam at a height of 0.45, whose own loss is 0"),
        (plane(-2.0, -2.01), ""),
        (plane(-2.0, 2.0), "adam at a height of -2, whose own loss is 2"),
        (plane(0.45, 0.45, losses=[[[0.45, 0.45, 0.45], [0.45, 9.0, 0.45], [0.45] * 3]]), "adam at a height of 3.656,"),
        (plane(0.45, 0.45, losses=[[[0.45, None, 0.45]] * 3]), "adam at a height of not a number,"),
        (slices(["sgd", "adam"], 2), ""),
        (slices(["sgd", "adam"], 2) | {"model_losses": [0.2, 0.3]}, "adam at a height of 0.2, whose own loss is 0.3"),
    ],
)
def test_no_map_shows_a_run_at_a_height_that_is_not_its_own(cut: dict[str, Any], told: str) -> None:
    text = Elements(report_page(race_data() | {"slices": [cut]})).text
    assert ("Loss in the plane through sgd and adam" in text or "Loss around the best run of" in text) == (not told)
    assert f"A plane is not shown, as its map would have {told}" in text if told else "A plane is not" not in text
    assert "A cut." in text  # how it was made, with the shares and distances, is told in either case


def test_a_real_race_has_a_plane_through_runs_that_lie_on_it() -> None:
    import fallline
    from fallline.problems import digits

    effort = fallline.Effort(trials=4, finalists=1, seeds=2)
    data = fallline.race(digits(epochs=1), ["sgd", "momentum", "adam", "rmsprop"], effort, storage=None, slices=True)
    line, cut = data.to_json()["slices"]
    assert len(line["names"]) == 4
    assert cut["names"] == line["names"][:3]
    assert cut["distances"] == [0.0, 0.0, 0.0]
    assert sum(cut["shares"]) == pytest.approx(1.0)


def test_the_decision_comes_first(page: str) -> None:
    """The headline, its lines, the limits; then the code, before the table, which comes before any chart."""
    text = Elements(page).text
    parts = [
        "Take sgd with lr = 0.1", "at most 0.1 above whichever arm is best", COMMAND, "This holds on this problem",
        "# sgd", "Take care.", "standing", "Full dot and line", "every arm lies within its line", "Code for adam",
    ]  # fmt: skip
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "<h1>Take sgd with lr = 0.1</h1>" in page
    assert f'60 runs in 1 to 2 minutes: <code class="command" tabindex="0">{COMMAND}</code>' in page
    assert page.count("# sgd") == 1


@pytest.mark.parametrize(
    ("lines", "decided_by", "following", "expected"),
    [
        (["Take a."], "alone", None, ("Take a", "", [], "")),
        (["Take a with b, c and d.", "Here only."], "distance", None, ("Take a with b, c and d", "", [], "Here only.")),
        (["Take a with b, c and d, the fastest.", "Here."], "speed", None,
         ("Take a with b, c and d", "the fastest", [], "Here.")),
        (["Take a.", "Here."], "speed", None, ("Take a", "", [], "Here.")),
        (["Take a.", "So: b", "Here."], "alone", {"command": "b"}, ("Take a", "", [("So: ", "b")], "Here.")),
        (["Take a.", "So: b", "Here."], "alone", {"command": "c"}, ("Take a", "", [("So: b", "")], "Here.")),
    ],
)  # fmt: skip
def test_what_the_decision_says(lines: list[str], decided_by: str, following: Any, expected: Any) -> None:
    data = race_data()
    data["occasion"]["lines"], data["decision"]["next"] = lines, following
    data["decision"]["take"]["decided_by"] = decided_by
    assert said(read_race(data)) == expected


def test_where_nothing_can_be_taken_there_is_no_code() -> None:
    data = diverge(diverge(race_data(), 0, 10), 1, 10)
    names = ["sgd", "adam"]
    data["decision"] |= {"take": None, "distances": dict.fromkeys(names), "speed": {}, "apart": names}
    data["occasion"]["lines"] = ["Nothing can be taken: sgd and adam diverged.", "Here only."]
    for arm in data["arms"]:
        arm["best"] = arm["statistics"]["score"] = None
    page = report_page(data)
    assert "<h1>Nothing can be taken: sgd and adam diverged</h1>" in page
    assert "No two arms of it can be compared." in page
    assert "In your own program" not in page


def test_the_page_asks_for_nothing(page: str) -> None:
    addresses = [
        value for _, found, _ in Elements(page).found for name in ("src", "href") if (value := found.get(name))
    ]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)


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
    every = [found for found, _ in Elements(page).all("a") if "download" in found]
    links = {str(found["download"]): str(found["href"]) for found in every}
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
        (0, "best lr", "0.1", 0.1, ""),
        (0, "standing", "take", 0, ""),
        (1, "standing", "not told apart", 1, ""),
        (1, "above the best", "0 to 0.2", 0.2, ""),
        (0, "steps, over those of sgd", "1", 1.0, ""),
        (1, "steps, over those of sgd", "0.50 to 2.50", 2.0, ""),
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


@pytest.mark.parametrize(
    ("heading", "text", "value"), [("steps to 1", "20", 20), ("time to 1", "400 ms", pytest.approx(0.4))]
)
@pytest.mark.parametrize("target", [None, 1.0])
def test_the_leaderboard_of_a_goal(target: float | None, heading: str, text: str, value: Any) -> None:
    """Where a target, or the lack of any other level, says what is to be reached."""
    board = leaderboard(read_race(untold(race_data()) if target is None else race_data(target=target)))
    cell = board.rows[1][board.headings.index(heading)]
    assert (cell.text, cell.value) == (text, value)
    assert not any("over those of" in one for one in board.headings)


@pytest.mark.parametrize(
    ("changes", "standing", "span", "steps"),
    [
        ({"behind": {"adam": 0.1}, "distances": {"sgd": [0.0, 0.0], "adam": [0.1, 0.3]}}, "behind", "0.1 to 0.3",
         "0.50 to 2.50"),
        ({"apart": ["adam"], "distances": {"sgd": [0.0, 0.0], "adam": None}}, "not compared", "", "0.50 to 2.50"),
        ({"distances": {"sgd": [0.0, 0.0], "adam": [0.0, None]}}, "not told apart", "at least 0", "0.50 to 2.50"),
        ({"speed": {"sgd": [1.0, 1.0, 1.0], "adam": [None, 1.5, None]}}, "not told apart", "0 to 0.2", "over 1.50"),
        ({"speed": {"sgd": [1.0, 1.0, 1.0], "adam": [None, 0.0, None]}}, "not told apart", "0 to 0.2", "missed"),
        ({"speed": {"sgd": [1.0, 1.0, 1.0]}}, "not told apart", "0 to 0.2", ""),
    ],
)  # fmt: skip
def test_what_the_leaderboard_says_of_an_arm(changes: dict[str, Any], standing: str, span: str, steps: str) -> None:
    data = race_data()
    data["decision"] |= changes
    board = leaderboard(read_race(data))
    row = dict(zip(board.headings, board.rows[1], strict=True))
    assert (row["standing"].text, row["above the best"].text, row["steps, over those of sgd"].text) == (
        standing, span, steps,
    )  # fmt: skip


@pytest.mark.parametrize("distances", [None, {}, {"sgd": None, "adam": None}])
def test_a_leaderboard_without_distances(distances: Any) -> None:
    data = race_data()
    data["decision"]["distances"] = distances
    assert "above the best" not in leaderboard(read_race(data)).headings


def test_an_arm_of_which_nothing_was_searched() -> None:
    data = unsearched(race_data(), 1)
    board = leaderboard(read_race(data))
    row = dict(zip(board.headings, board.rows[1], strict=True))
    assert (row["best lr"].text, row["best lr"].remark, "diverged" in row) == ("0.03", "fixed", False)
    assert "Nothing was searched of adam" in board.legend
    rows = list(csv.DictReader(io.StringIO(runs_csv(data))))
    assert [row["stage"] for row in rows if row["arm"] == "adam"] == ["final"] * 10
    placeholder: dict[str, Any] = {"configuration": {}, "score": None, "diverged": False}
    data["arms"][1]["trials"] = [placeholder]
    assert "adam" in report_page(data)
    assert leaderboard(read_race(data)) == board


@pytest.mark.parametrize(("lr", "remark"), [(8.0, "at the edge"), (1.0, "")])
def test_the_edge_of_the_space_is_marked(lr: float, remark: str) -> None:
    data = race_data()
    first = data["arms"][0]
    first["finals"][0]["trial"], first["best"]["configuration"] = 3, {"lr": lr}
    first["trials"][3]["configuration"] = {"lr": lr}
    board = leaderboard(read_race(data))
    assert [row[board.headings.index("best lr")].remark for row in board.rows] == [remark, ""]
    assert ("At the edge: " in board.legend) == bool(remark)


def test_step_times_of_several_rounds_have_intervals() -> None:
    data = race_data()
    data["occasion"]["step_seconds_by_round"] = {
        name: [seconds * (1 + place / 10) for place in range(7)]
        for name, seconds in data["occasion"]["step_seconds"].items()
    }
    race = read_race(untold(data))
    board = leaderboard(race)
    cells = dict(zip(board.headings, board.rows[0], strict=True))
    assert cells["time a step"].text == "10 to 16 ms"
    assert cells["time to 1"].text == "260 ms (200 to 320)"
    assert "with its 95 % interval over 7 rounds of all arms" in board.legend
    notes = " ".join(curves_picture(curves(race, "valid_loss")).notes)
    assert "Seconds are no surer than the time of a step, which the leaderboard tells with its interval." in notes


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
    assert "# sgd" in text


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
    for asked, arm in (([], "lion"), (["--race", name], "sgd"), (["--race", other], "lion")):
        done = CliRunner().invoke(app, ["report", str(storage), *asked, "--output", str(output)])
        assert (done.exit_code, done.output) == (0, f"The report is written to {output}.\n")
        assert f"<h1>Take {arm} with lr = 0.1</h1>" in output.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.db"], "there is no file nowhere.db"),
        (["races.db"], "no race in races.db has finished"),
        (["races.db", "--race", "none"], "there is no race 'none' in races.db"),
        (["done.db", "--output", "missing/race.html"], "missing/race.html"),
        (["broken.db"], "the data must be those of a finished race"),
        (["old.db"], "no race in old.db has finished"),
    ],
)
def test_what_the_command_can_not_write(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept(tmp_path / "races.db", {})
    kept(tmp_path / "done.db", race_data())
    kept(tmp_path / "broken.db", {"decision": {}, "occasion": {}})
    kept(tmp_path / "old.db", {"verdict": {}, "occasion": {}})
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
    assert all(line.removesuffix(".") in text for line in result.decision.lines)
    assert result.best.code().strip() in text
