"""A first pass and one evaluation before anything is trained, their failures turned into sentences."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from fallline._text import dtype_name
from fallline.training.drawing import draws_of
from fallline.training.errors import ProblemError, first_line, shape
from fallline.training.evaluation import evaluating, loss_of, manner_of, needs_gradients, needs_outputs, outputs_of
from fallline.training.generators import seeded
from fallline.training.metrics import class_dimensions, value_of
from fallline.training.modules import differing, outer_state, same, trainable
from fallline.training.splits import PACK, Split
from fallline.training.task import SplitTask, ignore_index


def dry_run(problem: SplitTask, seed: int) -> None:
    """Raise ProblemError where model, loss, data and metric do not fit together with the weights of this seed."""
    module, again = problem.build(seed), problem.build(seed)
    _check_fresh(module, again)
    with seeded(seed, libraries=True):
        # On the CPU, since a label out of range would leave CUDA unusable.
        batch = problem.train.take(slice(problem.batch))
        _check_loss(problem, module, attempt(problem, module, batch, "train", training=True), seed)
        first = _own_loss(problem, again, batch, seed)
        _check_mean(problem, module, batch)
        _check_last_batch(problem, module)
        _check_runs_apart(problem, batch, seed, first)
        gradients = needs_gradients(module, problem.train.inputs[:2])
        module.eval()
        with torch.set_grad_enabled(gradients):
            for name, split in problem.splits().items():
                _check_sample(problem, module, name, split)
            module.to(problem.training_device)
            for name, split in problem.splits().items():
                if name != "train":
                    _check_evaluation(problem, module, name, split, seed)


def _source(problem: SplitTask) -> str:
    """The argument that the training loss comes from."""
    return "loss" if problem.step is None else "step"


def _check_fresh(module: nn.Module, again: nn.Module) -> None:
    """Refuse a callable that hands out one module twice, or weights that do not follow from the seed."""
    mine, other = ([*one.parameters(), *one.buffers()] for one in (module, again))
    if {id(tensor) for tensor in mine} & {id(tensor) for tensor in other}:
        raise ProblemError(
            "model: two calls returned the same parameters or buffers; make each call build a fresh module, and copy "
            "what is pretrained with copy.deepcopy."
        )
    unlike = [first for first, second in zip(mine, other, strict=True) if not same(first, second)]
    if any(tensor.isnan().any() for tensor in unlike):  # which equals nothing, not even itself
        raise ProblemError("model: it begins with weights or buffers that are NaN; make it begin with finite ones.")
    if unlike:
        raise ProblemError(
            "model: it drew different weights for the same seed; draw them from torch's generator (torch.nn.init), "
            "not from NumPy's or Python's."
        )


def _check_loss(problem: SplitTask, module: nn.Module, loss: Tensor, seed: int) -> None:
    """Refuse a loss that steps back by itself, is not finite or has no finite slopes."""
    source = _source(problem)
    if any(parameter.grad is not None for parameter in module.parameters()):
        raise ProblemError(
            f"{source}: it calls backward itself; let it return the loss, and leave the rest to the run."
        )
    if not loss.isfinite():
        raise _not_finite(f"{source}: it is {float(loss.detach())}", seed)
    independent = f"{source}: it does not depend on the model's parameters; compute it without detach or no_grad."
    if not loss.requires_grad:
        raise ProblemError(independent)
    try:
        gradients = torch.autograd.grad(loss, trainable(module), allow_unused=True)
    except Exception as error:
        raise ProblemError(
            f"{source}: its backward pass failed ({first_line(error)}); make every operation differentiable."
        ) from error
    if all(gradient is None for gradient in gradients):
        raise ProblemError(independent)
    if any(gradient is not None and not gradient.to_dense().isfinite().all() for gradient in gradients):
        raise _not_finite(f"{source}: its gradient is not finite", seed)


def _not_finite(what: str, seed: int) -> ProblemError:
    return ProblemError(
        f"{what} at the start, with the weights of seed {seed}; scale the inputs or start from smaller weights."
    )


def _check_mean(problem: SplitTask, module: nn.Module, batch: Split) -> None:
    """Refuse a sum over the batch: the same batch twice doubles it, and leaves a mean as it is."""
    inputs, targets = batch.inputs, batch.targets
    try:
        with evaluating(module, gradients=True):
            once = problem.training_loss(module, inputs.clone(), targets).detach()
            twice = problem.training_loss(module, torch.cat([inputs, inputs]), torch.cat([targets, targets])).detach()
    except Exception:  # a loss that is made for one size of batch is tried on the last batch
        return
    if once and torch.allclose(twice, 2 * once, rtol=1e-4, atol=0.0):
        raise ProblemError(
            f"{_source(problem)}: it doubles when the batch is given twice, so it is a sum over the examples; "
            "make it return their mean, such as reduction='mean'."
        )


def _check_last_batch(problem: SplitTask, module: nn.Module) -> None:
    """Try the smaller batch that ends an epoch: batch normalisation, for one, needs two examples."""
    last = len(problem.train) % problem.batch
    if not last:
        return
    part = problem.train.take(slice(last))
    try:
        problem.training_loss(module, part.inputs.clone(), part.targets)
    except Exception as error:
        raise ProblemError(
            f"batch: the last batch of an epoch has {last} of {len(problem.train)} examples, on which the model fails "
            f"({first_line(error)}); choose another batch size."
        ) from error


def _own_loss(problem: SplitTask, module: nn.Module, batch: Split, seed: int) -> Tensor:
    """The loss of a batch, with the random numbers of a run."""
    with draws_of(seed, 1):
        return problem.training_loss(module, batch.inputs.clone(), batch.targets).detach()


def _check_runs_apart(problem: SplitTask, batch: Split, seed: int, first: Tensor) -> None:
    """Refuse what keeps something outside the model: a run would depend on those before it and beside it.

    What changes outside without a change of the loss may be a log, or have its effect later: it is warned of.
    """
    function = problem.loss if problem.step is None else problem.step
    before = outer_state(function)
    _own_loss(problem, problem.build(seed ^ 1), batch, seed ^ 1)
    again = _own_loss(problem, problem.build(seed), batch, seed)
    if not torch.allclose(again, first, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise ProblemError(
            f"{_source(problem)}: the same weights, examples and random numbers gave {float(first):g} at first and "
            f"{float(again):g} later, so that runs would depend on one another: it, or the model, keeps something "
            "outside the model from call to call. Keep it in the model, as an attribute or a buffer, and draw from the "
            "generators of torch, Python or NumPy."
        )
    if (changed := differing(before, outer_state(function))) is not None:
        warnings.warn(
            f"{_source(problem)}: it changes '{changed}', which is outside the model, from call to call; if its loss "
            "depends on that, now or later, runs depend on one another: keep it in the model, as an attribute or a "
            "buffer.",
            stacklevel=2,
        )


def _check_sample(problem: SplitTask, module: nn.Module, name: str, split: Split) -> None:
    """Try some examples, those with the smallest and largest labels and tokens too, which alone may be out of range."""
    rows = [*range(min(2, len(split)))]
    for values in (split.inputs, split.targets):
        if not values.is_floating_point():
            values = values.reshape(len(split), -1)
            rows += [int(values.amin(1).argmin()), int(values.amax(1).argmax())]
    attempt(problem, module, split.take(rows), name, training=False)


def _check_evaluation(problem: SplitTask, module: nn.Module, name: str, split: Split, seed: int) -> None:
    """Evaluate a split once, as will be done on the way; its quality is told to nobody."""
    manner = manner_of(module, problem.train.inputs[:2].to(problem.training_device), problem.training_device)
    module.eval()
    output = outputs_of(module, split, manner) if needs_outputs(problem) else None
    loss = loss_of(problem, module, split, output)
    if not loss.isfinite():
        raise _not_finite(f"{'step' if problem.loss is None else 'loss'}: it is {float(loss)} on {name}", seed)
    if output is not None and not problem.metric_is_loss:
        _check_metric(problem, output, split.targets.to(output.device), name)


def _check_metric(problem: SplitTask, output: Tensor, targets: Tensor, name: str) -> None:
    """Try the metric; it may be NaN of an untrained model, as a correlation of equal outputs is, but not of any."""
    try:
        value = value_of(problem.metric, output, targets)
        if value.isnan():
            value = value_of(problem.metric, torch.randn_like(output), targets)
    except ProblemError:
        raise
    except Exception as error:
        raise ProblemError(
            f"metric: {problem.metric.name!r} failed on outputs of shape {shape(output)} and targets of {name} of "
            f"shape {shape(targets)} ({first_line(error)}); it is called with two tensors."
        ) from error
    if value.isnan():
        raise ProblemError(
            f"metric: {problem.metric.name!r} is NaN on {name} at the start, and of random outputs too; choose one "
            "that is defined."
        )


def attempt(problem: SplitTask, module: nn.Module, part: Split, name: str, *, training: bool) -> Tensor:
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
                f"step: it failed on inputs of {name} of {_told(part.inputs)} and targets of {_told(part.targets)} "
                f"({first_line(error)}); it is called as step(model, inputs, targets)."
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
        what = f"tensor of shape {shape(loss)}" if isinstance(loss, Tensor) else f"value of type {type(loss).__name__}"
        raise ProblemError(
            f"{source}: it returned a {what}; make it return one number as a tensor, the mean over the batch."
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
            f"model: it failed on inputs of {name} of {_told(part.inputs)} "
            f"({first_line(error)}); make the model fit the inputs{whole}."
        ) from error
    if not isinstance(output, Tensor):
        raise ProblemError(
            f"model: its output is of type {type(output).__name__}; make it return one tensor, "
            "or compute the loss in a step(model, inputs, targets)."
        )
    return output


def _misfit(problem: SplitTask, output: Tensor, targets: Tensor, name: str, error: Exception) -> str:
    """Why a loss failed, as far as shapes and labels tell."""
    places = [] if targets.is_floating_point() else class_dimensions(output.shape, targets.shape)
    classes = output.shape[places[0]] if places else 1
    counted = targets[targets != ignore_index(problem.loss)]
    if classes > 1 and len(counted) and (counted.max() >= classes or counted.min() < 0):
        return (
            f"{name}: its labels run from {int(counted.min())} to {int(counted.max())}, but the model has {classes} "
            f"outputs, for the labels 0 to {classes - 1}; give the model more outputs or renumber the labels."
        )
    return (
        f"loss: it failed on outputs of {_told(output)} and targets of {name} of {_told(targets)} "
        f"({first_line(error)}); {_remedy(output, targets, str(error))}."
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


def _told(tensor: Tensor) -> str:
    return f"shape {shape(tensor)} and type {dtype_name(tensor.dtype)}"
