"""Racing optimizers on one's own problem, to a decision that can be trusted. Its rooms have doors of their own.

What failed, and where in the user's code, is told by `fallline.racing.failure`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fallline._lazy import door

if TYPE_CHECKING:
    from fallline.racing.arm_result import ArmResult
    from fallline.racing.arms import Arm, Choice, Range
    from fallline.racing.audit import started_apart
    from fallline.racing.decision import Decision, Entrant, OverProblems, judge
    from fallline.racing.effort import EFFORTS, Effort
    from fallline.racing.lengths import Lengths, race_lengths
    from fallline.racing.protocol import race
    from fallline.racing.renderers import add_renderer
    from fallline.racing.result import RaceResult
    from fallline.racing.runs import Outcome, Reached, Run
    from fallline.racing.several import over_problems
    from fallline.racing.stages import Watcher
    from fallline.racing.until import race_until

#: Imported when first asked for: `fallline --help` should not wait for torch.
__getattr__ = door(__name__, {
    "arms": ("Arm", "Choice", "Range"),
    "decision": ("Decision", "Entrant", "OverProblems", "judge"),
    "arm_result": ("ArmResult",),
    "result": ("RaceResult",),
    "effort": ("EFFORTS", "Effort"),
    "runs": ("Outcome", "Reached", "Run"),
    "stages": ("Watcher",),
    "renderers": ("add_renderer",),
    "several": ("over_problems",),
    "lengths": ("Lengths", "race_lengths"),
    "protocol": ("race",),
    "audit": ("started_apart",),
    "until": ("race_until",),
})  # fmt: skip

__all__ = [
    "EFFORTS", "Arm", "ArmResult", "Choice", "Decision", "Effort", "Entrant", "Lengths", "Outcome", "OverProblems",
    "RaceResult", "Range", "Reached", "Run", "Watcher", "add_renderer", "judge", "over_problems", "race",
    "race_lengths", "race_until", "started_apart",
]  # fmt: skip
