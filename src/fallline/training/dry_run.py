"""One pass forward and backward before anything is trained, its failures turned into sentences."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fallline.training.errors import ProblemError, dtype_name, first_line
from fallline.training.metrics import value_of
from fallline.training.modules import trainable
from fallline.training.randomness import seeded
from fallline.training.splits import Split

if TYPE_CHECKING:
    from fallline.training.problem import Problem


def dry_run(problem: Problem, seed: int) -> None:
    """Raise ProblemError where model, loss, data and metric do not fit together with the weights of this seed."""
    module = problem.build(seed)
    _check_fresh(module, problem.build(seed))
    inputs, targets = problem.train.inputs[: problem.batch].clone(), problem.train.targets[: problem.batch]
    with seeded(seed):
        output = _forward(module, inputs, "train")
        loss = _loss(problem, output, targets, "train")
        _check_loss(loss, seed)
        _check_mean(problem, output.detach(), targets, loss.detach())
        _check_gradients(module, loss, seed)
        _check_metric(problem, output.detach(), targets)
        _check_last_batch(problem, module)
        for name, split in problem.splits().items():
            _check_extremes(problem, module, name, split)


def _check_fresh(module: nn.Module, again: nn.Module) -> None:
    """Refuse a callable that hands out one module twice, or weights that do not follow from the seed."""
    mine, other = list(module.parameters()), list(again.parameters())
    if {id(parameter) for parameter in mine} & {id(parameter) for parameter in other}:
        raise ProblemError("model: two calls returned the same parameters; make each call build a fresh module.")
    if any(not torch.equal(first, second) for first, second in zip(mine, other, strict=True)):
        raise ProblemError(
            "model: it drew different weights for the same seed; draw them from torch's generator (torch.nn.init), "
            "not from NumPy's or Python's."
        )


def _forward(module: nn.Module, inputs: Tensor, split: str) -> Tensor:
    try:
        output = module(inputs)
    except Exception as error:
        whole = "" if inputs.is_floating_point() else ", or give X as floating-point numbers, X.astype('float32')"
        raise ProblemError(
            f"model: it failed on inputs of {split} of shape {_shape(inputs)} and type {dtype_name(inputs)} "
            f"({first_line(error)}); make the model fit the inputs{whole}."
        ) from error
    if not isinstance(output, Tensor):
        raise ProblemError(f"model: its output is of type {type(output).__name__}; make it return one tensor.")
    return output


def _loss(problem: Problem, output: Tensor, targets: Tensor, split: str) -> Tensor:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loss = problem.loss(output, targets)
        except Exception as error:
            raise ProblemError(_misfit(output, targets, split, error)) from error
    if any("target size" in str(warning.message) for warning in caught):
        raise ProblemError(
            f"loss: the output has shape {_shape(output)} and the targets of {split} {_shape(targets)}, which would be "
            "broadcast; reshape one of them, for instance y.reshape(-1, 1)."
        )
    if not isinstance(loss, Tensor) or loss.ndim:
        what = (
            f"a tensor of shape {_shape(loss)}"
            if isinstance(loss, Tensor)
            else f"a value of type {type(loss).__name__}"
        )
        raise ProblemError(f"loss: it returned {what}; make it return one number as a tensor, the mean over the batch.")
    return loss


def _misfit(output: Tensor, targets: Tensor, split: str, error: Exception) -> str:
    """Why a loss failed, as far as shapes and labels tell."""
    labels = not targets.is_floating_point() and targets.ndim == output.ndim - 1 >= 1 and output.shape[1] > 1
    classes = output.shape[1] if labels else 0
    if labels and (targets.max() >= classes or targets.min() < 0):
        return (
            f"{split}: its labels run from {int(targets.min())} to {int(targets.max())}, but the model has {classes} "
            f"outputs, for the labels 0 to {classes - 1}; give the model more outputs or renumber the labels."
        )
    return (
        f"loss: it failed on outputs of shape {_shape(output)} and type {dtype_name(output)} and targets of {split} of "
        f"shape {_shape(targets)} and type {dtype_name(targets)} ({first_line(error)}); {_remedy(output, targets)}."
    )


def _remedy(output: Tensor, targets: Tensor) -> str:
    """What most likely makes targets fit a loss that failed on them."""
    if output.ndim == 2 and output.shape[1] == 1 and targets.ndim == 1:
        return (
            "give the model one output a class, or, if the loss compares numbers, give y the output's shape and type, "
            "y.astype('float32').reshape(-1, 1)"
        )
    if targets.is_floating_point() and targets.ndim == output.ndim - 1 and torch.equal(targets, targets.round()):
        return "if y holds class labels, give them as integers, y.astype('int64')"
    if not targets.is_floating_point() and targets.shape == output.shape:
        return "if the loss compares numbers, give y as floating-point numbers, y.astype('float32')"
    if not targets.is_floating_point() and targets.ndim == output.ndim == 2 and targets.shape[1] == 1:
        return "if y holds class labels, give them in one dimension, y.reshape(-1)"
    return "make the model's output and y fit the loss, which is called as loss(output, y)"


def _check_loss(loss: Tensor, seed: int) -> None:
    if not loss.isfinite():
        raise ProblemError(
            f"loss: it is {float(loss.detach())} at the start, with the weights of seed {seed}; "
            "scale the inputs or start from smaller weights."
        )
    if not loss.requires_grad:
        raise ProblemError("loss: it does not depend on the model's parameters; compute it without detach or no_grad.")


def _check_mean(problem: Problem, output: Tensor, targets: Tensor, loss: Tensor) -> None:
    """Refuse a sum over the batch: the same batch twice doubles it, and leaves a mean as it is."""
    try:
        twice = problem.loss(torch.cat([output, output]), torch.cat([targets, targets]))
    except Exception:  # a loss that is made for one size of batch is tried on the last batch
        return
    if loss and torch.allclose(twice, 2 * loss, rtol=1e-4, atol=0.0):
        raise ProblemError(
            "loss: it doubles when the batch is given twice, so it is a sum over the examples; "
            "make it return their mean, such as reduction='mean'."
        )


def _check_gradients(module: nn.Module, loss: Tensor, seed: int) -> None:
    try:
        gradients = torch.autograd.grad(loss, trainable(module), allow_unused=True)
    except Exception as error:
        raise ProblemError(
            f"loss: its backward pass failed ({first_line(error)}); make every operation differentiable."
        ) from error
    if any(gradient is not None and not gradient.isfinite().all() for gradient in gradients):
        raise ProblemError(
            f"loss: its gradient is not finite at the start, with the weights of seed {seed}; "
            "scale the inputs or start from smaller weights."
        )


def _check_metric(problem: Problem, output: Tensor, targets: Tensor) -> None:
    try:
        value_of(problem.metric, output, targets)
    except ProblemError:
        raise
    except Exception as error:
        raise ProblemError(
            f"metric: {problem.metric.name!r} failed on outputs of shape {_shape(output)} and targets of shape "
            f"{_shape(targets)} ({first_line(error)}); it is called with two tensors."
        ) from error


def _check_last_batch(problem: Problem, module: nn.Module) -> None:
    """Try the smaller batch that ends an epoch: batch normalisation, for one, needs two examples."""
    last = len(problem.train) % problem.batch
    if not last:
        return
    try:
        problem.loss(module(problem.train.inputs[:last].clone()), problem.train.targets[:last])
    except Exception as error:
        raise ProblemError(
            f"batch: the last batch of an epoch has {last} of {len(problem.train)} examples, on which the model fails "
            f"({first_line(error)}); choose another batch size."
        ) from error


def _check_extremes(problem: Problem, module: nn.Module, name: str, split: Split) -> None:
    """Try the examples with the smallest and largest labels and tokens: one out of range fails nowhere else."""
    whole = [values for values in (split.inputs, split.targets) if not values.is_floating_point()]
    if not whole:
        return
    rows = torch.tensor([row for values in whole for row in _extremes(values.reshape(len(split), -1))])
    module.eval()
    with torch.no_grad():
        output = _forward(module, split.inputs[rows], name)
        _loss(problem, output, split.targets[rows], name)


def _extremes(values: Tensor) -> tuple[int, int]:
    """Rows [n, ...] that hold the smallest and the largest value."""
    return int(values.amin(1).argmin()), int(values.amax(1).argmax())


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
