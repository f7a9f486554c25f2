"""What puts the documentation together, and what checks the built site."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fallline import rules
from fallline.lessons import LESSONS, Check, run
from tests.lessons.test_results import CHART, DENIED, HOLDS, OPEN, result_of
from tools import documentation, lesson_pages, rule_pages
from tools.site_check import problems

PAGE = '<html><head>{}</head><body><h1 id="top">A</h1>{}</body></html>'


@pytest.mark.parametrize(
    ("head", "body", "wrong"),
    [
        ("", '<a href="index.html#top">a</a><a href="#top">a</a><a href="https://a.example">a</a>', ""),
        ("", '<a href="b.html">b</a>', "index.html links to b.html, which is not there"),
        ("", '<a href="#b">b</a>', "index.html links to #b, and there is no such place on that page"),
        ('<script src="https://a.example/a.js"></script>', "", "index.html loads https://a.example/a.js"),
        ('<link rel="stylesheet" href="//a.example/a.css">', "", "index.html loads //a.example/a.css"),
        ('<link rel="canonical" href="https://a.example">', "", ""),
        ("", '<img src="a.png">', "index.html loads a.png, which is not there"),
        ("", "", "a.css loads https://a.example/f.woff"),
    ],
)
def test_what_is_wrong_with_a_site_is_said(tmp_path: Path, head: str, body: str, wrong: str) -> None:
    (tmp_path / "index.html").write_text(PAGE.format(head, body))
    if wrong.startswith("a.css"):
        (tmp_path / "a.css").write_text("@font-face { src: url('https://a.example/f.woff') }")
    assert list(problems(tmp_path)) == ([wrong] if wrong else [])


def test_an_equation_is_drawn_and_code_is_left_alone() -> None:
    text = "At \\( x_1 \\) is\n\n$$\ny = 2\n$$\n\n`\\( x \\)`\n\n```\n$$\nz\n$$\n```\n"
    drawn = documentation.with_equations(text)
    assert drawn.count("<math") == 2
    assert drawn.endswith("`\\( x \\)`\n\n```\n$$\nz\n$$\n```\n")


def test_a_figure_is_read_from_the_table_of_benchmarks() -> None:
    assert documentation.measured("fallline bench --part network").startswith("SGD ")
    with pytest.raises(LookupError, match="2 rows"):
        documentation.measured("fallline bench --part large")
    with pytest.raises(LookupError, match="0 rows"):
        documentation.measured("fallline bench --part none")


def test_every_rule_has_a_page_with_all_that_is_known_of_it() -> None:
    assert set(rule_pages.NAMES) == rules.RECORDS.keys() | rules.COMBINATORS.keys()
    record = rules.RECORDS["adagrad"]
    claims = {9: ("Adagrad's steps shrink.", "was not shown to hold"), 8: ("Nesterov looks ahead.", "holds")}
    page = rule_pages.page("adagrad", claims)
    for said in (record.use, record.weakness, record.source, record.rule.latex(), "adagrad_keras.md", "fl-player"):
        assert said in page
    assert "[Lesson 9](../lessons.md#lesson-9): *Adagrad's steps shrink.* Found: **was not shown to hold**." in page
    assert "Nesterov looks ahead" not in page
    index = rule_pages.index()
    assert all(f"(rules/{name}.md)" in index for name in rule_pages.NAMES)


def test_a_lesson_is_told_with_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(1, seeds=2, examples=20)
    monkeypatch.setattr(lesson_pages, "_RESULTS", {1: result})
    line, sections = lesson_pages.line(1), lesson_pages.sections()
    assert result.lesson.claim in line
    assert f"**{result.finding}**" in line
    assert result.evidence.checks[0].found in line
    assert all(f"| {check.found} | {check.claimed} | {check.outcome} |" in sections for check in result.evidence.checks)
    assert f"| [{result.lesson.title}](#lesson-1) | {result.finding} |" in lesson_pages.table()
    assert 'id="lesson-1"' in lesson_pages.with_pictures()


@pytest.mark.parametrize(
    ("check", "finding"), [(OPEN, "was not shown to hold"), (DENIED, "does not hold here"), (HOLDS, "holds")]
)
def test_every_page_tells_the_same_of_a_claim(check: Check, finding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson_pages, "_RESULTS", {1: result_of(CHART, check)})
    assert f"This **{finding}** (" in lesson_pages.line(1)
    assert f"(#lesson-1) | {finding} |" in lesson_pages.table()
    assert f"It **{finding}**." in lesson_pages.sections()
    assert lesson_pages.claims()[1] == (LESSONS[0].claim, finding)


def test_of_many_conditions_none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [replace(DENIED, condition=f"case {number}") for number in range(4)]
    monkeypatch.setattr(lesson_pages, "_RESULTS", {1: result_of(CHART, *checks, replace(HOLDS, condition="case 4"))})
    assert "case 3: does not hold; case 4: holds" in lesson_pages.line(1)


def test_a_lesson_that_was_not_run_is_told_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson_pages, "_RESULTS", {})
    assert lesson_pages.line(1) == "Lesson 1 tries this; its result does not come with this version."
    assert "not run yet" in lesson_pages.table()
