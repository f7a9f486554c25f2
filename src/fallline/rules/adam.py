"""Adam (Kingma and Ba, 2015) with bias correction and without, AMSGrad and AdamW."""

from fallline.math import maximum, sqrt
from fallline.rules.decay import decoupled_decay
from fallline.rules.record import ADAM, ADAM_MOMENTS, ADAPTIVE, Record, Twin
from fallline.symbolic import rule


@rule
def adam(p, g, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, t):
    """Step by the mean of the gradients over the root of the mean of their squares (Kingma and Ba, 2015).

    As in algorithm 1 and in torch; the form at the end of its section 2 is `adam_eps_hat`.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return lr * m_hat / (sqrt(v_hat) + eps), m, v


@rule
def adam_uncorrected(p, g, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam without bias correction: early steps are too long, the first by (1-β₁)/√(1-β₂), about 3."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return lr * m / (sqrt(v) + eps), m, v


@rule
def adam_eps_hat(p, g, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps_hat=1e-8, t):
    """Adam with the bias corrected in the learning rate (Kingma and Ba, 2015, end of section 2; TensorFlow, Keras).

    Equal to `adam` where ε̂ = ε√(1-β₂ᵗ); at the same number ε̂ weighs more at first.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return lr * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + eps_hat), m, v


@rule
def amsgrad(p, g, m, v, v_max, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, t):
    """Adam whose second moment never falls (Reddi, Kale and Kumar, 2018; torch: of the uncorrected moment).

    Optax takes the maximum of the corrected moment: `amsgrad_corrected`.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    v_max = maximum(v_max, v)
    m_hat = m / (1 - beta1**t)
    v_hat = v_max / (1 - beta2**t)
    return lr * m_hat / (sqrt(v_hat) + eps), m, v, v_max


@rule
def amsgrad_corrected(p, g, m, v, v_max, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, t):
    """Adam whose corrected second moment never falls (Reddi, Kale and Kumar, 2018; as in Optax)."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    v_max = maximum(v_max, v_hat)
    return lr * m_hat / (sqrt(v_max) + eps), m, v, v_max


adamw = decoupled_decay(adam)


_ADAM, _AMSGRAD = ("adam", "adam_eps_hat", "adam_uncorrected"), ("amsgrad", "amsgrad_corrected")
_KINGMA = "Kingma and Ba, Adam: a method for stochastic optimization, arXiv:1412.6980"
_REDDI = "Reddi, Kale and Kumar, On the convergence of Adam and beyond, arXiv:1904.09237"
RECORDS = [
    Record(
        adam, year=2015, family=ADAM,
        source=_KINGMA, lr=ADAPTIVE, conventions=_ADAM, class_name="Adam", twin=Twin("Adam"),
        moments=ADAM_MOMENTS, default_arm=7,
        use="A first try nearly everywhere: works over a wide range of rates.",
        weakness="May not converge where rare large gradients matter; L2 decay acts weakly on large gradients (see "
        "adamw).",
    ),
    Record(
        adam_uncorrected, year=2015, family=ADAM, source=_KINGMA, lr=ADAPTIVE, conventions=_ADAM, moments=ADAM_MOMENTS,
        use="To see what bias correction is for.",
        weakness="The first step is about three times too long at the usual decay factors, and the next ones more.",
    ),
    Record(
        adam_eps_hat, year=2015, family=ADAM, source=_KINGMA, lr=ADAPTIVE, conventions=_ADAM, moments=ADAM_MOMENTS,
        use="To follow TensorFlow or Keras: the paper's shorter form.",
        weakness="ε̂ is not Adam's ε: the same number damps early steps more.",
    ),
    Record(
        amsgrad, year=2018, family=ADAM, source=_REDDI, lr=ADAPTIVE, conventions=_AMSGRAD, class_name="AMSGrad",
        twin=Twin("Adam", {"amsgrad": True}), moments=ADAM_MOMENTS,
        use="Where Adam is seen to diverge or to circle.",
        weakness="One more state; one huge gradient shortens all steps after it.",
    ),
    Record(
        amsgrad_corrected, year=2018, family=ADAM,
        source=_REDDI, lr=ADAPTIVE, conventions=_AMSGRAD, moments=ADAM_MOMENTS,
        use="To follow code that takes the maximum of the corrected moment.",
        weakness="The corrected moment is noisiest at the first steps, which the maximum then keeps.",
    ),
    Record(
        adamw, name="adamw", year=2019, family=ADAM,
        source="Loshchilov and Hutter, Decoupled weight decay regularization, arXiv:1711.05101", lr=ADAPTIVE,
        class_name="AdamW", twin=Twin("AdamW"), default_arm=8,
        use="Transformers, and wherever Adam needs weight decay.",
        weakness="The decay is tied to the rate: halve one and the other acts half as strongly.",
    ),
]  # fmt: skip
