"""One loss computed for the first time, its failure turned into a sentence."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fallline.training.errors import ProblemError, dtype_name, first_line
from fallline.training.first_look import ignore_index
from fallline.training.metrics.decisions import class_dimensions
from fallline.training.pairs import PACK
from fallline.training.splits import Split

if TYPE_CHECKING:
    from fallline.training.problem import Problem


def attempt(problem: Problem, module: nn.Module, part: Split, name: str, *, training: bool) -> Tensor:
    """The loss of examples of the split `name`, as training or evaluation takes it.

    Raises ProblemError: the model, the loss or the step failed, or did not return what is needed.
    """
    compute = problem.training_loss if training else problem.evaluation_loss
    source = "step" if problem.step is not None and (training or problem.loss is None) else "loss"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if source == "loss" or not problem.metric_is_loss:
            output = _output(module, part, name)
        try:
            loss: object = compute(module, part.inputs.clone(), part.targets)
        except Exception as error:
            sentence = (
                _step_failed(part, name, error)
                if source == "step"
                else _misfit(problem, output, part.targets, name, error)
            )
            raise ProblemError(sentence) from error
    if source == "loss" and any("target size" in str(warning.message) for warning in caught):
        raise ProblemError(
            f"loss: the output has shape {shape(output)} and the targets of {name} {shape(part.targets)}, which would "
            "be broadcast; reshape one of them, for instance y.reshape(-1, 1)."
        )
    if not isinstance(loss, Tensor) or loss.ndim:
        what = (
            f"a tensor of shape {shape(loss)}" if isinstance(loss, Tensor) else f"a value of type {type(loss).__name__}"
        )
        raise ProblemError(
            f"{source}: it returned {what}; make it return one number as a tensor, the mean over the batch."
        )
    return loss


def _output(module: nn.Module, part: Split, name: str) -> Tensor:
    try:
        output: object = module(part.inputs.clone())
    except Exception as error:
        if isinstance(error, TypeError) and "required positional argument" in str(error):
            raise ProblemError(f"model: it takes more than one input ({first_line(error)}); {PACK}.") from error
        whole = "" if part.inputs.is_floating_point() else ", or give X as floating-point numbers, X.astype('float32')"
        raise ProblemError(
            f"model: it failed on inputs of {name} of shape {shape(part.inputs)} and type {dtype_name(part.inputs)} "
            f"({first_line(error)}); make the model fit the inputs{whole}."
        ) from error
    if not isinstance(output, Tensor):
        raise ProblemError(
            f"model: its output is of type {type(output).__name__}; make it return one tensor, "
            "or compute the loss in a step(model, inputs, targets)."
        )
    return output


def _step_failed(part: Split, name: str, error: Exception) -> str:
    return (
        f"step: it failed on inputs of {name} of shape {shape(part.inputs)} and type {dtype_name(part.inputs)} and "
        f"targets of shape {shape(part.targets)} and type {dtype_name(part.targets)} ({first_line(error)}); "
        "it is called as step(model, inputs, targets)."
    )


def _misfit(problem: Problem, output: Tensor, targets: Tensor, name: str, error: Exception) -> str:
    """Why a loss failed, as far as shapes and labels tell."""
    places = [] if targets.is_floating_point() else class_dimensions(output.shape, targets.shape)
    classes = output.shape[places[0]] if places else 1
    counted = targets[targets != ignore_index(problem.loss)]
    if classes > 1 and len(counted) and (counted.max() >= classes or counted.min() < 0):
        return (
            f"{name}: its labels run from {int(counted.min())} to {int(counted.max())}, but the model has {classes} "
            f"outputs, for the labels 0 to {classes - 1}; give the model more outputs or renumber the labels."
        )
    remedy = _remedy(output, targets, str(error))
    return (
        f"loss: it failed on outputs of shape {shape(output)} and type {dtype_name(output)} and targets of {name} of "
        f"shape {shape(targets)} and type {dtype_name(targets)} ({first_line(error)}); {remedy}."
    )


def _remedy(output: Tensor, targets: Tensor, error: str) -> str:
    """What most likely makes targets fit a loss that failed on them."""
    whole = not targets.is_floating_point()
    if output.ndim == 2 and output.shape[1] == 1 and targets.ndim == 1:
        return (
            "give the model one output a class, or, if the loss compares numbers, give y the output's shape and type, "
            "y.astype('float32').reshape(-1, 1)"
        )
    if "between 0 and 1" in error:
        return "end the model with a sigmoid, or take binary_cross_entropy_with_logits"
    if not whole and targets.ndim == output.ndim - 1 and torch.equal(targets, targets.round()):
        return "if y holds class labels, give them as integers, y.astype('int64')"
    if whole and targets.shape == output.shape:
        return "if the loss compares numbers, give y as floating-point numbers, y.astype('float32')"
    if whole and targets.ndim == output.ndim == 2 and targets.shape[1] == 1:
        return "if y holds class labels, give them in one dimension, y.reshape(-1)"
    if whole and output.ndim == 3 and class_dimensions(output.shape, targets.shape) == [2]:
        return (
            "if the classes are its last dimension, let the loss flatten the tokens, "
            "lambda output, y: cross_entropy(output.flatten(0, 1), y.flatten())"
        )
    return "make the model's output and y fit the loss, which is called as loss(output, y)"


def shape(tensor: Tensor) -> str:
    """The shape of a tensor, to be quoted inside a sentence.

    >>> shape(torch.zeros(2, 3))
    '(2, 3)'
    """
    return str(tuple(tensor.shape))
