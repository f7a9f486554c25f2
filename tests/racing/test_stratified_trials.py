"""Which races draw their trials as a stratified sample, which the verdict then draws again in pairs."""

import pytest
import torch
from torch import nn

import fallline as fl
from fallline.racing import Effort
from fallline.racing.arms.dimensions import Range
from fallline.racing.judging.statistics import collapsed_strata


@pytest.mark.parametrize(
    ("effort", "stratified"),
    [
        (Effort(8, 2, 2), True),
        (Effort(8, 2, 2, rounds=2), False),  # the later ones are proposed
        (Effort(8, 2, 2, halving=2), False),  # not all ran equally long
    ],
)
def test_sobol_trials_that_ran_equally_long_are_stratified(effort: Effort, stratified: bool) -> None:
    x = torch.arange(8.0)[:, None] / 8
    line = fl.Problem(
        model=lambda: nn.Linear(1, 1), loss=nn.functional.mse_loss, train=(x, x), valid=(x, x), test=(x, x), epochs=2
    )
    entry = fl.race(line, ["sgd"], effort, storage=None)["sgd"].entry
    assert entry.stratified == stratified
    rates = entry.space["lr"]
    assert isinstance(rates, Range)
    places = [rates.place(trial.configuration["lr"]) for trial in entry.trials]
    quarters = [[int(4 * places[i]) for i in pair] for pair in collapsed_strata(places)]
    assert (quarters == [[0, 0], [1, 1], [2, 2], [3, 3]]) == (effort.rounds == 1)
