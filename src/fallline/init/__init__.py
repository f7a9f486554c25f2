"""Initial weights: LeCun, He and Xavier, and a choice per layer from the activation that follows it."""

from fallline.init.model import Choice, Report, initialise
from fallline.init.schemes import (
    Scheme,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    xavier_normal,
    xavier_uniform,
)

__all__ = [
    "Choice", "Report", "Scheme", "he_normal", "he_uniform", "initialise", "lecun_normal", "lecun_uniform",
    "xavier_normal", "xavier_uniform",
]  # fmt: skip
