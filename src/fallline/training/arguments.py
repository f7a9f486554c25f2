"""Single arguments of a problem, checked."""

from __future__ import annotations

import inspect
import math
from numbers import Integral, Real

from torch import nn

from fallline.training.errors import ProblemError
from fallline.training.metrics import Metric


def check_model(model: object) -> None:
    """Refuse what is no function without arguments: a module, a class that needs arguments, what can't be called."""
    kind = type(model).__name__
    if isinstance(model, nn.Module):
        raise ProblemError(
            f"model: got a module of type {kind}, but every run starts from fresh weights; "
            f"give a function that builds the module, such as model=lambda: {kind}(...)."
        )
    if not callable(model):
        raise ProblemError(
            f"model: got {kind}, which can't be called; "
            "give a function that returns a fresh module, such as model=lambda: nn.Linear(2, 1)."
        )
    needed = _required(model)
    if needed:
        name = getattr(model, "__name__", kind)
        given = f"{'model' if name == '<lambda>' else name}({', '.join(f'{one}=...' for one in needed)})"
        remedy = f"give a function without, such as model=lambda: {given}"
        raise ProblemError(f"model: it needs {' and '.join(needed)}, but is called without arguments; {remedy}.")


def _required(function: object) -> list[str]:
    """The arguments that a call can't leave out; none where Python can't tell."""
    try:
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in optional]


def check_loss(loss: object) -> None:
    """Refuse what is no function of (output, target): a class, what can't be called, what does not take the mean."""
    if isinstance(loss, type):
        raise ProblemError(
            f"loss: got the class {loss.__name__}; give an instance of it, loss={loss.__name__}(), "
            "or a function, such as torch.nn.functional.cross_entropy."
        )
    kind = type(loss).__name__
    if not callable(loss):
        raise ProblemError(
            f"loss: got {kind}, which can't be called; "
            "give a function of (output, target) that returns the mean loss of a batch."
        )
    reduction = getattr(loss, "reduction", "mean")
    if isinstance(loss, nn.Module) and reduction in ("sum", "none"):
        raise ProblemError(
            f"loss: its reduction is '{reduction}', but it must return the mean over the batch; "
            f"give {kind}(reduction='mean')."
        )


def as_count(name: str, value: object, most: int | None = None, meaning: str = "") -> int:
    """Return a whole number from 1 to `most`, which is explained by `meaning`.

    >>> as_count("epochs", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ProblemError(f"{name}: must be a whole number, got {value!r}.")
    count = int(value)
    if count < 1:
        raise ProblemError(f"{name}: must be at least 1, got {count}.")
    if most is not None and count > most:
        raise ProblemError(f"{name}: must be at most {most}, {meaning}, got {count}.")
    return count


def as_target(value: object, metric: Metric) -> float | None:
    """Return a value that the metric can take, or None where there is no target."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ProblemError(f"target: must be a finite value of the metric, or None, got {value!r}.")
    target, (lowest, highest) = float(value), metric.bounds
    if not lowest <= target <= highest:
        limit = f"at least {lowest:g}" if target < lowest else f"at most {highest:g}"
        share = f", such as {target / 100:g} for {target:g} %" if highest == 1 < target <= 100 else ""
        raise ProblemError(f"target: {metric.name!r} is {limit}, got {target:g}; give a value that it can take{share}.")
    return target
