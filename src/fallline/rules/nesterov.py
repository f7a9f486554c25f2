"""Nesterov's momentum (1983) in the forms that need no second evaluation: both store the look-ahead point θ + μv."""

from fallline.symbolic import rule


@rule
def nesterov(p, g, b, *, lr=1e-3, momentum=0.9):
    """Step along where momentum is about to go (Nesterov, 1983; Sutskever et al., 2013).

    torch's form. While η stays as it is, `velocity_nesterov` takes the same path.
    """
    b = momentum * b + g
    return lr * (g + momentum * b), b


@rule
def velocity_nesterov(p, g, v, *, lr=1e-3, momentum=0.9):
    """Nesterov's momentum with a velocity that holds η (Bengio et al., 2013; Keras).

    With φ = θ + μv, the textbook's v ← μv - η∇L(θ + μv), θ ← θ + v becomes v ← μv - ηg, φ ← φ + μv - ηg: exactly, and
    for any sequence of η, as long as μ is constant.
    """
    v = momentum * v - lr * g
    return lr * g - momentum * v, v
