"""Gradient descent, and the combinator that climbs instead."""

from fallline.rules.record import PLAIN, Record, Twin
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


RECORDS = [
    Record(
        gradient_descent, aliases=("sgd", "gd"), year=1951,
        source="Cauchy, 1847; stochastic: Robbins and Monro, A stochastic approximation method", lr=PLAIN,
        class_name="SGD", twin=Twin("SGD"), default_arm=1, surface_lr=0.01,
        use="The yardstick, and enough for well-scaled problems and large models fine-tuned by small steps.",
        weakness="Slow along flat directions while the steepest one limits the rate; every parameter has the same "
        "rate.",
    ),
]  # fmt: skip
