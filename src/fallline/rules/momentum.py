"""Momentum: the heavy ball (Polyak, 1964), in torch's sum form b = μb + g and in the forms of others."""

from fallline.math import maximum
from fallline.rules.record import AVERAGE, MOMENTUM, PLAIN, SUM, SUMMED, Moment, Record, Twin
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


_CONVENTIONS = ("momentum", "dampened_momentum", "ema_momentum", "velocity_momentum")
_POLYAK = "Polyak, Some methods of speeding up the convergence of iteration methods"
_SUTSKEVER = "Sutskever et al., On the importance of initialization and momentum in deep learning"
RECORDS = [
    Record(
        momentum, year=1964, family=MOMENTUM, source=_POLYAK, lr=PLAIN, conventions=_CONVENTIONS, class_name="Momentum",
        twin=Twin("SGD"), moments={"b": Moment(SUM, "momentum")}, default_arm=2, surface_lr=0.01,
        use="Vision networks with a tuned schedule, where it often generalises as well as anything.",
        weakness="Overshoots where the loss curves sharply; the rate and its schedule need tuning together.",
    ),
    Record(
        ema_momentum, year=1964, family=MOMENTUM, source=_POLYAK, lr=SUMMED, conventions=_CONVENTIONS,
        moments={"m": Moment(AVERAGE, "momentum")}, surface_lrs=(1e-3, 100.0),
        use="Where μ is changed or tuned: the size of a step does not depend on it.",
        weakness="Begins with steps that are 1 - μ times too short, as it corrects no bias.",
    ),
    Record(
        velocity_momentum, year=2013, family=MOMENTUM,
        source=_SUTSKEVER, lr=PLAIN, conventions=_CONVENTIONS, surface_lr=0.01,
        use="To follow code or papers that keep η in the velocity.",
        weakness="After the rate falls, old steps go on at the old rate for a while.",
    ),
    Record(
        dampened_momentum, year=1964, family=MOMENTUM,
        source=f"{_POLYAK}; dampened as in torch", lr=PLAIN, conventions=_CONVENTIONS,
        twin=Twin("SGD"), surface_lr=0.01,
        use="To follow code written for torch's `dampening`.",
        weakness="The first gradient counts in full, later ones in part, so the scale of a step changes early on.",
    ),
]  # fmt: skip
