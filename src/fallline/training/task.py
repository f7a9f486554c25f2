"""What is trained and how it is judged: a model, its loss or step, a metric, and data where they are in splits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fallline.training.arguments import as_device, as_name, check_loss, check_model, check_module, check_step
from fallline.training.errors import ProblemError, first_line
from fallline.training.generators import seeded
from fallline.training.metrics import IGNORED, as_metric, loss_of_step
from fallline.training.splits import Split
from fallline.training.training_data import Batches, TrainingData

_CPU = torch.device("cpu")
Loss = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[nn.Module, Tensor, Tensor], Tensor]


#: Losses of torch, by the modules that compute them.
_FUNCTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.CrossEntropyLoss: functional.cross_entropy,
    nn.NLLLoss: functional.nll_loss,
    nn.BCEWithLogitsLoss: functional.binary_cross_entropy_with_logits,
    nn.BCELoss: functional.binary_cross_entropy,
}


class Task:
    """A model, and how the loss of a batch is computed: what problems of examples and of streams share."""

    precision: str | None = None

    def __init__(
        self, name: object, model: object, loss: Loss | None, step: Step | None, metric: object, device: object
    ) -> None:
        check_loss(loss, step)
        check_step(step)
        self.name = as_name(name)
        self.model = check_model(model)
        self.loss = loss
        self.step = step
        self.metric = as_metric(metric, loss_of_step if loss is None else loss)
        self.device = as_device(device)

    @property
    def metric_is_loss(self) -> bool:
        """Whether the metric is the loss itself, so that it need not be computed twice."""
        return self.metric.function is (loss_of_step if self.loss is None else self.loss)

    @property
    def training_device(self) -> torch.device:
        """Where runs are to be trained: as `device` says, or CUDA where it is present."""
        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def training_loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch that is trained on: the step's, or that of the model's output; in `precision`.

        Args:
            model: The module, in training mode.
            inputs: The batch's inputs [n, ...], on the module's device.
            targets: Its targets [n, ...].

        Returns:
            The mean over the batch, a tensor without dimensions.
        """
        compute = self.evaluation_loss if self.step is None else self.step
        if self.precision is None:
            return compute(model, inputs, targets)
        with torch.autocast(inputs.device.type, getattr(torch, self.precision)):
            return compute(model, inputs, targets)

    def evaluation_loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of examples that are not trained on: that of the model's output, or the step's where there is none.

        Args:
            model: The module, in evaluation mode.
            inputs: The examples' inputs [n, ...], on the module's device.
            targets: Their targets [n, ...].

        Returns:
            The mean over the examples, a tensor without dimensions.
        """
        if self.loss is not None:
            return self.loss(model(inputs), targets)
        assert self.step is not None
        with torch.enable_grad():  # a step may differentiate by its inputs
            return self.step(model, inputs, targets).detach()

    def build(self, seed: int) -> nn.Module:
        """Build the model with the weights of a seed, on the CPU; torch's generator is left as it was.

        Args:
            seed: Where torch's generator starts from.

        Returns:
            A fresh module.

        Raises:
            ProblemError: The callable failed, or returned no module or nothing to train.
        """
        with seeded(seed):
            try:
                module = self.model()
            except Exception as error:
                raise ProblemError(f"model: it failed ({first_line(error)}); make it return a module.") from error
        check_module(module)
        return module


class SplitTask(Task):
    """A task whose examples are in memory, in splits to train on, to choose by and to test with."""

    data: TrainingData
    epochs: int
    valid: Split
    test: Split | None

    @property
    def train(self) -> Split:
        """The examples to train on; where they differ at each reading, those of one."""
        return self.data.split

    @property
    def batch(self) -> int:
        """Examples of a step."""
        return self.data.batch

    @property
    def shuffle(self) -> bool:
        """Whether runs of different seeds take the examples in different orders."""
        return self.data.order.shuffle

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over `train`; the last may be smaller."""
        return self.batches([0]).steps_per_epoch

    @property
    def steps(self) -> int:
        """Updates in all epochs."""
        return self.epochs * self.steps_per_epoch

    def splits(self) -> dict[str, Split]:
        """The splits that there are, by name."""
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in parts.items() if split is not None}

    def name_of(self, split: Split) -> str:
        """Which of the splits this is; "" for another."""
        return next((name for name, own in self.splits().items() if own is split), "")

    def batches(self, seeds: Sequence[int], device: torch.device = _CPU) -> Batches:
        """The batches of several runs, as numbers of examples; `data.read` gives the examples.

        Args:
            seeds: The runs' seeds, from which their orders follow.
            device: Where the numbers are to be; the CPU by default.

        Returns:
            The batches of all seeds, side by side.
        """
        return self.data.batches(seeds, device)


def kind_of_loss(loss: Any) -> Callable[..., Tensor] | None:
    """The function of torch that a loss is one form of: one that is given settings, or its module.

    >>> kind_of_loss(nn.CrossEntropyLoss()) is functional.cross_entropy
    True
    """
    if isinstance(loss, functools.partial):
        return kind_of_loss(loss.func)
    if isinstance(loss, MethodType):
        return kind_of_loss(loss.__self__)
    if isinstance(loss, nn.Module):
        return _FUNCTIONS.get(type(loss))
    return loss if loss in _FUNCTIONS.values() else None


def ignore_index(loss: Any) -> int | None:
    """The label that a loss of torch's says it ignores; None where it is none that can say."""
    if kind_of_loss(loss) not in (functional.cross_entropy, functional.nll_loss):
        return _said_inside(loss) if isinstance(loss, nn.Module) else None
    if isinstance(loss, functools.partial):
        return int(loss.keywords["ignore_index"]) if "ignore_index" in loss.keywords else ignore_index(loss.func)
    if isinstance(loss, MethodType):
        return ignore_index(loss.__self__)
    return int(getattr(loss, "ignore_index", IGNORED))


def _said_inside(loss: nn.Module) -> int | None:
    """What the one loss of torch's inside a module of the user's own says."""
    said = {part.ignore_index for part in loss.modules() if isinstance(part, nn.CrossEntropyLoss | nn.NLLLoss)}
    return said.pop() if len(said) == 1 else None
