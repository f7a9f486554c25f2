"""A rule made ready to run for one type of number."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

from fallline.kernels.compile import compile_passes
from fallline.kernels.machine_code import Pass
from fallline.kernels.scalars import HostScalars
from fallline.kernels.source import numba_source
from fallline.symbolic import Rule
from fallline.symbolic.latex import equations
from fallline.symbolic.plan import Plan, make_plan

#: The types of number that kernels are made for, by torch's and NumPy's common name.
DTYPES = ("float32", "float64")


class Kernel:
    """A rule's plan, its host scalars and, compiled when first needed, its passes.

    `columns` names the tensors of a segment in the order of the table: p, g, then the states.
    """

    def __init__(self, rule: Rule, static: Mapping[str, Any], dtype: str) -> None:
        self.rule = rule
        self.dtype = dtype
        self.plan: Plan = make_plan(rule.trace(**static))
        self.scalars = host_scalars(self.plan)
        self.columns = ("p", "g", *(state.name for state in rule.states))

    @property
    def source(self) -> str:
        """The Numba source of all passes."""
        return numba_source(self.plan, self.dtype, equations(self.plan.graph))

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        """The compiled functions, in the order in which they run."""
        return compile_passes(f"{self.rule.name}_{self.dtype}", self.source, len(self.plan.passes))


@lru_cache(maxsize=512)
def _kernel(rule: Rule, static: tuple[tuple[str, Any], ...], dtype: str) -> Kernel:
    return Kernel(rule, dict(static), dtype)


def kernel_for(rule: Rule, dtype: str, static: Mapping[str, Any] | None = None) -> Kernel:
    """The one kernel of a rule with these static hyperparameters and this type of number ("float32" or "float64")."""
    return _kernel(rule, tuple(sorted((static or {}).items())), dtype)


@lru_cache(maxsize=512)
def host_scalars(plan: Plan) -> HostScalars:
    """The host's function of a plan, made once."""
    return HostScalars(plan)
