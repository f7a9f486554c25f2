"""What is measured: each optimizer class beside every variant that torch has of it, on given shapes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fallline import optim, rules
from fallline.optim.generic import Optimizer
from fallline.symbolic import Rule


@dataclass(frozen=True)
class Subject:
    """One optimizer, ours beside torch's.

    Args:
        rule: The rule; None for a matrix method, whose step is no single one.
        class_name: The class of ours, and of torch's if it has it.
        options: What a class must be told so that it takes the rule's steps.
    """

    rule: Rule | None
    class_name: str
    options: Mapping[str, Any] = field(default_factory=dict)

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
        theirs = getattr(torch.optim, self.class_name, None)
        if theirs is None:
            return {}
        known = inspect.signature(theirs).parameters
        if "foreach" not in known:
            return {"for-loop": {}}
        fused = {"fused": {"fused": True}} if "fused" in known else {}
        return {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, **fused}

    def ours(self, params: Sequence[Tensor]) -> torch.optim.Optimizer:
        """Our optimizer: the class of that name or, where that is torch's own, the rule's.

        Args:
            params: The parameters that it moves.
        """
        kind = getattr(optim, self.class_name)
        if self.rule is not None and kind is getattr(torch.optim, self.class_name, None):
            return Optimizer(params, self.rule)
        return kind(params, **self.options)  # type: ignore[no-any-return]

    def theirs(self, params: Sequence[Tensor], variant: str) -> torch.optim.Optimizer:
        """One of torch's.

        Args:
            params: The parameters that it moves.
            variant: A name of `variants`.
        """
        return getattr(torch.optim, self.class_name)(  # type: ignore[no-any-return]
            params, **self.options, **self.variants[variant]
        )


def _twins() -> Iterable[Subject]:
    """The rules that torch has too, by year; of two that are the same by default the one with fewer hyperparameters."""
    found: dict[str, Subject] = {}
    for record in sorted(rules.RECORDS.values(), key=lambda record: (record.year, len(record.rule.hyperparameters))):
        if record.twin is not None:
            known = inspect.signature(getattr(torch.optim, record.twin.name)).parameters
            own = {n: value for n, value in record.rule.defaults.items() if n in known and value != known[n].default}
            subject = Subject(record.rule, record.twin.name, {**own, **record.twin.options})
            found.setdefault(f"{subject.class_name} {subject.options}", subject)
    return found.values()


SUBJECTS = (
    *_twins(),
    Subject(rules.ademamix, "AdEMAMix"),
    Subject(rules.lion, "Lion"),
    Subject(None, "Adafactor"),
    Subject(None, "Muon"),
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
