"""Weight decay: as L2 in the gradient, decoupled from it, or from the learning rate too."""

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


@combinator
def fully_decoupled_decay(rule):
    """Shrink the weights beside the step by λ and the schedule alone (Loshchilov and Hutter, 2019, algorithm 2).

    θ ← (1 - (η/η_max)λ)θ: the decay follows the schedule of η, not its size; `lr_max` is the schedule's peak. torch's
    AdamW multiplies λ by all of η: `decoupled_decay`.
    """

    def step(p, g, *states, lr, lr_max, weight_decay=1e-5, **hyperparameters):
        update, *states = rule(p, g, *states, lr=lr, **hyperparameters)
        return update + lr / lr_max * weight_decay * p, *states

    return step
