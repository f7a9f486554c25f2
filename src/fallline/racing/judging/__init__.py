"""What a race measured, arm by arm, and what to be wary of in it. Other rooms import from here."""

from fallline.racing.judging.cautions import cautions, edge_of, missed_target, proposed_trials, unequal_budgets
from fallline.racing.judging.records import (
    Entry,
    Estimate,
    Final,
    Trial,
    median_estimate,
)
from fallline.racing.judging.statistics import mean_interval

__all__ = [
    "Entry", "Estimate", "Final", "Trial", "cautions", "edge_of", "mean_interval",
    "median_estimate", "missed_target", "proposed_trials",
    "unequal_budgets",
]  # fmt: skip
