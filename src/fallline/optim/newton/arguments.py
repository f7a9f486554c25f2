"""What Newton refuses, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from fallline.optim.newton.step_length import SEARCHES

Group = dict[str, Any]
OPTIONS = ("lr", "line_search", "exact_up_to", "cg_tolerance", "cg_iterations", "tolerance_grad")


def check_options(group: Group) -> None:
    """Refuse an option that is out of its range."""
    search, tolerance = group["line_search"], group["cg_tolerance"]
    if search is not None and search not in SEARCHES:
        names = " or ".join(f"'{name}'" for name in SEARCHES)
        raise ValueError(f"line_search must be {names}, or None for no search; got {search!r}")
    if not _is_number(group["lr"]) or not 0 < group["lr"] < math.inf:
        raise ValueError(f"lr must be a number above 0 (1 is Newton's own step); got {group['lr']!r}")
    if not _is_number(group["tolerance_grad"]) or not 0 <= group["tolerance_grad"] < math.inf:
        raise ValueError(f"tolerance_grad must be a number of at least 0; got {group['tolerance_grad']!r}")
    if tolerance is not None and not (_is_number(tolerance) and 0 <= tolerance < 1):
        raise ValueError(f"cg_tolerance must be None, or a number of at least 0 and less than 1; got {tolerance!r}")
    for name, least in (("exact_up_to", 0), ("cg_iterations", 1)):
        value = group[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}")


def check_params(params: Iterable[Tensor]) -> None:
    """Refuse parameters that can't lie in one real vector."""
    kinds = {(p.dtype, p.device) for p in params}
    for dtype in {dtype for dtype, _ in kinds} - {torch.float32, torch.float64}:
        raise ValueError(
            f"Newton takes parameters of type float32 or float64; one is {str(dtype).removeprefix('torch.')}. "
            "Convert the model by .float() or .double(); write complex parameters as torch.view_as_real of real ones"
        )
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{str(dtype).removeprefix('torch.')} on {device}" for dtype, device in kinds))
        raise ValueError(
            f"Newton takes one step for all parameters together, so they must have one type and device; found {found}. "
            "Convert the model by .to(...)"
        )


def check_groups_agree(groups: Sequence[Group]) -> None:
    """Refuse groups whose options differ."""
    for name in OPTIONS:
        values = [group[name] for group in groups]
        if any(value != values[0] for value in values):
            raise ValueError(
                f"Newton takes one step for all parameters together, so '{name}' must be the same in every param "
                f"group; got {', '.join(map(repr, values))}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
