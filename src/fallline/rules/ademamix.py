"""AdEMAMix (Pagliardini, Ablin and Grangier, 2024): Adam with a second, much slower mean of the gradients."""

from fallline.math import exp, log, minimum, sqrt
from fallline.rules.record import ADAM, ADAM_MOMENTS, ADAPTIVE, FROM_ZERO, Record
from fallline.symbolic import rule


def slow_decay(start, end, progress):
    """The decay factor at a share of the way from one to another on which 1/ln β changes evenly; β may begin at 0."""
    return exp(1 / ((1 - progress) / log(start) + progress / log(end)))


@rule
def ademamix(
    p, g, m1, m2, v, *, lr=1e-3, beta1=0.9, beta2=0.999, beta3=0.9999, alpha=5.0, eps=1e-8, weight_decay=0.0,
    alpha_warmup=1.0, beta3_warmup=1.0, t,
):  # fmt: skip
    """Step by a fast and, weighted α, a slow mean of the gradients over Adam's root (Pagliardini et al., 2024).

    Over their warm-ups, in steps, α rises evenly from 0, and β₃ from β₁ so that its half-life does; 1 means none, and
    the paper takes the whole training. The slow mean has no bias correction; the decay is decoupled. The authors' code
    adds 1e-8 to each β in its logarithms; the paper's schedule, and this one, do not.
    """
    alpha = alpha * minimum(t / alpha_warmup, 1.0)
    beta3 = slow_decay(beta1, beta3, minimum(t / beta3_warmup, 1.0))
    m1 = beta1 * m1 + (1 - beta1) * g
    m2 = beta3 * m2 + (1 - beta3) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m1 / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return lr * ((m_hat + alpha * m2) / (sqrt(v_hat) + eps) + weight_decay * p), m1, m2, v


RECORDS = [
    Record(
        ademamix, year=2024, family=ADAM,
        source="Pagliardini, Ablin and Grangier, The AdEMAMix optimizer: better, faster, older, arXiv:2409.03137",
        lr=ADAPTIVE, class_name="AdEMAMix",
        spaces={"alpha": (1.0, 20.0)},  # the weight of a mean, elsewhere a decay factor
        limits={"alpha": FROM_ZERO, "alpha_warmup": FROM_ZERO, "beta3_warmup": FROM_ZERO},
        moments={"m1": ADAM_MOMENTS["m"], "v": ADAM_MOMENTS["v"]},
        use="Long runs, where gradients of thousands of steps ago still tell something.",
        weakness="Short runs gain nothing; one more state, and two warm-ups to set to the length of the run.",
    ),
]  # fmt: skip
