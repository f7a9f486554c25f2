"""The average of a model's weights over the course of training, and how to evaluate with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fallline._asked import number


class WeightAverage:
    """A running average of the weights of `model`, one `update()` after each `optimizer.step()`.

    With a `decay` d it is exponential, aₜ = d·aₜ₋₁ + (1-d)·θₜ; without, all updates weigh the same, as in Polyak and
    Juditsky, 1992, and in stochastic weight averaging (Izmailov et al., 2018). An exponential average starts from

    - `"weights"`: a₁ = θ₁, the first weights it is shown, as `torch.optim.swa_utils` does. They keep the weight dᵗ⁻¹.
    - `"zero"`: a₀ = 0, and aₜ is divided by 1 - dᵗ unless `bias_correction=False`. Only that shows what the
      correction is good for; the weights are too small by it.

    Averaged are the parameters in floating point and the running statistics of normalisation layers
    (`running_mean`, `running_var`), which belong to the weights they were gathered with; every other buffer is left as
    the model has it. To gather the statistics anew, call `torch.optim.swa_utils.update_bn` within `swapped()`. Averages
    of half-precision weights are kept in float32, where a small share of a difference isn't rounded away.

    Args:
        model: The model; its weights are read, and written only within `swapped`.
        decay: What an average keeps of the one before, from 0 to 1, 1 excluded; None for the mean of all.
        start_from: What an exponential average starts from.
        bias_correction: Whether one that starts from zero is divided by 1 - dᵗ.

    Raises:
        TypeError, ValueError: The model is none, is not initialised yet or has no weights; or the settings are out of
            range or without a meaning together.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = WeightAverage(model, decay=0.75)
    >>> for weight in (1.0, 2.0):
    ...     _ = nn.init.constant_(model.weight, weight)
    ...     average.update()
    >>> with average.swapped():
    ...     model.weight.item()
    1.25
    >>> model.weight.item()
    2.0
    """

    def __init__(
        self,
        model: nn.Module,
        decay: float | None = 0.999,
        *,
        start_from: Literal["weights", "zero"] = "weights",
        bias_correction: bool = True,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module; got {model!r}")
        if start_from not in ("weights", "zero"):
            raise ValueError(f"start_from must be 'weights' or 'zero'; got {start_from!r}")
        if not bias_correction and (start_from == "weights" or decay is None):
            raise ValueError("bias_correction=False has a meaning only with a decay and start_from='zero'")
        self.model = model
        self.decay = None if decay is None else number("decay", decay, below=1)
        self.start_from = start_from
        self.bias_correction = bias_correction
        self.count = 0
        _refuse_lazy(model)
        self._averages = {name: _room(tensor) for name, tensor in _averaged(model).items()}
        self._swapped = False
        if not self._averages:
            raise ValueError("model must have weights in floating point to average; it has none")

    @property
    def window(self) -> float:
        """How many of the last weights count, about: 1/(1-d), or all there were where all weigh the same."""
        return float(self.count) if self.decay is None else 1 / (1 - self.decay)

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's present weights into the average.

        Raises RuntimeError within `swapped()`, ValueError if the model no longer has the weights it began with.
        """
        if self._swapped:
            raise RuntimeError("update was called within swapped(), where the model has the averaged weights")
        present = self._present()
        averages = list(self._averages.values())
        share = self._share(self.count + 1)
        torch._foreach_lerp_(averages, [present[name].to(room) for name, room in self._averages.items()], share)
        self.count += 1

    def _share(self, t: int) -> float:
        """Return what the t-th weights weigh in the average, t from 1."""
        if self.decay is None:
            return 1 / t
        if self.start_from == "weights":
            return 1.0 if t == 1 else 1 - self.decay
        # (1-d)/(1-dᵗ) keeps the corrected average itself up to date, so nothing is left to divide.
        return (1 - self.decay) / (1 - self.decay**t if self.bias_correction else 1.0)

    @contextmanager
    def swapped(self) -> Iterator[nn.Module]:
        """Give the model the averaged weights within a `with` block, and its own back after it, whatever happens there.

        All that the model's modules hold is put back to the bit: what a step or a forward pass does to weights, buffers
        and other tensors within the block is undone, and so is whatever is bound there to a name of a module, replaced
        in a parameter (`p.data`), or changed in mode (`model.eval()`), counters and lists included. Tensors are
        written in place: optimizers and views stay attached. Gradients, NumPy arrays, and what containers hold inside
        containers, are left as the block leaves them.

        Raises RuntimeError before the first update and within another `swapped()` of this average, ValueError if the
        model no longer has the weights it began with.
        """
        if self.count == 0:
            raise RuntimeError("nothing has been averaged yet: call update after optimizer.step()")
        if self._swapped:
            raise RuntimeError("the averaged weights are already in the model: swapped() was called within swapped()")
        present = self._present()
        self._swapped = True
        try:
            with _undone(self.model):
                _write([present[name] for name in self._averages], list(self._averages.values()))
                yield self.model
        finally:
            self._swapped = False

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates and copies of the averages by name; the settings are not among them."""
        return {"count": self.count, "averages": {name: room.clone() for name, room in self._averages.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where another average was.

        Args:
            state: What its `state_dict` gave.

        Raises:
            ValueError: It is no such thing, or has other names and shapes than this model.
        """
        if not isinstance(state, Mapping) or not isinstance(state.get("averages"), Mapping) or "count" not in state:
            found = ", ".join(map(repr, state)) or "nothing" if isinstance(state, Mapping) else type(state).__name__
            raise ValueError(
                f"state must be what WeightAverage.state_dict() returned, with 'count' and 'averages'; got {found}"
            )
        shapes = {name: tuple(average.shape) for name, average in state["averages"].items()}
        _check_shapes("the loaded state", shapes, self._averages)
        self.count = state["count"]
        _write(list(self._averages.values()), [state["averages"][name] for name in self._averages])

    def _present(self) -> dict[str, Tensor]:
        present = _averaged(self.model)
        _check_shapes("the model", {name: tuple(tensor.shape) for name, tensor in present.items()}, self._averages)
        return present


def _averaged(model: nn.Module) -> dict[str, Tensor]:
    """Return what is averaged, by name and without graph."""
    statistics = (pair for pair in model.named_buffers() if pair[0].endswith(("running_mean", "running_var")))
    return {
        name: tensor.detach()
        for name, tensor in chain(model.named_parameters(), statistics)
        if tensor.is_floating_point() or tensor.is_complex()
    }


def _refuse_lazy(model: nn.Module) -> None:
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(tensor):
            raise ValueError(f"'{name}' has no shape yet: run one batch through the model before averaging it")


def _room(tensor: Tensor) -> Tensor:
    half = tensor.is_floating_point() and tensor.element_size() < 4
    return torch.zeros_like(tensor, dtype=torch.float32 if half else None)


def _check_shapes(what: str, found: dict[str, tuple[int, ...]], averages: dict[str, Tensor]) -> None:
    for name in sorted(found.keys() | averages.keys()):
        if name not in found or name not in averages:
            place = "lacks" if name in averages else "has in addition"
            raise ValueError(f"{what} {place} '{name}': it must have the weights that the average was made for")
        if found[name] != tuple(averages[name].shape):
            raise ValueError(
                f"'{name}' has the shape {list(found[name])} in {what}; it must be {list(averages[name].shape)}"
            )


#: What a module may gather things in; its own registries are such, too.
_CONTAINERS = (dict, list, set, deque)


@contextmanager
def _undone(model: nn.Module) -> Iterator[None]:
    """Undo, after a `with` block, what was bound to names of a model's modules or written into their tensors."""
    names = [(module, dict(vars(module))) for module in model.modules()]
    held = {id(value): value for _, attributes in names for value in attributes.values()}.values()
    containers = [value for value in held if isinstance(value, _CONTAINERS)]
    gathered = [(value, list(value.items() if isinstance(value, dict) else value)) for value in containers]
    inside = (item for value in containers for item in (value.values() if isinstance(value, dict) else value))
    # What hangs on a graph is the outcome of a pass, and can't be written into without a change to that graph.
    leaves = {id(value): value for value in chain(held, inside) if isinstance(value, Tensor) and value.is_leaf}.values()
    tensors = [(leaf, leaf.data, leaf.requires_grad, leaf.detach().clone()) for leaf in leaves]
    try:
        yield
    finally:
        for module, attributes in names:
            for name in vars(module).keys() - attributes.keys():
                del vars(module)[name]
            vars(module).update(attributes)
        for container, content in gathered:
            if isinstance(container, dict):  # of whatever kind: a Counter's own update counts
                dict.clear(container)
                dict.update(container, content)
            else:
                container.clear()
                container.extend(content) if isinstance(container, list | deque) else container.update(content)
        for leaf, data, requires_grad, values in tensors:
            leaf.data = data
            with torch.inference_mode(leaf.is_inference()):
                _write([leaf], [values])
            leaf.requires_grad_(requires_grad)


@torch.no_grad()
def _write(targets: list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
