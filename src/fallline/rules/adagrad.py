"""Adagrad (Duchi, Hazan and Singer, 2011), diagonal, with ε outside the root or inside it."""

from fallline.math import sqrt
from fallline.symbolic import rule, state


@rule
def adagrad(p, g, s, *, lr=1e-2, lr_decay=0.0, eps=1e-10, t):
    """Divide by the root of the sum of all squared gradients (Duchi et al., 2011).

    torch's convention: the sum begins at 0 and ε stands outside the root. Keras': `adagrad_keras`.
    """
    s = s + g * g
    return lr / (1 + lr_decay * (t - 1)) * g / (sqrt(s) + eps), s


@rule
def adagrad_keras(p, g, s=state(init=0.1), *, lr=1e-3, eps=1e-7):
    """Adagrad with ε inside the root and a sum that begins at 0.1 (Duchi et al., 2011; as in Keras)."""
    s = s + g * g
    return lr * g / sqrt(s + eps), s
