"""Optimizers that torch does not have, by name: each is `fallline.Optimizer` with one rule of `fallline.rules`."""

from __future__ import annotations

from typing import Any, ClassVar

from torch.optim.optimizer import ParamsT

from fallline import rules
from fallline.optim.generic import Optimizer
from fallline.symbolic import Rule


class _Named(Optimizer):
    """Hyperparameters and their defaults are those of the rule; `lr` may stand second, as in torch's classes."""

    follows: ClassVar[Rule]

    def __init__(self, params: ParamsT, lr: Any = None, **hyperparameters: Any) -> None:
        given = {} if lr is None else {"lr": lr}
        super().__init__(params, self.follows, **given, **hyperparameters)


class AdamP(_Named):
    """Adam without growth of scale-invariant weights (Heo et al., 2021): `rules.adamp`."""

    follows = rules.adamp


class AdEMAMix(_Named):
    """Adam with a second, slow first moment (Pagliardini et al., 2024): `rules.ademamix`."""

    follows = rules.ademamix


class LAMB(_Named):
    """AdamW with a trust ratio a tensor, for large batches (You et al., 2020): `rules.lamb`."""

    follows = rules.lamb


class LARS(_Named):
    """Momentum with a trust ratio a tensor, for large batches (You et al., 2017): `rules.lars`."""

    follows = rules.lars


class Lion(_Named):
    """The sign of a momentum (Chen et al., 2023): `rules.lion`.

    >>> import torch
    >>> p = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = Lion([p], 0.25, betas=(0.9, 0.99))
    >>> p.sum().backward(); optimizer.step(); p.tolist()
    [0.75, 0.75]
    """

    follows = rules.lion


class Prodigy(_Named):
    """Adam that estimates its learning rate; leave `lr` at 1 (Mishchenko and Defazio, 2024): `rules.prodigy`."""

    follows = rules.prodigy
