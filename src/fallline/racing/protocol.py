"""The race, read from top to bottom: check, plan, tune, finals on fresh seeds, time alone, decision."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from fallline import _asked
from fallline._text import counted
from fallline.racing import engines
from fallline.racing.arms import DEFAULT_SCHEDULE, as_arms, raced_once
from fallline.racing.audit import one_at_a_time
from fallline.racing.conclusion import Asked, Raced, conclude
from fallline.racing.effort import Cost, Effort, as_effort
from fallline.racing.engines import Engine, choose_engine
from fallline.racing.evidence import Chosen, best_first
from fallline.racing.failure import attempted
from fallline.racing.finals import all_finals, look_at
from fallline.racing.going_on import going_on
from fallline.racing.result import RaceResult
from fallline.racing.runs import Run
from fallline.racing.solo import solo_seconds, try_arms
from fallline.racing.stages import Plan, Stages, Watcher, engine_for, make_plan
from fallline.racing.storage import NOT_KEPT, Card, Keys, Lasting, open_store, problem_key
from fallline.racing.tuning import best_trials, expected_cost, planned_runs, sign_of, tune
from fallline.rules import DEFAULT_ARMS
from fallline.training import Problem, ProblemError, torch_threads

Found = TypeVar("Found")

DEFAULT_STORAGE = Path("fallline-runs.db")


def race(
    problem: Problem,
    arms: Iterable[Any] | str | None = None,
    effort: str | Effort = "standard",
    *,
    search: Sequence[str] = ("lr",),
    schedule: str = DEFAULT_SCHEDULE,
    warm_up: float | None = None,
    rounds: int | None = None,
    halving: int | None = None,
    seed: int = 0,
    storage: str | Path | None = DEFAULT_STORAGE,
    margin: float = 0.0,
    training: str = "auto",
    workers: int | None = None,
    ray: str | None = None,
    fresh: bool = False,
    slices: bool = False,
    watcher: Watcher | None = None,
    **elsewhere: Any,
) -> RaceResult:
    """Race optimizers on a problem under an equal budget and judge them.

    Every arm gets the same number of trials, then its best configurations run on fresh seeds that all arms share; the
    test split is read only there. A run that the storage keeps is read and not trained again: the same call goes on
    with a race that was stopped, at whatever moment, and one that asks for more trains what is missing. A run is known
    again by its configuration and seed and by the problem: its data, its code, and what it computes in a few steps; a
    change that shows only later, and in none of these, is not seen: then ask for `fresh` ones. `training`, `workers`
    and `ray` change no run beyond rounding.

    Args:
        problem: What is trained, with a test split.
        arms: Who races: names, rules, torch optimizer classes, functions of the parameters and a learning rate `lr`
            that return an optimizer, or `Arm`s, in a list or, by names of your own, in a dictionary; "all" takes all
            that can be raced, None the default ones. A setting of your own, of which nothing is searched, runs in the
            finals alone: an `Arm` whose learning rate is fixed, or a text such as "mine=adam,lr=3e-4". Arms that are
            one optimizer under two names are raced once.
        effort: "quick", "standard", "thorough" or an `Effort`: how many trials, finalists and seeds.
        search: What is searched beside the learning rate: hyperparameters of the arms, "batch", "schedule", "warm_up",
            "weight_decay".
        schedule: How the learning rate goes over the steps of a run, of every arm that searches anything and neither
            fixes nor searches its schedule: "constant", "linear", "cosine", "one_cycle", or "warmup-stable-decay", the
            default, under which most arms ended best on the bundled problems, each tuned under each. Where rates
            decay, the steps on the way to a level say little, and no speed is told.
        warm_up: Share of the steps in which the rate first rises evenly to where the schedule begins; None for the
            schedule's own, which is 0 but a twentieth of "warmup-stable-decay".
        rounds: Rounds of trials; None for those of the effort.
        halving: One trial in so many goes on to longer runs; None for that of the effort.
        seed: Settles everything that is drawn; from 0 to 2**63 - 1.
        storage: SQLite file, or URL of a PostgreSQL database, which keeps every run as it ends; None keeps none.
        margin: A difference, in the metric's unit, that does not matter to you.
        training: "batched" (side by side) or "in turn", each in processes of one thread; "threads" (in turn, in this
            process, by all its threads); "auto" for the fastest, by a short measurement.
        workers: Train in so many processes of this machine; None for one a core, 1 for this process alone.
        ray: Train on the Ray cluster at this address.
        fresh: Forget first what is kept of this problem, so that every run is trained anew.
        slices: Also cut through the loss around the best runs, for the report.
        watcher: A `fallline.racing.Watcher`, told of stages, steps and runs as they end; None for nobody.
        elsewhere: None; it is there to say where what belongs elsewhere has its place.

    Returns:
        The result: print it for the decision and the table.

    Raises:
        ProblemError: The problem can't be raced.
        ValueError: An arm or a setting can't be raced, in a sentence that says what to change.
        TypeError: There is no such argument, or the effort is none.
        ImportError: What the storage or the engine needs is not installed.
        OSError: The storage or the cluster can't be used.

    >>> from fallline.problems import digits
    >>> result = race(digits(epochs=2), ["sgd", "adam"], "quick", storage=None)
    >>> result.decision.take.arm in ("sgd", "adam")
    True
    """
    _check(problem, elsewhere)
    seed = _asked.seed(seed)
    watcher = watcher or Watcher()
    if arms is not None and not isinstance(arms, (str, Mapping, list, tuple)) and isinstance(arms, Iterable):
        arms = list(arms)  # which may be read once alone
    entrants = tuple(arm.under(schedule, warm_up) for arm in as_arms(arms, search=search, problem=problem))
    spent = as_effort(effort, rounds=rounds, halving=halving)
    engines.warm_up(workers, ray)
    watcher.note(f"Checking the problem and {counted(len(entrants), 'arm')}.")
    with torch_threads(1):  # threads that wait for each other cost more than they give, most of all on a busy machine
        problem.check(_seeds(seed, 1)[0])
        try_arms(problem, entrants)
        entrants, repeated = raced_once(entrants)
        keys = Keys(problem, problem_key(problem), entrants)
    for line in repeated:
        watcher.note(line)
    # The first seed tunes; the others, which no trial has seen, run the finals.
    tuning_seed, *final_seeds = _seeds(seed, 1 + spent.seeds)
    planned = {arm.name: planned_runs(arm, problem, spent, seed, tuning_seed, final_seeds) for arm in entrants}
    later = spent.finalists * spent.seeds * sum(arm.searched for arm in entrants)  # the finals of what is searched
    margin = _asked.number("margin", margin, least=0.0)
    settings = {
        "margin": margin, "search": list(search), "schedule": schedule, "warm_up": warm_up, "training": training
    }  # fmt: skip
    question = {"effort": asdict(spent), "seed": seed, "target": problem.target, **settings}
    card = Card(
        problem=problem.name,
        problem_key=keys.problem,
        question=keys.question(planned, question),
        higher_is_better=problem.metric.higher_is_better,
        spaces={arm.name: {name: one.to_json() for name, one in arm.space.items()} for arm in entrants},
        command=_command(problem, arms, spent, seed, settings),
        planned_runs=sum(map(len, planned.values())) + later,
    )
    asked = Asked(problem, entrants, spent, seed, tuning_seed, tuple(final_seeds), workers, margin)
    with (
        closing(choose_engine(workers, ray)) as engine,
        closing(Lasting(None if storage is None else open_store(storage, card, fresh=fresh), watcher.note)) as store,
    ):
        try:
            own_engine = workers is not None or ray is not None
            result = _held(asked, planned, keys, card, store, engine, watcher, own_engine=own_engine)
            return _ended(result.warned(*repeated), store, slices=slices)
        except BaseException as error:
            if store.told():  # whoever shows the error must not say that all is kept
                error.add_note(f"{NOT_KEPT}{store.trouble}")
            raise


def _held(
    asked: Asked,
    planned: Mapping[str, Sequence[Run]],
    keys: Keys,
    card: Card,
    store: Lasting,
    engine: Engine,
    watcher: Watcher,
    *,
    own_engine: bool,
) -> RaceResult:
    """All stages in turn; `planned` are the runs that are known before, by the arms' names."""
    started = time.perf_counter()
    problem, arms, effort, training = asked.problem, asked.arms, asked.effort, card.command["training"]
    runs = [run for own in planned.values() for run in own]
    plan = _once(
        store, card.problem_key, f"plan {training}", lambda: asdict(make_plan(problem, runs, training)),
        lambda kept: Plan(**kept),
    )  # fmt: skip
    engine = engine_for(plan, engine, problem, runs, watcher.note, asked=own_engine)
    scored = {arm.name: not arm.searched for arm in arms}  # of what is not searched, all that is planned are finals
    known = {keys.of(run, batched=plan.batched, scored=scored[run.arm]): run for run in runs}
    kept = [known[key] for key in store.there([*known])]
    cost = expected_cost(problem, arms, effort, planned, asked.final_seeds, plan.seconds, engine.slots, kept)
    _announce(cost, plan, store, watcher)
    watcher.planned(cost.tuning.runs + cost.finals.runs)

    stages = Stages(problem, store, keys, engine, plan, watcher)
    tuning_started = time.perf_counter()
    tuned = tune(stages, arms, effort, asked.seed, asked.tuning_seed)
    if (line := cost.after_tuning(time.perf_counter() - tuning_started)) is not None:
        watcher.note(line)

    chosen: Chosen = best_trials(tuned, problem, effort)
    finals = all_finals(stages, arms, tuned, chosen, asked.final_seeds)
    chosen, finals = best_first(arms, tuned, chosen, finals, sign_of(problem))

    bests = [(arm, tuned[arm.name].points[chosen[arm.name][0]]) for arm in arms]
    with torch_threads(plan.threads):
        seconds, untimed = attempted(
            "The steps could not be timed alone, so all arms have the time that was measured before the race",
            lambda: _once(store, card.question, "step seconds", lambda: solo_seconds(problem, bests), _as_seconds),
        )

    raced = Raced(asked, plan, stages.granted, tuned, chosen, finals, seconds or [plan.seconds] * len(arms))
    with torch_threads(plan.threads):
        look = look_at(stages, arms, tuned, chosen, asked.final_seeds, asked.seed)
        result = conclude(raced, untimed, look)
    seconds_of_run = problem.steps * plan.seconds
    fixed = {arm.name for arm in arms if not arm.searched}
    where = None if store.where in (None, str(DEFAULT_STORAGE.resolve())) else store.where
    further = going_on(
        result.decision, card.command, effort, fixed, seconds=seconds_of_run, slots=engine.slots, storage=where
    )
    result = result.going_on(further)
    processes = "one process" if engine.slots == 1 else f"{engine.slots} processes"
    occasion = {
        "seconds": time.perf_counter() - started,
        "estimated_seconds": cost.seconds,
        "runs": {"trained": len(stages.trained), "kept_before": len(stages.kept_before)},
        "storage": None if store.where is None else {"where": store.where, "race": store.name},
        "machine": f"{platform.machine()}, {processes} of {counted(plan.threads or torch.get_num_threads(), 'thread')}",
    }
    told = {name: card.command[name] for name in ("schedule", "warm_up")}
    return replace(result, protocol={**result.protocol, **told}, occasion=occasion)


def _ended(result: RaceResult, store: Lasting, *, slices: bool) -> RaceResult:
    """The result with its cuts if they are asked for, kept in the store; what of that fails is among its warnings."""
    for arm in result.arms:
        if not arm.entry.diverged:
            result = result.warned(*attempted(f"The program for {arm.name} could not be written", arm.code)[1])
    result = _kept(result, store)
    if slices:
        result = _kept(result.with_slices(), store)
    told, failed = attempted("Whether every run is kept is not known", store.told)
    return result.stored(store.where if told == () else None, *(told or failed))


def _kept(result: RaceResult, store: Lasting) -> RaceResult:
    without = "The result could not be kept in the storage; the runs are, if no other warning says otherwise"
    return result.warned(*attempted(without, lambda: store.answer(result.to_json()))[1])


def _once(store: Lasting, scope: str, name: str, find: Callable[[], Any], read: Callable[[Any], Found]) -> Found:
    """What was found before, by this race or one at the same moment, or is found now; what can't be read counts not."""
    with suppress(TypeError, ValueError):
        if (kept := store.recall(scope, name)) is not None:
            return read(kept)
    found = find()
    store.remember(scope, name, found)
    with suppress(TypeError, ValueError):
        return read(store.recall(scope, name) or found)
    return read(found)


def _as_seconds(kept: Any) -> list[list[float]]:
    """Seconds of a step, by arm and round."""
    return [[float(one) for one in own] for own in kept]


def _announce(cost: Cost, plan: Plan, store: Lasting, watcher: Watcher) -> None:
    watcher.note(cost.before())
    for line in one_at_a_time(plan.obstacle):
        watcher.note(line)
    if store.where is not None:
        watcher.note(f"Every run is kept in {store.where} as it ends.")


_OF_EFFORT = "it belongs to the effort: effort=fallline.Effort(trials=16, finalists=5, seeds=10)"
_OF_PROBLEM = "it belongs to the problem: fallline.Problem(..., {}=...)"
_OF_ARM = (
    "a race searches it; set its space by fallline.Arm('name', optimizer, space={'lr': (low, high)}), or fix it "
    "by fixed={'lr': value}"
)
#: Where what people give a race has its place.
_ELSEWHERE = {
    **dict.fromkeys(("trials", "finalists", "seeds"), _OF_EFFORT),
    **{name: _OF_PROBLEM.format(name) for name in ("batch", "epochs", "steps", "metric", "target", "loss", "shuffle")},
    **dict.fromkeys(("lr", "learning_rate", "space"), _OF_ARM),
    **dict.fromkeys(("optimizers", "optimizer", "rules", "entrants"), "give the optimizers as arms=[...]"),
    **dict.fromkeys(("n_jobs", "processes", "num_workers"), "it is called workers"),
}


def _check(problem: Problem, elsewhere: Mapping[str, Any]) -> None:
    if not isinstance(problem, Problem):
        raise ProblemError(f"problem: must be a fallline.Problem, got {type(problem).__name__}.")
    if problem.test is None:
        raise ProblemError("test: a race is judged on a test split; give the problem test=(X, y).")
    for name in elsewhere:
        raise TypeError(
            f"race has no argument '{name}'; {_ELSEWHERE.get(name, 'help(fallline.race) lists those it has')}"
        )


def _command(
    problem: Problem, arms: Iterable[Any] | str | None, effort: Effort, seed: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What a command line needs to ask the race again; arms are None where only a program has them."""
    given: Any = list(DEFAULT_ARMS) if arms is None else arms
    if not isinstance(given, str):
        names = [one if isinstance(one, str) else getattr(one, "origin", None) for one in given]
        given = None if isinstance(given, Mapping) or None in names else names
    return {"problem": problem.origin, "arms": given, "effort": asdict(effort), "seed": seed, **settings}


def _seeds(seed: int, count: int) -> list[int]:
    """Different seeds that follow from one; a longer list begins with the shorter."""
    drawn = np.random.SeedSequence(seed).generate_state(4 * count) >> 1
    return list(dict.fromkeys(drawn.tolist()))[:count]
