"""The average of the weights that a rule goes through."""

from fallline.symbolic import combinator, state


@combinator
def averaged(rule):
    """Keep an exponential average of the weights beside them, from the first weights on (Polyak and Juditsky, 1992).

    torch's convention: the average begins as the weights and has no bias correction.
    """

    def step(p, g, average=state(init=lambda p: p), *states, average_decay=0.999, **hyperparameters):
        update, *states = rule(p, g, *states, **hyperparameters)
        average = average_decay * average + (1 - average_decay) * (p - update)
        return update, average, *states

    return step
