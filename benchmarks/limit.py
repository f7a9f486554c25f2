"""How near a population comes to the limit: microseconds a lane and step, against a checkout before and against JAX.

Every side is a process with one thread and `MKL_CBWR=AUTO`, as a race's own are, or two at once, that has warmed up; in
each round they train in turn, all epochs with their evaluations, and medians are printed. JAX trains the digits' lanes
as one compiled program (`vmap`, `scan`), the same batches and evaluations; it is left out where it is not installed.

Usage: python benchmarks/limit.py [--before ../before] [--jax-python ~/jax/bin/python] [--lanes 96] [--rounds 5]
    [--problems digits,digits-conv,...] [--setting MKL_CBWR=AVX2]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
PROBLEMS = "digits,digits-conv,breast-cancer,diabetes,characters,photograph,transformer"
LANES_A_SEED = 4  # as in a race's finals some share a seed, in its tuning all do
#: Epochs that take about a second with 48 lanes.
EPOCHS = {"digits": 20, "digits-conv": 3, "breast-cancer": 30, "diabetes": 40, "characters": 3, "photograph": 10}


def transformer() -> Any:
    """Two layers of a transformer that guess the next character."""
    import torch
    from torch import nn

    from fallline.problems import find
    from fallline.training import Problem

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.places = nn.Embedding(97, 32), nn.Parameter(0.02 * torch.randn(8, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(32, 97)

        def forward(self, codes: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.head(self.layers(self.embedding(codes) + self.places)[:, -1])
            return output

    text = find("characters").make()
    train, valid = ((split.inputs[:1024], split.targets[:1024]) for split in (text.train, text.valid))
    return Problem(
        model=Transformer, loss=nn.functional.cross_entropy, train=train, valid=valid, epochs=1, name="transformer"
    )


def population(name: str, lanes: int) -> Callable[[], int]:
    """What trains a population of the race's rules, and returns the steps of a lane."""
    from fallline import rules
    from fallline.problems import find
    from fallline.training import make_lanes, train
    from fallline.training.updates import LaneRule, LaneUpdate

    problem = transformer() if name == "transformer" else find(name).make(epochs=EPOCHS[name])
    kinds = (rules.adam, rules.adamw, rules.momentum, rules.lion)
    moving = [kinds[lane % len(kinds)] for lane in range(lanes)]
    chosen = [LaneRule(rule, {**rule.defaults, "lr": 1e-4 * (1 + lane % 7)}) for lane, rule in enumerate(moving)]
    seeds = [lane // LANES_A_SEED for lane in range(lanes)]

    def action() -> int:
        made = make_lanes(problem, seeds, batched=True)
        train(made, LaneUpdate(made.parameters, chosen, seeds))
        return problem.steps

    return action


def serve(name: str, lanes: int) -> None:
    """Train whenever a line comes, and answer with microseconds a lane and step: of the clock, of the processor."""
    import torch

    torch.set_num_threads(1)
    action = population(name, lanes)
    begun = time.perf_counter()
    action()
    print(json.dumps({"first": time.perf_counter() - begun}), flush=True)
    for _ in sys.stdin:
        clock, processor = time.perf_counter(), time.thread_time()
        steps = action()
        seconds = time.perf_counter() - clock, time.thread_time() - processor
        print(json.dumps([1e6 * one / lanes / steps for one in seconds]), flush=True)


class Side:
    """One or more processes that train the same at once."""

    def __init__(self, command: Sequence[str], settings: dict[str, str], processes: int = 1) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_CBWR": "AUTO", **settings}
        self._processes = [
            subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(processes)
        ]  # fmt: skip
        self.first = max(answer["first"] for answer in self._answers())
        self.rounds: list[tuple[float, float]] = []

    def measure(self) -> None:
        """Train once more; the clock's time is that of a lane of all processes together."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        clocks, processors = zip(*self._answers(), strict=True)
        self.rounds.append((max(clocks) / len(clocks), statistics.mean(processors)))

    def median(self, place: int) -> float:
        """Of the clock (0) or the processor (1)."""
        return statistics.median(one[place] for one in self.rounds)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.communicate()

    def _answers(self) -> list[Any]:
        lines = []
        for process in self._processes:
            assert process.stdout is not None
            lines.append(process.stdout.readline())
        return [json.loads(line) for line in lines]


def sides(name: str, given: argparse.Namespace, folder: Path) -> dict[str, Side]:
    """The sides to compare on a problem."""
    command = [sys.executable, str(HERE), "--serve", name, "--lanes", str(given.lanes)]
    ours = {"PYTHONPATH": str(HERE.parent.parent / "src")}
    found = {"ours": Side(command, ours)}
    if given.setting:
        variable, _, value = given.setting.partition("=")
        found[given.setting] = Side(command, {**ours, variable: value})
    if given.before:
        found["before"] = Side(command, {"PYTHONPATH": str(Path(given.before).resolve() / "src")})
    if name == "digits":
        found["ours, two"] = Side(command, ours, processes=2)
        if given.before:
            found["before, two"] = Side(command, {"PYTHONPATH": str(Path(given.before).resolve() / "src")}, processes=2)
        if has_jax(given.jax_python):
            program = [
                given.jax_python,
                str(HERE.with_name("limit_jax.py")),
                str(digits_file(folder)),
                str(given.lanes),
            ]
            found["JAX"] = Side(program, {"JAX_THREADS": "1"})
            found["JAX, two"] = Side(program, {"JAX_THREADS": "1"}, processes=2)
        else:
            print("JAX is not installed: give the interpreter that has it by --jax-python.")
    return found


def has_jax(python: str) -> bool:
    return subprocess.run([python, "-c", "import jax"], capture_output=True, check=False).returncode == 0


def digits_file(folder: Path) -> Path:
    """The digits' training and validation splits, for a program that has no Fallline."""
    import numpy as np

    from fallline.problems import digits

    problem, path = digits(), folder / "digits.npz"
    arrays = problem.train.inputs, problem.train.targets, problem.valid.inputs, problem.valid.targets
    np.savez(path, *(array.numpy() for array in arrays))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", help="a checkout to compare with")
    parser.add_argument("--jax-python", default=sys.executable, help="an interpreter that has JAX (this one)")
    parser.add_argument("--lanes", type=int, default=96, help="of each process (96)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--problems", default=PROBLEMS, help="names, separated by commas (all)")
    parser.add_argument("--setting", help="a side of ours with an environment variable set, such as MKL_CBWR=AVX2")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.lanes)
        return
    print(f"{given.lanes} lanes a process, medians of {given.rounds} rounds, microseconds a lane and step")
    print(f"{'':14} {'':16} {'clock':>8} {'CPU':>8} {'before / ours':>14} {'first, s':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name in given.problems.split(","):
            found = sides(name, given, Path(folder))
            for _ in range(given.rounds):
                for side in found.values():
                    side.measure()
            for label, side in found.items():
                before = found.get(label.replace("ours", "before")) if label.startswith("ours") else None
                pairs = zip(before.rounds, side.rounds, strict=True) if before else ()
                ratios = [one[1] / other[1] for one, other in pairs]
                ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
                print(
                    f"{name:14} {label:16} {side.median(0):8.1f} {side.median(1):8.1f} {ratio:>14} {side.first:9.1f}",
                    flush=True,
                )
                side.close()


if __name__ == "__main__":
    main()
