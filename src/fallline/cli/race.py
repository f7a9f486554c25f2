"""`fallline race`: on a bundled problem, on several, or on the user's own."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallline.cli.console import Beat, console, fail
from fallline.cli.problems import named_problem
from fallline.cli.race_ends import leave, what_is_kept
from fallline.cli.typed import listed_in, seconds_of
from fallline.racing.arms import DEFAULT_SCHEDULE
from fallline.rules import DEFAULT_ARMS

if TYPE_CHECKING:
    from fallline.training import Problem

_DEFAULT_PROBLEM = "digits"
#: What an unfinished race brings with it.
_SETTLED = (
    "arms", "mine", "effort", "trials", "finalists", "seeds", "search", "schedule", "warm_up", "rounds", "halving",
    "margin", "seed", "training",
)  # fmt: skip


def race(
    context: typer.Context,
    problem: Annotated[
        str | None,
        typer.Argument(
            help="A Python file that sets a variable `problem`, as shown above, or the name of a bundled problem, as "
            "`fallline problems` lists them. Without one: handwritten digits."
        ),
    ] = None,
    problems: Annotated[
        str | None,
        typer.Option(
            help="Race on several problems, separated by commas, bundled ones and files of your own, or on `all` "
            "bundled ones that are real, and say what to take over all of them."
        ),
    ] = None,
    budgets: Annotated[
        str | None,
        typer.Option(
            help="Race at several lengths of a run, such as 0.25,0.5,1 of the problem's epochs, each a race of its "
            "own, and say what to take at which."
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Who races, separated by commas, such as sgd,momentum,adam: any rule that `fallline show` knows, or "
            "`all`, or an arm of the problem file by its name. Default: the `arms` that the problem file sets, or "
            f"{', '.join(DEFAULT_ARMS)}."
        ),
    ] = None,
    mine: Annotated[
        list[str] | None,
        typer.Option(
            help="Your present setting, such as adam,lr=3e-4,weight_decay=0.01, beside the other arms: it takes no "
            "trials and runs in the finals. A rule that `fallline show` knows, with decoupled weight decay, or a class "
            "as torch spells it, such as SGD,lr=0.1,momentum=0.9; what is not given is as published, and the "
            "rate as it is without schedule=. Several have names: --mine old=sgd,lr=0.1."
        ),
    ] = None,
    effort: Annotated[
        str,
        typer.Option(
            help="quick: 8 trials an arm, the 2 best run on 5 fresh seeds. "
            "standard: 16 trials, the 5 best on 10 seeds. thorough: 48 trials, the 8 best on 12 seeds."
        ),
    ] = "standard",
    trials: Annotated[
        int | None, typer.Option(min=1, help="Configurations that are tried of each arm, in place of the effort's.")
    ] = None,
    finalists: Annotated[
        int | None, typer.Option(min=1, help="How many of them, the best, run finals, in place of the effort's.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Fresh seeds of each finalist, in place of the effort's. Those that ran are not run again."
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            help="What is searched beside the learning rate, separated by commas: batch, schedule, warm_up, "
            "weight_decay, or hyperparameters such as momentum. Each costs power: take more trials."
        ),
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(
            help="How the learning rate of every arm goes over a run: constant, linear, cosine, one_cycle, or "
            "warmup-stable-decay, under which most arms ended best on the bundled problems. With `--search schedule` "
            "it is searched instead; a setting of which nothing is searched stays as it is."
        ),
    ] = DEFAULT_SCHEDULE,
    warm_up: Annotated[
        float | None,
        typer.Option(
            help="Share of a run in which the rate first rises, such as 0.05; by default the schedule's own: none, but "
            "0.05 of warmup-stable-decay."
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds of trials; a model proposes those after the first.")
    ] = None,
    halving: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Start all trials on a share of the steps; one in so many of each arm's goes on to so many times as "
            "many steps, up to the full length.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Go on until it is decided, or so much time is spent, such as 90s, 5min or 2h: with twice the seeds "
            "for the arms still in question, again and again. The looks at the data share the level of confidence.",
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="A difference, in the metric's unit, that does not matter to you.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Settles everything that is drawn.")] = 0,
    training: Annotated[
        str,
        typer.Option(
            help="How runs are trained: batched (side by side) or 'in turn', each in one process a core; threads (in "
            "turn, in this process, by all its threads); or auto: the fastest of these, by a short measurement. It "
            "changes numbers by rounding alone; runs side by side and runs in turn are kept apart."
        ),
    ] = "auto",
    json: Annotated[
        Path | None, typer.Option(help="Write the decision, all arms and the protocol to this file.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write the report, one page that needs no network, to this file; with --problems or --budgets one a "
            "race, race-digits.html and so on."
        ),
    ] = Path("race.html"),
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            help="Write the curves of every run for TensorBoard into this folder; with --problems or --budgets into "
            "one of it for each race."
        ),
    ] = None,
    diagnose: Annotated[
        bool,
        typer.Option(
            "--diagnose",
            help="Train the arm to take once more, and say why it trains as it does: all that `fallline diagnose` "
            "measures. Without it, what takes a second.",
        ),
    ] = False,
    storage: Annotated[
        str,
        typer.Option(
            help="SQLite file, made if it is not there, or URL of a PostgreSQL database, that keeps every run as it "
            "ends. A run that it keeps is not trained again."
        ),
    ] = "fallline-runs.db",
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Forget first what is kept of this problem, so that every run is trained anew: after a change that "
            "shows neither in the code of the problem nor in what it computes in a few steps.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the last race of the storage that has not finished, with its own options. One on a "
            "problem file needs the file, as in `fallline race problem.py --resume`.",
        ),
    ] = False,
    race_name: Annotated[
        str | None, typer.Option("--race", help="With --resume: which race, as `fallline races` names it.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Train in so many processes of this machine; by default one a core.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Train on the Ray cluster at this address, such as auto or ray://host:10001.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="The result only: no estimate, no progress.")] = False,
    whole: Annotated[
        bool, typer.Option("--traceback", help="Where something fails, show the whole way there, as Python does.")
    ] = False,
) -> None:
    """Race optimizers under an equal budget, to a decision: what to take, and how much it could cost.

    A race that was stopped, at whatever moment, goes on by the same command. A problem file is Python and sets the
    variable `problem`; it may set `arms` too, whatever fallline.race takes for them:

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
    # for milliseconds, which costs much on a machine that does other work too; and how matrices are multiplied hangs
    # on where in memory they lie, which the processes that train don't have either.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("MKL_CBWR", "AUTO")
    from fallline.racing import engines

    engines.warm_up(workers, ray)
    from fallline.cli.entrants import entrants
    from fallline.cli.race_outputs import Outputs, race_on_one
    from fallline.racing.effort import as_effort

    outputs = Outputs(json, None if no_report else report, tensorboard)
    outputs.check()
    names = None if arms is None else listed_in(arms)
    asked: dict[str, Any] = {
        "search": ["lr", *listed_in(search or "")], "schedule": schedule, "warm_up": warm_up, "margin": margin,
        "seed": seed, "training": training, "storage": storage, "fresh": fresh, "workers": workers, "ray": ray,
    }  # fmt: skip
    try:
        asked["effort"] = as_effort(
            effort, trials=trials, finalists=finalists, seeds=seeds, rounds=rounds, halving=halving
        )
        if until is not None:
            asked["until"] = seconds_of(until)
        if until is not None and (problems is not None or budgets is not None or resume):
            fail("--until takes one race; give no --problems, no --budgets and no --resume beside it")
        if diagnose and (problems is not None or budgets is not None):
            fail("--diagnose takes one race; give no --problems and no --budgets beside it")
        if race_name is not None and not resume:
            fail("--race names the race that --resume goes on with; give --resume too")
        if budgets is not None and (problems is not None or resume):
            fail("--budgets takes one problem; give no --problems and no --resume beside it")
        if problems is not None:
            if problem is not None or resume:
                fail("--problems names the problems; give no problem beside it, and no --resume")
            from fallline.cli.race_several import each_once, race_over
            from fallline.problems import REAL

            with _told(problems, quiet):
                read = [named_problem(name) for name in (REAL if problems == "all" else listed_in(problems))]
            several, own = each_once(read, problems)
            race_over(several, {**asked, "arms": entrants(names, mine or (), own)}, outputs, quiet=quiet)
        elif budgets is not None:
            from fallline.cli.race_several import race_at, shares_of

            shares = shares_of(budgets)
            with _told(problem, quiet):
                made, own = named_problem(problem or _DEFAULT_PROBLEM)
            race_at(made, shares, {**asked, "arms": entrants(names, mine or (), own)}, outputs, quiet=quiet)
        elif resume:
            _refuse_settled(context)
            with _told(problem, quiet):
                made, options = _unfinished(storage, race_name, problem)
            race_on_one(made, {**asked, **options}, outputs, quiet=quiet, diagnose=diagnose)
        else:
            with _told(problem, quiet):
                made, own = named_problem(problem or _DEFAULT_PROBLEM)
            entered = {**asked, "arms": entrants(names, mine or (), own)}
            race_on_one(made, entered, outputs, quiet=quiet, diagnose=diagnose)
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        leave(error, storage, whole=whole, problem=problem)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # whoever read the output has gone
            raise typer.Exit(1) from error
        sentence = f"the problem's model, loss or metric called sys.exit({error.code!r}); take the call out"
        fail(sentence, error=error, whole=whole)
    except KeyboardInterrupt as error:
        how_far = f": {error}" if error.args else ""
        again = "the same command without --fresh goes on" if fresh else "the same command goes on"
        fail(f"stopped{how_far}; {what_is_kept(error, storage)}, and {again}.", 130)


def _told(problem: str | None, quiet: bool) -> AbstractContextManager[object]:
    """Say now and then that the problem is still being read, where that is not to be seen otherwise."""
    out = console()
    return nullcontext() if quiet or out.is_terminal else Beat(lambda: f"{problem or 'the problem'} is being read", out)


def _unfinished(storage: str, name: str | None, problem: str | None) -> tuple[Problem, dict[str, Any]]:
    """The problem and the options of a race that has not finished."""
    from fallline.cli.problems import made
    from fallline.cli.races import bundled_problem, options_of, unfinished_race

    given, own = (None, ()) if problem is None else named_problem(problem)
    race = unfinished_race(storage, name, None if given is None else given.origin)
    options = options_of(race, own)
    return given or made(bundled_problem(race, by_name=name is not None)), options


def _refuse_settled(context: typer.Context) -> None:
    """Leave with a sentence where an option is given that the race has settled already."""
    sources = {name: context.get_parameter_source(name) for name in _SETTLED}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        fail(f"--resume goes on with a race as it was begun; leave {options} out")
