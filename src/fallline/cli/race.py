"""`fallline race`: on a bundled problem, on several, or on the user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallline.cli.fail import fail
from fallline.racing.arms.default_arms import DEFAULT_ARMS

if TYPE_CHECKING:
    from fallline.training import Problem

_DEFAULT_PROBLEM = "digits"


def race(
    problem: Annotated[
        str | None,
        typer.Argument(
            help="A Python file that sets a variable `problem`, as shown above, or the name of a bundled problem, as "
            "`fallline problems` lists them. Without one: handwritten digits.",
            show_default=False,
        ),
    ] = None,
    problems: Annotated[
        str | None,
        typer.Option(
            help="Race on several bundled problems, separated by commas, or on `all` that are real, and compare the "
            "arms over them by performance profiles.",
            show_default=False,
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Who races, separated by commas, such as sgd,momentum,adam: any rule that `fallline show` knows, or "
            f"`all`. Default: {', '.join(DEFAULT_ARMS)}.",
            show_default=False,
        ),
    ] = None,
    effort: Annotated[
        str,
        typer.Option(
            help="quick: 8 trials an arm, the best one run on 5 fresh seeds, a ranking without a winner. "
            "standard: 16 trials, the 5 best on 10 seeds. thorough: 48 trials, the 8 best on 12 seeds."
        ),
    ] = "standard",
    search: Annotated[
        str | None,
        typer.Option(
            help="What is searched beside the learning rate, separated by commas: batch, schedule, warm_up, "
            "weight_decay, or hyperparameters such as momentum. Each costs power: take more trials.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Rounds of trials; a model proposes those after the first.", show_default=False),
    ] = None,
    halving: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Start all trials on a share of the steps; one in so many of each arm's goes on to so many times as "
            "many steps, up to the full length.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Settles everything that is drawn.")] = 0,
    json: Annotated[
        Path | None, typer.Option(help="Write the protocol, all arms and the verdict to this file.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the report, one page that needs no network, to this file.")
    ] = Path("race.html"),
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write the curves of every run for TensorBoard into this folder.")
    ] = None,
    storage: Annotated[
        str,
        typer.Option(
            help="SQLite file, made if it is not there, or URL of an Optuna storage, that keeps every run of every "
            "race as it ends. Optuna's dashboard opens it."
        ),
    ] = "fallline-races.db",
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Take up the last race of the storage that was stopped, with its own options."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Train in so many processes of this machine.", show_default=False)
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Train on the Ray cluster at this address, such as auto or ray://host:10001.", show_default=False
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="The result only: no estimate, no progress.")] = False,
) -> None:
    """Race optimizers under an equal budget and give a verdict that says "tie" when it is a tie.

    A race that was stopped, at whatever moment, is taken up by the same command. A problem file is Python and sets the
    variable `problem`:

    \b
    import fallline
    from torch import nn
    X, y, X_valid, y_valid, X_test, y_test = ...  # tensors or NumPy arrays
    problem = fallline.Problem(
        model=lambda: nn.Linear(30, 2),
        loss=nn.functional.cross_entropy,
        train=(X, y), valid=(X_valid, y_valid), test=(X_test, y_test),
        metric="accuracy", batch=32, epochs=20,
    )
    """
    # Read when torch is loaded, which nothing has done yet. By default torch's threads wait for each other in a loop
    # for milliseconds, which on a machine that does other work too makes a race take two to four times as long.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    page = None if no_report else report
    _check_outputs({"--json": json, "--report": page}, tensorboard)
    names: list[str] | str | None = "all" if arms == "all" else None if arms is None else _listed(arms)
    asked = {
        "arms": names, "effort": effort, "search": ["lr", *_listed(search or "")], "rounds": rounds, "halving": halving,
        "seed": seed, "storage": storage, "workers": workers, "ray": ray,
    }  # fmt: skip
    try:
        if problems is not None:
            if problem is not None or resume:
                fail("--problems names the problems; give no problem beside it, and no --resume")
            _race_several(problems, asked, json, quiet)
            return
        if resume:
            if problem is not None or arms is not None:
                fail("--resume takes the problem and the arms from the storage; give neither")
            problem, options = _stopped(storage)
            asked = {**asked, **options}
        _race_one(_problem(problem or _DEFAULT_PROBLEM), asked, json, page, tensorboard, quiet)
    except (ValueError, OSError, ImportError, LookupError) as error:
        fail(str(error.args[0] if isinstance(error, LookupError) else error))
    except SystemExit as error:
        fail(f"the problem's model, loss or metric called sys.exit({error.code!r}); take the call out")
    except KeyboardInterrupt:
        fail(f"stopped; the runs that had ended are kept in {_shown(storage)}, and the same command goes on.", 130)


def _shown(storage: str) -> str:
    """A storage in a sentence: a whole path, or a URL without its password."""
    from fallline.racing.storage.database import shown

    return shown(storage) if "://" in storage else str(Path(storage).resolve())


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _problem(name: str) -> Problem:
    """A bundled problem, or that of a file."""
    from fallline.cli.problem_file import read_problem
    from fallline.problems import find

    if name.endswith(".py") or os.sep in name or Path(name).exists():
        return read_problem(Path(name))
    problem = find(name).make()
    problem.origin = name
    return problem


def _race_one(
    problem: Problem, asked: dict[str, Any], json: Path | None, page: Path | None, tensorboard: Path | None, quiet: bool
) -> None:
    from fallline.cli.console import LiveRace
    from fallline.cli.race_result import show_result
    from fallline.racing.protocol import race as run_race

    metric = problem.metric
    with LiveRace(quiet=quiet, higher_is_better=metric.higher_is_better, metric=metric.name) as live:
        result = run_race(problem, watcher=live, slices=page is not None, **asked)
    show_result(result)
    if json is not None:
        result.write_json(json)
        print(f"All of it is written to {json.resolve()}.")
    if page is not None:
        result.report(page)
        print(f"The report is in {page.resolve()}: open it in a browser.")
    if tensorboard is not None:
        result.to_tensorboard(tensorboard)
        print(f"The curves are written to {tensorboard.resolve()}: tensorboard --logdir {tensorboard}")


def _race_several(problems: str, asked: dict[str, Any], json: Path | None, quiet: bool) -> None:
    from fallline.cli.several import race_several
    from fallline.problems import REAL, find

    chosen = list(REAL) if problems == "all" else _listed(problems)
    race_several([find(name) for name in chosen], asked, json, quiet=quiet)


def _stopped(storage: str) -> tuple[str, dict[str, Any]]:
    """The problem and the options of the last race in a storage that has not finished."""
    from fallline.racing.effort import Effort
    from fallline.racing.storage.past import past_races

    stopped = next((race for race in past_races(storage) if not race.finished), None)
    if stopped is None:
        raise ValueError(f"no race in {_shown(storage)} was stopped; `fallline races` lists those that there are")
    command = stopped.command
    if command["problem"] is None or command["arms"] is None:
        raise ValueError(
            f"the race '{stopped.name}' was started by a program with objects of its own; run that program again, and "
            "its call of fallline.race takes the race up"
        )
    options = {name: command[name] for name in ("arms", "search", "seed", "smallest_difference")}
    effort = Effort(**command["effort"])
    return command["problem"], {**options, "effort": effort, "rounds": None, "halving": None, "resume": stopped.name}


def _check_outputs(files: Mapping[str, Path | None], tensorboard: Path | None) -> None:
    """Refuse what can't be written before anything is spent."""
    for option, file in files.items():
        if file is not None and not file.resolve().parent.is_dir():
            fail(f"{option} {file}: there is no folder {file.resolve().parent}")
        if file is not None and file.is_dir():
            fail(f"{option} {file}: that is a folder; give a file")
    if tensorboard is not None:
        if tensorboard.is_file():
            fail(f"--tensorboard {tensorboard}: that is a file; give a folder")
        try:
            import tensorboard as installed  # noqa: F401
        except ImportError:
            fail("--tensorboard needs TensorBoard: pip install 'fallline[tensorboard]'")
