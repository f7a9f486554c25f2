"""RMSprop (Tieleman and Hinton, 2012), as lectured and centred; ε outside the root, as in torch."""

from fallline.math import sqrt
from fallline.symbolic import rule


@rule
def rmsprop(p, g, v, *, lr=1e-2, alpha=0.99, eps=1e-8):
    """Divide by the root of a moving average of squared gradients (Tieleman and Hinton, 2012)."""
    v = alpha * v + (1 - alpha) * g * g
    return lr * g / (sqrt(v) + eps), v


@rule
def centered_rmsprop(p, g, v, g_bar, *, lr=1e-2, alpha=0.99, eps=1e-8):
    """Divide by an estimate of the gradient's standard deviation (Graves, 2013)."""
    v = alpha * v + (1 - alpha) * g * g
    g_bar = alpha * g_bar + (1 - alpha) * g
    return lr * g / (sqrt(v - g_bar * g_bar) + eps), v, g_bar
