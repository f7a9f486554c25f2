"""What pages and records say of lessons in words is what the bundled results say; and no benchmark is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fallline import rules
from fallline.lessons.kept import kept

ROOT = Path(__file__).parents[2]
_LOWER = ("digits, rate 0.001", "digits, rate 0.01", "digits-conv, rate 0.001", "digits-conv, rate 0.01",
          "photograph, rate 0.001", "photograph, rate 0.01")  # fmt: skip

#: Where it stands (a page, or a rule), in which words, and what has which outcome: lesson, condition, part of the name.
SAID: list[tuple[str, str, str, list[tuple[int, str, str]]]] = [
    ("docs/choose.md", "Which optimizer matters less than its learning rate", "does not hold",
     [(18, "the mean over all", "")]),
    ("docs/choose.md", "[sgd](rules/gradient_descent.md) at a constant rate. Not Adagrad", "holds",
     [(26, "a regression whose weights turn", ""), (26, "digits that turn", "")]),
    ("docs/choose.md", "Every adaptive method learns more of rare features", "holds",
     [(27, name, "") for name in ("Adagrad", "RMSprop", "Adam")]),
    ("docs/choose.md", "One rule for both, [adam](rules/adam.md)", "does not hold", [(25, "all examples", "Adam")]),
    ("docs/choose.md", "at the highest of three rates alone, on two of three problems", "holds",
     [(15, "digits-conv, rate 0.1", ""), (15, "photograph, rate 0.1", "")]),
    ("docs/choose.md", "at the lower ones it ended with a higher loss than Adam", "does not hold",
     [(15, condition, "radam") for condition in _LOWER]),
    ("docs/choose.md", "not shown to end better than Adam alone on any of three problems", "open",
     [(24, name, "Adam") for name in ("digits", "photograph", "tumours")]),
    ("docs/choose.md", "on one of them SGD alone ended better", "does not hold", [(24, "tumours", "SGD")]),
    ("adadelta", "as long as gradients are large against √ε", "does not hold", [(10, "digits, loss times 0.001", "")]),
    ("adadelta", "a tuned rate often beats η = 1", "does not hold", [(10, "breast-cancer, no rate chosen", "")]),
    ("adamp", "at high rates norms grow all the same", "does not hold", [(16, "rate 0.1", "adamp")]),
    ("nesterov", "at the same μ and a rate that is not near its limit it overshoots less", "holds",
     [(8, f"ravine, η = {rate}/λ", "") for rate in (0.1, 0.5)]),
    ("nesterov", "It diverges from lower rates on than momentum does", "does not hold",
     [(8, "ravine, η = 1.5/λ", "beyond")]),
    ("radam", "At lower rates it begins so slowly that it may end behind Adam", "does not hold",
     [(15, condition, "radam") for condition in _LOWER]),
]  # fmt: skip


def text_of(place: str) -> str:
    if place.endswith(".md"):
        return " ".join((ROOT / place).read_text("utf-8").split())
    return f"{rules.RECORDS[place].use} {rules.RECORDS[place].weakness}"


@pytest.mark.parametrize(("place", "words", "outcome", "checks"), SAID, ids=[row[1] for row in SAID])
def test_what_is_said_of_a_lesson_was_measured(
    place: str, words: str, outcome: str, checks: list[tuple[int, str, str]]
) -> None:
    assert words in text_of(place)
    for number, condition, what in checks:
        result = kept(number)
        assert result is not None
        found = {one.outcome for one in result.conditions[condition] if what in one.what.partition(", in ")[0]}
        assert found == {outcome}, (number, condition)


def test_adam_is_named_for_sparse_features_as_its_loss_is_the_lowest() -> None:
    result = kept(27)
    assert result is not None
    losses = {name: float(loss) for name, loss in re.findall(r"(\w+) (0\.\d+)", result.evidence.remark)}
    assert min(losses, key=losses.__getitem__) == "Adam"
    assert losses["Adagrad"] > losses["SGD"], "which is why more of rare features is not yet a lower loss"
    assert "**Are the features sparse**, as counts of words or embeddings of rare items? [adam]" in text_of(
        "docs/choose.md"
    )


def test_every_benchmark_has_its_command_in_the_documentation() -> None:
    text = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    scripts = {file.stem for file in (ROOT / "benchmarks").glob("*.py")} - {"__init__"}
    scripts.remove("limit_jax")  # which limit.py runs
    named = set(re.findall(r"`python (?:-m benchmarks\.|benchmarks/)(\w+)", text))
    assert named == scripts


def test_no_page_types_a_figure_of_a_benchmark() -> None:
    """Beside a benchmark's command stands what is read from the table, never a figure of the page's own."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        if page.name == "benchmarks.md":
            continue
        typed = re.sub(r"\{\{.*?\}\}", "", page.read_text("utf-8"), flags=re.DOTALL)
        assert not re.findall(r"python (?:-m benchmarks|benchmarks/).*", typed), page.name
