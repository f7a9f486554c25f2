"""Is the decision right on real runs? Handwritten digits, trained once at many rates and seeds, resampled into races.

A network of one hidden layer, heavy ball, 30 rates over five decades, 48 seeds: each race gives every arm its own even
points, the runs nearest to them, and seeds of its own. So arms are equal, and what seeds, test examples and the
landscape do is what they really do. Then the last arm gets a gap: of its right answers some turn wrong, most of all on
examples that are wrong at times, or its losses rise, each by its share.

    python -m benchmarks.decisions_digits --races 400
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from benchmarks.decisions import FINALISTS, SEEDS, TRIALS, Race, first_and_second, shown
from fallline.racing.decision import Entrant

Floats = NDArray[np.float64]

RATES = np.geomspace(1e-4, 10.0, 30)
BANK_SEEDS, HIDDEN, BATCH, EPOCHS, MOMENTUM = 48, 32, 32, 15, 0.9
TRAIN, VALID = 1077, 360


@dataclass(frozen=True, eq=False)
class Bank:
    """Validation scores (rates, seeds) and what each test example adds (rates, seeds, examples)."""

    validation: Floats
    test: Floats


def trained() -> dict[str, Bank]:
    """Train all runs at once, and score them by loss and by accuracy."""
    x, y = (torch.as_tensor(one) for one in load_digits(return_X_y=True))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = (x[order] / 16).float(), y[order].long()
    rng, lanes = torch.Generator().manual_seed(1), len(RATES) * BANK_SEEDS
    rate = torch.as_tensor(RATES).float().repeat_interleave(BANK_SEEDS)[:, None, None]

    def weights(fan_in: int, fan_out: int) -> torch.Tensor:
        uniform: torch.Tensor = (torch.rand(BANK_SEEDS, fan_in, fan_out, generator=rng) * 2 - 1) / fan_in**0.5
        return uniform.repeat(len(RATES), 1, 1)

    parameters = [
        weights(64, HIDDEN), torch.zeros(lanes, 1, HIDDEN), weights(HIDDEN, 10), torch.zeros(lanes, 1, 10)
    ]  # fmt: skip
    buffers = [torch.zeros_like(one) for one in parameters]
    epochs = [[torch.randperm(TRAIN, generator=rng) for _ in range(EPOCHS)] for _ in range(BANK_SEEDS)]
    orders = torch.stack([torch.cat(one) for one in epochs])
    for start in range(0, orders.shape[1] - BATCH + 1, BATCH):
        batch = orders[:, start : start + BATCH]
        inputs, labels = x[batch].repeat(len(RATES), 1, 1), y[batch].repeat(len(RATES), 1)
        hidden = torch.relu(torch.baddbmm(parameters[1], inputs, parameters[0]))
        error = torch.softmax(torch.baddbmm(parameters[3], hidden, parameters[2]), 2)
        error.scatter_add_(2, labels[..., None], -torch.ones(lanes, BATCH, 1))
        error /= BATCH
        back = (error @ parameters[2].mT) * (hidden > 0)
        gradients = [inputs.mT @ back, back.sum(1, keepdim=True), hidden.mT @ error, error.sum(1, keepdim=True)]
        for parameter, buffer, gradient in zip(parameters, buffers, gradients, strict=True):
            buffer.mul_(MOMENTUM).add_(gradient)
            parameter.sub_(rate * buffer)
    hidden = torch.relu(x[TRAIN:] @ parameters[0] + parameters[1])
    outputs = hidden @ parameters[2] + parameters[3]
    shape = len(RATES), BANK_SEEDS, -1
    loss = -torch.log_softmax(outputs, 2).gather(2, y[TRAIN:].expand(lanes, -1)[..., None]).reshape(shape)
    right = (outputs.argmax(2) == y[TRAIN:]).double().reshape(shape)
    found = {"loss": loss.double().numpy(), "accuracy": torch.where(loss.isfinite(), right, torch.nan).numpy()}
    return {name: Bank(one[..., :VALID].mean(axis=2), one[..., VALID:]) for name, one in found.items()}


def make_race(bank: Bank, metric: str, arms: int, stages: int, spreads: float, number: int) -> Race:
    """A race of equal arms, of which the last has a gap of so many spreads of the seeds."""
    rng, sign = np.random.default_rng([7, number]), 1.0 if metric == "loss" else -1.0
    seeds = rng.permutation(BANK_SEEDS)
    entrants, scores = [], []
    for place in range(arms):
        own = seeds[place * (SEEDS + 1) : (place + 1) * (SEEDS + 1)]

        def tuned(places: Floats, own: NDArray[np.int64] = own) -> Floats:
            return np.asarray(bank.validation[nearest(places), own[0]])

        places, found, stage = first_and_second(rng, sign, stages, tuned)
        finals = np.argsort(np.nan_to_num(sign * found, nan=np.inf), kind="stable")[:FINALISTS]
        rates = nearest(places[finals])
        examples = bank.test[rates][:, own[1:]]
        if spreads and place == arms - 1:
            examples = handicapped(bank, metric, examples, spreads, rng)
        validation = bank.validation[rates][:, own[1:]]
        entrants.append(
            Entrant(f"arm {place}", found, finals, validation, examples.mean(axis=2), examples, places=places,
                    stages=stage)
        )  # fmt: skip
        scores.append(bank.test[rates].mean(axis=(1, 2)))
    return Race(entrants, scores, metric)


def nearest(places: Floats) -> NDArray[np.int64]:
    return np.clip((places * len(RATES)).astype(np.int64), 0, len(RATES) - 1)


def handicapped(bank: Bank, metric: str, examples: Floats, spreads: float, rng: np.random.Generator) -> Floats:
    losses = bank.validation if metric == "loss" else -bank.validation
    best = bank.test[np.nan_to_num(losses, nan=np.inf).mean(axis=1).argmin()]
    gap = spreads * best.mean(axis=1).std(ddof=1)
    each = best.mean(axis=0)
    if metric == "loss":
        return np.asarray(examples + gap * each / each.mean())
    doubtful = each * (1 - each) + 0.02 * (1 - each) + 0.004
    turned = np.minimum(gap * len(each) * doubtful / doubtful.sum(), 0.9)
    return np.asarray(examples * (rng.random(examples.shape) >= turned))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=400, help="races for each row")
    options = parser.parse_args()
    torch.set_num_threads(1)
    banks = trained()
    print(f"digits, 360 test examples, {TRIALS} trials, {SEEDS} seeds, {options.races} races a row")
    print("metric    stages arms  gap  false behind           named ")
    for metric, stages, (arms, spreads) in itertools.product(
        banks, (1, 2), ((2, 0.0), (4, 0.0), (2, 2.0), (2, 3.0))
    ):  # fmt: skip
        false, named = 0, 0
        for number in range(options.races):
            race = make_race(banks[metric], metric, arms, stages, spreads, number)
            behind = set(race.decision().behind)
            last = {race.entrants[-1].name} if spreads else set()
            false += bool(behind - last)
            named += bool(behind & last)
        told = shown(named, options.races) if spreads else ""
        print(f"{metric:9} {stages:6d} {arms:4d} {spreads:4g}  {shown(false, options.races)}  {told:22}", flush=True)


if __name__ == "__main__":
    main()
