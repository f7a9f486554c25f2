"""Schedule-Free SGD and AdamW (Defazio et al., 2024): no schedule, and weights to evaluate that are an average."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fallline import rules
from fallline.optim.documented import documented
from fallline.optim.generic import Optimizer
from fallline.optim.hyperparameters import Recipe
from fallline.optim.session import Group
from fallline.symbolic import Rule


@documented(
    rule="A rule that `rules.schedule_free` is part of.",
    hyperparameters="The rule's, by the names in its signature.",
    group="Not looked at.",
)
class ScheduleFree(Optimizer):
    """Any rule that `rules.schedule_free` is part of (Defazio et al., 2024), with the weights to evaluate.

    Parameters hold y, where gradients are taken; `eval` turns them into the average x, `train` back into y.

    Raises:
        TypeError: As `fallline.Optimizer`.
        ValueError: As `fallline.Optimizer`; and for a rule without such a part, or a beta not above 0 and below 1.

    >>> p = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = ScheduleFree([p], rules.schedule_free(rules.momentum), lr=0.1)
    >>> for _ in range(400):
    ...     optimizer.zero_grad(); (p**2).sum().backward(); optimizer.step()
    >>> optimizer.eval(); abs(p.item()) < 0.1
    True
    """

    def __init__(self, params: ParamsT, rule: Rule, **hyperparameters: Any) -> None:
        if isinstance(rule, Rule) and not rules.keeps_average(rule):
            raise ValueError(
                f"ScheduleFree takes a rule that rules.schedule_free is part of; '{rule.name}' is none: give "
                "rules.schedule_free(rule), or make a fallline.Optimizer of it"
            )
        super().__init__(params, rule, **hyperparameters)

    def add_param_group(self, param_group: Group) -> None:
        """Add a param group, as torch's optimizers do."""
        super().add_param_group(param_group)
        self.param_groups[-1].setdefault("training", True)

    def _check_group(self, group: Group) -> None:
        if rules.keeps_average(group["rule"]) and not 0 < group["beta"] < 1:
            raise ValueError(
                f"the first decay factor (beta, momentum, betas[0]) must be above 0 and below 1; got "
                f"{float(group['beta']):g}: without it the average could not be had from the weights"
            )

    def _check_values(self, group: Group, recipe: Recipe) -> None:
        super()._check_values(group, recipe)
        self._check_group(group)

    def switch(self, rule: Rule, group: int | None = None, **hyperparameters: Any) -> NoReturn:
        """Refuse to go on with another rule: the average would be lost.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            f"{type(self).__name__} can't switch to another rule, since the average would be lost; call eval(), which "
            "puts the average into the weights, and make a new optimizer"
        )

    @torch.no_grad()
    def train(self) -> None:
        """Put the weights back where gradients are taken, to the bit; call it before a step.

        Weights that something else changed since `eval` are taken to be the average, and y is computed from them.
        """
        for group, p, z in self._leaving(training=False):
            y = self.state[p].pop("y", None)
            untouched = y is not None and _alike(_average(y, z, group), p)
            p.copy_(y if untouched else torch.lerp(p, z, 1 - float(group["beta"])))

    @torch.no_grad()
    def eval(self) -> None:
        """Put the average into the weights: what is to be evaluated, saved and used."""
        for group, p, z in self._leaving(training=True):
            y = self.state[p]["y"] = p.clone()  # which x and z give back to rounding only
            p.copy_(_average(y, z, group))

    def _leaving(self, training: bool) -> Iterator[tuple[Group, Tensor, Tensor]]:
        """Turn the groups that are in one mode to the other: each group, with a weight of it and this weight's z."""
        for group in self.param_groups:
            if group["training"] == training:
                group["training"] = not training
                if rules.keeps_average(group["rule"]):
                    for p in group["params"]:
                        if "z" in self.state.get(p, {}):
                            yield group, p, self.state[p]["z"]

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold the average in the weights inside a `with`, and put back to the bit what they were after it.

        What is done to the weights inside, also to the tensors that they hold (`p.data`), is undone.
        """
        training = [(group, group["training"]) for group in self.param_groups]
        weights = [p for group in self.param_groups for p in group["params"]]
        own = [(p, p.data, p.detach().clone(), self.state.get(p, {}).get("y")) for p in weights]
        self.eval()
        try:
            yield
        finally:
            for group, before in training:
                group["training"] = before
            for p, data, values, y in own:
                data.copy_(values)
                p.data = data
                if p in self.state:
                    self.state[p].pop("y", None)
                    self.state[p] |= {} if y is None else {"y": y}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Returns:
            What the closure returned; None without one.

        Raises:
            RuntimeError: It is called after `eval` without `train`: the weights are not where they train.
        """
        if not all(group["training"] for group in self.param_groups):
            raise RuntimeError(
                f"{type(self).__name__}.step() was called after eval(), which left the average in the weights; "
                "call optimizer.train() before training goes on"
            )
        return super().step(closure)

    step.hooked = True  # type: ignore[attr-defined]


def _average(y: Tensor, z: Tensor, group: Group) -> Tensor:
    """The average x, from y = (1-β)z + βx: x = y + (1 - 1/β)(z - y)."""
    return torch.lerp(y, z, 1 - 1 / float(group["beta"]))


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether all numbers are equal, NaN among them."""
    return bool(((a == b) | ((a != a) & (b != b))).all())


@documented(
    lr="Learning rate η, at least 0; it may be larger than for SGD with a schedule.",
    momentum="The paper's β, above 0 and below 1.",
    weight_decay="Strength λ of L2 regularisation, at y as in the authors' code; at least 0.",
)
class ScheduleFreeSGD(ScheduleFree):
    """SGD without a schedule: call `eval()` before evaluating or saving the model, `train()` before going on.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = ScheduleFreeSGD([p], lr=0.5)
    >>> for _ in range(200):
    ...     optimizer.zero_grad(); (p**2).sum().backward(); optimizer.step()
    >>> optimizer.eval(); abs(p.item()) < 1e-2
    True
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            rules.schedule_free(rules.l2(rules.gradient_descent)),
            lr=lr,
            beta=momentum,
            weight_decay=weight_decay,
            warmup=float(warmup_steps),
        )


@documented(
    betas="The paper's β, above 0 and below 1, and the decay factor of the average of squares, in [0, 1).",
    weight_decay="Strength λ of decoupled decay, at y as in the authors' code; at least 0.",
)
class ScheduleFreeAdamW(ScheduleFree):
    """AdamW without a schedule: call `eval()` before evaluating or saving the model, `train()` before going on.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = ScheduleFreeAdamW([p], lr=0.05)
    >>> for _ in range(300):
    ...     optimizer.zero_grad(); (p**2).sum().backward(); optimizer.step()
    >>> optimizer.eval(); abs(p.item()) < 0.1
    True
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            rules.schedule_free(rules.decoupled_decay(rules.normalized_gradient)),
            lr=lr,
            beta=betas[0],
            beta2=betas[1],
            eps=eps,
            weight_decay=weight_decay,
            warmup=float(warmup_steps),
        )
