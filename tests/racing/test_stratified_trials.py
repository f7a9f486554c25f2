"""Which races draw their trials as a stratified sample, which the verdict then draws again among neighbours."""

import pytest
import torch
from torch import nn

import fallline as fl
from fallline.racing import Effort
from fallline.racing.arms.dimensions import Range


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
    eighths = sorted(int(8 * rates.place(trial.configuration["lr"])) for trial in entry.trials)
    assert (eighths == list(range(8))) == (effort.rounds == 1)
