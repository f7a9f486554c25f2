"""Nesterov's momentum (1983) in the forms that need no second evaluation: both store the look-ahead point θ + μv."""

from fallline.rules.record import MOMENTUM, PLAIN, SUM, Moment, Record, Twin
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


_CONVENTIONS = ("nesterov", "velocity_nesterov")
RECORDS = [
    Record(
        nesterov, year=1983, family=MOMENTUM,
        source="Nesterov, A method of solving a convex programming problem with convergence rate O(1/k²)", lr=PLAIN,
        conventions=_CONVENTIONS, class_name="Nesterov", twin=Twin("SGD", {"nesterov": True}),
        moments={"b": Moment(SUM, "momentum")}, default_arm=3, surface_lr=0.01,
        use="In place of momentum: at the same μ and a rate that is not near its limit it overshoots less.",
        weakness="Its guarantee is for convex losses without noise; with noisy gradients the gain over momentum is "
        "small. It diverges from lower rates on than momentum does.",
    ),
    Record(
        velocity_nesterov, year=2013, family=MOMENTUM,
        source="Bengio, Boulanger-Lewandowski and Pascanu, Advances in optimizing recurrent networks, arXiv:1212.0901",
        lr=PLAIN, conventions=_CONVENTIONS, surface_lr=0.01,
        use="Nesterov's momentum with a rate that changes: the textbook's path at any sequence of rates.",
        weakness="As for nesterov; after the rate falls, old steps go on at the old rate for a while.",
    ),
]  # fmt: skip
