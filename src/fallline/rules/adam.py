"""Adam (Kingma and Ba, 2015) with bias correction, AMSGrad and AdamW."""

from fallline.math import maximum, sqrt
from fallline.rules.decay import decoupled_decay
from fallline.symbolic import rule


@rule
def adam(p, g, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, t):
    """Step by the mean of the gradients over the root of the mean of their squares (Kingma and Ba, 2015)."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return lr * m_hat / (sqrt(v_hat) + eps), m, v


@rule
def amsgrad(p, g, m, v, v_max, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, t):
    """Adam whose second moment never falls (Reddi, Kale and Kumar, 2018; torch: of the uncorrected moment)."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    v_max = maximum(v_max, v)
    m_hat = m / (1 - beta1**t)
    v_hat = v_max / (1 - beta2**t)
    return lr * m_hat / (sqrt(v_hat) + eps), m, v, v_max


adamw = decoupled_decay(adam)
