"""Layer-wise adaptation: what LARS and LAMB scale each tensor's step by."""

from fallline.math import dot, sqrt, where


def norm(x):
    """The Euclidean norm of a whole tensor."""
    return sqrt(dot(x, x))


def trust_ratio(ratio, weight_norm, step_norm):
    """A ratio of norms, or 1 if either is zero: weights that begin at zero must be able to leave it."""
    return where((weight_norm > 0) & (step_norm > 0), ratio, 1.0)
