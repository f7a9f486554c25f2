"""Initialises a whole model: for each layer the scheme that suits the activation behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from fallline.init.activations import LINEAR, Activation, named, of_module
from fallline.init.following import following
from fallline.init.layers import fans, is_layer
from fallline.init.schemes import Distribution, Scheme

Override = Scheme | nn.Module | str


@dataclass(frozen=True)
class Choice:
    """One layer's scheme, why it was chosen, and the standard deviation that comes of it."""

    layer: str
    reason: str
    scheme: Scheme
    std: float

    def __str__(self) -> str:
        return f"{self.layer or '(the model)'}: {self.reason} -> {self.scheme}, std {self.std:.4g}"


@dataclass(frozen=True)
class Report:
    """What was chosen for each layer, and which modules with weights were left alone."""

    choices: tuple[Choice, ...]
    left_alone: tuple[str, ...]

    def __str__(self) -> str:
        lines = [str(choice) for choice in self.choices]
        return "\n".join(lines + ([f"left alone: {', '.join(self.left_alone)}"] if self.left_alone else []))


def initialise(
    model: nn.Module,
    overrides: Mapping[str, Override] | None = None,
    *,
    distribution: Distribution = "normal",
    generator: torch.Generator | None = None,
) -> Report:
    """Draw the weights of every linear layer and convolution anew, in place, and set their biases to zero.

    The scheme follows from the activation behind the layer, past normalisation, pooling, dropout, reshaping and sums:

    - the ReLU family, and its smooth relatives (GELU, SiLU, ELU, ...): He, with the gain of the slope below zero;
    - tanh, sigmoid, softmax and their like: Xavier;
    - SELU, and where nothing follows, as on a last layer: LeCun, which keeps the variance.

    All with `distribution` "normal" or "uniform". Normalisation layers, embeddings, attention and recurrent layers
    are left as they are. The activations are found by tracing the model with torch.fx; `overrides` says what tracing
    can't see. Its keys are layers' names or patterns such as "blocks.*.out", of which the first that fits counts, its
    values an activation (a module, or its name, "linear" for none) or a `Scheme`. A generator makes the draw
    repeatable; without one it is torch's global one.

    Raises TypeError for what is not a model, and ValueError, before anything is changed, where an activation can't be
    found, an override fits no layer, or a layer's weight isn't there yet (lazy) or isn't its own (parametrised).

    >>> model = nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 1))
    >>> print(initialise(model, generator=torch.Generator().manual_seed(0)))
    0: relu -> he_normal (fan_in, gain 1.414), std 0.5
    3: linear -> lecun_normal (fan_in, gain 1), std 0.5
    left alone: 1
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {model!r}")
    layers = {name: module for name, module in model.named_modules() if is_layer(module)}
    for name, layer in layers.items():
        _check_weight(name, layer)
    reasons = _reasons(model, list(layers), overrides or {})
    choices = tuple(_choice(name, layer, reasons[name], distribution) for name, layer in layers.items())
    for choice in choices:
        layer = layers[choice.layer]
        choice.scheme.fill(layer, generator)
        if isinstance(layer.bias, nn.Parameter):
            nn.init.zeros_(layer.bias)
    return Report(choices, _left_alone(model))


def _reasons(model: nn.Module, names: list[str], overrides: Mapping[str, Override]) -> dict[str, Activation | Scheme]:
    """Return what decides the scheme of each layer: what was said, or else what tracing finds."""
    said = {pattern: _understood(pattern, value) for pattern, value in overrides.items()}
    for pattern in said:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"overrides: no layer fits '{pattern}'; the layers are {', '.join(names) or 'none'}")
    reasons = {name: said[pattern] for name in names for pattern in reversed(said) if fnmatchcase(name, pattern)}
    missing = [name for name in names if name not in reasons]
    found = following(model) if missing else {}
    problems: dict[str, list[str]] = {}
    for name in missing:
        reason = found.get(name, "tracing the model did not come upon it")
        if isinstance(reason, str):
            problems.setdefault(reason, []).append(name)
        else:
            reasons[name] = reason
    if problems:
        raise _not_found(problems)
    return reasons


def _not_found(problems: dict[str, list[str]]) -> ValueError:
    places = "; ".join(f"{', '.join(map(repr, names))} ({reason})" for reason, names in problems.items())
    (first, *_), *_ = problems.values()
    return ValueError(
        f"the activation could not be found behind {places}. Say it with overrides={{'{first}': 'relu', ...}}: "
        "an activation, 'linear' for none, or a scheme"
    )


def _understood(pattern: str, value: Override) -> Activation | Scheme:
    if isinstance(value, Scheme):
        return value
    if isinstance(value, str):
        return named(value)
    activation = of_module(value) if isinstance(value, nn.Module) else None
    if activation is None and not isinstance(value, nn.Identity):
        raise TypeError(f"overrides['{pattern}'] must be an activation, its name or a scheme; got {value!r}")
    return activation or LINEAR


def _choice(name: str, layer: nn.Module, reason: Activation | Scheme, distribution: Distribution) -> Choice:
    scheme = reason if isinstance(reason, Scheme) else reason.scheme(distribution)
    return Choice(name, "as told" if isinstance(reason, Scheme) else str(reason), scheme, scheme.std(*fans(layer)))


def _check_weight(name: str, layer: nn.Module) -> None:
    weight = layer._parameters.get("weight")
    if weight is None:
        raise ValueError(f"the weight of '{name}' is computed from others (parametrised): initialise before that")
    if is_lazy(weight):
        raise ValueError(f"'{name}' has no shape yet: run one batch through the model before initialising it")


def _left_alone(model: nn.Module) -> tuple[str, ...]:
    return tuple(
        name
        for name, module in model.named_modules()
        if not is_layer(module) and any(True for _ in module.parameters(recurse=False))
    )
