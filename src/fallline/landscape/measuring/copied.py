"""A copy of the user's model to measure, which is all that a measurement touches."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fallline.landscape.slice_losses import Model
from fallline.training import Problem, ProblemError, first_line, trainable


def copied(problem: Problem, model: Model) -> nn.Module:
    """The module, copied, or the problem's own with the weights given; in single precision at least.

    Raises TypeError for what is no model, ProblemError for one that nothing can be measured of.
    """
    if isinstance(model, Mapping):
        module = _built(problem, model)
    elif isinstance(model, nn.Module):
        try:
            module = copy.deepcopy(getattr(model, "_orig_mod", model))  # a compiled one can't be differentiated twice
        except Exception:  # torch copies no tensors that were computed, as some modules keep
            module = _built(problem, model.state_dict())
            for own, given in zip(module.parameters(), model.parameters(), strict=True):
                own.requires_grad_(given.requires_grad)
    else:
        raise TypeError(f"model: must be a torch.nn.Module, or the state_dict of one; got {type(model).__name__}.")
    weights = trainable(module)
    if not weights:
        raise ProblemError(
            "model: nothing in it is trainable; set requires_grad on a parameter of floating-point numbers at least."
        )
    if any(weight.is_complex() for weight in weights):
        raise ProblemError("model: it has complex parameters, whose curvature is not defined here; give real ones.")
    if not all(weight.isfinite().all() for weight in weights):
        raise ProblemError("model: it has weights that are NaN or infinite; give one from before its run diverged.")
    for part in module.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            part.sparse = False  # sparse gradients can't be differentiated
    # Half precision can't tell curvatures.
    return module.float() if any(weight.dtype.itemsize < 4 for weight in weights) else module


def _built(problem: Problem, state: Mapping[str, object]) -> nn.Module:
    module = problem.build(0)
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ProblemError(
            f"model: its state does not fit the problem's model ({first_line(error)}); give one of a module that the "
            "problem's model function builds."
        ) from error
    return module


def has_batch_norm(module: nn.Module) -> bool:
    """Whether it has batch norm, by which examples change each other's output as it is trained."""
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())


@contextmanager
def differentiable_twice(device: torch.device) -> Iterator[None]:
    """Let torch take those kernels of attention, and of recurrent layers, that have a second derivative."""
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if device.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield


def refuse_once_differentiable(gradients: Sequence[Tensor]) -> None:
    """Raise RuntimeError for a function in their graph whose backward pass torch can't differentiate.

    Torch does so itself, but not where gradients of some leaves alone are asked for: then it leaves the function out.
    """
    waiting = [one.grad_fn for one in gradients]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if node.name().endswith("autograd::Error"):  # what torch puts there to raise
                raise RuntimeError("a function in it is marked @once_differentiable")
            waiting += [following for following, _ in node.next_functions]


#: Copies of its weights that looking into a model takes at least: two to see that they follow from the seed, that which
#: is measured, and its gradient.
_COPIES = 4


def refuse_too_large(problem: Problem) -> None:
    """Raise ProblemError for a model that can't be looked into in the memory that is free, before it is built."""
    try:
        with torch.device("meta"):  # the shapes alone
            weights = [weight for weight in problem.model().parameters() if weight.is_meta]
    except Exception:  # not every model can be built so; what fails otherwise is told by building it
        return
    needed, free = _COPIES * sum(weight.numel() * weight.itemsize for weight in weights), free_memory()
    if needed > free:
        raise ProblemError(
            f"model: it has {sum(weight.numel() for weight in weights):,} weights, which take {in_bytes(needed)} with "
            f"the copies that looking into it needs, and {in_bytes(free)} are free; take a smaller one."
        )


def in_bytes(count: float) -> str:
    """An amount of memory in words.

    >>> in_bytes(3e6), in_bytes(14.4e9), in_bytes(500)
    ('2.86 MiB', '13.4 GiB', '500 bytes')
    """
    for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            return f"{count / size:,.3g} {unit}"
    return f"{count:.0f} bytes"


def free_memory() -> int:
    """Bytes that the machine has free, or has in all where it does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**62
