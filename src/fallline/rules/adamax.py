"""Adamax (Kingma and Ba, 2015, algorithm 2)."""

from fallline.math import abs, maximum
from fallline.rules.record import ADAM, ADAM_MOMENTS, ADAPTIVE, Record, Twin
from fallline.symbolic import rule


@rule
def adamax(p, g, m, u, *, lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, t):
    """Step by the mean of the gradients over their decaying maximum (Kingma and Ba, 2015, algorithm 2).

    torch's convention: ε joins |g| inside the maximum, and the division has none. The paper has no ε at all; Keras adds
    it to u in the division.
    """
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u, abs(g) + eps)
    m_hat = m / (1 - beta1**t)
    return lr * m_hat / u, m, u


RECORDS = [
    Record(
        adamax, year=2015, family=ADAM,
        source="Kingma and Ba, Adam: a method for stochastic optimization, arXiv:1412.6980",
        lr=ADAPTIVE, class_name="Adamax", twin=Twin("Adamax"), moments={"m": ADAM_MOMENTS["m"]}, default_arm=9,
        use="Sparse or heavy-tailed gradients, such as embeddings.",
        weakness="A single large gradient shortens steps for about 1/(1-β₂) steps.",
    ),
]  # fmt: skip
