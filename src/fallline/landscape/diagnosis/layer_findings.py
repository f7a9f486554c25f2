"""What signals and updates by layer say, in sentences; each is silent where the evidence is thin."""

from __future__ import annotations

import numpy as np

from fallline._text import counted, listed
from fallline.landscape.diagnosis.finding import FEWEST_SEEDS, Finding, rounded_up, shown
from fallline.landscape.diagnosis.signals import Activation, Layer, Signals
from fallline.landscape.diagnosis.update_ratios import UpdateRatios

#: A share of units that is worth a sentence, and how many examples must have seen them dead.
_DEAD, _FEWEST_EXAMPLES = 0.1, 100
_SATURATING = ("tanh", "sigmoid", "hardsigmoid", "hardtanh")


def dead_units(signals: Signals, first: Signals | None = None) -> Finding | None:
    """Units that pass no gradient on for any example; silent for fewer than a tenth of a layer's, or few examples.

    Args:
        signals: What was seen in the model.
        first: What was seen in it at its initial weights, which tells units that were born dead.
    """
    found = [one for one in signals.activations if _many(one)]
    if not found or signals.examples < _FEWEST_EXAMPLES:
        return None
    before = {(one.kind, one.after, one.units): one for one in first.activations} if first is not None else {}
    born = [one for one in found if _many(before.get((one.kind, one.after, one.units)))]
    saturated = all(one.kind in _SATURATING for one in found)
    state = "saturated" if saturated else "dead"
    if born:
        most = sum(before[one.kind, one.after, one.units].dead for one in born)
        state += f" and learn nothing from these examples, {most} of them at the initial weights already"
        remedy = (
            "smaller initial weights and biases" if saturated else "other initial biases, or another initialisation"
        )
    else:
        state += " and learn nothing from these examples"
        remedy = "smaller initial weights" if saturated else "a lower learning rate"
    parts = [f"{one.dead} of {counted(one.units, 'unit')}{_behind(one)}" for one in found]
    sentence = f"{listed(parts)} are {state}; try {remedy}."
    evidence = (
        f"for none of {counted(signals.examples, 'example')} of {signals.split} they pass on a gradient, in "
        f"{signals.mode} mode"
    )
    return Finding("layers", sentence, evidence, {f"dead{_behind(one)}": one.dead / one.units for one in found})


def _many(one: Activation | None) -> bool:
    return one is not None and one.dead >= max(2, _DEAD * one.units)


def is_blocked(signals: Signals) -> bool:
    """Whether all units of an activation are dead, so that nothing before it learns: gradients and updates say no more.

    Args:
        signals: What was seen in the model.
    """
    return any(one.dead == one.units for one in signals.activations)


def _behind(one: Activation) -> str:
    return f" ({one.kind}) after layer '{one.after}'" if one.after else f" ({one.kind})"


#: Gradients of layers that are this far apart, measured by the layers' weights.
_FADED = 1e-4


def fading_gradients(signals: Signals) -> Finding | None:
    """Layers that no gradient reaches, or hardly any; silent where all get at least a ten-thousandth of the most.

    Args:
        signals: What was seen in the model.
    """
    if signals.examples < _FEWEST_EXAMPLES or signals.gradient_norm == 0:
        return None
    late = [layer for layer in signals.layers if layer.behind_zeros]
    without = [layer for layer in signals.layers if layer.gradient_norm == 0 and not layer.behind_zeros]
    evidence = f"on {counted(signals.examples, 'example')} of {signals.split}, in {signals.mode} mode"
    if without:
        sentence = (
            f"No gradient reaches {_layers(without)}: the loss does not use it, or what lies between is dead or "
            "detached."
        )
        return Finding("layers", sentence, evidence, {layer.name: 0.0 for layer in without})
    if late:
        sentence = (
            f"No gradient reaches {_layers(late)} yet: weights on its way are all zero, and let it through as soon as "
            "they have moved; nothing is wrong where they are meant to begin so."
        )
        return Finding("layers", sentence, evidence, {layer.name: 0.0 for layer in late})
    sized = [layer for layer in signals.layers if layer.weight_norm > 0]
    relative = {layer.name: layer.gradient_norm / layer.weight_norm for layer in sized}
    if len(relative) < 2:
        return None
    most, least = max(relative, key=relative.__getitem__), min(relative, key=relative.__getitem__)
    share = relative[least] / relative[most]
    if share >= _FADED:
        return None
    names = [layer.name for layer in signals.layers]
    fades = names.index(least) < names.index(most)
    why = "it fades on its way back; try" if fades else "try"
    sentence = (
        f"Layer '{least}' gets {share:.0e} of the gradient that layer '{most}' gets, each measured by its weights: "
        f"{why} another initialisation, normalisation or residual connections."
    )
    evidence = f"{shown(relative[least])} against {shown(relative[most])} of the weights' length; {evidence}"
    return Finding("layers", sentence, evidence, {"share": share})


def _layers(layers: list[Layer]) -> str:
    return f"layer{'s' if len(layers) > 1 else ''} {listed([repr(layer.name) for layer in layers])}"


#: What a whole run must move a layer's weights by, as a share of their size; and how much more another layer moves.
_STILL, _OTHERS = 0.01, 100.0


def still_layers(ratios: UpdateRatios, steps: int) -> Finding | None:
    """Layers whose weights a whole run hardly moves; silent where a run moves them by a hundredth of their size.

    Args:
        ratios: How far a step moves each layer.
        steps: Those of a whole run.
    """
    sound = ratios.ratios[~np.isnan(ratios.ratios).any(1)]
    sized = np.asarray(np.isfinite(sound).all(0))  # others have come to be zero on the way
    if len(sound) < FEWEST_SEEDS or not sized.any():
        return None
    sound, layers = sound[:, sized], [name for name, one in zip(ratios.layers, sized, strict=True) if one]
    low, high = sound.min(0), sound.max(0)
    still = high * steps < _STILL
    if not still.any():
        return None
    where = (
        f"over the last {ratios.last} of {counted(ratios.steps, 'step')}, {counted(len(sound), 'seed')}, of "
        f"{counted(len(layers), 'layer')} whose weights are not zero"
    )
    rate = ratios.hyperparameters["lr"]
    if still.all():
        sentence = (
            f"No layer's weights move by more than {rounded_up(high.max(), 1)} of their size a step: at this pace all "
            f"{counted(steps, 'step')} change them by {rounded_up(high.max() * steps, 1)} of it at most; raise the "
            f"learning rate of {shown(rate)}."
        )
        evidence = f"{low.min():.1e} to {high.max():.1e} {where}"
        return Finding("layers", sentence, evidence, {"ratio": float(high.max()), "steps": float(steps)})
    if not high[still].max() * _OTHERS < low[~still].max():
        return None
    place = int(np.where(still, high, -np.inf).argmax())
    names = [name for name, one in zip(layers, still, strict=True) if one]
    several = len(names) > 1
    move, they_are, their = ("move", "they are", "their") if several else ("moves", "it is", "its")
    sentence = (
        f"{listed([repr(name) for name in names])} {move} by at most {rounded_up(high[place], 1)} of {their} size a "
        f"step, at this pace {rounded_up(high[place] * steps, 1)} of it in all {counted(steps, 'step')}: {they_are} "
        "not learning."
    )
    evidence = f"{low[place]:.1e} to {high[place]:.1e} {where}; others up to {high[~still].max():.1e}"
    return Finding("layers", sentence, evidence, {"ratio": float(high[place]), "steps": float(steps)})
