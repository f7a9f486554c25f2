"""A problem: what it accepts, and the sentence for everything that it refuses."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from fallline.problems import digits
from fallline.training import Metric, Problem, ProblemError, fit, make_lanes

functional = nn.functional
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(12, 3))
Y = np.arange(12) % 4
SHARED = nn.Linear(3, 4)


class Pairs(Dataset[tuple[Any, Any]]):
    def __init__(self, examples: list[Any]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        return self.examples[index]


class Endless(Dataset[Any]):
    def __getitem__(self, index: int) -> Any:
        return X[0], 0


class Counting:
    """As torchmetrics' objects are: it collects what it is called with, until it is reset."""

    def __init__(self, higher_is_better: bool | None) -> None:
        self.higher_is_better = higher_is_better
        self.seen = 0

    def __call__(self, output: Tensor, target: Tensor) -> float:
        self.seen += len(target)
        return float(self.seen)

    def reset(self) -> None:
        self.seen = 0


class NumpyWeights(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 4)
        nn.init.constant_(self.weight, random.random())


def not_a_number() -> nn.Module:
    made = nn.Linear(3, 4)
    nn.init.constant_(made.weight, float("nan"))
    return made


class Wide(nn.Linear):
    def __init__(self, width: int) -> None:
        super().__init__(3, width)


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Any:
        return super().forward(input), input


def problem(**changes: Any) -> Problem:
    given: dict[str, Any] = {
        "model": lambda: nn.Linear(3, 4),
        "loss": functional.cross_entropy,
        "train": (X, Y),
        "valid": (X[:4], Y[:4]),
        "test": (X[:4], Y[:4]),
        "batch": 5,
    }
    return Problem(**{**given, **changes})


def frozen() -> nn.Module:
    return nn.Linear(3, 4).requires_grad_(False)


def with_value(value: float) -> np.ndarray[Any, Any]:
    changed = X.copy()
    changed[7, 1] = value
    return changed


def overflowing(output: Tensor, target: Tensor) -> Tensor:
    return output.sum() * torch.inf


def rootless(output: Tensor, target: Tensor) -> Tensor:
    return (output * 0).square().sum().sqrt()


def top_two(output: Tensor, target: Tensor) -> Tensor:
    return (output.topk(2).indices == target[:, None]).any(1).float().mean()


def top_two_score(output: Tensor, target: Tensor) -> Tensor:
    return top_two(output, target)


def vector_score(output: Tensor, target: Tensor) -> Tensor:
    return output.sum(1)


def broken_score(output: Tensor, target: Tensor) -> Tensor:
    raise RuntimeError("no such thing")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "model not callable": ({"model": 3}, "model: got int, which can't be called; give a function"),
    "model a module": ({"model": SHARED}, r"got a module of type Linear.* such as model=lambda: Linear\(\.\.\.\)\."),
    "model a class that needs arguments": (
        {"model": Wide},
        r"it needs width, but is called without arguments.* model=lambda: Wide\(width=\.\.\.\)\.",
    ),
    "model returns a class": ({"model": lambda: Wide}, "it returned the class Wide; make it return an instance"),
    "model returns no module": ({"model": lambda: 3}, "model: it returned int; make it return a torch.nn.Module."),
    "model fails": ({"model": lambda: nn.Linear(3)}, r"model: it failed \(.*missing"),  # type: ignore[call-arg]
    "model without parameters": ({"model": nn.ReLU}, "model: it has no trainable parameters"),
    "model frozen": ({"model": frozen}, "model: it has no trainable parameters"),
    "model lazy": ({"model": lambda: nn.LazyLinear(4)}, "model: it has lazy layers; give each layer its input size"),
    "loss not callable": ({"loss": "cross_entropy"}, "loss: got str, which can't be called"),
    "loss a class": (
        {"loss": nn.CrossEntropyLoss},
        r"give an instance of it, loss=CrossEntropyLoss\(\), or a function",
    ),
    "loss that sums": (
        {"loss": nn.CrossEntropyLoss(reduction="sum")},
        r"its reduction is 'sum', but .* give CrossEntropyLoss\(reduction='mean'\)",
    ),
    "train not a pair": ({"train": X}, "train: got ndarray; give a pair"),
    "train of lists": ({"train": (X.tolist(), Y)}, "train: X is of type list; give a pair"),
    "train a Dataset without length": ({"train": Endless()}, "train: Endless has no length; give it __len__"),
    "train an empty Dataset": ({"train": Pairs([])}, "train: it has no examples; give it at least one"),
    "train an empty loader": ({"train": DataLoader(Pairs([]))}, "train: it has no examples; give it at least one"),
    "train a loader that collates nothing": (
        {"train": DataLoader(Pairs([]), collate_fn=tuple)},
        "train: it has no batches; give it at least one",
    ),
    "train a Dataset of triples": ({"train": Pairs([(1, 2, 3)])}, "examples must be pairs"),
    "train a Dataset of dicts": (
        {"train": Pairs([{"image": X[0], "size": 3, "label": 1}])},
        r"train: its examples are dicts with the keys 'image', 'size', 'label', not pairs \(x, y\); give two tensors, "
        r"for instance train=\(torch.stack\(\[torch.as_tensor\(one\['image'\]\) for one in data\]\), .*\['label'\]",
    ),
    "valid a loader of dicts": (
        {"valid": DataLoader(Pairs([{"x": X[0], "y": 1}]), collate_fn=lambda items: items[0])},
        r"valid: its batches are dicts with the keys 'x', 'y', .* valid=\(torch.cat\(",
    ),
    "train a ragged Dataset": (
        {"train": Pairs([(torch.zeros(3), 0), (torch.zeros(2), 0)])},
        "train: the x of its examples can't become one tensor",
    ),
    "train a Dataset of words": (
        {"train": Pairs([(X[0], "a")])},
        "train: the y of its examples can't become one tensor",
    ),
    "no loss": ({"loss": None}, "loss: there is none; give a function of .*, or a step that computes it"),
    "step not callable": ({"step": 3}, "step: got int, which can't be called; give a function of"),
    "step of two": (
        {"step": lambda model, batch: None},
        r"step: it is called as step\(model, inputs, targets\), but too many positional arguments; give it these three",
    ),
    "precision": ({"precision": "float16"}, "precision: must be 'bfloat16', or None .*, got 'float16'"),
    "precision of a wide model": (
        {"precision": "bfloat16", "model": lambda: nn.Linear(3, 4, dtype=torch.float64)},
        "precision: the model's parameters are float64, but 'bfloat16' is for",
    ),
    "device": ({"device": "tpu"}, "device: must be 'cpu', 'cuda', or None .*, got 'tpu'"),
    "model on another device": (
        {"model": lambda: nn.Linear(3, 4, device="meta")},
        "model: it has parameters on meta; build it on the CPU, and say device=",
    ),
    "valid of words": ({"valid": (X, np.array(["a"] * 12))}, "valid: y holds <U1, not numbers"),
    "valid a number": ({"valid": (X, np.array(3))}, "valid: y is a single number"),
    "lengths": ({"train": (X, Y[:-1])}, "train: X has 12 examples and y has 11"),
    "empty": ({"valid": (X[:0], Y[:0])}, "valid: the split is empty"),
    "nan": (
        {"train": (with_value(np.nan), Y)},
        "train: X has 1 value that is NaN or infinite, the first in example 7",
    ),
    "infinity": ({"test": (with_value(np.inf), Y)}, "test: X has 1 value that is NaN or infinite"),
    "nan in y": ({"valid": (X, np.full(12, np.nan))}, "valid: y has 12 values that are NaN or infinite"),
    "metric misspelt": ({"metric": "acuracy"}, "metric: 'acuracy' is unknown; did you mean 'accuracy'?"),
    "metric of torchmetrics misspelt": ({"metric": "MulticlassAcuracy"}, "did you mean 'accuracy'?"),
    "metric turned round": (
        {"metric": "neg_mean_squared_error"},
        "write 'mean_squared_error', for which lower is better here",
    ),
    "metric without its k": ({"metric": "top_k_accuracy"}, "write its number for k, such as 'top_5_accuracy'"),
    "metric a class": ({"metric": Counting}, r"got the class Counting; give an instance of it, Counting\(...\)"),
    "metric object of no direction": (
        {"metric": Counting(None)},
        "the attribute higher_is_better of 'Counting' is None and does not tell whether higher is better; write",
    ),
    "metric a lambda": (
        {"metric": lambda output, target: 0.5},
        r"a lambda has no name that tells .* write metric=fallline.Metric\('my_metric', function",
    ),
    "metric of scikit-learn that is here": (
        {"metric": sklearn.metrics.accuracy_score},
        r"accuracy_score takes \(y_true, y_pred\).* give metric='accuracy'\.",
    ),
    "metric of scikit-learn": (
        {"metric": sklearn.metrics.fowlkes_mallows_score},
        r"wrap it, .*Metric\('fowlkes_mallows_score', .* higher_is_better=True\)\.",
    ),
    "metric unknown": ({"metric": "zzz"}, "metric: 'zzz' is unknown; choose one of loss, accuracy"),
    "metric a number": ({"metric": 3}, "metric: got int; give a name"),
    "metric of no direction": ({"metric": top_two}, "the name of 'top_two' does not tell whether higher is better"),
    "target": ({"target": float("nan")}, "target: must be a finite value of the metric, or None, got nan"),
    "target a percentage": (
        {"metric": "accuracy", "target": 97},
        "target: 'accuracy' is at most 1, got 97; give a value that it can take, such as 0.97 for 97 %.",
    ),
    "target below": ({"metric": "mean_squared_error", "target": -1}, "'mean_squared_error' is at least 0, got -1"),
    "target above": ({"metric": "r2_score", "target": 2}, "'r2' is at most 1, got 2; give a value that"),
    "batch zero": ({"batch": 0}, "batch: must be a whole number from 1; got 0"),
    "batch too large": ({"batch": 13}, "batch: must be at most 12, the number of examples in train; got 13"),
    "batch a fraction": ({"batch": 2.5}, "batch: must be a whole number from 1; got 2.5"),
    "epochs": ({"epochs": 0}, "epochs: must be a whole number from 1; got 0"),
    "epochs true": ({"epochs": True}, "epochs: must be a whole number from 1; got True"),
}
UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "shared module": ({"model": lambda: SHARED}, "model: two calls returned the same parameters"),
    "weights that are NaN": ({"model": not_a_number}, "model: it begins with weights or buffers that are NaN"),
    "weights from elsewhere": ({"model": NumpyWeights}, "model: it drew different weights for the same seed"),
    "width": (
        {"model": lambda: nn.Linear(2, 4)},
        r"model: it failed on inputs of train of shape \(5, 3\) and type float32",
    ),
    "whole numbers for a linear layer": (
        {"train": (Y[:, None].repeat(3, 1), Y)},
        r"type int64 .* or give X as floating-point numbers, X.astype\('float32'\)",
    ),
    "output not a tensor": (
        {"model": lambda: Doubled(3, 4)},
        "model: its output is of type tuple; make it return one tensor",
    ),
    "labels as floating-point numbers": (
        {"train": (X, Y.astype(float))},
        r"if y holds class labels, give them as integers, y.astype\('int64'\)",
    ),
    "labels in a column": ({"train": (X, Y[:, None])}, r"give them in one dimension, y.reshape\(-1\)"),
    "labels for one logit": (
        {"model": lambda: nn.Linear(3, 1), "loss": functional.binary_cross_entropy_with_logits},
        r"give y the output's shape and type, y.astype\('float32'\).reshape\(-1, 1\)",
    ),
    "label out of range": (
        {"train": (X, np.array([*Y[:-1], 9]))},
        "train: its labels run from 0 to 9, but the model has 4 outputs, for the labels 0 to 3",
    ),
    "label out of range in test": (
        {"test": (X, Y + 1)},
        "test: its labels run from 1 to 4, but the model has 4 outputs",
    ),
    "label negative": ({"valid": (X, Y - 1)}, "valid: its labels run from -1 to 2"),
    "token out of range": (
        {
            "model": lambda: nn.Sequential(nn.Embedding(4, 2), nn.Flatten(), nn.Linear(6, 4)),
            "train": (Y[:, None].repeat(3, 1), Y),
            "valid": (Y[:, None].repeat(3, 1) + 1, Y),
            "test": None,
        },
        "model: it failed on inputs of valid",
    ),
    "last batch too small": (
        {"model": lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), "batch": 11},
        r"batch: the last batch of an epoch has 1 of 12 examples, on which the model fails \(Expected more",
    ),
    "output does not fit": ({"train": (X, X[:, :2])}, "loss: it failed on outputs of shape"),
    "integer targets for a regression": (
        {"loss": functional.binary_cross_entropy_with_logits, "train": (X, np.eye(4, dtype=int)[Y])},
        r"loss: it failed on outputs of shape .* type int64 .* y.astype\('float32'\)",
    ),
    "broadcast targets": (
        {"model": lambda: nn.Linear(3, 1), "loss": functional.mse_loss, "train": (X, X[:, 0])},
        r"loss: the output has shape \(5, 1\) and the targets of train \(5,\), which would be broadcast",
    ),
    "loss of each example": (
        {"loss": lambda output, target: functional.cross_entropy(output, target, reduction="none")},
        r"loss: it returned a tensor of shape \(5,\); make it return one number",
    ),
    "loss a float": ({"loss": lambda output, target: float(output.sum())}, "loss: it returned a value of type float"),
    "loss that turns out to sum": (
        {"loss": lambda output, target: functional.cross_entropy(output, target, reduction="sum")},
        "loss: it doubles when the batch is given twice, so it is a sum over the examples; make it return their mean",
    ),
    "loss infinite": ({"loss": overflowing}, "loss: it is -?(inf|nan) at the start, with the weights of seed 0"),
    "loss cut off": ({"loss": lambda output, target: output.detach().sum()}, "loss: it does not depend on the model"),
    "gradient infinite": ({"loss": rootless}, "loss: its gradient is not finite at the start"),
    "metric fails": ({"metric": broken_score}, "metric: 'broken_score' failed on outputs of shape"),
    "metric of each example": ({"metric": vector_score}, "metric: 'vector_score' returned 4 numbers"),
    "accuracy of a regression": (
        {
            "loss": functional.mse_loss,
            "train": (X, np.eye(4)[Y]),
            "valid": (X, np.eye(4)[Y]),
            "test": None,
            "metric": "accuracy",
        },
        "metric: 'accuracy' needs integer labels .*; one-hot rows are no labels; give y.argmax",
    ),
    "squared error of labels": ({"metric": "mean_squared_error"}, "metric: the output has shape"),
}


def mean_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(model(inputs), targets)


def backward_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    loss = mean_step(model, inputs, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss


def undefined_score(output: Tensor, target: Tensor) -> Tensor:
    return output.sum() * torch.nan


ON_THE_SIDE = nn.Linear(3, 4)
UNFIT |= {
    "shared body": (
        {"model": lambda: nn.Sequential(SHARED, nn.Linear(4, 4))},
        "two calls returned the same parameters or buffers; .* copy what is pretrained with copy.deepcopy",
    ),
    "step fails": (
        {"step": lambda model, inputs, targets: model(inputs) @ targets},
        r"step: it failed on inputs of train of shape \(5, 3\) .* and targets of shape \(5,\) and type int64",
    ),
    "step of each example": (
        {"step": lambda model, inputs, targets: model(inputs).sum(1)},
        r"step: it returned a tensor of shape \(5,\); make it return one number as a tensor",
    ),
    "step without return": (
        {"step": lambda model, inputs, targets: None},
        "step: it returned a value of type NoneType",
    ),
    "step cut off": (
        {"step": lambda model, inputs, targets: model(inputs).detach().mean()},
        "step: it does not depend on the model's parameters",
    ),
    "step of another model": (
        {"step": lambda model, inputs, targets: mean_step(ON_THE_SIDE, inputs, targets)},
        "step: it does not depend on the model's parameters",
    ),
    "step with backward": ({"step": backward_step}, "step: it calls backward itself; let it return the loss"),
    "step that sums": (
        {"step": lambda model, inputs, targets: mean_step(model, inputs, targets) * len(inputs), "loss": None},
        "step: it doubles when the batch is given twice",
    ),
    "step that is infinite": (
        {"step": lambda model, inputs, targets: model(inputs).sum() / 0},
        "step: it is -?inf at the start, with the weights of seed 0",
    ),
    "step with an output that accuracy can't read": (
        {"model": lambda: Doubled(3, 4), "step": lambda model, x, y: model(x)[0].mean(), "metric": "accuracy"},
        "model: its output is of type tuple; make it return one tensor, or compute the loss in a step",
    ),
    "valid of another width": (
        {"valid": (X[:, :2], Y)},
        r"model: it failed on inputs of valid of shape \(4, 2\) and type float32",
    ),
    "loss infinite on valid": (
        {"loss": lambda output, target: functional.cross_entropy(output, target) / (len(target) != 4)},
        "loss: it is inf on valid at the start, with the weights of seed 0",
    ),
    "metric not a number": ({"metric": undefined_score}, "metric: 'undefined_score' is NaN on valid at the start"),
    "area of one class": (
        {"metric": "roc_auc", "valid": (X, Y % 3)},
        "'roc_auc' needs examples with and without each label, and label 3 lacks one; give it a larger split",
    ),
    "one class of two": (
        {"model": lambda: nn.Linear(3, 2), "metric": "roc_auc", "train": (X, Y % 2), "valid": (X, 0 * Y), "test": None},
        "'roc_auc' needs examples of both classes; give it a larger split",
    ),
    "few classes": ({"metric": "top_5_accuracy"}, "'top_5_accuracy' needs more than 5 classes, and there are 4"),
    "tokens out of range": (
        {
            "model": lambda: nn.Sequential(nn.Embedding(4, 5), nn.Linear(5, 4)),
            "loss": lambda output, y: functional.cross_entropy(output.flatten(0, 1), y.flatten()),
            **dict.fromkeys(("train", "valid", "test"), (Y.reshape(4, 3), Y.reshape(4, 3) + 2)),
            "batch": None,
        },
        "train: its labels run from 2 to 5, but the model has 4 outputs",
    ),
    "tokens for a loss that wants classes first": (
        {
            "model": lambda: nn.Sequential(nn.Embedding(4, 5), nn.Linear(5, 4)),
            **dict.fromkeys(("train", "valid", "test"), (Y.reshape(4, 3), Y.reshape(4, 3))),
            "batch": None,
        },
        r"let the loss flatten the tokens, lambda output, y: cross_entropy\(output.flatten\(0, 1\)",
    ),
}


def cases(table: dict[str, tuple[dict[str, Any], str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("changes", "sentence"), table.values(), ids=table.keys())


@cases(BAD)
def test_refused_at_once(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ProblemError, match=sentence):
        problem(**changes)


@cases(UNFIT)
def test_refused_by_the_dry_run(changes: dict[str, Any], sentence: str) -> None:
    unfit = problem(**changes)
    with pytest.raises(ProblemError, match=sentence) as caught:
        unfit.check()
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message


def test_the_cause_is_chained() -> None:
    with pytest.raises(ProblemError) as caught:
        problem(model=lambda: nn.Linear(2, 4)).check()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        (X.astype(np.float32), Y.astype(np.int32)),
        (X[::-1].copy()[::-1], Y.astype(np.uint8)),
        (X.astype(">f8"), Y.astype(">i4")),
        [torch.tensor(X), torch.tensor(Y)],
        (torch.tensor(X).float(), torch.tensor(Y).int()),
        TensorDataset(torch.tensor(X), torch.tensor(Y)),
        Pairs([(x, int(y)) for x, y in zip(X, Y, strict=True)]),
        Pairs([[torch.tensor(x), y] for x, y in zip(X, Y, strict=True)]),
    ],
    ids=[
        "float64",
        "float32",
        "reversed",
        "big-endian",
        "tensors",
        "float32 tensors",
        "TensorDataset",
        "Dataset",
        "lists",
    ],
)
def test_every_form_of_data_gives_the_same(data: Any) -> None:
    split = problem(train=data).train
    torch.testing.assert_close(split.inputs, torch.tensor(X, dtype=torch.float32), rtol=0, atol=0)
    torch.testing.assert_close(split.targets, torch.tensor(Y))


def test_data_take_the_type_of_the_model() -> None:
    double = problem(model=lambda: nn.Linear(3, 4, dtype=torch.float64))
    assert double.train.inputs.dtype == torch.float64
    assert problem(train=(X, X[:, :1]), loss=functional.mse_loss).train.targets.dtype == torch.float32
    double.check()


def test_cuda_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ProblemError, match="device: torch finds no CUDA device here; leave device out, or give 'cpu'"):
        problem(device="cuda")
    assert problem().training_device == torch.device("cpu")


def test_read_only_arrays_are_read() -> None:
    locked = X.copy()
    locked.flags.writeable = False
    assert torch.equal(problem(train=(locked, Y)).train.inputs, torch.tensor(X).float())


def test_check_accepts_what_fits_and_changes_nothing() -> None:
    sound = problem()
    inputs, state = sound.train.inputs.clone(), torch.get_rng_state()
    sound.check(seed=3)
    assert torch.equal(sound.train.inputs, inputs)
    assert torch.equal(torch.get_rng_state(), state)


def constant_head() -> nn.Module:
    head = nn.Linear(3, 1, bias=False)
    nn.init.zeros_(head.weight)
    return head


def correlation(output: Tensor, target: Tensor) -> Tensor:
    return torch.corrcoef(torch.stack([output.flatten(), target.flatten()]))[0, 1]


def inverse_spread(output: Tensor, target: Tensor) -> Tensor:
    return 1 / output.std()


@pytest.mark.parametrize("function", [correlation, inverse_spread])
def test_a_metric_that_is_not_finite_before_training(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    data = X, np.asarray(X)[:, :1] * 2
    metric = Metric(function.__name__, function, higher_is_better=True)
    given = problem(
        model=constant_head, loss=functional.mse_loss, train=data, valid=data, test=data, metric=metric, epochs=2
    )
    with warnings.catch_warnings(action="ignore"):
        given.check()
        curves = fit(given, "sgd", lr=0.1).curves
        lanes = make_lanes(given, [0, 1, 2, 3], batched=False)
        assert not lanes.evaluate(given.valid).metric.isfinite().any()
    assert not math.isfinite(curves[0].metric or 0.0)
    assert math.isfinite(curves[-1].metric or math.nan)


def test_ignored_labels_are_no_labels_out_of_range() -> None:
    problem(train=(X, np.array([*Y[:-1], -100]))).check()


def test_a_loss_may_read_whole_numbers_as_it_likes() -> None:
    def counts(output: Tensor, target: Tensor) -> Tensor:
        return functional.poisson_nll_loss(output.squeeze(1), target)

    data = (X, Y * 100)
    problem(model=lambda: nn.Linear(3, 1), loss=counts, train=data, valid=data, test=data).check()


def test_weights_follow_from_the_seed() -> None:
    first, again, other = (problem().build(seed).state_dict()["weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_counts() -> None:
    counted = problem(epochs=3)
    assert (counted.steps_per_epoch, counted.steps) == (3, 9)
    assert list(counted.splits()) == ["train", "valid", "test"]
    assert list(problem(test=None).splits()) == ["train", "valid"]


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("loss", False),
        (None, False),
        ("accuracy", True),
        ("mean_squared_error", False),
        ("mean_absolute_error", False),
        ("r2_score", True),
        (top_two_score, True),
        (functional.mse_loss, False),
        (Metric("top two", top_two, higher_is_better=True), True),
    ],
)
def test_the_direction_of_a_metric(metric: Any, higher: bool) -> None:
    assert problem(metric=metric).metric.higher_is_better is higher


def test_digits() -> None:
    bundled = digits()
    bundled.check()
    assert [len(split) for split in bundled.splits().values()] == [1078, 359, 360]
    assert sum(len(split) for split in bundled.splits().values()) == 1797
    assert bundled.train.inputs.dtype == torch.float32
    assert bundled.train.inputs.max() == 1
    for split in bundled.splits().values():
        shares = torch.bincount(split.targets) / len(split)
        assert shares.min() > 0.09
    assert torch.equal(digits().test.inputs, bundled.test.inputs)  # type: ignore[union-attr]
    assert not torch.equal(digits(split_seed=1).train.inputs, bundled.train.inputs)
