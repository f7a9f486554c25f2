"""Adagrad (Duchi, Hazan and Singer, 2011), diagonal, with ε outside the root or inside it."""

from fallline.math import sqrt
from fallline.rules.record import ADAGRAD, FROM_ZERO, PLAIN, Record, Twin
from fallline.symbolic import rule, state


@rule
def adagrad(p, g, s, *, lr=1e-2, lr_decay=0.0, eps=1e-10, t):
    """Divide by the root of the sum of all squared gradients (Duchi et al., 2011).

    Under gradients of one size the t-th step is η/√t: half of the first at the fourth, a tenth at the hundredth. The
    sum never forgets, so a steep start shortens all steps for good, and where the way is longer than they add up to in
    the time there is, it stalls; a moving average in place of the sum (`rmsprop`, `adadelta`) forgets.

    torch's convention: the sum begins at 0 and ε stands outside the root. Keras': `adagrad_keras`.
    """
    s = s + g * g
    return lr / (1 + lr_decay * (t - 1)) * g / (sqrt(s) + eps), s


@rule
def adagrad_keras(p, g, s=state(init=0.1), *, lr=1e-3, eps=1e-7):
    """Adagrad with ε inside the root and a sum that begins at 0.1 (Duchi et al., 2011; as in Keras)."""
    s = s + g * g
    return lr * g / sqrt(s + eps), s


_CONVENTIONS = ("adagrad", "adagrad_keras")
_SOURCE = (
    "Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization, JMLR 12"
)
RECORDS = [
    Record(
        adagrad, year=2011, family=ADAGRAD, source=_SOURCE, lr=PLAIN, conventions=_CONVENTIONS, class_name="Adagrad",
        twin=Twin("Adagrad"), limits={"lr_decay": FROM_ZERO}, default_arm=4, surface_lr=0.5,
        use="Sparse features and convex problems, such as counts of words or recommendation.",
        weakness="The sum of squares only grows, so the rate falls towards zero, in deep networks often too early.",
    ),
    Record(
        adagrad_keras, year=2011, family=ADAGRAD, source=_SOURCE, lr=PLAIN, conventions=_CONVENTIONS, surface_lr=0.5,
        use="To follow Keras or TensorFlow.",
        weakness="As for adagrad; the sum begins at 0.1, which damps the first steps by an amount that depends on "
        "scale.",
    ),
]  # fmt: skip
