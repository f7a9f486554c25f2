"""Published iterations in plain NumPy, as papers or authors' code have them: Adam and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tests.rules.paths import START, Array, Gradient


def kingma(
    of: Gradient,
    lr: float = 0.1,
    beta1: float = 0.8,
    beta2: float = 0.99,
    eps: float = 1e-3,
    decay: float = 0.0,
    highest: bool = False,
) -> Iterator[Array]:
    """Algorithm 1; AdamW's decay beside the step; AMSGrad's highest second moment, as torch has it."""
    theta, m, v, top, t = START, np.zeros_like(START), np.zeros_like(START), np.zeros_like(START), 0
    while True:
        t += 1
        g = of(theta)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        top = np.maximum(top, v) if highest else v
        step = lr * (m / (1 - beta1**t)) / (np.sqrt(top / (1 - beta2**t)) + eps)
        theta = theta - step - lr * decay * theta
        yield theta


def kingma_uncorrected(of: Gradient, lr: float = 0.1) -> Iterator[Array]:
    theta, m, v = START, np.zeros_like(START), np.zeros_like(START)
    while True:
        g = of(theta)
        m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * g**2
        theta = theta - lr * m / (np.sqrt(v) + 1e-3)
        yield theta


def kingma_section_2(of: Gradient, lr: float = 0.1) -> Iterator[Array]:
    """α_t = α √(1 - β₂ᵗ) / (1 - β₁ᵗ), θ_t = θ_{t-1} - α_t m_t / (√v_t + ε̂)."""
    theta, m, v, t = START, np.zeros_like(START), np.zeros_like(START), 0
    while True:
        t += 1
        g = of(theta)
        m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * g**2
        alpha = lr * np.sqrt(1 - 0.99**t) / (1 - 0.8**t)
        theta = theta - alpha * m / (np.sqrt(v) + 1e-3)
        yield theta


def optax_amsgrad(of: Gradient, lr: float = 0.1) -> Iterator[Array]:
    theta, m, v, top, t = START, np.zeros_like(START), np.zeros_like(START), np.zeros_like(START), 0
    while True:
        t += 1
        g = of(theta)
        m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * g**2
        top = np.maximum(top, v / (1 - 0.99**t))
        theta = theta - lr * (m / (1 - 0.8**t)) / (np.sqrt(top) + 1e-3)
        yield theta


def kingma_algorithm_2(of: Gradient, lr: float = 0.1) -> Iterator[Array]:
    """Adamax; torch adds ε to |g|."""
    theta, m, u, t = START, np.zeros_like(START), np.zeros_like(START), 0
    while True:
        t += 1
        g = of(theta)
        m, u = 0.8 * m + 0.2 * g, np.maximum(0.99 * u, np.abs(g) + 1e-3)
        theta = theta - (lr / (1 - 0.8**t)) * m / u
        yield theta


def liu(
    of: Gradient, rectifies: Callable[[float], bool], lr: float = 0.1, rests: bool = False, decay: float = 0.0
) -> Iterator[Array]:
    """Algorithm 2, with ε beside the uncorrected root; `rests` and decays as the authors' code does."""
    theta, m, v, t = START, np.zeros_like(START), np.zeros_like(START), 0
    longest = 2 / (1 - 0.99) - 1
    while True:
        t += 1
        g = of(theta)
        v = 0.99 * v + 0.01 * g**2
        m = 0.8 * m + 0.2 * g
        length = longest - 2 * t * 0.99**t / (1 - 0.99**t)
        if rectifies(length):
            adaptive = np.sqrt(1 - 0.99**t) / (np.sqrt(v) + 1e-3)
            r = np.sqrt((length - 4) / (longest - 4) * (length - 2) / (longest - 2) * longest / length)
            theta = theta - lr * decay * theta - lr * r * m / (1 - 0.8**t) * adaptive
        elif not rests:
            theta = theta - lr * m / (1 - 0.8**t)
        yield theta


def chen(of: Gradient, lr: float = 0.1, decay: float = 0.3) -> Iterator[Array]:
    """Lion, as its reference code: decay, the step by the sign, then the momentum."""
    theta, m = START, np.zeros_like(START)
    while True:
        g = of(theta)
        theta = theta * (1 - lr * decay)
        theta = theta - lr * np.sign(0.8 * m + (1 - 0.8) * g)
        m = 0.95 * m + (1 - 0.95) * g
        yield theta


def pagliardini(
    of: Gradient, lr: float = 0.1, warmup: float = 20.0, decay: float = 0.3, start: float = 0.8, end: float = 0.999
) -> Iterator[Array]:
    """Algorithm 1 with the schedulers of the paper's section 3."""
    theta, m1, m2, v, t = START, np.zeros_like(START), np.zeros_like(START), np.zeros_like(START), 0
    while True:
        t += 1
        share = t / warmup
        log_start, log_end = np.log(start), np.log(end)
        beta3 = (
            min(np.exp(log_start * log_end / ((1 - share) * log_end + share * log_start)), end) if share < 1 else end
        )
        alpha = min(t * 4.0 / warmup, 4.0)
        g = of(theta)
        m1 = start * m1 + (1 - start) * g
        m2 = beta3 * m2 + (1 - beta3) * g
        v = 0.99 * v + 0.01 * g**2
        m1_hat, v_hat = m1 / (1 - start**t), v / (1 - 0.99**t)
        theta = theta - lr * ((m1_hat + alpha * m2) / (np.sqrt(v_hat) + 1e-3) + decay * theta)
        yield theta


def liang(of: Gradient, lr: float = 0.1, decay: float = 0.0) -> Iterator[Array]:
    """Cautious Adam: the first moment under a mask that is divided by its mean."""
    theta, m, v, t = START, np.zeros_like(START), np.zeros_like(START), 0
    while True:
        t += 1
        g = of(theta)
        m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * g**2
        mask = (m * g > 0).astype(np.float64)
        mask = mask / max(mask.mean(), 1e-3)
        theta = theta * (1 - lr * decay)
        theta = theta - lr * mask * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-3)
        yield theta


def you_2017(of: Gradient, lr: float = 0.1, decay: float = 0.3) -> Iterator[Array]:
    """LARS as torchlars and timm have it: SGD with momentum on gradients scaled by the trust ratio."""
    w, buffer = START, None
    while True:
        g = of(w)
        w_norm, g_norm = np.linalg.norm(w), np.linalg.norm(g)
        ratio = 0.02 * w_norm / (g_norm + decay * w_norm + 1e-3) if w_norm > 0 and g_norm > 0 else 1.0
        scaled = (g + decay * w) * ratio
        buffer = scaled if buffer is None else 0.9 * buffer + scaled
        w = w - lr * buffer
        yield w


def you_2020(of: Gradient, lr: float = 0.1, decay: float = 0.3) -> Iterator[Array]:
    """LAMB, algorithm 2, with φ the identity."""
    x, m, v, t = START, np.zeros_like(START), np.zeros_like(START), 0
    while True:
        t += 1
        g = of(x)
        m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * g**2
        r = (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-3)
        x = x - lr * np.linalg.norm(x) / np.linalg.norm(r + decay * x) * (r + decay * x)
        yield x


def heo(
    of: Gradient, start: Array, lr: float = 0.1, decay: float = 0.3, delta: float = 0.1, nesterov: bool = False
) -> Iterator[Array]:
    """AdamP as its authors' code, channel by channel."""
    w, m, v, t, eps = start, np.zeros_like(start), np.zeros_like(start), 0, 1e-3
    while True:
        t += 1
        g = of(w)
        m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * g**2
        denominator = np.sqrt(v) / np.sqrt(1 - 0.99**t) + eps
        perturb = (0.8 * m + 0.2 * g if nesterov else m) / denominator
        ratio = 1.0
        channels, whole = [(i,) for i in range(len(w))], [()]
        for places in (channels, whole) if w.ndim > 1 else ():
            if all(cosine(g[i], w[i], eps) < delta / np.sqrt(w[i].size) for i in places):
                perturb, ratio = perturb.copy(), 0.1
                for i in places:
                    unit = w[i] / (np.linalg.norm(w[i]) + eps)
                    perturb[i] -= unit * np.sum(unit * perturb[i])
                break
        w = w * (1 - lr * decay * ratio) - lr / (1 - 0.8**t) * perturb
        yield w


def cosine(a: Array, b: Array, eps: float) -> float:
    """The absolute cosine of the angle between two arrays, each norm at least ε, as torch's cosine_similarity."""
    a_norm, b_norm = max(float(np.linalg.norm(a)), eps), max(float(np.linalg.norm(b)), eps)
    return abs(float(np.sum(a * b))) / (a_norm * b_norm)
