"""How much a race may spend: the same for every arm."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, init=False)
class Effort:
    """Trials of each arm, how many of its best configurations run finals, on how many fresh seeds.

    What is not given is as in the standard effort: 16 trials, the 5 best (of fewer trials, all) on 10 seeds.

    With `rounds` above 1 the trials of an arm come in so many rounds: the first draws Sobol points, the later ones are
    proposed by a model of the arm's trials so far. With `halving` above 1 all trials start on a small share of the
    steps and one in `halving` of each arm's trials goes on to `halving` times as many, until the finalists' runs are of
    full length.
    """

    trials: int
    finalists: int
    seeds: int
    names_winner: bool = True
    rounds: int = 1
    halving: int = 1

    def __init__(
        self, trials: int = 16, finalists: int | None = None, seeds: int = 10, names_winner: bool = True,
        rounds: int = 1, halving: int = 1,
    ) -> None:  # fmt: skip
        if finalists is None:
            finalists = min(5, trials) if isinstance(trials, int) else 5
        given = {"trials": trials, "finalists": finalists, "seeds": seeds, "names_winner": names_winner}
        for name, value in {**given, "rounds": rounds, "halving": halving}.items():
            object.__setattr__(self, name, value)


EFFORTS = {
    "quick": Effort(trials=8, finalists=1, seeds=5, names_winner=False),
    "standard": Effort(trials=16, finalists=5, seeds=10),
    "thorough": Effort(trials=48, finalists=8, seeds=12),
}


def as_effort(effort: str | Effort, *, rounds: int | None = None, halving: int | None = None) -> Effort:
    """An effort by name, or as it is, with other rounds or another halving where these are given.

    Raises ValueError, in a sentence, for what can't be spent.

    >>> as_effort("standard", halving=2)
    Effort(trials=16, finalists=5, seeds=10, names_winner=True, rounds=1, halving=2)
    """
    if isinstance(effort, str):
        if effort not in EFFORTS:
            raise ValueError(f"effort must be one of {', '.join(EFFORTS)}; got '{effort}'")
        effort = EFFORTS[effort]
    if not isinstance(effort, Effort):
        raise TypeError(
            f"effort must be one of {', '.join(EFFORTS)}, or an Effort, such as fallline.Effort(trials=16); "
            f"got {effort!r}"
        )
    effort = replace(
        effort,
        rounds=effort.rounds if rounds is None else rounds,
        halving=effort.halving if halving is None else halving,
    )
    for name in ("trials", "finalists", "seeds", "rounds", "halving"):
        value = getattr(effort, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} of an effort must be a whole number from 1; got {value!r}")
    for name in ("finalists", "rounds", "halving"):
        if getattr(effort, name) > effort.trials:
            raise ValueError(
                f"{name} must be at most the {effort.trials} trials of the effort; got {getattr(effort, name)}"
            )
    return effort
