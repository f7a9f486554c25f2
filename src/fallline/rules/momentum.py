"""Momentum: the heavy ball (Polyak, 1964), in torch's sum form b = μb + g."""

from fallline.symbolic import combinator, rule, state


@rule
def momentum(p, g, b, *, lr=1e-3, momentum=0.9):
    """Sum the gradients with decay and step along the sum (Polyak, 1964; Sutskever et al., 2013)."""
    b = momentum * b + g
    return lr * b, b


@rule
def dampened_momentum(
    p, g, b=state(init=lambda g, momentum, dampening: dampening * g / momentum), *, lr=1e-3, momentum=0.9, dampening=0.0
):
    """Momentum whose new gradients count 1 - dampening, but the first in full (torch's convention: b₁ = g₁)."""
    b = momentum * b + (1 - dampening) * g
    return lr * b, b


@combinator
def heavy_ball(rule):
    """Gather any rule's direction in a momentum buffer; the learning rate stays outside (torch's RMSprop)."""

    def step(p, g, b, *states, lr, momentum=0.9, **hyperparameters):
        direction, *states = rule(p, g, *states, lr=1.0, **hyperparameters)
        b = momentum * b + direction
        return lr * b, b, *states

    return step
