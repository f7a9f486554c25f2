"""Newton's method: exact for small models, by conjugate gradients for larger ones."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fallline.optim.autocast import as_called, without_autocast
from fallline.optim.newton.arguments import check_groups_agree, check_options, check_params
from fallline.optim.newton.closure import Closure
from fallline.optim.newton.conjugate_gradients import conjugate_gradients
from fallline.optim.newton.direction import Direction
from fallline.optim.newton.line import Line
from fallline.optim.newton.local_model import LocalModel
from fallline.optim.newton.report import NewtonReport
from fallline.optim.newton.saddle_free import saddle_free
from fallline.optim.newton.step_length import take_step
from fallline.optim.shards import check_all, check_whole


class Newton(torch.optim.Optimizer):
    """Newton's method on the loss that a closure returns; each `step(closure)` is one iteration.

    The closure evaluates the model and returns the loss, no more: no zero_grad, no backward, which would free the
    graph that second derivatives need. It is called once for gradient and Hessian and once for each length tried, so
    it must give the same loss for the same parameters: a fixed batch, no dropout. `step` returns the loss from before
    it, and `report` then says what it did and why it stopped. Gradients in `p.grad` are neither read nor written.

    Up to `exact_up_to` parameters the Hessian is computed and its eigenvalues' absolute values are used, so that the
    step leads away from saddles (Dauphin et al., 2014); where it is singular the step is the least-norm one. It takes n
    backward passes, n² numbers and about 10 n³ operations. Beyond, at most `cg_iterations` backward passes are taken
    by truncated conjugate gradients (Dembo and Steihaug, 1983), until the residual is `cg_tolerance` of the gradient;
    None, the default, is min(1/2, √‖g‖). A step of theirs is the cheaper from some fifty parameters on; the exact
    Hessian's eigenvalues lead out of saddles and flat valleys, and can take fewer steps where it is ill-conditioned.

    `lr` is the length tried first; 1 is Newton's step. `line_search` is "armijo" (back until the loss decreases
    enough), "strong_wolfe" (and until the slope is small enough, unless there is negative curvature) or None, which
    takes every step and so may go uphill. Where the predicted decrease is below the loss's rounding, a search could
    only see noise: there the step is taken if it shortens the gradient (compare Hager and Zhang, 2005, section 2). A
    gradient of at most `tolerance_grad` in every entry is nought: there the parameters stay, unless the exact Hessian
    has a negative eigenvalue, whose eigenvector leads on; that length is always searched for.

    Parameters of all groups form one vector, so the groups must have the same options. Frozen parameters, and those
    that the loss does not depend on, stay as they are. Source: Nocedal and Wright, Numerical Optimization, 2nd edition,
    2006, chapters 3 and 7.

    Raises TypeError or ValueError for options, parameters or closures that are not as above; ValueError when the loss,
    its gradient or its Hessian is not finite. After an error the parameters are as before the step.

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
        """Take one Newton step; `closure` returns the loss, and its value before the step is returned."""
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
