"""Gradient descent, and the combinator that climbs instead."""

from fallline.symbolic import combinator, rule


@rule
def gradient_descent(p, g, *, lr=1e-3):
    """Step against the gradient (Cauchy, 1847; stochastic: Robbins and Monro, 1951)."""
    return lr * g


@combinator
def maximize(rule):
    """Climb: descend on the negative of the gradient."""

    def step(p, g, *states, **hyperparameters):
        return rule(p, -g, *states, **hyperparameters)

    return step
