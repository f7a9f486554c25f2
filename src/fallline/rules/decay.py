"""Weight decay: as L2 in the gradient, or decoupled from it."""

from fallline.symbolic import combinator


@combinator
def l2(rule):
    """Add the gradient of λ/2·‖θ‖² to the gradient."""

    def step(p, g, *states, weight_decay=0.0, **hyperparameters):
        return rule(p, g + weight_decay * p, *states, **hyperparameters)

    return step


@combinator
def decoupled_decay(rule):
    """Shrink the weights beside the step (Loshchilov and Hutter, 2019)."""

    def step(p, g, *states, lr, weight_decay=1e-2, **hyperparameters):
        update, *states = rule(p, g, *states, lr=lr, **hyperparameters)
        return update + lr * weight_decay * p, *states

    return step
