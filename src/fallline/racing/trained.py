"""The trained models of a race, and cuts through the loss around them.

A race keeps no weights: each best configuration is trained again from the first final seed, which gives the same run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from fallline.landscape.slices import slice as slice_of
from fallline.racing.runs import Run, in_turn_if_need_be
from fallline.racing.tuning import run_of
from fallline.training import Lanes, Problem, train
from fallline.training.modules import trainable
from fallline.training.updates import LaneUpdate

if TYPE_CHECKING:
    from fallline.racing.result import ArmResult

#: Examples that the loss of a slice is a mean over, at most: two thousand evaluations are to take seconds.
_EXAMPLES = 512
_POINTS_2D = 21


def trained_models(problem: Problem, arms: Sequence[ArmResult], seed: int, *, batched: bool) -> dict[str, nn.Module]:
    """Each arm's best configuration, trained from one seed; without the arms whose run diverges."""
    runs = {arm.name: run_of(arm.arm, arm.configuration, problem, seed) for arm in arms if not arm.entry.diverged}
    alike: dict[tuple[int, int], list[str]] = {}
    for name, run in runs.items():
        alike.setdefault((run.batch, run.steps), []).append(name)
    found: dict[str, nn.Module] = {}
    for names in alike.values():
        found |= _trained(problem, {name: runs[name] for name in names}, batched)
    return {name: found[name] for name in runs if name in found}


def _trained(problem: Problem, runs: Mapping[str, Run], batched: bool) -> dict[str, nn.Module]:
    names = list(runs)

    def models(lanes: Lanes, update: LaneUpdate) -> dict[str, nn.Module]:
        train(lanes, update, steps=runs[names[0]].steps)
        with update.evaluated(lanes.parameters):
            return {names[first]: lanes.module(lane) for lane, first in enumerate(lanes.index.tolist())}

    return in_turn_if_need_be(problem, list(runs.values()), batched, models)


def slices_around(models: Mapping[str, nn.Module], problem: Problem) -> list[dict[str, Any]]:
    """Cuts through the loss around trained models, along the same directions for all, as plain data with their names.

    Along one random direction, each filter rescaled to the model's own; and on the plane of the two axes along which
    the models differ most, where there are three or more.
    """
    if not models:
        return []
    through, examples = list(models.values()), min(_EXAMPLES, len(problem.train))
    # Random directions are zero along vectors, so a model without matrices has nothing to show there.
    has_filters = any(parameter.ndim > 1 for parameter in trainable(through[0]))
    cuts = [slice_of(problem, through, examples=examples)] if has_filters else []
    if len(models) > 2:
        cuts.append(slice_of(problem, through, axes="principal", dimensions=2, points=_POINTS_2D, examples=examples))
    return [{**cut.to_json(), "names": list(models)} for cut in cuts]
