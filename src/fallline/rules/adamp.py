"""AdamP (Heo et al., 2021): Adam that does not lengthen weights whose scale has no effect."""

from fallline.math import abs, dimensions, dot, maximum, sqrt, sum, where
from fallline.rules.record import ADAM, ADAM_MOMENTS, ADAPTIVE, FROM_ZERO, SHARE, Record
from fallline.symbolic import rule


def _along_the_sphere(p, g, direction, delta, eps, channels):
    """The direction without its part along the weights, and 1 if the gradient has next to no such part, else 0."""
    p_norm, g_norm = sqrt(dot(p, p, channels=channels)), sqrt(dot(g, g, channels=channels))
    cosine = abs(dot(g, p, channels=channels)) / (maximum(g_norm, eps) * maximum(p_norm, eps))
    dimension = sum(p**0, channels=channels)  # 1 at every element, whatever it holds
    length = p_norm + eps
    tangent = direction - dot(p, direction, channels=channels) / (length * length) * p
    return tangent, where(cosine < delta / sqrt(dimension), 1.0, 0.0)


@rule
def adamp(
    p, g, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, delta=0.1, wd_ratio=0.1,
    nesterov=False, t,
):  # fmt: skip
    """Adam without the radial part of its step where the gradient has next to none (Heo et al., 2021).

    As in the authors' code: where the gradient is all but orthogonal to the weights of every channel, each channel's
    step loses its radial part; else, where it is to the whole tensor's, the whole step does. The decoupled decay then
    shrinks by `wd_ratio`. η/(1-β₁ᵗ) comes last. Tensors of one dimension, such as biases, are left to Adam.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    direction = (beta1 * m + (1 - beta1) * g if nesterov else m) / (sqrt(v) / sqrt(1 - beta2**t) + eps)
    by_channel, tangential = _along_the_sphere(p, g, direction, delta, eps, channels=True)
    by_tensor, tangential_whole = _along_the_sphere(p, g, direction, delta, eps, channels=False)
    projects_channels = (dimensions() > 1) & (sum(1 - tangential) == 0)  # no channel violates it
    projects_tensor = (dimensions() > 1) & (tangential_whole == 1)
    step = where(projects_channels, by_channel, where(projects_tensor, by_tensor, direction))
    decay = where(projects_channels | projects_tensor, wd_ratio * weight_decay, weight_decay)
    return lr / (1 - beta1**t) * step + lr * decay * p, m, v


RECORDS = [
    Record(
        adamp, year=2021, family=ADAM,
        source="Heo et al., AdamP: slowing down the slowdown for momentum optimizers, arXiv:2006.08217", lr=ADAPTIVE,
        class_name="AdamP", limits={"delta": FROM_ZERO, "wd_ratio": SHARE}, moments=ADAM_MOMENTS, default_arm=12,
        use="Networks with normalisation layers, where the weights' scale has no effect but on the step.",
        weakness="Several passes over memory; little gain where there is no normalisation; at high rates norms grow "
        "all the same.",
    ),
]  # fmt: skip
