"""LARS (You, Gitman and Ginsburg, 2017): momentum with a learning rate for each tensor, for large batches."""

from fallline.rules.record import FROM_ZERO, MOMENTUM, SUMMED, Record
from fallline.rules.trust_ratio import norm, trust_ratio
from fallline.symbolic import rule


@rule
def lars(p, g, b, *, lr=1.0, momentum=0.9, weight_decay=5e-4, trust_coefficient=1e-3, eps=1e-8):
    """Momentum of gradients that are scaled, tensor by tensor, to the norm of the weights (You et al., 2017).

    The convention of torch's kin (torchlars, timm): η stays outside the buffer, and the ratio is 1 where weights or
    gradient are all zero. The paper gathers η in the buffer, as `velocity_momentum` does. Biases and normalisation
    layers are best left to `momentum`, in an optimizer of their own.
    """
    p_norm, g_norm = norm(p), norm(g)
    ratio = trust_ratio(trust_coefficient * p_norm / (g_norm + weight_decay * p_norm + eps), p_norm, g_norm)
    b = momentum * b + ratio * (g + weight_decay * p)
    return lr * b, b


RECORDS = [
    Record(
        lars, year=2017, family=MOMENTUM,
        source="You, Gitman and Ginsburg, Large batch training of convolutional networks, arXiv:1708.03888",
        lr=SUMMED,  # it has its trust coefficient of 0.001 on top
        class_name="LARS", limits={"trust_coefficient": FROM_ZERO}, surface_lr=1.0, surface_lrs=(1e-3, 1e3),
        use="Very large batches of images, with a warm-up.",
        weakness="Little use at usual batch sizes; biases and normalisation layers are better left out.",
    ),
]  # fmt: skip
