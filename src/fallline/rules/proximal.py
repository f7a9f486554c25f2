"""Proximal steps: a penalty that is minimised exactly instead of followed along its gradient."""

from fallline.math import abs, sign, where
from fallline.symbolic import combinator


@combinator
def proximal_l1(rule):
    """Soft-threshold the weights by ηλ₁ after the step, which makes some exactly zero (Daubechies et al., 2004).

    θ ← sign(θ-u)·max(|θ-u| - ηλ₁, 0) for the rule's update u: the proximal step for λ₁‖θ‖₁. The threshold is the same
    for all elements, also around a rule that gives each its own step.
    """

    def step(p, g, *states, lr, lambda1=1e-4, **hyperparameters):
        update, *states = rule(p, g, *states, lr=lr, **hyperparameters)
        moved = p - update
        threshold = lr * lambda1
        # Taking off all of θ leaves exactly zero, which adding and subtracting the same numbers would not.
        return where(abs(moved) <= threshold, p, update + threshold * sign(moved)), *states

    return step
