"""What is measured: each optimizer class beside every variant that torch has of it, on given shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fallline import optim, rules
from fallline.symbolic import Rule


@dataclass(frozen=True)
class Subject:
    """One optimizer: the rule, our class and torch's of the same name, and the options that select the rule.

    A matrix method, whose step is no single rule, has None for one. `in_torch`, `fused` and `foreach` say what torch
    has of it.
    """

    rule: Rule | None
    class_name: str
    options: dict[str, Any] = field(default_factory=dict)
    in_torch: bool = True
    fused: bool = True
    foreach: bool = True

    @property
    def name(self) -> str:
        """What it is called in tables and on the command line."""
        return self.class_name.lower() if self.rule is None else rules.name_of(self.rule)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the benchmark that it takes part in."""
        if self.rule is None:
            return ("matrices",)
        steps = ("large", "small", "network")
        return (*steps, "training") if "fused" in self.variants else steps  # training is measured beside torch's fused

    @property
    def variants(self) -> dict[str, dict[str, Any]]:
        """Torch's implementations by name; none where it has no such class."""
        if not self.in_torch:
            return {}
        if not self.foreach:
            return {"for-loop": {}}
        fused = {"fused": {"fused": True}} if self.fused else {}
        return {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, **fused}

    def ours(self, params: Sequence[Tensor]) -> torch.optim.Optimizer:
        """Our optimizer."""
        return getattr(optim, self.class_name)(params, **self.options)  # type: ignore[no-any-return]

    def theirs(self, params: Sequence[Tensor], variant: str) -> torch.optim.Optimizer:
        """One of torch's."""
        return getattr(torch.optim, self.class_name)(  # type: ignore[no-any-return]
            params, **self.options, **self.variants[variant]
        )


SUBJECTS = (
    Subject(rules.gradient_descent, "SGD", {"lr": 1e-3}),
    Subject(rules.momentum, "SGD", {"lr": 1e-3, "momentum": 0.9}),
    Subject(rules.nesterov, "SGD", {"lr": 1e-3, "momentum": 0.9, "nesterov": True}),
    Subject(rules.adagrad, "Adagrad"),
    Subject(rules.adadelta, "Adadelta", fused=False),
    Subject(rules.rmsprop, "RMSprop", fused=False),
    Subject(rules.centered_rmsprop, "RMSprop", {"centered": True}, fused=False),
    Subject(rules.adam, "Adam"),
    Subject(rules.amsgrad, "Adam", {"amsgrad": True}),
    Subject(rules.adamw, "AdamW"),
    Subject(rules.adamax, "Adamax", fused=False),
    Subject(rules.nadam, "NAdam", fused=False),
    Subject(rules.radam, "RAdam", fused=False),
    Subject(rules.ademamix, "AdEMAMix", in_torch=False),
    Subject(rules.lion, "Lion", in_torch=False),
    Subject(None, "Adafactor", fused=False),
    Subject(None, "Muon", fused=False, foreach=False),
)

Shapes = Sequence[tuple[int, ...]]
#: Many large tensors (memory decides), many small ones (the cost of each tensor decides), one small network.
SHAPES: dict[str, Shapes] = {
    "large": [(1_000_000,)] * 32,
    "small": [(100,)] * 10_000,
    "network": [(64, 64), (64,), (64, 64), (64,), (10, 64), (10,)],
    "matrices": [(256, 256)] * 8 + [(512, 512)] * 4 + [(768, 3072)],
}


def make_parameters(shapes: Shapes, seed: int = 0) -> list[Tensor]:
    """Float32 parameters with gradients."""
    generator = torch.Generator().manual_seed(seed)
    params: list[Tensor] = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator)
    return params


def network(width: int) -> tuple[torch.nn.Module, Callable[[], Tensor]]:
    """A three-layer network of a given width and a closure that gives its loss on a fixed batch of 64."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))
    inputs, labels = torch.randn(64, width), torch.randint(0, 10, (64,))
    return model, lambda: torch.nn.functional.cross_entropy(model(inputs), labels)
