"""Initialises a whole model: for each layer the scheme that suits the activation behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fallline.init.activations import LINEAR, Activation, named, of_module
from fallline.init.following import agreed, following, unwrapped
from fallline.init.schemes import Distribution, Scheme, fans, is_layer

Override = Scheme | nn.Module | str


@dataclass(frozen=True)
class Choice:
    """One layer's scheme, why it was chosen, and what comes of it.

    Attributes:
        layer: The layer's name.
        reason: Why: the activation behind it, or what was told.
        scheme: How its weights were drawn.
        std: The standard deviation that came of it.
    """

    layer: str
    reason: str
    scheme: Scheme
    std: float

    def __str__(self) -> str:
        return f"{self.layer or '(the model)'}: {self.reason} -> {self.scheme}, std {self.std:.4g}"


@dataclass(frozen=True)
class Report:
    """What was chosen for each layer, and which modules with weights were left alone.

    Attributes:
        choices: What was chosen, layer by layer.
        left_alone: The names of the modules that were not touched.
        because: Why layers among them were not.
    """

    choices: tuple[Choice, ...]
    left_alone: tuple[str, ...]
    because: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [str(choice) for choice in self.choices]
        alone = [f"{name} ({self.because[name]})" if name in self.because else name for name in self.left_alone]
        return "\n".join(lines + ([f"left alone: {', '.join(alone)}"] if alone else []))


def initialise(
    model: nn.Module,
    overrides: Mapping[str, Override] | None = None,
    *,
    distribution: Distribution = "normal",
    generator: torch.Generator | None = None,
) -> Report:
    """Draw the weights of every linear layer and convolution anew, in place, and set their biases to zero.

    The scheme follows from the activation behind the layer, past normalisation, pooling, dropout, reshaping and sums:

    - the ReLU family: He, with the gain of the slope below zero; its smooth relatives (GELU, SiLU, ELU, Mish, ...): He,
      with the gain of their own at which a mean square of 1 goes through, E f(gain·z)² = 1 for a standard normal z;
    - tanh, sigmoid, softmax and their like: Xavier;
    - SELU, and where nothing follows, as on a last layer: LeCun, which keeps the variance.

    GELU, SiLU, Mish and Hardswish have no size that is stable: whatever a signal is off by grows from layer to layer
    (by 8 %, 15 %, 5 % and 23 %), so that deep networks of them need normalisation whatever the gain.

    Left as they are: normalisation layers, embeddings, attention and
    recurrent layers; layers whose weight is frozen, or belongs to such a module as well (a head that is tied to an
    embedding); biases that are frozen. A weight that layers share is drawn once, by what follows all of them.

    The activations are found by tracing the model with torch.fx. torch's transformer layers say themselves what
    follows; what `torch.compile`, `DataParallel` and `DistributedDataParallel` wrapped is looked at as it is inside.

    Args:
        model: The model.
        overrides: What tracing can't see: by layers' names or patterns such as "blocks.*.out", of which the first that
            fits counts, an activation (a module, or its name, "linear" for none) or a `Scheme`.
        distribution: "normal" or "uniform", for all.
        generator: What draws, so that it can be repeated; torch's global one unless given.

    Returns:
        What was chosen for each layer, and what was left alone.

    Raises:
        TypeError: It is not a model.
        ValueError: Before anything is changed: an activation can't be found, an override fits no layer or contradicts
            another, or a layer's weight isn't there yet (lazy) or isn't its own (parametrised).

    >>> model = nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 1))
    >>> print(initialise(model, generator=torch.Generator().manual_seed(0)))
    0: relu -> he_normal (fan_in, gain 1.414), std 0.5
    3: linear -> lecun_normal (fan_in, gain 1), std 0.5
    left alone: 1
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {model!r}")
    names = {module: name for name, module in model.named_modules()}  # as the caller knows them
    with unwrapped(model) as inner:
        layers = {name: module for name, module in inner.named_modules() if is_layer(module)}
        called = {name: (name, names[layer]) for name, layer in layers.items()}
        because = _because(inner, layers)
        said = _said(overrides or {}, called, because)
        groups = _groups({name: layer for name, layer in layers.items() if name not in because})
        reasons = _reasons(inner, groups, said)
    choices: dict[str, Choice] = {}
    for (first, *others), reason in zip(groups, reasons, strict=True):
        choice = _choice(names[layers[first]], layers[first], reason, distribution)
        same = f"it shares the weight of '{choice.layer}'"
        choices |= {first: choice, **{name: replace(choice, layer=called[name][1], reason=same) for name in others}}
    for first, *_ in groups:
        choices[first].scheme.fill(layers[first], generator)
    for name in choices:
        bias = layers[name].bias
        if isinstance(bias, nn.Parameter) and bias.requires_grad:
            nn.init.zeros_(bias)
    alone = {called[name][1]: why for name, why in because.items()}
    return Report(tuple(choices[name] for name in layers if name in choices), _left_alone(model, alone), alone)


def _because(model: nn.Module, layers: Mapping[str, nn.Module]) -> dict[str, str]:
    """Why layers are left alone, for those that are. Raises ValueError for a weight that can't be drawn."""
    owners = {
        _place(p): name
        for name, module in model.named_modules()
        if not is_layer(module)
        for p in module._parameters.values()
        if p is not None and not is_lazy(p)
    }
    because = {}
    for name, layer in layers.items():
        if not any(p.requires_grad for p in layer.parameters()):
            because[name] = "frozen"
            continue
        weight = _weight(name, layer)
        if _place(weight) in owners:
            because[name] = f"its weight is that of '{owners[_place(weight)]}'"
        elif not weight.requires_grad:
            because[name] = "frozen"
    return because


def _weight(name: str, layer: nn.Module) -> Tensor:
    weight = layer._parameters.get("weight")
    if weight is None:
        raise ValueError(f"the weight of '{name}' is computed from others (parametrised): initialise before that")
    if is_lazy(weight):
        raise ValueError(f"'{name}' has no shape yet: run one batch through the model before initialising it")
    return weight


def _place(p: Tensor) -> object:
    """What two parameters have in common that are one, be it by name or by memory."""
    return p.data_ptr() if type(p) is nn.Parameter and p.device.type != "meta" and p.numel() else id(p)


def _groups(layers: Mapping[str, nn.Module]) -> list[list[str]]:
    """Names of the layers, together where they share a weight."""
    groups: dict[object, list[str]] = {}
    for name, layer in layers.items():
        groups.setdefault(_place(_weight(name, layer)), []).append(name)
    return list(groups.values())


def _said(
    overrides: Mapping[str, Override], called: Mapping[str, tuple[str, ...]], because: Mapping[str, str]
) -> dict[str, Activation | Scheme]:
    """Return what was said of each layer; it may be called by its name with or without what is wrapped around it."""
    understood = {pattern: _understood(pattern, value) for pattern, value in overrides.items()}
    for pattern in understood:
        fitting = [name for name, known in called.items() if any(fnmatchcase(one, pattern) for one in known)]
        if not fitting:
            listed = ", ".join(known for _, known in called.values()) or "none"
            raise ValueError(f"overrides: no layer fits '{pattern}'; the layers are {listed}")
        if all(name in because for name in fitting):
            raise ValueError(
                f"overrides['{pattern}'] has no effect, since '{fitting[0]}' is left alone: {because[fitting[0]]}"
            )
    return {
        name: understood[pattern]
        for name, known in called.items()
        for pattern in reversed(understood)
        if any(fnmatchcase(one, pattern) for one in known)
    }


def _reasons(
    model: nn.Module, groups: list[list[str]], said: Mapping[str, Activation | Scheme]
) -> list[Activation | Scheme]:
    """Return what decides the scheme of each group of layers: what was said, or else what tracing finds."""
    told = [[said[name] for name in group if name in said] for group in groups]
    found = following(model) if not all(told) else {}
    reasons: list[Activation | Scheme] = []
    problems: dict[str, list[str]] = {}
    for group, given in zip(groups, told, strict=True):
        if len(set(given)) > 1:
            raise ValueError(
                f"overrides: {', '.join(map(repr, group))} share one weight, and are told to be {given[0]} and "
                f"{given[1]}; say the same of all of them"
            )
        untraced = "tracing the model did not come upon it"
        reason = given[0] if given else agreed([found.get(name, untraced) for name in group])
        if isinstance(reason, str):
            problems.setdefault(reason, []).extend(group)
        else:
            reasons.append(reason)
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


def _left_alone(model: nn.Module, alone: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        name
        for name, module in model.named_modules()
        if name in alone or (not is_layer(module) and any(True for _ in module.parameters(recurse=False)))
    )
