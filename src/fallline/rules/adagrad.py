"""Adagrad (Duchi, Hazan and Singer, 2011), diagonal, ε outside the root."""

from fallline.math import sqrt
from fallline.symbolic import rule


@rule
def adagrad(p, g, s, *, lr=1e-2, lr_decay=0.0, eps=1e-10, t):
    """Divide by the root of the sum of all squared gradients (Duchi et al., 2011)."""
    s = s + g * g
    return lr / (1 + lr_decay * (t - 1)) * g / (sqrt(s) + eps), s
