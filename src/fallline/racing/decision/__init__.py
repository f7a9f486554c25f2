"""From the runs of each arm, a race's or anybody's, to what to take and what it could cost."""

from fallline.racing.decision.aggregate import ProblemRuns, decide_over
from fallline.racing.decision.choice import best_finalist, stand_in
from fallline.racing.decision.decide import decide
from fallline.racing.decision.foreseen import FIRST_SEEDS, foreseen, in_words
from fallline.racing.decision.judge import judge
from fallline.racing.decision.lines import with_lines
from fallline.racing.decision.order_statistics import median_rank
from fallline.racing.decision.overall import OverProblems, Without
from fallline.racing.decision.record import Decision, Next, Take
from fallline.racing.decision.records import LARGEST_SCORE, LEVEL, Entrant, fixed
from fallline.racing.decision.resolution import Resolution, level_of_look, resolution
from fallline.racing.decision.speed import Speed, Speeds

__all__ = [
    "FIRST_SEEDS", "LARGEST_SCORE", "LEVEL", "Decision", "Entrant", "Next", "OverProblems", "ProblemRuns",
    "Resolution", "Speed", "Speeds", "Take", "Without", "best_finalist", "decide", "decide_over", "fixed",
    "foreseen", "in_words", "judge", "level_of_look", "median_rank", "resolution", "stand_in", "with_lines",
]  # fmt: skip
