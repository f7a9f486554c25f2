"""Adam (Kingma and Ba, 2015) with bias correction and without, AMSGrad and AdamW."""

from fallline.math import maximum, sqrt
from fallline.rules.decay import decoupled_decay
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
