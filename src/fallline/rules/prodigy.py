"""Prodigy (Mishchenko and Defazio, 2024): Adam that estimates its own learning rate."""

from fallline.math import abs, dot, maximum, minimum, sqrt, sum, where
from fallline.rules.record import ADAM, POSITIVE, Interval, Record
from fallline.symbolic import rule, state


@rule
def prodigy(
    p, g, m, v, s, p0=state(init=lambda p: p),
    numerator=state("global"), ratio=state("global", init=1.0), highest=state("global", init=1.0),
    *, lr=1.0, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, d0=1e-6, d_coef=1.0, growth_rate=float("inf"),
):  # fmt: skip
    """Adam whose rate grows with an estimate d of the distance from the start to a solution (Mishchenko et al., 2024).

    As in the authors' code, without bias correction, with decoupled decay, and at rest, states and all, where lr is 0
    or no gradient has been yet. d is the same for all tensors, and is kept as `ratio`, d/d₀; lr is a factor on it, to
    be left at 1 or scheduled.
    """
    moving = lr > 0
    beta3 = sqrt(beta2)
    d = d0 * ratio
    eta = d * lr
    m = where(moving, beta1 * m + d * (1 - beta1) * g, m)
    v = where(moving, beta2 * v + d * d * (1 - beta2) * g * g, v)
    s = where(moving, beta3 * s + ratio * eta * g, s)
    gained = dot(ratio * eta * g, p0 - p, all_tensors=True)
    denominator = sum(where(moving, abs(s), 0.0), all_tensors=True)
    known = denominator > 0
    numerator = where(known, beta3 * numerator + gained, numerator)
    estimate = where(known, d_coef * numerator / (d0 * denominator), 0.0)
    highest = maximum(highest, estimate)
    grown = minimum(highest, where(ratio > 1, ratio, maximum(ratio, estimate)) * growth_rate)
    grown = where(known, grown, ratio)
    update = where(moving & known, eta * (m / (sqrt(v) + d0 * grown * eps) + weight_decay * p), 0.0)
    return update, m, v, s, p0, numerator, grown, highest


RECORDS = [
    Record(
        prodigy, year=2024, family=ADAM,
        source="Mishchenko and Defazio, Prodigy: an expeditiously adaptive parameter-free learner, arXiv:2306.06101",
        lr=(0.1, 10.0),  # a factor on the rate that it estimates
        class_name="Prodigy",
        limits={
            "d0": POSITIVE, "d_coef": POSITIVE, "growth_rate": Interval(1, float("inf"), has_low=False, has_high=True),
        },
        surface_lr=1.0, surface_lrs=(1e-2, 100.0),
        use="Where no rate is known: leave lr at 1 and give it a cosine schedule.",
        weakness="Two passes and four states; it can overestimate the distance and never goes back.",
    ),
]  # fmt: skip
