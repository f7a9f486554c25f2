"""Momentum: the heavy ball (Polyak, 1964), in torch's sum form b = μb + g and in the forms of others."""

from fallline.math import maximum
from fallline.symbolic import combinator, rule, state


@rule
def momentum(p, g, b, *, lr=1e-3, momentum=0.9):
    """Sum the gradients with decay and step along the sum (Polyak, 1964; Sutskever et al., 2013).

    torch's form. While η stays as it is, `velocity_momentum` takes the same path, and `ema_momentum` the same with a
    learning rate of η/(1-μ).
    """
    b = momentum * b + g
    return lr * b, b


@rule
def ema_momentum(p, g, m, *, lr=1e-3, momentum=0.9):
    """Step along a moving average of the gradients, whose size does not grow with μ (Polyak, 1964; as in Adam)."""
    m = momentum * m + (1 - momentum) * g
    return lr * m, m


@rule
def velocity_momentum(p, g, v, *, lr=1e-3, momentum=0.9):
    """Keep the last step as a velocity (Sutskever et al., 2013; Keras): a new η reaches only the gradients to come.

    In `momentum` it scales those already gathered too.
    """
    v = momentum * v - lr * g
    return -v, v


def _as_if_before(g, momentum, dampening):
    """What makes the first b come to g, whatever the dampening."""
    return dampening * g / maximum(momentum, 1e-30)


@rule
def dampened_momentum(p, g, b=state(init=_as_if_before), *, lr=1e-3, momentum=0.9, dampening=0.0):
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
