"""What docstrings say of arguments: each text once, put into the `Args:` of every class that has the argument.

What numbers may be is said by the rules' records.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fallline.optim.hyperparameters import gather, limits_of
from fallline.symbolic import Rule

Documented = TypeVar("Documented")

ARGUMENTS = {
    "params": "Tensors, pairs of name and tensor, or dictionaries: param groups, whose options override those below.",
    "lr": "Learning rate η.",
    "weight_decay": "Strength λ of weight decay, by way of the gradient unless decoupled.",
    "momentum": "Decay factor μ of momentum.",
    "nesterov": "Whether momentum looks one step ahead, as Nesterov's does.",
    "eps": "ε, added to a denominator lest it be 0.",
    "maximize": "Whether to climb instead of to descend.",
    "betas": "Decay factors (β₁, β₂) of the averages of gradients and of their squares, each in [0, 1).",
    "beta1": "Decay factor β₁ of the average of gradients.",
    "beta2": "Decay factor β₂ of the average of squared gradients.",
    "beta3": "Decay factor β₃ of the slow average.",
    # torch's classes.
    "foreach": "Accepted as torch does; the step is one launch in any case.",
    "fused": "Accepted where torch accepts it; the step is fused in any case.",
    "capturable": "Accepted as torch does.",
    "differentiable": "Whether autograd follows the step, which then runs operation by operation.",
    "amsgrad": "Whether to divide by the largest second moment so far (Reddi et al., 2018).",
    "decoupled_weight_decay": "Whether weights shrink beside the step, as in AdamW, and not by way of the gradient.",
    "dampening": "Share of a gradient that momentum leaves out.",
    "lr_decay": "Decay of the learning rate: at step t it is divided by 1 + (t - 1)·lr_decay.",
    "initial_accumulator_value": "What the sum of squared gradients begins with.",
    "rho": "Decay factor ρ of the averages of squares.",
    "alpha": "Decay factor α of the average of squared gradients.",
    "centered": "Whether to divide by an estimate of the standard deviation (Graves, 2013).",
    "momentum_decay": "How fast μ rises to β₁.",
    # Of single rules.
    "delta": "How nearly the gradient must be at right angles to the weights for these to count as scale-invariant.",
    "wd_ratio": "Share of weight decay for scale-invariant weights.",
    "trust_coefficient": "η of the trust ratio: the length of a step against that of the weights.",
    "alpha_warmup": "Steps over which α rises to its value; 1: none.",
    "beta3_warmup": "Steps over which β₃ rises to its value; 1: none.",
    "d0": "The first estimate of the distance to the solution.",
    "d_coef": "Factor of the estimate.",
    "growth_rate": "The most by which the estimate grows in a step.",
    "warmup_steps": "Steps over which the rate rises from 0.",
    # Methods.
    "param_group": 'The group: "params", and options that override the defaults. It is not written into.',
    "state_dict": "What `state_dict` gave. Its tensors are copied.",
    "closure": "Clears the gradients, runs the model, calls backward and returns the loss.",
}
#: What is said of a later torch's options, and of what a rule of tomorrow calls its own.
UNKNOWN = "As the formula, or torch's class, has it."
#: Where a name says something else in the class of a rule.
OTHERWISE = {
    "AdEMAMix": {
        "alpha": "Weight of the slow average beside the fast one.",
        "betas": "Decay factors (β₁, β₂, β₃) of the fast average, of the squares and of the slow average, in [0, 1).",
    },
    "Lion": {
        "betas": "Decay factors (β₁, β₂): of the mean whose sign is stepped by, and of the momentum that is kept.",
        "beta1": "Decay factor β₁ of the mean whose sign is stepped by.",
        "beta2": "Decay factor β₂ of the momentum that is kept.",
    },
    "Prodigy": {"lr": "Factor of the estimated learning rate; leave it at 1."},
}


class _Written:
    """A class's docstring, written when somebody reads it: an import need not wait for it."""

    def __init__(self, write: Callable[[], str]) -> None:
        self._write = write

    def __get__(self, instance: object, owner: type) -> str:
        return self._write()


def documented(**own: str) -> Callable[[Documented], Documented]:
    """Put `Args:` into the docstrings of a class and of its public methods that have none.

    Args:
        own: What to say of an argument in place of the text in `ARGUMENTS`.
    """

    def put_in(thing: Any) -> Any:
        for name, one in vars(thing).items():
            text = one.__doc__ if name[0] != "_" and inspect.isfunction(one) else None
            if text is not None and "Args:" not in text:
                one.__doc__ = with_arguments(text, inspect.signature(one), own)
        text = thing.__doc__
        thing.__doc__ = _Written(lambda: with_arguments(text, inspect.signature(thing), own))
        return thing

    return put_in


def documented_rule(rule: Rule, name: str, *first: inspect.Parameter, betas: bool = False) -> Any:
    """The docstring of a class that follows one rule, which is written when it is read.

    Args:
        rule: The rule, whose own docstring says what it does.
        name: The class's name.
        first: Arguments before the rule's hyperparameters.
        betas: Whether decay factors are given together, as param groups hold them.
    """

    def write() -> str:
        values = gather(rule, rule.hyperparameters) if betas else rule.hyperparameters
        ordered = sorted(values.items(), key=lambda item: item[0] != "lr")  # the learning rate first
        named = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value) for key, value in ordered]
        return with_arguments(rule.__doc__ or "", inspect.Signature([*first, *named]), OTHERWISE.get(name, {}), rule)

    return _Written(write)


def with_arguments(
    documentation: str, signature: inspect.Signature, own: Mapping[str, str], rule: Rule | None = None
) -> str:
    """A docstring with `Args:` before its results, errors and examples.

    Args:
        documentation: The docstring.
        signature: The arguments; `self`, and those that are gathered by a star, are left out unless `own` has them.
        own: What is to be said of an argument in place of the text in `ARGUMENTS`.
        rule: Whose limits are told; None for those of torch's classes, where `own` does not tell them.
    """
    entries = []
    for name, one in signature.parameters.items():
        if name == "self" or (name not in own and one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)):
            continue
        said = own.get(name) or ARGUMENTS.get(name, UNKNOWN)
        limits = limits_of(name, rule) if rule is not None or name not in own else None
        if limits is not None:
            said += f" {str(limits).capitalize()}."
        default = "" if one.default is one.empty or one.default is None else f" Default: {one.default!r}."
        entries.append(textwrap.fill(f"    {name}: {said}{default}", 116, subsequent_indent=" " * 8))
    text = inspect.cleandoc(documentation)
    if not entries:
        return text
    found = re.search(r"^(Returns:|Raises:|>>> )", text, re.M)
    place = found.start() if found else len(text)
    before, after = text[:place].rstrip(), text[place:]
    return "\n\n".join(part for part in (before, "Args:\n" + "\n".join(entries), after) if part) + "\n"
