"""What a top curvature of the digits' network costs, beside other libraries on the same network and examples.

The network is taken as it begins and after some epochs of Adam. Every library looks for the highest curvature to a
thousandth: Fallline, and curvlinops under SciPy's eigsh, by the residual; PyHessian by the change of its power
iteration, which finds the curvature largest in size; hessian-eigenthings, whose Lanczos does not stop by itself, takes
as many products as Fallline does. `off` is the relative difference from the top of the whole Hessian in float64.
`products` are those of the Hessian with a vector; `arithmetic` counts the operations of matrix products, in those of a
gradient of all examples, and `time` is that of the processor, the median of rounds of which each runs every library
once; in gradients it is compared with those of the same round. `told` is the cost that Fallline tells, two a product.

Then Fallline alone, from several seeds: the most that it takes.

    python -m benchmarks.curvature --rounds 21
"""

from __future__ import annotations

import argparse
import copy
import importlib
import time
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fallline.landscape import curvature
from fallline.problems import digits
from fallline.training import Problem, fit

TOLERANCE = 1e-3
EPOCHS = (0, 3, 20)
SEEDS = 10

#: Finds the top curvature of a network, and tells how many products it took, and its cost in gradients if it knows.
Finder = Callable[[Problem, nn.Module], tuple[float, int | None, float | None]]


def by_fallline(problem: Problem, network: nn.Module) -> tuple[float, int | None, float | None]:
    found = curvature(problem, network, ends="top", tolerance=TOLERANCE)
    return found.top[0], round((found.cost - 5 / 3) / 2), found.cost


def by_curvlinops(problem: Problem, network: nn.Module) -> tuple[float, int | None, float | None]:
    library = importlib.import_module("curvlinops")
    parameters = dict(network.named_parameters())
    data = [(problem.train.inputs, problem.train.targets)]
    operator = library.HessianLinearOperator(network, nn.CrossEntropyLoss(), list(parameters.values()), data)
    counted = _Counted(operator.to_scipy())
    return float(eigsh(counted.operator, 1, which="LA", tol=TOLERANCE)[0][0]), counted.products, None


def by_hessian_eigenthings(problem: Problem, network: nn.Module) -> tuple[float, int | None, float | None]:
    operators = importlib.import_module("hessian_eigenthings.operators")
    algorithms = importlib.import_module("hessian_eigenthings.algorithms")

    def loss(model: nn.Module, batch: Any) -> Any:
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    operator = operators.HessianOperator(network, [(problem.train.inputs, problem.train.targets)], loss)
    found = algorithms.lanczos(operator, k=1, max_iter=13, tol=TOLERANCE, which="LA", seed=0)
    return float(found.eigenvalues[0]), int(found.iterations), None


def by_pyhessian(problem: Problem, network: nn.Module) -> tuple[float, int | None, float | None]:
    library = importlib.import_module("pyhessian")
    data = (problem.train.inputs, problem.train.targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a graph of gradients is kept
        hessian = library.hessian(network, nn.CrossEntropyLoss(), data=data, cuda=False)
    return float(hessian.eigenvalues(tol=TOLERANCE, top_n=1)[0][0]), None, None


class _Counted:
    """Counts the products of a SciPy operator."""

    def __init__(self, operator: Any) -> None:
        self.products = 0
        self._product = operator.matvec
        self.operator = type(operator)(operator.shape, matvec=self._counted, dtype=operator.dtype)

    def _counted(self, vector: Any) -> Any:
        self.products += 1
        return self._product(vector)


FINDERS: dict[str, tuple[str, Finder]] = {
    "fallline": ("fallline", by_fallline),
    "curvlinops": ("curvlinops", by_curvlinops),
    "hessian-eigenthings": ("hessian_eigenthings", by_hessian_eigenthings),
    "pyhessian": ("pyhessian", by_pyhessian),
}


def trained(problem: Problem, epochs: int, seed: int = 0) -> nn.Module:
    network = problem.build(seed)
    if epochs:
        shorter = problem.shortened(epochs / problem.epochs)
        fit(shorter, torch.optim.Adam(network.parameters(), lr=1e-2), model=network)
    return network


def exact_top(problem: Problem, network: nn.Module) -> float:
    """The top of the whole Hessian, in float64."""
    network = copy.deepcopy(network).double()
    parameters = list(network.parameters())
    loss = nn.functional.cross_entropy(network(problem.train.inputs.double()), problem.train.targets)
    flat = torch.cat([one.reshape(-1) for one in torch.autograd.grad(loss, parameters, create_graph=True)])
    rows = [torch.autograd.grad(number, parameters, retain_graph=True) for number in flat]
    hessian = torch.stack([torch.cat([one.reshape(-1) for one in row]) for row in rows]).numpy()
    return float(np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1])


def gradient(problem: Problem, network: nn.Module) -> None:
    loss = nn.functional.cross_entropy(network(problem.train.inputs), problem.train.targets)
    torch.autograd.grad(loss, list(network.parameters()))


def seconds(action: Callable[[], object]) -> float:
    """Of the processor: other processes do not count."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


def operations(action: Callable[[], object]) -> int:
    """Of matrix products."""
    with FlopCounterMode(display=False) as counter:
        action()
    return int(counter.get_total_flops())


def compare(epochs: int, libraries: dict[str, Finder], rounds: int) -> None:
    problem = digits()
    network = trained(problem, epochs)
    top = exact_top(problem, network)
    print(f"\nafter {epochs} epochs: top curvature {top:.6f}")
    print(f"{'':22}{'off':>10}{'products':>10}{'told':>7}{'arithmetic':>12}{'time':>10}{'in gradients':>14}")
    times: dict[str, list[float]] = {name: [] for name in ("gradient", *libraries)}
    found: dict[str, tuple[float, int | None, float | None]] = {}
    for number in range(rounds + 1):  # the first warms up
        own = [seconds(lambda: gradient(problem, network)) for _ in range(10)]
        times["gradient"].append(median(own))
        for name, finder in libraries.items():
            mine = copy.deepcopy(network)

            def action(name: str = name, finder: Finder = finder, mine: nn.Module = mine) -> None:
                found[name] = finder(problem, mine)

            times[name].append(seconds(action))
        if number == 0:
            times = {name: [] for name in times}
    one = median(times["gradient"])
    work = operations(lambda: gradient(problem, network))
    print(f"{'a gradient':22}{'':>27}{1:>12}{1e3 * one:>7.2f} ms{1:>14}")
    for name, finder in libraries.items():
        value, products, cost = found[name]
        told = f"{'' if products is None else products:>10}{'' if cost is None else f'{cost:.1f}':>7}"
        counted = operations(partial(finder, problem, copy.deepcopy(network))) / work
        paired = median(mine / theirs for mine, theirs in zip(times[name], times["gradient"], strict=True))
        took = f"{1e3 * median(times[name]):>7.1f} ms{paired:>14.1f}"
        print(f"{name:22}{value / top - 1:>10.1e}{told}{counted:>12.1f}{took}")


def over_seeds() -> None:
    problem = digits()
    for epochs in EPOCHS:
        networks = [trained(problem, epochs, seed) for seed in range(SEEDS)]
        work = operations(partial(gradient, problem, networks[0]))
        told, counted, took = list[float](), list[float](), list[float]()
        for network in networks:
            told.append(by_fallline(problem, network)[2] or 0.0)
            counted.append(operations(partial(by_fallline, problem, network)) / work)
            rounds = [
                seconds(partial(by_fallline, problem, network))
                / median(seconds(partial(gradient, problem, network)) for _ in range(10))
                for _ in range(5)
            ]
            took.append(median(rounds))
        print(
            f"after {epochs} epochs, {SEEDS} seeds, in gradients: told {median(told):.1f} (most {max(told):.1f}), "
            f"arithmetic {median(counted):.1f} ({max(counted):.1f}), time {median(took):.1f} ({max(took):.1f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--libraries", nargs="+", choices=FINDERS, default=list(FINDERS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    libraries = {}
    for name, (module, finder) in FINDERS.items():
        if name in given.libraries:
            try:
                importlib.import_module(module)
            except ImportError as error:
                print(f"{name}: left out ({error})")
                continue
            libraries[name] = finder
    for epochs in EPOCHS:
        compare(epochs, libraries, given.rounds)
    print()
    over_seeds()


if __name__ == "__main__":
    main()
