"""The lessons' page and the command: every lesson with its numbers, from results that are kept or bundled."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fallline.cli.main import app
from fallline.lessons import LESSONS, Evidence, Lesson, exact, registry, run
from fallline.lessons import Result as LessonResult
from fallline.lessons.kept import keep, kept
from fallline.lessons.page import lessons_page
from tests.lessons.test_results import CHART, MAP, OPEN, result_of

HOSTILE = "</script><img src=x onerror=alert(1)>"


def fallline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ("lessons", *arguments))


@pytest.fixture(scope="module")
def page() -> str:
    found = [kept(lesson.number) for lesson in LESSONS]
    return lessons_page([(result, "Comes with the package.") for result in found if result])


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: str(lesson.number))
def test_the_page_tells_every_lesson(lesson: Lesson, page: str) -> None:
    result = kept(lesson.number)
    assert result is not None
    _, section = page.split(f'id="lesson-{lesson.number}" ')
    section = unescape(section.split("</section>")[0])
    told = [lesson.title, lesson.claim, lesson.source, lesson.try_next, result.measured, result.evidence.setting]
    told += [part for check in result.evidence.checks for part in (check.what, check.found, check.claimed)]
    assert not [text for text in told if text not in section]
    assert ("fl-player" in section) != ('class="chart"' in section)


def test_texts_stay_texts() -> None:
    page = lessons_page([(result_of(picture, exact(HOSTILE, 1, above=0, condition=HOSTILE)), HOSTILE)
                         for picture in (CHART, MAP)])  # fmt: skip
    assert HOSTILE not in page
    assert page.count(unescape("&lt;img src=x")) == 0
    assert HOSTILE in unescape(page)


def test_without_results_the_page_says_what_to_run() -> None:
    page = lessons_page([])
    assert "No lesson has been run." in page
    assert f"`fallline lessons {LESSONS[0].number} " in page


def test_a_run_is_printed_kept_and_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick = Lesson(
        1, "Quick", "It is quick.", "2020", lambda: Evidence("Here.", (exact("a", 1, above=0),), CHART), "No."
    )
    lacking = Lesson(2, "Lacking", "It is there.", "2020", _lacks, "No.")
    monkeypatch.setattr(registry, "LESSONS", (quick, lacking))
    monkeypatch.setattr("fallline.lessons.LESSONS", (quick, lacking), raising=False)
    done = fallline("1", "--page", "page.html")
    assert done.exit_code == 0, done.output
    assert "Lesson 1, Quick: the claim holds." in done.stdout
    assert json.loads((tmp_path / "fallline-lessons" / "01.json").read_text("utf-8"))["verdict"] == "holds"
    assert "Run here." in (tmp_path / "page.html").read_text("utf-8")
    every = fallline()
    assert every.exit_code == 1
    assert "2 of 2: Lacking" in every.stdout
    assert "fallline: lesson 2 is left out: it needs a package" in every.stderr


def _lacks() -> Evidence:
    raise ImportError("it needs a package")


def test_a_page_of_what_is_bundled_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fallline.lessons.run", _lacks)
    done = fallline("--results", str(tmp_path), "--page", str(tmp_path / "page.html"))
    assert done.exit_code == 0, done.output
    text = (tmp_path / "page.html").read_text("utf-8")
    assert text.count("Comes with the package. Measured") == len(LESSONS)


def test_the_list_has_a_line_for_each(tmp_path: Path) -> None:
    lines = fallline("--list", "--results", str(tmp_path)).stdout.splitlines()
    assert [line[:2] for line in lines] == [f"{lesson.number:2}" for lesson in LESSONS]
    assert lines[0] == " 1  The gradient: holds"


def test_the_list_tells_an_open_result_as_open(tmp_path: Path) -> None:
    keep(result_of(CHART, OPEN), tmp_path)
    assert fallline("--list", "--results", str(tmp_path)).stdout.startswith(" 1  The gradient: was not shown to hold\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["99"], "fallline: NUMBER must be a lesson's, 1"),
        (["--page", "nowhere/page.html"], "fallline: the page can't be written to nowhere/page.html: "),
        (["--list", "--results", "broken"], "holds no result of a lesson that this version reads"),
    ],
)
def test_what_can_not_be_done_is_told(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "01.json").write_text("{}")
    done = fallline(*arguments)
    assert done.exit_code in (1, 2)
    assert sentence in done.stderr


def test_what_was_changed_is_on_the_page(tmp_path: Path) -> None:
    keep(run(1, seeds=2, examples=10), tmp_path)
    result = kept(1, tmp_path)
    assert isinstance(result, LessonResult)
    assert "changed: seeds = 2 and examples = 10." in lessons_page([(result, "Run here.")])
