"""Cautious steps (Liang et al., 2024)."""

from fallline.math import maximum, sum, where
from fallline.symbolic import combinator


@combinator
def cautious(rule):
    """Take only those elements of a step that go against the gradient, lengthened by their share (Liang et al., 2024).

    As in the authors' code: where update and gradient agree in sign, the update is divided by the share of such
    elements in the tensor, or by 0.001 if that is less. Decoupled decay goes outside: decoupled_decay(cautious(adam)).
    """

    def step(p, g, *states, **hyperparameters):
        update, *states = rule(p, g, *states, **hyperparameters)
        mask = where(update * g > 0, 1.0, 0.0)
        share = sum(mask) / (sum(mask) + sum(1 - mask))
        return update * mask / maximum(share, 1e-3), *states

    return step
