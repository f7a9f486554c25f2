"""Nesterov's momentum (1983), in torch's form, which stores the look-ahead point."""

from fallline.symbolic import rule


@rule
def nesterov(p, g, b, *, lr=1e-3, momentum=0.9):
    """Step along where momentum is about to go (Nesterov, 1983; Sutskever et al., 2013)."""
    b = momentum * b + g
    return lr * (g + momentum * b), b
