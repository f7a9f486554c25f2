"""Published iterations in plain NumPy, as their papers print them: descent, momentum, Adagrad, Adadelta, RMSprop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.rules.paths import START, Array, Gradient, gradient


def cauchy(of: Gradient, lr: float = 0.1) -> Iterator[Array]:
    x = START
    while True:
        x = x - lr * of(x)
        yield x


def polyak(of: Gradient, lr: float = 0.1, mu: float = 0.9) -> Iterator[Array]:
    """x_{k+1} = x_k - α ∇f(x_k) + β (x_k - x_{k-1})."""
    x, before = START, START
    while True:
        x, before = x - lr * of(x) + mu * (x - before), x
        yield x


def sutskever(of: Gradient, lr: float = 0.1, mu: float = 0.9) -> Iterator[Array]:
    """v = μv - ε ∇f(θ + μv), θ = θ + v; what is stored here is the point θ + μv at which the gradient is taken."""
    theta, v = START, np.zeros_like(START)
    while True:
        v = mu * v - lr * of(theta + mu * v)
        theta = theta + v
        yield theta + mu * v


def dampened(of: Gradient, lr: float = 0.1, mu: float = 0.9, tau: float = 0.3) -> Iterator[Array]:
    """As torch documents it: the buffer begins as the first gradient, in full."""
    x, b = START, of(START)
    while True:
        x = x - lr * b
        yield x
        b = mu * b + (1 - tau) * of(x)


def duchi(of: Gradient, lr: float = 0.1, decay: float = 0.2, eps: float = 1e-3) -> Iterator[Array]:
    x, squares = START, []
    while True:
        g = of(x)
        squares.append(g**2)
        x = x - lr / (1 + (len(squares) - 1) * decay) * g / (eps + np.sqrt(np.sum(squares, axis=0)))
        yield x


def tieleman(of: Gradient, lr: float = 0.1, alpha: float = 0.9, eps: float = 1e-3) -> Iterator[Array]:
    x, mean_square = START, np.zeros_like(START)
    while True:
        g = of(x)
        mean_square = alpha * mean_square + (1 - alpha) * g**2
        x = x - lr * g / (np.sqrt(mean_square) + eps)
        yield x


def graves(of: Gradient, lr: float = 0.1, alpha: float = 0.9, eps: float = 1e-3) -> Iterator[Array]:
    """Equations 38 to 40, with ε outside the root and without the momentum."""
    x, n, mean = START, np.zeros_like(START), np.zeros_like(START)
    while True:
        g = of(x)
        n = alpha * n + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        x = x - lr * g / (np.sqrt(n - mean**2) + eps)
        yield x


def with_momentum(of: Gradient, lr: float = 0.1, mu: float = 0.8) -> Iterator[Array]:
    """RMSprop's direction gathered in a buffer, the learning rate outside."""
    x, mean_square, buffer = START, np.zeros_like(START), np.zeros_like(START)
    while True:
        g = of(x)
        mean_square = 0.9 * mean_square + 0.1 * g**2
        buffer = mu * buffer + g / (np.sqrt(mean_square) + 1e-3)
        x = x - lr * buffer
        yield x


def regularised(x: Array) -> Array:
    """The gradient with that of 0.3/2 ‖x‖² added."""
    return gradient(x) + 0.3 * x


def uphill(x: Array) -> Array:
    return -gradient(x)


def decayed(of: Gradient, lr: float = 0.1, mu: float = 0.9, decay: float = 0.3) -> Iterator[Array]:
    """SGDW: the weights shrink beside the step and the buffer never sees it."""
    x, b = START, np.zeros_like(START)
    while True:
        b = mu * b + of(x)
        x = x - lr * b - lr * decay * x
        yield x


def with_velocity(of: Gradient, lr: float = 0.1, mu: float = 0.9) -> Iterator[Array]:
    """Sutskever et al., equations 1 and 2."""
    theta, v = START, np.zeros_like(START)
    while True:
        v = mu * v - lr * of(theta)
        theta = theta + v
        yield theta


def averaged(of: Gradient, lr: float = 0.1, mu: float = 0.9) -> Iterator[Array]:
    """The moving average written out: gradient i of t counts (1 - μ) μ^(t - i)."""
    x, gradients = START, []
    while True:
        gradients.append(of(x))
        x = x - lr * sum((1 - mu) * mu**age * g for age, g in enumerate(reversed(gradients)))
        yield x


def keras_adagrad(of: Gradient, lr: float = 0.1, eps: float = 1e-3) -> Iterator[Array]:
    x, accumulator = START, np.full_like(START, 0.1)
    while True:
        g = of(x)
        accumulator = accumulator + np.square(g)
        x = x - lr * g / np.sqrt(accumulator + eps)
        yield x


def tensorflow_rmsprop(of: Gradient, lr: float = 0.1, decay: float = 0.9, mu: float = 0.5) -> Iterator[Array]:
    """As TensorFlow documents ApplyRMSProp: mean_square begins at 1."""
    x, mean_square, mom = START, np.ones_like(START), np.zeros_like(START)
    while True:
        g = of(x)
        mean_square = mean_square + (np.square(g) - mean_square) * (1 - decay)
        mom = mu * mom + g * lr / np.sqrt(mean_square + 1e-3)
        x = x - mom
        yield x


def zeiler(of: Gradient, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-3) -> Iterator[Array]:
    """Algorithm 1; torch's learning rate scales what is added to x, and not what is gathered."""
    x, gathered_g, gathered_dx = START, np.zeros_like(START), np.zeros_like(START)
    while True:
        g = of(x)
        gathered_g = rho * gathered_g + (1 - rho) * g**2
        dx = -np.sqrt(gathered_dx + eps) / np.sqrt(gathered_g + eps) * g
        gathered_dx = rho * gathered_dx + (1 - rho) * dx**2
        x = x + lr * dx
        yield x


def daubechies(of: Gradient, lr: float = 0.1, strength: float = 0.5) -> Iterator[Array]:
    """Iterative soft thresholding, element by element."""
    x = START
    while True:
        moved = x - lr * of(x)
        x = np.array([np.copysign(max(abs(m) - lr * strength, 0.0), m) for m in moved])
        yield x


def clipped(x: Array) -> Array:
    """The gradient with each element held between -0.5 and 0.5."""
    return np.clip(gradient(x), -0.5, 0.5)
