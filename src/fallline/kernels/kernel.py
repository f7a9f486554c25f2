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
from fallline.symbolic.expression import described
from fallline.symbolic.latex import equations
from fallline.symbolic.plan import Plan, make_plan

#: The types of number that kernels are made for, by torch's and NumPy's common name.
DTYPES = ("float32", "float64")


class Kernel:
    """A rule's plan, its host scalars and, compiled when first needed, its passes.

    `columns` names the tensors of a segment in the order of the table: p, g, then the states. For each level of sums
    `columns_of` says where they lie among the totals, and `joint` where those over all tensors lie, by what they sum.
    """

    def __init__(self, rule: Rule, static: Mapping[str, Any], dtype: str) -> None:
        self.rule = rule
        self.dtype = dtype
        self.plan: Plan = make_plan(rule.trace(**static))
        self.scalars = host_scalars(self.plan)
        self.new_numbers = host_numbers(self.plan)
        self.columns = ("p", "g", *(state.name for state in rule.tensor_states))
        self.columns_of: list[slice] = []
        self.joint: list[dict[str, int]] = []
        first = 0
        for one in self.plan.passes[:-1]:
            totals = [reduction for reduction in one.reductions if reduction.operation != "channel_sum"]
            self.columns_of.append(slice(first, first + len(totals)))
            self.joint.append(
                {described(r.args[0]): first + i for i, r in enumerate(totals) if r.operation == "joint_sum"}
            )
            first += len(totals)

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
    """The one kernel of a rule with these static hyperparameters and this type of number ("float32" or "float64").

    Raises ValueError for any other type of number.
    """
    if dtype not in DTYPES:
        raise ValueError(
            f"there are no kernels for {dtype} tensors, only for {' and '.join(DTYPES)}; "
            "convert them, or use the classes of fallline.optim, which step other tensors without a kernel"
        )
    return _kernel(rule, tuple(sorted((static or {}).items())), dtype)


@lru_cache(maxsize=512)
def host_scalars(plan: Plan) -> HostScalars:
    """The host's function of a plan, made once."""
    return HostScalars(plan.hoisted, plan.scalars)


@lru_cache(maxsize=512)
def host_numbers(plan: Plan) -> HostScalars:
    """The host's function of what the states that are numbers become, in the order of `plan.new_numbers`."""
    totals = (f"total_{i}" for i in range(len(plan.totals)))
    return HostScalars(tuple(plan.new_numbers.values()), (*plan.scalars, *totals))
