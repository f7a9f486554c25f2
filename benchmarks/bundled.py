"""What a default race comes to on each bundled problem, and on a small transformer of characters.

How many arms are behind for certain, what is taken, and how far that may be from the best. With --arms the same of
others. Runs are kept in the storage, so that asking again costs nothing.

    python -m benchmarks.bundled --storage bundled.db
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from torch import nn

import fallline as fl
from benchmarks.limit import transformer
from fallline.problems import REAL, find
from fallline.training import Problem


def problems(names: list[str]) -> list[Problem]:
    return [character_transformer() if name == "transformer" else find(name).make() for name in names]


def character_transformer() -> Problem:
    """Two layers that guess the next character, on 4,096 of the bundled text's examples."""
    text = find("characters").make()
    assert text.test is not None
    train, valid, test = (
        (split.inputs[:size], split.targets[:size])
        for split, size in ((text.train, 4096), (text.valid, 1024), (text.test, 2048))
    )
    return fl.Problem(
        model=transformer().model, loss=nn.functional.cross_entropy, train=train, valid=valid, test=test, epochs=6,
        name="transformer",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default=",".join([*REAL, "transformer"]))
    parser.add_argument("--arms", default=None)
    parser.add_argument("--effort", default="standard")
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--storage", default=None)
    options = parser.parse_args()
    arms = None if options.arms is None else options.arms.split(",")
    effort = fl.racing.EFFORTS[options.effort]
    effort = replace(effort, seeds=options.seeds or effort.seeds)
    print("problem         arms  behind  told apart from the one taken                take       at most from the best")
    for problem in problems(options.problems.split(",")):
        result = fl.race(problem, arms, effort, storage=options.storage)
        made, seconds = result.decision, result.occasion["seconds"]
        assert made.take is not None
        names = ", ".join(made.behind) or "none"
        most = "not told" if made.at_most_below_best is None else f"{made.at_most_below_best:.3g}"
        print(
            f"{problem.name:14} {len(result.arms):5d} {len(made.behind):7d}  {names:44} {made.take.arm:10} "
            f"{most} {made.metric} ({seconds:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
