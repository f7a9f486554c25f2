"""How a race is judged: entries in, a verdict with its tests and cautions out. Other rooms import from here."""

from fallline.racing.judging.cautions import edge_of, missed_target, proposed_trials, unequal_budgets
from fallline.racing.judging.pairs import faster
from fallline.racing.judging.records import (
    LARGEST_SCORE,
    Comparison,
    Entry,
    Estimate,
    Final,
    Trial,
    Verdict,
    median_estimate,
    median_rank,
)
from fallline.racing.judging.statistics import budget_curve, performance_profile, profile_area
from fallline.racing.judging.verdict import decide

__all__ = [
    "LARGEST_SCORE", "Comparison", "Entry", "Estimate", "Final", "Trial", "Verdict", "budget_curve", "decide",
    "edge_of", "faster", "median_estimate", "median_rank", "missed_target", "performance_profile",
    "profile_area", "proposed_trials", "unequal_budgets",
]  # fmt: skip
