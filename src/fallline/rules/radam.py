"""RAdam (Liu et al., 2020): Adam that waits until its second moment can be trusted."""

from fallline.math import maximum, sqrt, where
from fallline.rules.record import ADAM, ADAM_MOMENTS, RELATIVE, Record, Twin
from fallline.symbolic import rule


def rectification(beta2, t):
    """ρ, the length of the simple average that the second moment amounts to, and r, the rectifier for it."""
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    square = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
    return rho, sqrt(maximum(square, 0.0))  # below 4, where nothing is rectified, it can be negative


@rule
def radam(p, g, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, t):
    """Adam, its step shortened while few gradients make up its second moment (Liu et al., 2020).

    torch's convention: rectified where ρ > 5, before that a step of ηm̂; ε joins the uncorrected root. The paper's
    threshold: `radam_paper`; the authors' code: `radam_authors`. With β₂ ≤ 0.6 nothing is ever rectified.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    rho, r = rectification(beta2, t)
    return lr * m_hat * where(rho > 5, r * sqrt(1 - beta2**t) / (sqrt(v) + eps), 1.0), m, v


@rule
def radam_paper(p, g, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, t):
    """RAdam rectified as soon as ρ > 4, as algorithm 2 has it (Liu et al., 2020); ε is our addition, it has none."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    rho, r = rectification(beta2, t)
    return lr * m_hat * where(rho > 4, r * sqrt(1 - beta2**t) / (sqrt(v) + eps), 1.0), m, v


@rule
def radam_authors(p, g, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, t):
    """RAdam as in its authors' code: it rests until ρ ≥ 5, and so does its decoupled decay (Liu et al., 2020)."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    rho, r = rectification(beta2, t)
    return where(rho >= 5, lr * (r * m_hat * sqrt(1 - beta2**t) / (sqrt(v) + eps) + weight_decay * p), 0.0), m, v


_CONVENTIONS = ("radam", "radam_paper", "radam_authors")
_SOURCE = "Liu et al., On the variance of the adaptive learning rate and beyond, arXiv:1908.03265"
RECORDS = [
    Record(
        radam, year=2020, family=ADAM, source=_SOURCE,
        lr=RELATIVE,  # its steps are shortened at first
        conventions=_CONVENTIONS, class_name="RAdam", twin=Twin("RAdam"), moments=ADAM_MOMENTS, default_arm=11,
        use="Adam at rates so high that it would need a warm-up, without one.",
        weakness="At lower rates it begins so slowly that it may end behind Adam; with β₂ ≤ 0.6 it is never "
        "rectified at all.",
    ),
    Record(
        radam_paper, year=2020, family=ADAM,
        source=_SOURCE, lr=RELATIVE, conventions=_CONVENTIONS, moments=ADAM_MOMENTS,
        use="To follow the paper's text.",
        weakness="Rectifies one step or so earlier, by a noisier factor.",
    ),
    Record(
        radam_authors, year=2020, family=ADAM,
        source=_SOURCE, lr=RELATIVE, conventions=_CONVENTIONS, moments=ADAM_MOMENTS,
        use="To follow the authors' code.",
        weakness="Takes no step at all at first: with β₂ = 0.999 for five steps.",
    ),
]  # fmt: skip
