"""LAMB (You et al., 2020): Adam with a learning rate for each tensor, for large batches."""

from fallline.math import sqrt
from fallline.rules.record import ADAM, ADAM_MOMENTS, RELATIVE, Record
from fallline.rules.trust_ratio import norm, trust_ratio
from fallline.symbolic import rule


@rule
def lamb(p, g, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=1e-2, t):
    """Adam's direction with decay, scaled tensor by tensor to the norm of the weights (You et al., 2020, algorithm 2).

    With bias correction, which some versions of the paper and codes leave out; φ is the identity; the ratio is 1 where
    weights or direction are all zero.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    r = m_hat / (sqrt(v_hat) + eps)
    direction = r + weight_decay * p
    p_norm, direction_norm = norm(p), norm(direction)
    return lr * trust_ratio(p_norm / direction_norm, p_norm, direction_norm) * direction, m, v


RECORDS = [
    Record(
        lamb, year=2020, family=ADAM,
        source="You et al., Large batch optimization for deep learning: training BERT in 76 minutes, arXiv:1904.00962",
        lr=RELATIVE, class_name="LAMB", moments=ADAM_MOMENTS,
        use="Very large batches, of text above all.",
        weakness="Little use at usual batch sizes; the ratio of norms can jump for tensors near zero.",
    ),
]  # fmt: skip
