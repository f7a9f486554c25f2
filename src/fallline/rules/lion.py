"""Lion (Chen et al., 2023)."""

from fallline.math import sign
from fallline.rules.record import Record
from fallline.symbolic import rule


@rule
def lion(p, g, m, *, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0):
    """Step by the sign of a mean of gradients, each element by η, with decoupled decay (Chen et al., 2023).

    The sign of 0 is 0. As every step is that long, η is 3 to 10 times smaller than Adam's, and λ as much larger.
    """
    c = beta1 * m + (1 - beta1) * g
    m = beta2 * m + (1 - beta2) * g
    return lr * (sign(c) + weight_decay * p), m


RECORDS = [
    Record(
        lion, year=2023, source="Chen et al., Symbolic discovery of optimization algorithms, arXiv:2302.06675",
        lr=(1e-8, 0.1),  # 3 to 10 times below Adam's
        class_name="Lion",
        use="Large models: one state, and every element moves by the same amount.",
        weakness="Wants a rate 3 to 10 times smaller and a decay as much larger than AdamW; noisy with small batches.",
    ),
]  # fmt: skip
