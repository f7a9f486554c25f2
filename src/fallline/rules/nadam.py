"""NAdam (Dozat, 2016): Adam with Nesterov's look ahead."""

from fallline.math import sqrt
from fallline.rules.record import ADAM, ADAM_MOMENTS, ADAPTIVE, FROM_ZERO, Record, Twin
from fallline.symbolic import rule, state


@rule
def nadam(
    p, g, m, v, mu_product=state("scalar", init=1.0),
    *, lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=4e-3, t,
):  # fmt: skip
    """Adam that steps along where its first moment is about to go (Dozat, 2016).

    torch's convention: μ_t = β₁(1 - ½·0.96^{tψ}) with ψ = `momentum_decay`, and the product of all μ for the bias.
    """
    mu = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
    mu_product = mu_product * mu
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    v_hat = v / (1 - beta2**t)
    ahead = (1 - mu) / (1 - mu_product) * g + mu_next / (1 - mu_product * mu_next) * m
    return lr * ahead / (sqrt(v_hat) + eps), m, v, mu_product


RECORDS = [
    Record(
        nadam, year=2016, family=ADAM,
        source="Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop", lr=ADAPTIVE,
        class_name="NAdam", twin=Twin("NAdam"), limits={"momentum_decay": FROM_ZERO}, moments=ADAM_MOMENTS,
        default_arm=10,
        use="Adam where looking ahead helps; often a little faster early on.",
        weakness="One more hyperparameter, the momentum's own schedule; rarely ahead of a tuned Adam.",
    ),
]  # fmt: skip
