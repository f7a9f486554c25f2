"""Newton's method: exact for small models, by conjugate gradients for larger ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fallline._asked import whole
from fallline._text import dtype_name
from fallline.optim.documented import documented
from fallline.optim.layout import check_all, check_whole
from fallline.optim.matrix import as_called, without_autocast
from fallline.optim.newton.curvature import Closure, Direction, LocalModel, conjugate_gradients, saddle_free
from fallline.optim.newton.line_search import SEARCHES, Line, Reason, take_step


@dataclass(frozen=True)
class NewtonReport:
    """What one Newton step did.

    `gradient_norm` (before the step) and `step_norm` are the largest absolute entry. `step_size` is the length taken
    along the direction, in units of the full Newton step; 0 if none was. `negative_curvature` says whether the Hessian
    was found to bend downwards: by its `smallest_eigenvalue` if it is exact, by a direction that conjugate gradients
    met if not (they may miss one). `cg_iterations` and `smallest_eigenvalue` are None on the other's path.
    """

    reason: Reason
    loss_before: float
    loss_after: float
    gradient_norm: float
    step_norm: float
    step_size: float
    evaluations: int
    negative_curvature: bool
    smallest_eigenvalue: float | None
    cg_iterations: int | None

    @property
    def finished(self) -> bool:
        """Whether another step from here would do no more."""
        return self.reason != "step taken"


@documented(
    lr="The length tried first; 1 is Newton's step.",
    line_search='"armijo", "strong_wolfe" or None, as above.',
    exact_up_to="The most parameters of which the Hessian is computed.",
    cg_tolerance="Up to which residual conjugate gradients go on, as a share of the gradient. None: min(1/2, √‖g‖).",
    cg_iterations="The most products with the Hessian that they take; at least 1.",
    tolerance_grad="The largest entry of a gradient that counts as nought.",
    closure="Evaluates the model and returns the loss, without backward().",
)
class Newton(torch.optim.Optimizer):
    """Newton's method on the loss that a closure returns; each `step(closure)` is one iteration.

    The closure evaluates the model and returns the loss, no more: no zero_grad, no backward, which would free the
    graph that second derivatives need. It is called once for gradient and Hessian and once for each length tried, so
    it must give the same loss for the same parameters: a fixed batch, no dropout. `step` returns the loss from before
    it, and `report` then says what it did and why it stopped. Gradients in `p.grad` are neither read nor written.

    Up to `exact_up_to` parameters the Hessian is computed and its eigenvalues' absolute values are used, so that the
    step leads away from saddles (Dauphin et al., 2014); where it is singular the step is the least-norm one. It takes n
    backward passes, n² numbers and about 10 n³ operations. Beyond, at most `cg_iterations` backward passes are taken by
    truncated conjugate gradients (Dembo and Steihaug, 1983). A step of theirs is the cheaper from some fifty parameters
    on; the exact Hessian's eigenvalues lead out of saddles and flat valleys, and can take fewer steps where it is ill-
    conditioned.

    `line_search` is "armijo" (back until the loss decreases enough), "strong_wolfe" (and until the slope is small
    enough, unless there is negative curvature) or None, which takes every step and so may go uphill. Where the
    predicted decrease is below the loss's rounding, a search could only see noise: there the step is taken if it
    shortens the gradient (compare Hager and Zhang, 2005, section 2). A gradient of at most `tolerance_grad` in every
    entry is nought: there the parameters stay, unless the exact Hessian has a negative eigenvalue, whose eigenvector
    leads on; that length is always searched for.

    Parameters of all groups form one vector, so the groups must have the same options. Frozen parameters, and those
    that the loss does not depend on, stay as they are. Source: Nocedal and Wright, Numerical Optimization, 2nd edition,
    2006, chapters 3 and 7.

    After an error the parameters are as before the step.

    Raises:
        TypeError: At a step, there is no closure, or what it returns is no loss.
        ValueError: Options or parameters are not as above; at a step, the loss has no graph, or it, its gradient or its
            Hessian is not finite.

    >>> x = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
    >>> optimizer = Newton([x])
    >>> loss = optimizer.step(lambda: ((x - 1) ** 2 * torch.tensor([1.0, 10.0])).sum())
    >>> x.tolist(), optimizer.report.reason, optimizer.report.loss_after
    ([1.0, 1.0], 'step taken', 0.0)
    """

    #: What the last step did; None before the first.
    report: NewtonReport | None = None

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        *,
        line_search: Literal["armijo", "strong_wolfe"] | None = "armijo",
        exact_up_to: int = 500,
        cg_tolerance: float | None = None,
        cg_iterations: int = 250,
        tolerance_grad: float = 1e-12,
    ) -> None:
        options = {
            "lr": lr,
            "line_search": line_search,
            "exact_up_to": exact_up_to,
            "cg_tolerance": cg_tolerance,
            "cg_iterations": cg_iterations,
            "tolerance_grad": tolerance_grad,
        }
        super().__init__(params, options)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a param group, as torch's optimizers do; its options must be those of the other groups."""
        super().add_param_group(dict(param_group) if isinstance(param_group, dict) else param_group)
        try:
            check_options(self.param_groups[-1])
            check_groups_agree(self.param_groups)
            check_params(p for group in self.param_groups for p in group["params"])
        except ValueError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """Take one Newton step.

        Returns:
            The loss before the step.
        """
        if closure is None:
            raise TypeError(
                "Newton.step needs a closure: it evaluates the loss, and its derivatives, itself. Pass a function that "
                "runs the model and returns the loss, without backward(): optimizer.step(lambda: loss_of(model(x), y))"
            )
        for group in self.param_groups:
            check_options(group)
        check_groups_agree(self.param_groups)
        params = [p for g in self.param_groups for p in g["params"]]
        check_whole(params, "Newton")
        check_all("Newton")
        closure = as_called(closure)
        with without_autocast(p.device for p in params):
            return self._step(closure, [p for p in params if p.requires_grad])

    def _step(self, closure: Closure, params: list[Tensor]) -> Tensor:
        options = self.param_groups[0]
        model = LocalModel(closure, params)
        gradient_norm = float(model.gradient.abs().max())
        stationary = gradient_norm <= options["tolerance_grad"]
        direction = _direction(model, options, stationary)
        line = Line(closure, model, direction)
        try:
            length, reason = take_step(line, options["line_search"], options["lr"], stationary)
        except BaseException:
            line.move(0.0)
            raise
        self.report = NewtonReport(
            reason=reason,
            loss_before=line.loss_before,
            loss_after=line.loss(length) if length else line.loss_before,
            gradient_norm=gradient_norm,
            step_norm=line.step_norm(),
            step_size=length,
            evaluations=1 + line.evaluations,
            negative_curvature=direction.negative_curvature,
            smallest_eigenvalue=direction.smallest_eigenvalue,
            cg_iterations=direction.cg_iterations,
        )
        return model.loss


def _direction(model: LocalModel, options: dict[str, Any], stationary: bool) -> Direction:
    if len(model.gradient) <= options["exact_up_to"]:
        return saddle_free(model.gradient, model.hessian(), stationary)
    limit = 0 if stationary else options["cg_iterations"]
    return conjugate_gradients(model.gradient, model.product, options["cg_tolerance"], limit)


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
        whole(name, group[name], least, error=ValueError)


def check_params(params: Iterable[Tensor]) -> None:
    """Refuse parameters that can't lie in one real vector."""
    kinds = {(p.dtype, p.device) for p in params}
    for dtype in {dtype for dtype, _ in kinds} - {torch.float32, torch.float64}:
        raise ValueError(
            f"Newton takes parameters of type float32 or float64; one is {dtype_name(dtype)}. "
            "Convert the model by .float() or .double(); write complex parameters as torch.view_as_real of real ones"
        )
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{dtype_name(dtype)} on {device}" for dtype, device in kinds))
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
