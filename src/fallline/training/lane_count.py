"""How many lanes a population has at most."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from torch import Tensor, nn

from fallline.training.modules import trainable
from fallline.training.problem import Problem
from fallline.training.randomness import seeded

_FEWEST, _MOST = 4, 256
#: Bytes of the lanes' tensors. What a machine has free at the moment has no say: a race that is taken up again must
#: find the same populations.
_BYTES = {"cpu": 2**30, "cuda": 2**33}
#: Tensors like the parameters that a lane needs at once: itself, gradients twice, three states.
_COPIES = 6
#: Floating-point operations of all lanes and steps, so that little is lost when a population is interrupted.
_OPERATIONS = 2e12
#: A backward pass takes twice what a forward pass does.
_PASSES = 3


def lanes_that_fit(problem: Problem, steps: int | None = None) -> int:
    """Count the lanes, from 4 to 256, that a population of this problem should have at most.

    It follows from the size of the model and from the work of `steps` updates (all epochs' by default) alone.

    >>> from fallline.problems import digits
    >>> lanes_that_fit(digits()), lanes_that_fit(digits(), steps=10**6)
    (256, 4)
    """
    module = problem.build(0)
    batch = (problem.train.inputs[: problem.batch], problem.train.targets[: problem.batch])
    each = _COPIES * _bytes(trainable(module)) + _bytes(module.buffers()) + _bytes(batch)
    work = _PASSES * _operations(problem, module) * (problem.steps if steps is None else steps)
    fitting = min(_BYTES[problem.training_device.type] / each, _OPERATIONS / max(1, work))
    return min(max(int(fitting), _FEWEST), _MOST)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _operations(problem: Problem, module: nn.Module) -> int:
    """Count the floating-point operations of a batch forward, those of matrix products and convolutions.

    Where the model differentiates on the way, which torch can't follow, those count that came before.
    """
    from torch.utils.flop_counter import FlopCounterMode

    batch = problem.batch
    with seeded(0, libraries=True), FlopCounterMode(display=False) as counter, suppress(RuntimeError):
        problem.training_loss(module, problem.train.inputs[:batch].clone(), problem.train.targets[:batch])
    return int(counter.get_total_flops())
