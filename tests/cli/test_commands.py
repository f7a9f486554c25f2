"""The commands as a person types them: output, files, exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fallline import rules
from fallline.bench import SUBJECTS, measure
from fallline.bench.report import Report, StepRow
from fallline.cli.bench import _tables
from fallline.cli.main import app, main
from fallline.optim.method_name import CLASSES
from fallline.racing.effort import EFFORTS
from fallline.rules import DEFAULT_ARMS

PROBLEM = """
import torch, fallline as fl
from torch import nn
torch.manual_seed(0)
X = torch.randn(60, 3); y = X.sum(1, keepdim=True)
problem = fl.Problem(model=lambda: nn.Linear(3, 1), loss=nn.functional.mse_loss, train=(X[:40], y[:40]),
                     valid=(X[40:50], y[40:50]), test=(X[50:], y[50:]), batch=8, epochs=EPOCHS)
"""


def process(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which takes seconds to begin."""
    return subprocess.run(
        [sys.executable, "-m", "fallline", *arguments],
        capture_output=True, text=True, timeout=600, cwd=cwd, env={**os.environ, **environment},
    )  # fmt: skip


def fallline(*arguments: str, columns: int = 120) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": str(columns)})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to run commands in, which leave nothing of the user's modules behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.fixture
def problem_file(tmp_path: Path) -> Path:
    path = tmp_path / "problem.py"
    path.write_text(PROBLEM.replace("EPOCHS", "2"))
    return path


def test_race_on_a_users_file(problem_file: Path) -> None:
    done = process(
        "race", "problem.py", "--arms", "sgd,adam", "--effort", "quick", "--json", "race.json", cwd=problem_file.parent
    )
    assert done.returncode == 0, done.stderr
    assert "Tuning took" in done.stdout
    assert f"Every run is kept in {problem_file.parent / 'fallline-runs.db'}" in done.stdout
    written = json.loads((problem_file.parent / "race.json").read_text())
    assert {arm["name"] for arm in written["arms"]} == {"sgd", "adam"}
    assert all(line in " ".join(done.stdout.split()) for line in written["occasion"]["lines"])
    assert (problem_file.parent / "fallline-runs.db").exists()


def test_a_narrow_terminal_and_quiet(folder: Path) -> None:
    Path("mine.py").write_text(PROBLEM.replace("EPOCHS", "1"))
    options = ("--arms", "sgd,adam", "--effort", "quick", "--quiet", "--no-report", "--storage", "races.db")
    done = fallline("race", "mine.py", *options, columns=80)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip().startswith("Take ")  # the decision comes first
    lines = [line for line in done.stdout.splitlines() if str(folder) not in line]
    assert max(map(len, lines)) <= 80


def test_help_states_each_effort() -> None:
    text = " ".join(fallline("race", "--help", columns=200).stdout.replace("│", " ").split())
    for name, effort in EFFORTS.items():
        best = "the best one" if effort.finalists == 1 else f"the {effort.finalists} best"
        assert re.search(rf"{name}: {effort.trials} trials[^.]*{best}[^.]* on {effort.seeds} [^.]*\.", text)
    assert "sets the variable `problem`" in text
    assert f"Default: the `arms` that the problem file sets, or {', '.join(DEFAULT_ARMS)}." in text


def test_help_counts_the_default_arms() -> None:
    assert f"it races {len(DEFAULT_ARMS)} optimizers" in " ".join(fallline("--help", columns=200).stdout.split())


def test_a_command_that_needs_no_torch_does_not_wait_for_it() -> None:
    code = "import sys, fallline.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=600).returncode == 0


@pytest.mark.parametrize(
    ("asked", "called"),
    [("sgd", "gradient_descent"), ("AdamW", "adamw"), ("schedule_free_adamw", "schedule_free_adam")],
)
def test_show_knows_other_names(asked: str, called: str) -> None:
    assert f"{asked} is called {called} here." in fallline("show", asked).stdout


@pytest.mark.parametrize("name", rules.ALL)
def test_every_rule_has_a_guide_whose_names_exist(name: str) -> None:
    record = rules.RECORDS[name]
    assert record.use.endswith(".")
    assert record.weakness.endswith(".")
    assert not record.conventions or name in record.conventions
    assert set(record.conventions) <= rules.ALL.keys()
    assert rules.ALL[name].latex()


def test_show_prints_conventions_use_and_weakness() -> None:
    printed = fallline("show", "nadam").stdout
    for words in (
        "Dozat, 2016",
        "torch's convention",
        "mu_product (one number a tensor)",
        "when to use it",
        "weakness",
    ):
        assert words in printed
    assert "radam_paper, radam_authors" in fallline("show", "radam").stdout


def test_show_prints_the_equation() -> None:
    done = fallline("show", "adam")
    assert done.exit_code == 0
    assert r"\hat{m}_t &= \frac{m_t}{1 - \beta_1^t}" in done.stdout
    assert "28 bytes moved" in done.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("muon", ("Muon: ", "no single rule")),
        ("newton", ("Newton: Newton's method", "no single rule")),
        ("l2", ("l2, a combinator: ", "l2(gradient_descent):", r"\lambda", "weight_decay = 0")),
        ("clip-norm", ("Pascanu et al., 2013", r"\begin{aligned}", "max_norm = 1")),
        ("fully_decoupled_decay", ("lr_max, weight_decay",)),
    ],
)
def test_show_knows_classes_and_combinators(name: str, words: tuple[str, ...]) -> None:
    done = fallline("show", name)
    assert done.exit_code == 0, done.stderr
    assert [word for word in words if word not in done.stdout] == []


@pytest.mark.parametrize("asked", [["rules"], ["show"]])
def test_all_rules_in_a_line_each(asked: list[str]) -> None:
    told = fallline(*asked)
    assert told.exit_code == 0
    names = {line.split()[0]: line for line in told.stdout.splitlines() if line.startswith("  ")}
    assert names.keys() >= {*rules.ALL, "clip_norm", "l2", "schedule_free", *CLASSES}
    assert all(len(line.split()) > 3 for line in names.values())
    assert "decoupled_decay(adam)" in names["adamw"]


@pytest.mark.parametrize("asked", [["rules"], ["show", "radam"], ["problems"], ["races", "\udcff.db"]])
def test_a_terminal_that_knows_few_letters(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(sys, "argv", ["fallline", *asked])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code in (0, 2)
    for stream in (out, err):
        stream.flush()
    assert out.buffer.getvalue() or err.buffer.getvalue()


def test_one_problem() -> None:
    told = fallline("problems", "Breast_Cancer")
    assert [line.split()[0] for line in told.stdout.splitlines()[:2]] == ["breast-cancer", "341"]
    assert "digits-conv" not in told.stdout


@pytest.mark.parametrize("rule", ["amsgrad", "centered_rmsprop", "lion", "ademamix"])
def test_bench_measures_what_torch_has_as_an_option_or_not_at_all(rule: str) -> None:
    (row,) = measure(3, [subject for subject in SUBJECTS if subject.name == rule], ["network"]).steps
    assert row.rule == rule
    assert (row.ratio is None) == (row.best_variant is None) == (rule in ("lion", "ademamix"))


@pytest.mark.parametrize(("spread", "shown"), [(0.4, "lion"), (0.6, "lion ?")])
def test_bench_marks_what_a_busy_machine_spoilt(spread: float, shown: str) -> None:
    row = StepRow("lion", "small", 1e-3, {}, None, None, None, None, None, spread)
    (table,) = _tables(Report(1, "2", [row]))
    assert list(map(str, table.columns[0].cells)) == [shown]


def test_bench_measures_one_rule(tmp_path: Path) -> None:
    done = fallline(
        "bench", "--part", "network", "--rule", "Adam", "--rounds", "3", "--json", str(tmp_path / "bench.json")
    )
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads((tmp_path / "bench.json").read_text())["steps"]
    assert row["rule"] == "adam"
    assert set(row["torch_seconds"]) == {"for-loop", "foreach", "fused"}
    assert row["ratio"] > 0


@pytest.mark.parametrize("command", [(), ("--help",), ("race", "--help"), ("show", "--help"), ("bench", "--help")])
def test_help_is_there(command: tuple[str, ...]) -> None:
    done = fallline(*command)
    assert "Usage" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "there is no file"),
        ("problem = (", "line 1"),
        ("x = 1", "defines no `problem`"),
        ("problem = 3", "a `problem` of type int"),
        ("import sys\nsys.exit(0)", "line 2: it called sys.exit(0) while it was read"),
        (PROBLEM.replace("EPOCHS", "2").replace("nn.Linear(3, 1),", "exit(4),"), "called sys.exit(4)"),
        ("x = 1\nraise RuntimeError('no data here')", "line 2: RuntimeError: no data here"),
    ],
)
def test_a_bad_problem_file_is_a_sentence(folder: Path, text: str | None, sentence: str) -> None:
    if text is not None:
        Path("mine.py").write_text(text)
    done = fallline("race", "mine.py")
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("race", "--arms", "sgd,admm"), "did you mean 'adam'"),
        (("race", "--effort", "huge"), "effort must be one of"),
        (("race", "--json", "/no/such/folder/race.json"), "there is no folder"),
        (("race", "--storage", "/dev/null/x.db"), "can't be written"),
        (("show", "adamm"), "did you mean 'adam"),
        (("bench", "--part", "tiny"), "--part must be one of"),
        (("bench", "--rule", "adamm"), "did you mean 'adam"),
        (("bench", "--rule", "adam_eps_hat"), "--rule must be one of"),
        (("bench", "--rule", "muon", "--part", "network"), "muon takes part in matrices only"),
        (("bench", "--rule", "rmsprop", "--part", "training"), "rmsprop takes part in large, small and network only"),
        (("race", "."), ". is a folder; give a Python file"),
        (("race", "--arms", "sgd,newton"), "arm 'newton': Newton needs a closure"),
        (("race", "digit"), "there is no bundled problem 'digit'; did you mean 'digits'?"),
        (("race", "--problems", "digits,diabets"), "did you mean 'diabetes'?"),
        (("race", "digits", "--problems", "all"), "--problems names the problems; give no problem beside it"),
        (("race", "--problems", "digits,moons", "--resume"), "give no problem beside it, and no --resume"),
        (("race", "--problems", "digits,faces,Digits"), "there is no bundled problem 'faces'"),
        (("race", "--problems", "digits,diabetes,Digits"), "digits is named twice; name each once"),
        (("race", "--problems", ","), "no problem is named"),
        (("race", "--problems", "digits,missing.py"), "there is no file missing.py"),
        (("race", "--budgets", "0.5,1", "--problems", "digits"), "--budgets takes one problem; give no --problems"),
        (("race", "--budgets", "0.5,1", "--resume"), "--budgets takes one problem; give no --problems and no --resume"),
        (("race", "--problems", "digits", "--until", "5min"), "--until takes one race; give no --problems"),
        (("race", "--until", "5x"), "--until 5x: give a number and its unit, such as 90s, 5min or 2h"),
        (
            ("race", "--until", "5min", "--resume"),
            "--until takes one race; give no --problems, no --budgets and no --res",
        ),
        (("race", "--margin", "-1"), "margin must be"),
        (("race", "--budgets", "half"), "--budgets half: give shares of the problem's length, separated by commas"),
        (("race", "--budgets", ","), "lengths is empty"),
        (("race", "--budgets", "0,1"), "share: must be a finite number, greater than 0 and at most 1; got 0.0"),
        (("race", "--budgets", "0.5,0.5"), "lengths: two of them come to"),
        (("race", "--race", "x"), "--race names the race that --resume goes on with; give --resume too"),
        (("race", "--resume", "--effort", "quick", "--seed", "0"), "as it was begun; leave --effort, --seed out"),
        (("race", "--resume", "--search", "batch"), "leave --search out"),
        (("race", "--resume", "--schedule", "cosine", "--warm-up", "0.1"), "leave --schedule, --warm-up out"),
        (("race", "--schedule", "cosin"), "'schedule' must be a Choice of constant, linear, cosine"),
        (("race", "--resume", "--arms", "sgd", "--rounds", "1", "--halving", "2"), "leave --arms, --rounds, --halving"),
        (("race", "--resume", "--training", "auto"), "leave --training out"),
        (("race", "--seed", "9223372036854775808"), "seed must be a whole number from 0 to 2**63 - 1; got 922"),
        (("race", "--seed", "-1"), "seed must be a whole number from 0"),
        (("race", "--json", "/proc/x.json"), "--json /proc/x.json can't be written ("),
        (("race", "--report", "/proc/x.html"), "--report /proc/x.html can't be written ("),
        (("race", "--problems", "digits", "--report", "/proc/x.html"), "--report /proc/x"),
        (("race", "--resume", "--storage", "nothing-here.db"), "no race in nothing-here.db is unfinished"),
        (("race", "--search", "lr,momentm", "--arms", "momentum"), "did you mean 'momentum'?"),
        (("race", "--workers", "2", "--ray", "auto"), "leave one of them out"),
        (("race", "--storage", "oracl://x"), "oracl"),
        (("show", "clip_nrm"), "did you mean 'clip_norm'"),
        (("show", "zzzz"), "there is no rule 'zzzz'; `fallline rules` lists them all"),
        (("problems", "digit"), "there is no bundled problem 'digit'; did you mean 'digits'?"),
        (("races", "a.db", "--storage", "b.db"), "the storage is given twice; give it once"),
        (("lab", "--storage", "/no/such/folder/x.db"), "--storage /no/such/folder/x.db: there is no folder"),
        (("lab", "--storage", "/proc"), "that is a folder; give the file that keeps the races"),
        (("show", "newtn"), "did you mean 'newton'"),
    ],
)
def test_bad_arguments_are_a_sentence(folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = fallline(*arguments)
    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("asked", [["--version"], ["races"]])
def test_the_command_as_a_process(tmp_path: Path, asked: list[str]) -> None:
    done = process(*asked, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(("fallline ", "There are no races in fallline-runs.db"))


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a child process there")
def test_ctrl_c_stops_cleanly(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(PROBLEM.replace("EPOCHS", "100000"))
    command = [sys.executable, "-u", "-m", "fallline", "race", "long.py"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert any("tuning, round 1: " in line for line in running.stdout)  # it has begun to train
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=600)
    assert running.returncode == 130
    told = re.search(r"stopped: (\d+) of 792 runs had ended, (\d+) are still to be trained; the runs that had", errors)
    assert told is not None
    assert int(told[1]) + int(told[2]) == 792
    assert f"ended are kept in {tmp_path / 'fallline-runs.db'}, and the same command goes on." in errors
    assert "Traceback" not in errors
