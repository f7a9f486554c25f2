"""Clipping the gradient."""

from fallline.math import dot, maximum, minimum, sqrt
from fallline.symbolic import combinator


@combinator
def clip_value(rule):
    """Clip each element of the gradient to [-clip_value, clip_value] (Mikolov, 2012).

    As torch.nn.utils.clip_grad_value_, but `p.grad` stays as it is. NaN stays NaN.
    """

    def step(p, g, *states, clip_value=1.0, **hyperparameters):
        clipped = minimum(maximum(g, -clip_value), clip_value)
        return rule(p, clipped, *states, **hyperparameters)

    return step


@combinator
def clip_norm(rule):
    """Shorten the gradient of all tensors together to a norm of at most max_norm (Pascanu et al., 2013).

    As torch.nn.utils.clip_grad_norm_, 1e-6 in the division included, but `p.grad` stays as it is.
    """

    def step(p, g, *states, max_norm=1.0, **hyperparameters):
        norm = sqrt(dot(g, g, all_tensors=True))
        return rule(p, minimum(1.0, max_norm / (norm + 1e-6)) * g, *states, **hyperparameters)

    return step
