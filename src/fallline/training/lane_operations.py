"""Operations that are slow over many lanes on a CPU, replaced by faster ones that give the same to rounding.

torch takes a softmax over the last dimension row by row, and rows shorter than a vector number by number, five to
eight times slower than the same rows along another dimension. It maps a convolution of K lanes to one grouped
convolution, as here, but in an order of memory in which pooling works number by number, and mapped pooling moves the
lanes out of the channels again. With the channels of all lanes last, every operation on the way runs along whole
vectors; small convolutional networks take about half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from fallline.training.drawing import entered
from fallline.training.lane_layers import Places, attention, cross_entropy, embedding, is_short, linear

_ESCAPES = (
    Tensor.data.__get__,  # type: ignore[attr-defined]
    Tensor.numpy,
    Tensor.__array__,
    Tensor.untyped_storage,
    Tensor.data_ptr,
    Tensor.set_,
    Tensor.__dlpack__,
)


class LaneOperations(TorchFunctionMode):
    """While active, softmax over short rows, and convolution, pooling, norms and attention of lanes, are faster.

    The results agree to rounding. `escaped` is told each tensor that torch is asked for memory of in which it does not
    count changes.

    >>> rows = torch.randn(64, 10)
    >>> with LaneOperations(escaped=print):
    ...     fast = torch.softmax(rows, 1)
    >>> torch.allclose(fast, torch.softmax(rows, 1))
    True
    """

    def __init__(self, escaped: Callable[[Tensor], object]) -> None:
        super().__init__()

        def tell(tensor: Tensor, *given: Any, **named: Any) -> None:
            if not torch._C._functorch.is_batchedtensor(tensor):
                escaped(tensor)

        with_heads = functional.multi_head_attention_forward
        self._replacements: dict[Any, Callable[..., Any]] = {
            **_REPLACEMENTS,
            with_heads: partial(entered(with_heads), self),
            **dict.fromkeys(_ESCAPES, tell),
        }

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Replace the functions of the table, where they apply; torch calls this for every operation."""
        replacement = self._replacements.get(func)
        result = replacement(*args, **(kwargs or {})) if replacement else None
        return func(*args, **(kwargs or {})) if result is None else result


def _short(rows: Tensor) -> bool:
    few = rows.ndim >= 2 and is_short(rows.shape[-1], rows) and rows.shape[-2] > 1
    return few and rows.is_floating_point() and rows.device.type == "cpu"


def _across(function: Callable[..., Tensor]) -> Callable[..., Tensor | None]:
    """Take a softmax along the second to last dimension of the transposed rows; None where that gains nothing."""

    def replacement(
        input: Tensor, dim: int | None = None, *rest: Any, dtype: torch.dtype | None = None, _stacklevel: int = 3
    ) -> Tensor | None:
        if dim not in (-1, input.ndim - 1) or dtype is not None or rest or not _short(input):
            return None
        return function(input.transpose(-1, -2), -2).transpose(-1, -2)

    return replacement


def _attention(query: Tensor, key: Tensor, value: Tensor, *given: Any, **named: Any) -> Tensor:
    """Attend for all lanes at once; torch takes its faster kernels one lane after the other."""
    found = attention(query, key, value, *given, **named)
    if found is not None:
        return found
    with sdpa_kernel(SDPBackend.MATH):
        return scaled_dot_product_attention(query, key, value, *given, **named)


_IMAGES = 4  # dimensions of [n, channels, height, width]


class _Convolution(torch.autograd.Function):
    """A convolution that says itself how it is mapped; where no tensor is mapped, nothing of it is trained."""

    @staticmethod
    def forward(image: Tensor, weight: Tensor, bias: Tensor | None, options: dict[str, Any]) -> Tensor:
        return torch.conv2d(image, weight, bias, **options)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def vmap(
        info: Any, at: Places, image: Tensor, weight: Tensor, bias: Tensor | None, options: dict[str, Any]
    ) -> tuple[Tensor, int]:
        lanes, groups = info.batch_size, options["groups"]
        if at[1] is None and at[2] is None:
            batch = image.movedim(at[0] or 0, 0).flatten(0, 1).contiguous(memory_format=torch.channels_last)
            return _apart(torch.conv2d(batch, weight, bias, **options), lanes, 0), 0
        if at[1] is None or (bias is not None and at[2] is None):
            mapped = vmap(lambda *given: torch.conv2d(*given, **options), at[:3])
            return mapped(image, weight, bias), 0
        # The same image convolves with all weights at once, but torch sees no channels last where there is only one.
        if at[0] is not None or groups > 1 or image.shape[1] == 1:
            image, groups = _side_by_side(image, at[0], lanes, 1), lanes * groups
        output = torch.conv2d(
            image.contiguous(memory_format=torch.channels_last),
            _side_by_side(weight, at[1], lanes, 0),
            None if bias is None else _side_by_side(bias, at[2], lanes, 0),
            **{**options, "groups": groups},
        )
        return _apart(output, lanes, 1), 1


class _ChannelByChannel(torch.autograd.Function):
    """A function of images, and of vectors with a number a channel, that treats each channel alone.

    `by_image` says that it treats each image alone as well.
    """

    @staticmethod
    def forward(function: Callable[..., Tensor], by_image: bool, image: Tensor, *vectors: Tensor | None) -> Tensor:
        return function(image, *vectors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def vmap(
        info: Any, at: Places, function: Callable[..., Tensor], by_image: bool, image: Tensor, *vectors: Tensor | None
    ) -> tuple[Tensor, int]:
        lanes, places = info.batch_size, at[3:]
        if by_image and at[2] == 0 and not any(place is not None for place in places):
            return _apart(function(image.flatten(0, 1), *vectors), lanes, 0), 0
        rows = [
            None if vector is None else _side_by_side(vector, place, lanes, 0)
            for vector, place in zip(vectors, places, strict=True)
        ]
        return _apart(function(_side_by_side(image, at[2], lanes, 1), *rows), lanes, 1), 1


def _side_by_side(tensor: Tensor, at: int | None, lanes: int, channels: int) -> Tensor:
    """Make one dimension of the lanes, which are dimension `at`, and the channels; repeat what all lanes share."""
    if at is not None:
        return tensor.movedim(at, channels).flatten(channels, channels + 1)
    sizes = tensor.shape
    repeated = tensor.unsqueeze(channels).expand(*sizes[:channels], lanes, *sizes[channels:])
    return repeated.flatten(channels, channels + 1)


def _apart(output: Tensor, lanes: int, at: int) -> Tensor:
    """The output of images or channels that lie side by side along dimension `at`, which counts the lanes then."""
    return output.view(*output.shape[:at], lanes, -1, *output.shape[at + 1 :])


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """Convolve images on the CPU; None for every other form of it."""
    if not _of_images(input):
        return None
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    output: Tensor = _Convolution.apply(input, weight, bias, options)  # type: ignore[no-untyped-call]
    return output


def _pooling(function: Callable[..., Tensor]) -> Callable[..., Tensor | None]:
    """Pool images on the CPU; None for every other form of it."""

    def replacement(input: Tensor, *given: Any, **named: Any) -> Tensor | None:
        if not _of_images(input):
            return None
        output: Tensor = _ChannelByChannel.apply(lambda image: function(image, *given, **named), True, input)  # type: ignore[no-untyped-call]
        return output

    return replacement


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """Normalise each channel over the batch; the running statistics of all lanes, side by side, change in place."""
    if input.device.type != "cpu":
        return None

    def function(
        image: Tensor, mean: Tensor | None, variance: Tensor | None, weight: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        return functional.batch_norm(image, mean, variance, weight, bias, training, momentum, eps)

    output: Tensor = _ChannelByChannel.apply(function, not training, input, running_mean, running_var, weight, bias)  # type: ignore[no-untyped-call]
    return output


def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor | None:
    """Normalise groups of channels; torch's own can't be mapped where channels come last."""
    if not _of_images(input):
        return None
    channels = input.shape[1] // num_groups

    def function(image: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return functional.group_norm(image, image.shape[1] // channels, weight, bias, eps)

    output: Tensor = _ChannelByChannel.apply(function, True, input, weight, bias)  # type: ignore[no-untyped-call]
    return output


def _view(input: Tensor, *shape: Any) -> Tensor | None:
    """View images in another shape, or copy them, since in a model of one lane their channels would not come last."""
    if not _of_images(input) or isinstance(shape[0], torch.dtype):
        return None
    try:
        return input.view(*shape)
    except RuntimeError:
        return input.reshape(*shape)


def _of_images(input: Tensor) -> bool:
    return input.ndim == _IMAGES and input.device.type == "cpu"


_POOLING = (torch.max_pool2d, functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d)

_REPLACEMENTS: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    **dict.fromkeys((torch.softmax, Tensor.softmax, functional.softmax), _across(torch.softmax)),
    **dict.fromkeys((torch.log_softmax, Tensor.log_softmax, functional.log_softmax), _across(torch.log_softmax)),
    functional.cross_entropy: cross_entropy,
    functional.linear: linear,
    functional.embedding: embedding,
    scaled_dot_product_attention: _attention,
    torch.conv2d: _conv2d,
    functional.batch_norm: _batch_norm,
    functional.group_norm: _group_norm,
    Tensor.view: _view,
    **{function: _pooling(function) for function in _POOLING},
}
