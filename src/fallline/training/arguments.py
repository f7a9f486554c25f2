"""Single arguments of a problem, checked."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from numbers import Real

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader, Dataset

from fallline._asked import nearest, whole
from fallline.training.errors import ProblemError, is_text
from fallline.training.metrics import Metric
from fallline.training.modules import trainable

DEFAULT_BATCH = 64


#: What other libraries call the arguments of a problem.
_CALLED = {
    "model": "net network module architecture model_fn build_model make_model model_factory",
    "loss": "criterion loss_fn loss_function loss_func objective cost",
    "step": "training_step train_step step_fn closure",
    "train": "training train_data train_set trainset train_dataset train_loader train_dataloader dataloader loader "
    "data dataset training_data x",
    "valid": "val validation valid_data val_data validation_data valid_set val_set valset valid_dataset val_dataset "
    "valid_loader val_loader val_dataloader validation_loader dev eval_data eval_set",
    "test": "testing test_data test_set testset test_dataset test_loader test_dataloader",
    "metric": "metrics score scoring score_fn metric_fn",
    "batch": "batch_size batchsize bs minibatch mini_batch batches",
    "epochs": "epoch n_epochs num_epochs max_epochs nb_epochs",
    "steps": "max_steps num_steps n_steps total_steps iterations",
    "precision": "amp mixed_precision autocast dtype",
}
#: What is not the problem's, and where it goes.
_ELSEWHERE = {
    "lr learning_rate optimizer optim optimiser weight_decay momentum betas scheduler lr_scheduler schedule": (
        "how the problem is trained; give it where that is said, as fl.fit(problem, 'adam', lr=1e-3) does"
    ),
    "seed random_state": "a run's; give it to fl.fit or fl.race",
    "shuffle drop_last num_workers sampler collate_fn": (
        "a DataLoader's; give train=DataLoader(..., {name}={value!r})"
    ),
    "y targets labels": "part of the data; give pairs, train=(X, y) and valid=(X, y)",
}
_HOLD_BACK = (
    "hold some examples back from training, such as order = torch.randperm(len(X)); train=(X[order[100:]], "
    "y[order[100:]]), valid=(X[order[:100]], y[order[:100]])"
)
_HOLD_BACK_OF_A_DATASET = "hold some examples back, train, valid = torch.utils.data.random_split(data, [0.8, 0.2])"


#: What people call the arguments of `fallline.fit`, none of which is a hyperparameter.
_CALLED_IN_FIT = {
    "batch": _CALLED["batch"],
    "epochs": _CALLED["epochs"],
    "model": "net network module",
    "schedule": "scheduler lr_scheduler lr_schedule sched",
    "averages": "ema ema_decay swa averaging weight_average",
    "seed": "random_state random_seed manual_seed",
    "progress": "verbose progress_bar show_progress",
}


def check_hyperparameters(given: Mapping[str, object]) -> None:
    """Refuse, among the hyperparameters that `fallline.fit` was given, other names for its own arguments.

    Raises TypeError.
    """
    for name in given:
        ours = next((ours for ours, theirs in _CALLED_IN_FIT.items() if name.lower() in theirs.split()), None)
        if ours is not None:
            raise TypeError(f"{name}: fit has no such argument; write {ours}= instead.")
        if name == "device":
            raise TypeError("device: the problem says it; give fallline.Problem(..., device=...).")


def check_names(kind: type, others: Mapping[str, object]) -> None:
    """Refuse arguments that a class of problems does not have, with the name of what is probably meant.

    Raises ProblemError.
    """
    known = [*inspect.signature(kind).parameters][:-1]  # all but the others
    for name, value in others.items():
        near = next((ours for ours, theirs in _CALLED.items() if name.lower() in theirs.lower().split()), None)
        place = next((place for names, place in _ELSEWHERE.items() if name.lower() in names.split()), None)
        near = near or nearest(name, known, 0.7)
        if near in known and place is None:
            given = repr(value) if isinstance(value, int | float | str) else "..."
            raise ProblemError(f"{name}: there is no such argument; write {near}={given}.")
        if place is not None:
            raise ProblemError(f"{name}: it is {place.format(name=name, value=value)}.")
        raise ProblemError(f"{name}: there is no such argument; there are {', '.join(known)}.")


def check_given(model: object, train: object, valid: object) -> None:
    """Refuse a problem without a model, without examples to train on, and without any to choose by."""
    if model is None:
        raise ProblemError("model: there is none; give a function that returns a fresh module, model=lambda: Net().")
    if train is None:
        raise ProblemError("train: there is none; give a pair (X, y) of tensors, a torch Dataset or a DataLoader.")
    if valid is None:
        remedy = _HOLD_BACK_OF_A_DATASET if isinstance(train, Dataset | DataLoader) else _HOLD_BACK
        raise ProblemError(f"valid: there is none, and what was trained on can't judge a model; {remedy}.")


def as_name(name: object) -> str:
    """What a problem is called; raises ProblemError for what no storage, page or terminal can take."""
    if not isinstance(name, str) or not is_text(name):
        raise ProblemError(f"name: must be a text without lone surrogates, such as name='digits'; got {name!r}.")
    return name


def check_model(model: object) -> Callable[[], nn.Module]:
    """Return a model's function; refuses a module, a class or function that needs arguments, what can't be called."""
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
    if needed := required_arguments(model):
        name = getattr(model, "__name__", kind)
        given = f"{'model' if name == '<lambda>' else name}({', '.join(f'{one}=...' for one in needed)})"
        remedy = f"give a function without, such as model=lambda: {given}"
        raise ProblemError(f"model: it needs {' and '.join(needed)}, but is called without arguments; {remedy}.")
    return model


def check_module(module: object) -> None:
    """Refuse what a model's callable must not return: what is no module, or none that can be trained from the CPU."""
    if isinstance(module, type):
        name = module.__name__
        raise ProblemError(f"model: it returned the class {name}; make it return an instance of it, {name}(...).")
    if not isinstance(module, nn.Module):
        raise ProblemError(f"model: it returned {type(module).__name__}; make it return a torch.nn.Module.")
    if any(is_lazy(parameter) for parameter in module.parameters()):
        raise ProblemError("model: it has lazy layers; give each layer its input size, such as nn.Linear(64, 32).")
    if not trainable(module):
        raise ProblemError("model: it has no trainable parameters; give it at least one with requires_grad=True.")
    away = next((parameter.device for parameter in module.parameters() if parameter.device.type != "cpu"), None)
    if away is not None:
        raise ProblemError(
            f"model: it has parameters on {away}; build it on the CPU, and say device= to train it there."
        )


def required_arguments(function: object) -> list[str]:
    """The arguments that a call can't leave out; none where Python can't tell.

    >>> required_arguments(lambda a, b=1: a)
    ['a']
    """
    try:
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in optional]


def check_loss(loss: object, step: object = None) -> None:
    """Refuse what is no function of (output, target): a class, what can't be called, what does not take the mean.

    There need be none where there is a step.
    """
    if loss is None:
        if step is None:
            raise ProblemError("loss: there is none; give a function of (output, target), or a step that computes it.")
        return
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


def check_step(step: object) -> None:
    """Refuse what is no function of (model, inputs, targets); there need be none."""
    if step is None:
        return
    if not callable(step):
        raise ProblemError(
            f"step: got {type(step).__name__}, which can't be called; "
            "give a function of (model, inputs, targets) that returns the loss of a batch."
        )
    try:
        inspect.signature(step).bind(None, None, None)
    except ValueError:  # Python can't tell
        return
    except TypeError as error:
        raise ProblemError(
            f"step: it is called as step(model, inputs, targets), but {error}; give it these three arguments."
        ) from error


def as_precision(value: object, dtype: torch.dtype) -> str | None:
    """Return "bfloat16" or None, for a model whose parameters are of type `dtype`.

    >>> as_precision("bfloat16", torch.float32)
    'bfloat16'
    """
    if value is None:
        return None
    if value != "bfloat16":
        raise ProblemError(f"precision: must be 'bfloat16', or None for the model's own, got {value!r}.")
    if dtype != torch.float32:
        raise ProblemError(
            f"precision: the model's parameters are {str(dtype).removeprefix('torch.')}, but 'bfloat16' is for passes "
            "of a float32 model; leave precision out, or build the model in float32."
        )
    return "bfloat16"


def as_device(value: object) -> str | None:
    """Return "cpu", "cuda", or None for CUDA where it is present.

    >>> as_device("cpu")
    'cpu'
    """
    if value not in (None, "cpu", "cuda"):
        raise ProblemError(f"device: must be 'cpu', 'cuda', or None for CUDA where it is present, got {value!r}.")
    if value == "cuda" and not torch.cuda.is_available():
        raise ProblemError("device: torch finds no CUDA device here; leave device out, or give 'cpu'.")
    return None if value is None else str(value)


def as_count(name: str, value: object, most: int | None = None, meaning: str = "") -> int:
    """Return a whole number from 1 to `most`, which is explained by `meaning`.

    >>> as_count("epochs", 3)
    3
    """
    count = whole(f"{name}:", value, error=ProblemError)
    if most is not None and count > most:
        raise ProblemError(f"{name}: must be at most {most}, {meaning}; got {count}.")
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
