"""RMSprop (Tieleman and Hinton, 2012), as lectured and centred; ε outside the root as in torch, or as in TensorFlow."""

from fallline.math import sqrt
from fallline.rules.record import ADAGRAD, ADAPTIVE, SQUARES, Moment, Record, Twin
from fallline.symbolic import rule, state


@rule
def rmsprop(p, g, v, *, lr=1e-2, alpha=0.99, eps=1e-8):
    """Divide by the root of a moving average of squared gradients (Tieleman and Hinton, 2012).

    torch's convention: ε outside the root, an average that begins at 0, and with momentum (`heavy_ball`) a learning
    rate outside the buffer. TensorFlow's: `rmsprop_tensorflow`.
    """
    v = alpha * v + (1 - alpha) * g * g
    return lr * g / (sqrt(v) + eps), v


@rule
def centered_rmsprop(p, g, v, g_bar, *, lr=1e-2, alpha=0.99, eps=1e-8):
    """Divide by an estimate of the gradient's standard deviation (Graves, 2013; ε outside the root, as in torch)."""
    v = alpha * v + (1 - alpha) * g * g
    g_bar = alpha * g_bar + (1 - alpha) * g
    return lr * g / (sqrt(v - g_bar * g_bar) + eps), v, g_bar


@rule
def rmsprop_tensorflow(p, g, b, v=state(init=1.0), *, lr=1e-2, alpha=0.9, momentum=0.0, eps=1e-10):
    """RMSprop with ε inside the root, an average that begins at 1 and η inside the momentum buffer (TensorFlow)."""
    v = alpha * v + (1 - alpha) * g * g
    b = momentum * b + lr * g / sqrt(v + eps)
    return b, b, v


_CONVENTIONS = ("rmsprop", "centered_rmsprop", "rmsprop_tensorflow")
_SQUARES = {"v": Moment(SQUARES, "alpha")}
_SOURCE = "Tieleman and Hinton, Neural networks for machine learning, lecture 6.5, Coursera"
RECORDS = [
    Record(
        rmsprop, year=2012, family=ADAGRAD, source=_SOURCE, lr=ADAPTIVE, conventions=_CONVENTIONS, class_name="RMSprop",
        twin=Twin("RMSprop"), moments=_SQUARES, default_arm=6,
        use="Losses that drift, recurrent networks and reinforcement learning.",
        weakness="Corrects no bias, so that the first steps are long; has no momentum of its own.",
    ),
    Record(
        centered_rmsprop, year=2013, family=ADAGRAD,
        source="Graves, Generating sequences with recurrent neural networks, arXiv:1308.0850", lr=ADAPTIVE,
        conventions=_CONVENTIONS, twin=Twin("RMSprop", {"centered": True}), moments=_SQUARES,
        use="As rmsprop, where gradients have a mean far from zero.",
        weakness="One more state, and a difference of two averages that rounding can make negative.",
    ),
    Record(
        rmsprop_tensorflow, year=2012, family=ADAGRAD, source=_SOURCE, lr=ADAPTIVE, conventions=_CONVENTIONS,
        use="To follow TensorFlow, or agents tuned with it: its first steps are shorter.",
        weakness="With η inside the buffer, a changed rate reaches the step only by and by.",
    ),
]  # fmt: skip
